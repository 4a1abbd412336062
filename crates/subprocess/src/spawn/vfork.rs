//! [`spawn`] with `vfork`, as CPython starts its children: until it runs its program the child borrows
//! this process's memory instead of copying the tables of it, and the thread that starts it waits. So
//! a start costs the same in a process that has much memory, whatever the child does to itself first.
//!
//! Not for a child that becomes another user: while it shares our memory, that user's other processes
//! could reach into it.
//!
//! # What the child may do
//! It stands on the memory of this process, in the middle of a call of one of its threads: it makes
//! system calls, and reads what was prepared for it. It takes no lock and no memory, does not panic,
//! and writes nothing but the error with which it fails.

use super::{BeforeExec, Program, exec::Exec, strings::Strings};
use crate::system::{self, Id, Wait};
use nix::{
    libc,
    sys::signal::{SigSet, SigmaskHow},
    unistd::chdir,
};
use std::{
    ffi::CStr,
    io,
    mem::{MaybeUninit, zeroed},
    os::fd::RawFd,
    ptr::{null, null_mut},
    sync::atomic::{AtomicI32, Ordering},
};

/// More than its few frames take.
const STACK: usize = 64 * 1024;

/// All that the child needs to know.
struct Plan<'a> {
    streams: [Option<RawFd>; 3],
    directory: Option<&'a CStr>,
    before: &'a BeforeExec,
    /// The signals that are blocked in it.
    blocked: &'a Blocked,
    exec: &'a Exec,
    /// Why the program does not run.
    errno: AtomicI32,
}

/// Starts the program, and gives the child's number once it runs.
///
/// # Errors
/// `InvalidInput` for a zero byte; what the system says.
pub(super) fn spawn(
    program: &Program,
    streams: [Option<RawFd>; 3],
    before: &BeforeExec,
) -> io::Result<u32> {
    let exec = Exec::of(program)?;
    let directory = program.cwd.as_ref().map(|cwd| Strings::of([cwd.as_os_str()])).transpose()?;
    // A handler of this process must not run in the child, which has its memory.
    let blocked = Blocked::all()?;
    let plan = Plan {
        streams,
        directory: directory.as_ref().and_then(Strings::first),
        before,
        blocked: &blocked,
        exec: &exec,
        errno: AtomicI32::new(0),
    };
    let pid = plan.clone_and_wait()?;
    match plan.errno.load(Ordering::Relaxed) {
        0 => Ok(pid),
        errno => {
            let child = Id { pidfd: None, pid };
            let _ = system::wait(child, Wait::Block);
            let _ = system::wait(child, Wait::Reap);
            Err(io::Error::from_raw_os_error(errno))
        }
    }
}

impl Plan<'_> {
    fn clone_and_wait(&self) -> io::Result<u32> {
        let mut stack = Vec::<MaybeUninit<u8>>::with_capacity(STACK);
        let top = stack.as_mut_ptr().wrapping_add(STACK).map_addr(|address| address & !63);
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let plan: *const Self = self;
        // SAFETY: `top` is the aligned upper end of the child's own stack. The plan and the stack stay
        // where they are, and this thread stands still, until the child runs another program or ends.
        let pid = unsafe { libc::clone(child, top.cast(), flags, plan.cast_mut().cast()) };
        system::check(pid)?;
        Ok(pid as u32)
    }

    /// In the child: does what the plan says. Gives the error that keeps the program from running.
    fn run(&self) -> io::Error {
        match self.prepare() {
            Ok(()) => self.exec.run(),
            Err(error) => error,
        }
    }

    fn prepare(&self) -> io::Result<()> {
        for (number, stream) in (0..).zip(self.streams) {
            if let Some(stream) = stream {
                // SAFETY: takes numbers. The copy is not close-on-exec.
                system::check(unsafe { libc::dup2(stream, number) })?;
            }
        }
        if let Some(directory) = self.directory {
            // A `CStr` is passed on as it is: nothing is allocated.
            chdir(directory)?;
        }
        self.before.run()?;
        take_default_actions();
        self.blocked.restore();
        Ok(())
    }
}

extern "C" fn child(plan: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the parent's plan, and the parent waits.
    let plan = unsafe { &*plan.cast::<Plan<'_>>() };
    let errno = plan.run().raw_os_error().unwrap_or(libc::EINVAL);
    plan.errno.store(errno, Ordering::Relaxed);
    // SAFETY: ends the child, and touches nothing of this process's.
    unsafe { libc::_exit(127) }
}

/// In the child: signals have the actions that `exec` leaves them, and `SIGPIPE`, which Rust programs
/// ignore, the one that every program expects.
fn take_default_actions() {
    // SAFETY: all zeros is a valid `sigaction`: the default, with an empty mask.
    let default: libc::sigaction = unsafe { zeroed() };
    for signal in 1..=libc::SIGRTMAX() {
        let mut action = default;
        // SAFETY: both are valid, and the child has a table of its own.
        unsafe {
            let known = libc::sigaction(signal, null(), &mut action) == 0;
            let stays = action.sa_sigaction == libc::SIG_DFL
                || action.sa_sigaction == libc::SIG_IGN && signal != libc::SIGPIPE;
            if known && !stays {
                libc::sigaction(signal, &default, null_mut());
            }
        }
    }
}

/// Every signal is blocked in this thread until it is dropped: the mask of before.
struct Blocked(SigSet);

impl Blocked {
    /// # Errors
    /// The system's error, which knows no reason to refuse.
    fn all() -> io::Result<Blocked> {
        Ok(Blocked(SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?))
    }

    fn restore(&self) {
        // The mask that this thread had before is valid.
        let _ = self.0.thread_set_mask();
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.restore();
    }
}
