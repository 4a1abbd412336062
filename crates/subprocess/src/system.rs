//! The system calls: waiting for one child, signals to it, and the work of a new process between `fork`
//! and `exec`.

mod descriptors;

use nix::libc;
use rustix::{
    io::{Errno, retry_on_intr},
    process::{Pid, WaitId, WaitIdOptions, waitid},
};
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

/// The identity of a child: its descriptor, if there is one, and its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Id<'a> {
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(crate) pidfd: Option<BorrowedFd<'a>>,
    pub(crate) pid: u32,
}

/// The kinds of waiting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wait {
    /// Takes the status of a child that has ended, if it has, which frees its number.
    Reap,
    /// Checks whether it has ended, and leaves it as it is.
    Look,
    /// Blocks until it has ended, and leaves it as it is.
    Block,
}

/// Returns how the child ended: its exit status, or the negative number of the signal that ended it.
/// `None` if it has not ended.
///
/// # Errors
/// `ECHILD` if there is no such child, because other code has taken its status.
pub(crate) fn wait(id: Id<'_>, how: Wait) -> io::Result<Option<i32>> {
    #[cfg(target_os = "linux")]
    if let Some(pidfd) = id.pidfd {
        match wait_for(&WaitId::PidFd(pidfd), how) {
            // Linux 5.3 has pidfds, but cannot wait for them.
            Err(Errno::INVAL) => {}
            outcome => return Ok(outcome?),
        }
    }
    let pid = Pid::from_raw(id.pid as libc::pid_t).ok_or(Errno::CHILD)?;
    Ok(wait_for(&WaitId::Pid(pid), how)?)
}

fn wait_for(id: &WaitId<'_>, how: Wait) -> Result<Option<i32>, Errno> {
    let options = WaitIdOptions::EXITED
        | match how {
            Wait::Reap => WaitIdOptions::NOHANG,
            Wait::Look => WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT,
            Wait::Block => WaitIdOptions::NOWAIT,
        };
    let status = retry_on_intr(|| waitid(id.clone(), options))?;
    Ok(status.and_then(|status| {
        status.exit_status().or_else(|| status.terminating_signal().map(|signal| -signal))
    }))
}

/// Opens the pidfd of a child whose status was not taken, which ensures that the number is its own.
///
/// # Errors
/// `ENOSYS` or `EPERM` if there are none, or a sandbox refuses them.
#[cfg(all(target_os = "linux", not(asyncio_no_pidfd)))]
pub(crate) fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    use rustix::process::{PidfdFlags, pidfd_open};
    let pid = Pid::from_raw(pid as libc::pid_t).ok_or(Errno::SRCH)?;
    // The descriptor is close-on-exec.
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// As on a system that has no pidfds.
#[cfg(not(all(target_os = "linux", not(asyncio_no_pidfd))))]
pub(crate) fn pidfd_open(_pid: u32) -> io::Result<OwnedFd> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}

/// Sends a signal to a child whose status was not taken.
///
/// # Errors
/// `EINVAL` if there is no such signal, `EPERM` if the child runs as another user.
pub(crate) fn send_signal(id: Id<'_>, signal: i32) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if let Some(pidfd) = id.pidfd {
        let (fd, no_info) = (pidfd.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
        // SAFETY: takes numbers, and no `siginfo_t`.
        let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, no_info, 0) };
        if sent == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        // A sandbox may refuse this call, but not the other one, whose result is used then.
        if !matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) {
            return Err(error);
        }
    }
    kill(id.pid as libc::pid_t, signal)
}

/// Sends a signal to every process of a group.
///
/// # Errors
/// `ESRCH` if there is none, `EPERM` if they all run as other users.
pub(crate) fn signal_group(group: u32, signal: i32) -> io::Result<()> {
    kill(-(group as libc::pid_t), signal)
}

fn kill(number: libc::pid_t, signal: i32) -> io::Result<()> {
    // SAFETY: takes two numbers.
    if unsafe { libc::kill(number, signal) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The changes that a new process makes to itself before it runs its program.
#[derive(Debug)]
pub(crate) struct BeforeExec {
    pub(crate) umask: Option<u32>,
    pub(crate) new_session: bool,
    pub(crate) process_group: Option<libc::pid_t>,
    pub(crate) groups: Option<Vec<libc::gid_t>>,
    pub(crate) group: Option<libc::gid_t>,
    pub(crate) user: Option<libc::uid_t>,
    /// Whether every descriptor except the standard streams is closed.
    pub(crate) close_fds: bool,
    /// Descriptors that stay open.
    pub(crate) keep: Vec<i32>,
}

impl BeforeExec {
    /// Whether the process changes its user or its rights.
    #[cfg(target_os = "linux")]
    pub(crate) fn changes_user(&self) -> bool {
        self.groups.is_some() || self.group.is_some() || self.user.is_some()
    }

    /// Makes the changes in CPython's order. It only makes async-signal-safe system calls, and
    /// reads memory that was prepared before; it takes no lock and allocates no memory.
    pub(crate) fn run(&self) -> io::Result<()> {
        if self.close_fds {
            descriptors::close_on_exec();
        }
        for fd in &self.keep {
            // SAFETY: takes numbers.
            check(unsafe { libc::fcntl(*fd, libc::F_SETFD, 0) })?;
        }
        if let Some(umask) = self.umask {
            // SAFETY: takes a number, and cannot fail.
            unsafe { libc::umask(umask as libc::mode_t) };
        }
        if self.new_session {
            // SAFETY: takes nothing.
            check(unsafe { libc::setsid() })?;
        }
        if let Some(group) = self.process_group {
            // SAFETY: takes numbers.
            check(unsafe { libc::setpgid(0, group) })?;
        }
        if let Some(groups) = &self.groups {
            // SAFETY: there are so many groups at that place.
            check(unsafe { libc::setgroups(groups.len() as _, groups.as_ptr()) })?;
        }
        if let Some(group) = self.group {
            // SAFETY: takes numbers.
            check(unsafe { libc::setregid(group, group) })?;
        }
        if let Some(user) = self.user {
            // SAFETY: takes numbers.
            check(unsafe { libc::setreuid(user, user) })?;
        }
        Ok(())
    }
}

pub(crate) fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
