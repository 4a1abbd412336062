//! [`spawn`] through `std::process::Command`: on every system, and for a child that becomes another
//! user. The last step, running the program, is ours, so that every child takes the same one:
//! `Command` would run a file of an unknown format with a shell.

use super::{BeforeExec, Program, exec::Exec};
use std::{
    io,
    os::{
        fd::{BorrowedFd, RawFd},
        unix::process::CommandExt,
    },
    process::{Command, Stdio},
};

/// Starts the program, and returns the child's number once it runs.
///
/// # Errors
/// `InvalidInput` for a zero byte; the system's error.
pub(super) fn spawn(
    program: &Program,
    streams: [Option<RawFd>; 3],
    before: BeforeExec,
) -> io::Result<u32> {
    let exec = Exec::of(program)?;
    // `exec` replaces the program, the arguments and the environment of the command.
    let mut command = Command::new("/");
    if let Some(cwd) = &program.cwd {
        command.current_dir(cwd);
    }
    let [stdin, stdout, stderr] = streams.map(copy);
    command.stdin(stdin?).stdout(stdout?).stderr(stderr?);
    // SAFETY: `run` does nothing that is not allowed after `fork`, in both.
    unsafe {
        command.pre_exec(move || {
            before.run()?;
            Err(exec.run())
        })
    };
    // `std` never waits for the child, because it would not report the end to us.
    Ok(command.spawn()?.id())
}

fn copy(stream: Option<RawFd>) -> io::Result<Stdio> {
    let Some(stream) = stream else { return Ok(Stdio::inherit()) };
    // SAFETY: it is open, because the caller's `ChildStreams` hold it; or it is this process's own output,
    // and if that is closed, the call returns an error.
    let stream = unsafe { BorrowedFd::borrow_raw(stream) };
    Ok(stream.try_clone_to_owned()?.into())
}
