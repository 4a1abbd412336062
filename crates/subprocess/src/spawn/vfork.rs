//! [`spawn`] with `vfork`, as CPython starts its children: until it runs its program, the child shares
//! this process's memory instead of copying its tables, and the thread that starts it waits. A start
//! therefore costs the same in a process that uses much memory, whatever the child changes about
//! itself first.
//!
//! It is not used for a child that becomes another user: while the child shares our memory, other
//! processes of that user could access it.
//!
//! # What the child may do
//! It runs on the memory of this process, in the middle of a call of one of its threads: it makes
//! system calls, and reads data that was prepared for it. It takes no lock, allocates no memory,
//! does not panic, and writes only the error with which it fails.

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

/// More than its few frames need.
const STACK: usize = 64 * 1024;

/// The data that the child needs.
struct Plan<'a> {
    streams: [Option<RawFd>; 3],
    directory: Option<&'a CStr>,
    before: &'a BeforeExec,
    /// The signals that are blocked in it.
    blocked: &'a Blocked,
    exec: &'a Exec,
    /// The error that kept the program from running.
    errno: AtomicI32,
}

/// Starts the program, and returns the child's number once it runs.
///
/// # Errors
/// `InvalidInput` for a zero byte; the system's error.
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
        // in place, and this thread is suspended, until the child runs another program or ends.
        let pid = unsafe { libc::clone(child, top.cast(), flags, plan.cast_mut().cast()) };
        system::check(pid)?;
        Ok(pid as u32)
    }

    /// Carries out the plan, in the child. Returns the error that keeps the program from running.
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
            // A `CStr` is passed on directly: nothing is allocated.
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
    // SAFETY: ends the child, and does not touch this process.
    unsafe { libc::_exit(127) }
}

/// Resets the dispositions of signals, in the child, as `exec` would. `SIGPIPE`, which Rust programs
/// ignore, gets the default disposition that every program expects.
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

/// Blocks every signal in this thread until it is dropped; contains the previous mask.
struct Blocked(SigSet);

impl Blocked {
    /// # Errors
    /// The system's error, which should never occur.
    fn all() -> io::Result<Blocked> {
        Ok(Blocked(SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?))
    }

    fn restore(&self) {
        // The previous mask of this thread is valid.
        let _ = self.0.thread_set_mask();
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.restore();
    }
}
