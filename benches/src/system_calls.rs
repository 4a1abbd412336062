//! The system calls of a process, counted by `strace`.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    io::{self, BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// A process whose system calls are written down, until this is dropped.
pub(crate) struct Trace {
    strace: Child,
    log: PathBuf,
}

impl Trace {
    pub(crate) fn is_installed() -> Result<(), String> {
        let mut command = Command::new("strace");
        command.arg("-V").stdout(Stdio::null()).stderr(Stdio::null());
        let works = command.status().is_ok_and(|status| status.success());
        if works { Ok(()) } else { Err("there is no strace".to_owned()) }
    }

    /// Begins with a process that runs already.
    pub(crate) fn of(process: u32) -> io::Result<Trace> {
        let log = std::env::temp_dir().join(format!("asyncio-benches-{process}.strace"));
        let mut strace = Command::new("strace")
            .args(["-s0", "--follow-forks", "--attach", &process.to_string(), "--output"])
            .arg(&log)
            .stderr(Stdio::piped())
            .spawn()?;
        let mut said = String::new();
        if let Some(output) = &mut strace.stderr {
            BufReader::new(output).read_line(&mut said)?;
        }
        let trace = Trace { strace, log };
        match said.contains("attached") {
            true => Ok(trace),
            false => Err(io::Error::other(said)),
        }
    }

    /// How many there were. The log is read when nothing is traced any more: to read it takes calls.
    pub(crate) fn end(mut self) -> io::Result<u64> {
        kill(Pid::from_raw(self.strace.id() as i32), Signal::SIGTERM)?;
        self.strace.wait()?;
        // What is interrupted has two lines, and the second of them has no bracket that opens.
        let log = fs::read_to_string(&self.log)?;
        Ok(log.lines().filter(|line| line.contains('(')).count() as u64)
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // The process goes on without it.
        let _ = self.strace.kill();
        let _ = self.strace.wait();
        let _ = fs::remove_file(&self.log);
    }
}
