//! [`spawn`] through `std::process::Command`: on every system, and for a child that becomes another
//! user.

use super::{BeforeExec, Program};
use std::{
    io,
    os::{
        fd::{BorrowedFd, RawFd},
        unix::process::CommandExt,
    },
    process::{Command, Stdio},
};

/// Starts the program, and gives the child's number once it runs.
///
/// # Errors
/// `InvalidInput` for a zero byte; what the system says.
pub(super) fn spawn(
    program: &Program,
    streams: [Option<RawFd>; 3],
    before: BeforeExec,
) -> io::Result<u32> {
    let mut command = Command::new(program.executable.as_ref().unwrap_or(&program.name));
    command.arg0(&program.name).args(&program.args);
    if let Some(env) = &program.env {
        command.env_clear().envs(env);
    }
    if let Some(cwd) = &program.cwd {
        command.current_dir(cwd);
    }
    let [stdin, stdout, stderr] = streams.map(copy);
    command.stdin(stdin?).stdout(stdout?).stderr(stderr?);
    before.add_to(&mut command);
    // The child is never waited for through `std`, which would not tell us.
    Ok(command.spawn()?.id())
}

fn copy(stream: Option<RawFd>) -> io::Result<Stdio> {
    let Some(stream) = stream else { return Ok(Stdio::inherit()) };
    // SAFETY: it is open, for the caller's `Streams` hold it; or it is this process's own output, and
    // if that is closed the error says so.
    let stream = unsafe { BorrowedFd::borrow_raw(stream) };
    Ok(stream.try_clone_to_owned()?.into())
}
