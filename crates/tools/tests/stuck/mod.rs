//! An example, as a process that ends with its test.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// Where cargo puts the examples that it builds with the tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let mut directory = std::env::current_exe().expect("a test knows where it is");
    directory.pop();
    directory.pop();
    directory.join("examples").join(name)
}

/// A program that waits. It is killed when this is dropped.
pub(crate) struct Stuck {
    process: Child,
    _input: Option<ChildStdin>,
    _output: BufReader<ChildStdout>,
}

impl Stuck {
    /// An example; on return everything in it waits.
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Stuck {
        Stuck::of(&example(name), arguments)
    }

    /// A copy of an example.
    pub(crate) fn of(program: &Path, arguments: &[impl AsRef<OsStr>]) -> Stuck {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process =
            command.spawn().expect("the examples are built: `cargo build --examples`");
        let (input, output) = (process.stdin.take(), process.stdout.take());
        let mut output = BufReader::new(output.expect("it is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("it can be read");
        assert_eq!(line, "ready\n");
        Stuck { process, _input: input, _output: output }
    }

    /// The number of the process.
    pub(crate) fn pid(&self) -> String {
        self.process.id().to_string()
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
