//! [`Program`]: from the description of a process to the process.

mod command;
mod exec;
mod streams;
mod strings;
#[cfg(test)]
mod tests;
#[cfg(target_os = "linux")]
mod vfork;

use crate::{
    spawn::streams::ChildStreams,
    stdio::{Account, Stdio},
    system::BeforeExec,
};
use asyncio_core::{
    Error, Result,
    log::{Level, log},
};
use nix::unistd;
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt, io,
    os::fd::{AsRawFd, OwnedFd},
    path::PathBuf,
};

/// The program and how to run it: `subprocess.Popen`'s arguments.
#[derive(Debug)]
pub(crate) struct Program {
    /// The function that was called, for errors.
    what: &'static str,
    /// The child's name, and the program if no other is given.
    name: OsString,
    args: Vec<OsString>,
    pub(crate) executable: Option<OsString>,
    pub(crate) stdin: Stdio,
    pub(crate) stdout: Stdio,
    pub(crate) stderr: Stdio,
    pub(crate) env: Option<BTreeMap<OsString, OsString>>,
    pub(crate) cwd: Option<PathBuf>,
    pub(crate) close_fds: bool,
    pub(crate) pass_fds: Vec<OwnedFd>,
    pub(crate) start_new_session: bool,
    pub(crate) process_group: Option<i32>,
    pub(crate) umask: Option<u32>,
    pub(crate) user: Option<Account>,
    pub(crate) group: Option<Account>,
    pub(crate) extra_groups: Option<Vec<Account>>,
}

/// A process that was started, and this side of its pipes, in blocking mode.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: u32,
    /// Whether it leads a session or a process group, which then has its number.
    pub(crate) leads: bool,
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
}

impl Started {
    pub(crate) fn has_pipes(&self) -> bool {
        self.stdin.is_some() || self.stdout.is_some() || self.stderr.is_some()
    }
}

impl Program {
    pub(crate) fn exec(what: &'static str, program: &OsStr, args: Vec<OsString>) -> Box<Program> {
        // Boxed: it is large, and moved with each keyword argument.
        Box::new(Program {
            what,
            name: program.to_owned(),
            args,
            executable: None,
            stdin: Stdio::Inherit,
            stdout: Stdio::Inherit,
            stderr: Stdio::Inherit,
            env: None,
            cwd: None,
            close_fds: true,
            pass_fds: Vec::new(),
            start_new_session: false,
            process_group: None,
            umask: None,
            user: None,
            group: None,
            extra_groups: None,
        })
    }

    pub(crate) fn shell(what: &'static str, command: &OsStr) -> Box<Program> {
        Program::exec(what, OsStr::new("/bin/sh"), vec!["-c".into(), command.into()])
    }

    /// The function that was called.
    pub(crate) fn what(&self) -> &'static str {
        self.what
    }

    /// Starts the process; it runs the program when this returns. If anything fails, nothing is
    /// left behind.
    ///
    /// # Errors
    /// `Value` for invalid arguments; otherwise the system's error.
    pub(crate) fn start(mut self: Box<Program>) -> Result<Started> {
        self.check_env()?;
        if !self.close_fds && !self.pass_fds.is_empty() {
            log(Level::Warning, &format!("{}: pass_fds overriding close_fds.", self.what));
        }
        let take = |stream: &mut Stdio| std::mem::replace(stream, Stdio::Inherit);
        let streams = [&mut self.stdin, &mut self.stdout, &mut self.stderr].map(take);
        let streams = ChildStreams::open(streams).map_err(|error| self.failure(error))?;
        let before = self.before_exec()?;
        let pid = self.spawn(&streams, before).map_err(|error| self.failure(error))?;
        let [stdin, stdout, stderr] = streams.ours;
        let leads = self.start_new_session || self.process_group == Some(0);
        Ok(Started { pid, leads, stdin, stdout, stderr })
    }

    fn spawn(&self, streams: &ChildStreams, before: BeforeExec) -> io::Result<u32> {
        #[cfg(target_os = "linux")]
        if !before.changes_user() {
            return vfork::spawn(self, streams.theirs, &before);
        }
        command::spawn(self, streams.theirs, before)
    }

    fn check_env(&self) -> Result<()> {
        let mut names = self.env.iter().flat_map(BTreeMap::keys);
        match names.find(|name| name.as_encoded_bytes().contains(&b'=')) {
            Some(name) => {
                let text = "illegal environment variable name";
                Err(Error::value(format!("{}: {text}: {name:?}", self.what)))
            }
            None => Ok(()),
        }
    }

    fn before_exec(&self) -> Result<BeforeExec> {
        let group_id = |account: &Account| self.group_id(account);
        Ok(BeforeExec {
            umask: self.umask,
            new_session: self.start_new_session,
            process_group: self.process_group,
            groups: match &self.extra_groups {
                Some(groups) => Some(groups.iter().map(group_id).collect::<Result<_>>()?),
                None => None,
            },
            group: self.group.as_ref().map(group_id).transpose()?,
            user: self.user.as_ref().map(|user| self.user_id(user)).transpose()?,
            // As in Python, `pass_fds` implies `close_fds`.
            close_fds: self.close_fds || !self.pass_fds.is_empty(),
            keep: self.pass_fds.iter().map(|fd| fd.as_raw_fd()).collect(),
        })
    }

    fn user_id(&self, account: &Account) -> Result<u32> {
        match account {
            Account::Id(id) => Ok(*id),
            Account::Name(name) => match unistd::User::from_name(name) {
                Ok(Some(user)) => Ok(user.uid.as_raw()),
                Ok(None) => Err(Error::value(format!("{}: no user {name:?}", self.what))),
                Err(errno) => Err(self.failure(errno.into())),
            },
        }
    }

    fn group_id(&self, account: &Account) -> Result<u32> {
        match account {
            Account::Id(id) => Ok(*id),
            Account::Name(name) => match unistd::Group::from_name(name) {
                Ok(Some(group)) => Ok(group.gid.as_raw()),
                Ok(None) => Err(Error::value(format!("{}: no group {name:?}", self.what))),
                Err(errno) => Err(self.failure(errno.into())),
            },
        }
    }

    /// Adds the function and the file to an error, as CPython does.
    fn failure(&self, error: io::Error) -> Error {
        let what = self.what;
        // Both are found before there is a process.
        if error.raw_os_error().is_none() && error.kind() == io::ErrorKind::InvalidInput {
            return match error.get_ref().map(|inner| inner.to_string()) {
                Some(text) => Error::value(format!("{what}: {text}")),
                None => Error::value(format!("{what}: embedded null byte")),
            };
        }
        let subject = match &self.cwd {
            Some(cwd) if !cwd.is_dir() => cwd.as_os_str(),
            _ => self.executable.as_ref().unwrap_or(&self.name),
        };
        let text = format!("{what}: {error}: {subject:?}");
        io::Error::new(error.kind(), Failure { text, error }).into()
    }
}

/// A system error with its subject.
#[derive(Debug)]
struct Failure {
    text: String,
    error: io::Error,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
