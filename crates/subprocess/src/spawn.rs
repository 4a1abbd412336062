//! [`Program`]: from the description of a process to the process.

use crate::{
    stdio::{Account, Stdio},
    system::BeforeExec,
};
use asyncio_core::{Error, Result};
use nix::unistd;
use std::{
    ffi::{OsStr, OsString},
    fmt, io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::PathBuf,
    process::Command,
};

/// What to run, and how: `subprocess.Popen`'s arguments.
#[derive(Debug)]
pub(crate) struct Program {
    /// The function that was called, for errors.
    what: &'static str,
    /// The arguments, the first of which names the program; the rest is told to it at the start.
    arguments: Command,
    pub(crate) executable: Option<OsString>,
    pub(crate) stdin: Stdio,
    pub(crate) stdout: Stdio,
    pub(crate) stderr: Stdio,
    pub(crate) env: Option<Vec<(OsString, OsString)>>,
    pub(crate) cwd: Option<PathBuf>,
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
    /// Whether it began a session or a process group, which then has its number.
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
    pub(crate) fn exec<S: AsRef<OsStr>>(
        what: &'static str,
        program: &OsStr,
        args: impl IntoIterator<Item = S>,
    ) -> Box<Program> {
        let mut arguments = Command::new(program);
        arguments.args(args);
        Program::new(what, arguments)
    }

    pub(crate) fn shell(what: &'static str, command: &OsStr) -> Box<Program> {
        Program::exec(what, OsStr::new("/bin/sh"), [OsStr::new("-c"), command])
    }

    fn new(what: &'static str, arguments: Command) -> Box<Program> {
        // Boxed: it is large, and moved with each keyword argument.
        Box::new(Program {
            what,
            arguments,
            executable: None,
            stdin: Stdio::Inherit,
            stdout: Stdio::Inherit,
            stderr: Stdio::Inherit,
            env: None,
            cwd: None,
            pass_fds: Vec::new(),
            start_new_session: false,
            process_group: None,
            umask: None,
            user: None,
            group: None,
            extra_groups: None,
        })
    }

    /// The function that was called.
    pub(crate) fn what(&self) -> &'static str {
        self.what
    }

    /// Starts the process; it runs the program when this returns. Whatever fails, nothing is left.
    ///
    /// # Errors
    /// `Value` for arguments that cannot be meant; what the system says otherwise.
    pub(crate) fn start(mut self: Box<Program>) -> Result<Started> {
        self.complete();
        let shared = self.set_streams().map_err(|error| self.failure(error))?;
        self.before_exec()?.add_to(&mut self.arguments);
        let mut child = self.arguments.spawn().map_err(|error| self.failure(error))?;
        // The child is never waited for through `std`, which would not tell us.
        Ok(Started {
            pid: child.id(),
            leads: self.start_new_session || self.process_group == Some(0),
            stdin: child.stdin.take().map(OwnedFd::from),
            stdout: child.stdout.take().map(OwnedFd::from).or(shared),
            stderr: child.stderr.take().map(OwnedFd::from),
        })
    }

    /// Tells the command what it has words for.
    fn complete(&mut self) {
        if let Some(executable) = &self.executable {
            let mut command = Command::new(executable);
            command.arg0(self.arguments.get_program()).args(self.arguments.get_args());
            self.arguments = command;
        }
        if let Some(env) = self.env.take() {
            self.arguments.env_clear().envs(env);
        }
        if let Some(cwd) = &self.cwd {
            self.arguments.current_dir(cwd);
        }
        if let Some(group) = self.process_group {
            self.arguments.process_group(group);
        }
    }

    /// Sets the standard streams. Gives this side of a pipe that two of them share.
    fn set_streams(&mut self) -> io::Result<Option<OwnedFd>> {
        let take = |stream: &mut Stdio| std::mem::replace(stream, Stdio::Inherit);
        let (stdin, stdout) = (take(&mut self.stdin), take(&mut self.stdout));
        let command = &mut self.arguments;
        let mut shared = None;
        match (stdout, take(&mut self.stderr)) {
            (Stdio::Pipe, Stdio::Stdout) => {
                let (reader, writer) = pipe()?;
                command.stderr(writer.try_clone()?).stdout(writer);
                shared = Some(reader);
            }
            (Stdio::File(file), Stdio::Stdout) => {
                command.stderr(file.try_clone()?).stdout(file);
            }
            (Stdio::Inherit, Stdio::Stdout) => {
                let ours = std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?;
                command.stderr(ours);
            }
            (Stdio::Devnull, Stdio::Stdout) => {
                command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
            }
            (stdout, stderr) => {
                command.stdout(of_std(stdout)?).stderr(of_std(stderr)?);
            }
        }
        command.stdin(of_std(stdin)?);
        Ok(shared)
    }

    fn before_exec(&self) -> Result<BeforeExec> {
        let group_id = |account: &Account| self.group_id(account);
        Ok(BeforeExec {
            umask: self.umask,
            new_session: self.start_new_session,
            groups: match &self.extra_groups {
                Some(groups) => Some(groups.iter().map(group_id).collect::<Result<_>>()?),
                None => None,
            },
            group: self.group.as_ref().map(group_id).transpose()?,
            user: self.user.as_ref().map(|user| self.user_id(user)).transpose()?,
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

    /// Says what could not be done to whom, as CPython does.
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
            _ => self.arguments.get_program(),
        };
        let text = format!("{what}: {error}: {subject:?}");
        io::Error::new(error.kind(), Failure { text, error }).into()
    }
}

fn of_std(stream: Stdio) -> io::Result<std::process::Stdio> {
    Ok(match stream {
        Stdio::Inherit => std::process::Stdio::inherit(),
        Stdio::Pipe => std::process::Stdio::piped(),
        Stdio::Devnull => std::process::Stdio::null(),
        Stdio::File(file) => file.into(),
        Stdio::Stdout => {
            let text = "STDOUT can only be used for stderr";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
    })
}

/// A pipe whose ends no other program inherits.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    #[cfg(not(target_vendor = "apple"))]
    return Ok(unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?);
    #[cfg(target_vendor = "apple")]
    {
        use nix::fcntl::{FcntlArg, FdFlag, fcntl};
        let (reader, writer) = unistd::pipe()?;
        fcntl(&reader, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        fcntl(&writer, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        Ok((reader, writer))
    }
}

/// A system error that says what it is about.
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
