//! [`Spawn`]: the keyword arguments of `create_subprocess_exec` and similar functions.

use crate::{
    spawn::Program,
    stdio::{Account, Stdio},
};
use asyncio_core::wait_site::WaitSite;
use std::{ffi::OsStr, fmt, os::fd::OwnedFd, path::Path};

/// A process that is about to be started, as [`create_subprocess_exec`], [`create_subprocess_shell`],
/// [`subprocess_exec`] and [`subprocess_shell`] return it. Its methods are their keyword arguments,
/// which are those of Python's `subprocess.Popen`. Awaiting it starts the process.
///
/// The child has its standard streams, the descriptors of [`pass_fds`](Spawn::pass_fds), and no
/// others, unless [`close_fds`](Spawn::close_fds) says so. It blocks the same signals as the thread
/// that starts it, as in CPython.
///
/// # Cancellation
/// The process is killed and waited for, and `Err(Cancelled)` returned. If the future is dropped, the
/// process is killed, and the loop takes its status.
///
/// [`create_subprocess_exec`]: crate::create_subprocess_exec
/// [`create_subprocess_shell`]: crate::create_subprocess_shell
/// [`subprocess_exec`]: crate::subprocess_exec
/// [`subprocess_shell`]: crate::subprocess_shell
#[must_use = "the process is not started unless this is awaited"]
pub struct Spawn<K> {
    pub(crate) program: Box<Program>,
    pub(crate) site: WaitSite,
    /// The kind of value that the process becomes.
    pub(crate) kind: K,
}

impl<K> Spawn<K> {
    /// Sets the child's standard input.
    pub fn stdin(mut self, stream: impl Into<Stdio>) -> Self {
        self.program.stdin = stream.into();
        self
    }

    /// Sets the child's standard output.
    pub fn stdout(mut self, stream: impl Into<Stdio>) -> Self {
        self.program.stdout = stream.into();
        self
    }

    /// Sets the child's standard error output; with [`STDOUT`](crate::STDOUT), it goes where
    /// standard output goes.
    pub fn stderr(mut self, stream: impl Into<Stdio>) -> Self {
        self.program.stderr = stream.into();
        self
    }

    /// Sets the child's whole environment, in place of this process's. To add a variable to the
    /// existing ones, chain it to `std::env::vars_os()`.
    ///
    /// The program is searched in the `PATH` of this environment.
    pub fn env<N, V>(mut self, variables: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let owned = |text: &OsStr| text.to_owned();
        let variables = variables.into_iter();
        self.program.env =
            Some(variables.map(|(n, v)| (owned(n.as_ref()), owned(v.as_ref()))).collect());
        self
    }

    /// Sets the directory in which the child starts. A relative path of the program begins there.
    pub fn cwd(mut self, directory: impl AsRef<Path>) -> Self {
        self.program.cwd = Some(directory.as_ref().to_owned());
        self
    }

    /// Sets the program to run in place of the first argument, which the child still sees as its
    /// name. For a shell command, this sets the shell.
    pub fn executable(mut self, program: impl AsRef<OsStr>) -> Self {
        self.program.executable = Some(program.as_ref().to_owned());
        self
    }

    /// Sets whether all descriptors except the standard streams and those of
    /// [`pass_fds`](Spawn::pass_fds) are closed in the child; the default is `true`. With `false`,
    /// the child inherits every descriptor that is not close-on-exec. Rust opens its descriptors
    /// close-on-exec; libraries written in C may not.
    pub fn close_fds(mut self, yes: bool) -> Self {
        self.program.close_fds = yes;
        self
    }

    /// Passes descriptors to the child, under the same numbers. They are closed in this process
    /// once the child has them. Together with them, [`close_fds(false)`](Spawn::close_fds) has no
    /// effect, and a warning is logged.
    pub fn pass_fds<F: Into<OwnedFd>>(mut self, fds: impl IntoIterator<Item = F>) -> Self {
        self.program.pass_fds = fds.into_iter().map(Into::into).collect();
        self
    }

    /// Makes the child start a session of its own (`setsid`), and with it a process group: signals
    /// from the terminal no longer reach it, and [`kill_tree`](crate::Process::kill_tree) can end the
    /// whole session.
    pub fn start_new_session(mut self, yes: bool) -> Self {
        self.program.start_new_session = yes;
        self
    }

    /// Sets the process group of the child; 0 creates one with the child's number.
    pub fn process_group(mut self, group: i32) -> Self {
        self.program.process_group = Some(group);
        self
    }

    /// Sets the child's mask of file permissions, such as `0o077`.
    pub fn umask(mut self, mask: u32) -> Self {
        self.program.umask = Some(mask);
        self
    }

    /// Sets the user of the child.
    pub fn user(mut self, user: impl Into<Account>) -> Self {
        self.program.user = Some(user.into());
        self
    }

    /// Sets the group as which the child runs.
    pub fn group(mut self, group: impl Into<Account>) -> Self {
        self.program.group = Some(group.into());
        self
    }

    /// Sets the child's supplementary groups, in place of this process's.
    pub fn extra_groups<A: Into<Account>>(mut self, groups: impl IntoIterator<Item = A>) -> Self {
        self.program.extra_groups = Some(groups.into_iter().map(Into::into).collect());
        self
    }
}

impl<K> fmt::Debug for Spawn<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spawn").field(&self.program).finish()
    }
}
