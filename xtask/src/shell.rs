//! The location of the workspace, and running other programs in it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
}

impl Workspace {
    pub(crate) fn locate() -> Result<Self, String> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .ok_or("CARGO_MANIFEST_DIR is not set; start me as `cargo xtask`")?;
        let root = PathBuf::from(manifest)
            .parent()
            .ok_or("the directory of xtask has no parent")?
            .to_owned();
        Ok(Self { root })
    }

    /// A run of cargo in the workspace. `args` are separated by spaces.
    pub(crate) fn cargo(&self, args: &str) -> Run {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        self.program(cargo, "cargo", args)
    }

    pub(crate) fn rustup(&self, args: &str) -> Run {
        self.program("rustup".into(), "rustup", args)
    }

    /// A run of another program. `args` are separated by spaces.
    pub(crate) fn tool(&self, program: &str, args: &str) -> Run {
        self.program(program.into(), program, args)
    }

    /// A separate directory for builds with other flags, so that they do not replace the ordinary build products.
    pub(crate) fn target(&self, name: &str) -> PathBuf {
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        self.root.join(target).join(name)
    }

    fn program(&self, program: OsString, shown_as: &str, args: &str) -> Run {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        Run { command, shown: shown_as.to_owned() }.args(args.split_whitespace())
    }
}

/// What a command printed, and whether it succeeded.
pub(crate) struct Output {
    pub(crate) success: bool,
    /// All of it.
    pub(crate) text: String,
    pub(crate) stdout: String,
}

/// A command line, and the text that shows it.
pub(crate) struct Run {
    command: Command,
    shown: String,
}

impl Run {
    pub(crate) fn args<S: AsRef<str>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        for arg in args {
            self.command.arg(arg.as_ref());
            self.shown += " ";
            self.shown += arg.as_ref();
        }
        self
    }

    /// Adds flags to a variable such as RUSTFLAGS, after those that the caller has set.
    pub(crate) fn flags(mut self, variable: &str, flags: &str) -> Self {
        let value = match std::env::var(variable) {
            Ok(set) if !set.is_empty() => format!("{set} {flags}"),
            _ => flags.to_owned(),
        };
        self.shown = format!("{variable}='{value}' {}", self.shown);
        self.command.env(variable, value);
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn target_dir(mut self, dir: PathBuf) -> Self {
        self.command.env("CARGO_TARGET_DIR", dir);
        self
    }

    /// Shows the command and runs it, with its output on the terminal. Standard input is empty, because no task asks for
    /// input. Otherwise a program that reads some would hang in a terminal and pass without one.
    pub(crate) fn run(mut self) -> Result<(), String> {
        println!("$ {}", self.shown);
        let status = self
            .command
            .stdin(Stdio::null())
            .status()
            .map_err(|error| format!("cannot start `{}`: {error}", self.shown))?;
        if status.success() { Ok(()) } else { Err(format!("`{}` failed ({status})", self.shown)) }
    }

    /// Prints the command, for a run whose output is not on the terminal.
    pub(crate) fn shown(self) -> Self {
        println!("$ {}", self.shown);
        self
    }

    /// Runs the command and captures its output. After `limit` the command fails, and is killed with all processes that it
    /// has started.
    pub(crate) fn output(mut self, limit: Duration) -> Result<Output, String> {
        let command = self.command.stdin(Stdio::null()).process_group(0);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.map_err(|error| format!("cannot start `{}`: {error}", self.shown))?;
        let (ended, is_ended) = mpsc::channel::<()>();
        let group = format!("-{}", child.id());
        let watch = thread::spawn(move || {
            let late = is_ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if late {
                let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            }
            late
        });
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        drop(ended);
        let late = watch.join().unwrap_or(false);
        let [stdout, stderr] = [&output.stdout, &output.stderr].map(|b| String::from_utf8_lossy(b));
        let late_text = if late { "ended: it took too long\n" } else { "" };
        let text = format!("{late_text}{stderr}{stdout}");
        let success = output.status.success() && !late;
        Ok(Output { success, text, stdout: stdout.into_owned() })
    }

    /// Returns whether the command can be run and succeeds. Its output is discarded.
    pub(crate) fn succeeds(mut self) -> bool {
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}
