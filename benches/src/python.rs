//! CPython's own event loop, and uvloop, where they are installed.

use std::process::{Command, Stdio};

/// The interpreters and loops that run the programs of `peers.py`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Interpreter {
    CPython,
    Uvloop,
}

const PROGRAMS: &str = include_str!("peers.py");

impl Interpreter {
    const ALL: [Interpreter; 2] = [Interpreter::CPython, Interpreter::Uvloop];

    pub(crate) fn named(name: &str) -> Option<Interpreter> {
        Interpreter::ALL.into_iter().find(|interpreter| interpreter.name() == name)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Interpreter::CPython => "CPython",
            Interpreter::Uvloop => "uvloop",
        }
    }

    pub(crate) fn command(self, workload: &str, size: &str) -> Command {
        let mut command = Command::new("python3");
        command.args(["-c", PROGRAMS, self.name(), workload, size]);
        command
    }

    fn is_installed(self) -> bool {
        let module = match self {
            Interpreter::CPython => "import asyncio",
            Interpreter::Uvloop => "import uvloop",
        };
        let mut command = Command::new("python3");
        let status = command.args(["-c", module]).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    /// Returns those that are installed, and prints the names of those that are not.
    pub(crate) fn installed() -> Vec<Interpreter> {
        let mut installed = Interpreter::ALL.to_vec();
        installed.retain(|interpreter| {
            let is_installed = interpreter.is_installed();
            if !is_installed {
                eprintln!("SKIPPED: {}: python3 does not have it", interpreter.name());
            }
            is_installed
        });
        installed
    }
}
