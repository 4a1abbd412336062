//! A session or group of processes, named by the number of the child that began it.

use crate::{child::Child, system};
use nix::libc;
use std::{
    io, thread,
    time::{Duration, Instant},
};

/// The longest time between two checks.
const LOOK: Duration = Duration::from_millis(20);

/// Whether any process except the child itself is left in its session or group; false if the system
/// does not tell.
pub(crate) fn has_others(session: u32) -> bool {
    members(session).is_some_and(|members| members.iter().any(|member| member.pid != session))
}

/// Ends every process of the session or group that `child` began: asks them all to terminate, waits
/// for `grace` until they have, and kills those that are left. Blocks.
///
/// # Errors
/// `EPERM` if a remaining process runs as another user.
pub(crate) fn end(child: &Child, grace: Duration) -> io::Result<()> {
    let killing = Instant::now().checked_add(grace);
    let mut pause = Duration::from_millis(1);
    let mut wait = || {
        thread::sleep(pause);
        pause = (pause * 2).min(LOOK);
    };
    signal(child, libc::SIGTERM)?;
    while is_alive(child) && killing.is_none_or(|killing| Instant::now() < killing) {
        wait();
    }
    while is_alive(child) {
        signal(child, libc::SIGKILL)?;
        wait();
    }
    child.let_go();
    Ok(())
}

/// Whether any process is left that can be ended.
fn is_alive(child: &Child) -> bool {
    match members(child.pid()) {
        Some(members) => child.with_session(|_| ()).is_some() && !members.is_empty(),
        None => {
            let nothing = 0;
            let sent = child.with_session(|session| system::signal_group(session, nothing));
            child.returncode().is_none() || sent.is_some_and(|sent| sent.is_ok())
        }
    }
}

/// Sends a signal to all of them, if any are left.
fn signal(child: &Child, signal: i32) -> io::Result<()> {
    let sent = child.with_session(|session| {
        let to_group = system::signal_group(session, signal);
        let to_strays = signal_strays(session, signal);
        to_group.and(to_strays)
    });
    match sent {
        Some(Err(error)) if error.raw_os_error() != Some(libc::ESRCH) => Err(error),
        _ => Ok(()),
    }
}

/// A process of the session.
struct Member {
    pid: u32,
    group: u32,
}

/// Sends a signal to the processes of the session that are in other groups, such as the jobs of an
/// interactive shell.
fn signal_strays(session: u32, signal: i32) -> io::Result<()> {
    let mut outcome = Ok(());
    for stray in members(session).into_iter().flatten().filter(|m| m.group != session) {
        // The descriptor is opened first: the number may belong to another process by now, which
        // the next check detects.
        let pidfd = match system::pidfd_open(stray.pid) {
            Ok(pidfd) if member(session, stray.pid).is_some() => pidfd,
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => return Err(error),
            _ => continue,
        };
        let id = system::Id { pidfd: Some(std::os::fd::AsFd::as_fd(&pidfd)), pid: stray.pid };
        outcome = system::send_signal(id, signal);
    }
    outcome
}

/// The processes of the session or group that have not ended, as far as a signal can be sent to
/// them safely; `None` if the system does not report them.
#[cfg(target_os = "linux")]
fn members(session: u32) -> Option<Vec<Member>> {
    let processes = std::fs::read_dir("/proc").ok()?;
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Some(pids.filter_map(|pid| member(session, pid)).collect())
}

#[cfg(target_os = "linux")]
fn member(session: u32, pid: u32) -> Option<Member> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // `pid (name) state parent group session …`, and the name may be anything.
    let end_of_name = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&stat[end_of_name + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let (state, group, its_session) = (fields.next()?, fields.nth(1)?, fields.next()?);
    let group = group.parse().ok()?;
    let is_stray = || its_session.parse() == Ok(session) && has_pidfds();
    let belongs = group == session || is_stray();
    (belongs && !matches!(state, "Z" | "X")).then_some(Member { pid, group })
}

#[cfg(target_os = "linux")]
fn has_pidfds() -> bool {
    static ANSWER: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *ANSWER.get_or_init(|| system::pidfd_open(std::process::id()).is_ok())
}

#[cfg(not(target_os = "linux"))]
fn members(_session: u32) -> Option<Vec<Member>> {
    None
}

#[cfg(not(target_os = "linux"))]
fn member(_session: u32, _pid: u32) -> Option<Member> {
    None
}
