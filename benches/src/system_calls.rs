//! Counts the system calls of a process with `strace`.

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

/// A process whose system calls are logged until this is dropped.
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

    /// Attaches to a running process.
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

    /// Returns the number of calls. The log is read after tracing has ended, because reading takes calls as well.
    pub(crate) fn end(mut self) -> io::Result<u64> {
        kill(Pid::from_raw(self.strace.id() as i32), Signal::SIGTERM)?;
        self.strace.wait()?;
        // An interrupted call has two lines, and the second has no opening bracket.
        let log = fs::read_to_string(&self.log)?;
        Ok(log.lines().filter(|line| line.contains('(')).count() as u64)
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // The process continues without it.
        let _ = self.strace.kill();
        let _ = self.strace.wait();
        let _ = fs::remove_file(&self.log);
    }
}
