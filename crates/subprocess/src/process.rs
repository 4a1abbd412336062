//! [`Process`]: a child process with its streams.

use crate::{
    child::Child,
    communicate::{Communicate, Exchange, ToInput},
    subprocess::Connected,
    wait::{KillTree, ProcessWait},
};
use asyncio_core::{Error, Result, wait_site::WaitSite};
use asyncio_streams::{StreamReader, StreamWriter};
use nix::libc;
use std::{fmt, sync::Arc, time::Duration};

/// A child process (`asyncio.subprocess.Process`).
///
/// The loop takes its status as soon as it ends, whether or not a task waits, and no signal is sent
/// to its number after that.
///
/// Dropping a `Process` does not end the child: its standard input is closed, its output, if that is a pipe, is
/// discarded, and its status is still taken. A child that outlives its loop continues too; a thread takes its
/// status.
///
/// ```
/// use asyncio::{subprocess::PIPE, create_subprocess_exec};
///
/// asyncio::run(async {
///     let mut sort = create_subprocess_exec("sort", ["-r"]).stdin(PIPE).stdout(PIPE).await?;
///     let output = sort.communicate("a\nc\nb\n").await?;
///     assert_eq!((&*output.stdout, sort.returncode()), (&b"c\nb\na\n"[..], Some(0)));
///     Ok(())
/// })?;
/// # Ok::<(), asyncio::Error>(())
/// ```
#[doc(alias = "asyncio.subprocess.Process")]
pub struct Process {
    /// The child's standard input, if it is a [`PIPE`](crate::PIPE) (`stdin`). Dropping the writer
    /// closes the pipe.
    pub stdin: Option<StreamWriter>,
    /// The child's standard output, if it is a [`PIPE`](crate::PIPE) (`stdout`).
    pub stdout: Option<StreamReader>,
    /// The child's standard error output, if it is a [`PIPE`](crate::PIPE) (`stderr`).
    pub stderr: Option<StreamReader>,
    pub(crate) child: Arc<Child>,
    pub(crate) exchange: Exchange,
}

impl Process {
    pub(crate) fn new(child: Arc<Child>, (stdin, stdout, stderr): Connected) -> Process {
        Process { stdin, stdout, stderr, child, exchange: Exchange::default() }
    }

    /// Returns the pipe to the child's standard input.
    ///
    /// # Errors
    /// `Value` if it is not a [`PIPE`](crate::PIPE).
    ///
    /// ```
    /// use asyncio::{create_subprocess_exec, subprocess::PIPE};
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let mut cat = create_subprocess_exec("cat", ()).stdin(PIPE).stdout(PIPE).await?;
    ///     cat.stdin()?.write("hello\n");
    ///     assert_eq!(cat.stdout()?.readline().await?, "hello\n");
    ///     cat.stdin()?.close();
    ///     assert_eq!(cat.wait().await?, 0);
    ///     Ok(())
    /// }
    /// ```
    pub fn stdin(&self) -> Result<&StreamWriter> {
        self.stdin.as_ref().ok_or_else(|| not_a_pipe("stdin"))
    }

    /// Returns the pipe from the child's standard output.
    ///
    /// # Errors
    /// `Value` if it is not a [`PIPE`](crate::PIPE).
    pub fn stdout(&mut self) -> Result<&mut StreamReader> {
        self.stdout.as_mut().ok_or_else(|| not_a_pipe("stdout"))
    }

    /// Returns the pipe from the child's standard error output.
    ///
    /// # Errors
    /// `Value` if it is not a [`PIPE`](crate::PIPE).
    pub fn stderr(&mut self) -> Result<&mut StreamReader> {
        self.stderr.as_mut().ok_or_else(|| not_a_pipe("stderr"))
    }

    /// Returns the number of the process (`pid`). Once the process has ended, another one may get
    /// the number.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Returns how the process ended (`returncode`): its exit status, or the negative number of the
    /// signal that ended it; `None` while it runs. If other code has taken the status, this is 255,
    /// with a warning in the log.
    pub fn returncode(&self) -> Option<i32> {
        self.child.returncode()
    }

    /// Waits until the process has ended, and returns its return code (`wait`). It can be called any
    /// number of times and in any number of tasks. It does not wait for the end of the pipes, which
    /// other processes may have inherited.
    ///
    /// A child that writes more than fits into its pipes waits until they are read, and does not
    /// end: in that case, use [`communicate`](Process::communicate).
    ///
    /// # Cancellation
    /// Nothing happens to the process, and other waiters continue.
    #[track_caller]
    pub fn wait(&self) -> ProcessWait {
        ProcessWait::new(self.child.clone(), WaitSite::here(&"Process.wait"))
    }

    /// Writes `input` (text, bytes or `None`) to the child and closes its standard input, reads its output and errors
    /// to their end at the same time, as far as they are pipes, and then waits until it has ended (`communicate`).
    /// Standard input is closed even without `input`. It is not an error if the child does not read all of it.
    ///
    /// # Errors
    /// `Value` for input if standard input is not a pipe, or if communication has already started;
    /// the system's error for the pipes.
    ///
    /// # Cancellation
    /// Nothing is lost: `communicate(None)` continues where this stopped, and returns everything
    /// that was read.
    #[track_caller]
    pub fn communicate<'a>(&'a mut self, input: impl ToInput<'a>) -> Communicate<'a> {
        Communicate::new(self, input, WaitSite::here(&"Process.communicate"))
    }

    /// Sends a signal (`send_signal`).
    ///
    /// # Errors
    /// The system's `ESRCH` (Python: `ProcessLookupError`) if the process has ended and the loop has
    /// noticed; if it has not, nothing happens. `Value` if there is no such signal; the system's
    /// `EPERM` if the process now runs as another user.
    pub fn send_signal(&self, signal: i32) -> Result<()> {
        self.child.send_signal("Process.send_signal", signal)
    }

    /// Asks the process to end (`terminate`), by `SIGTERM`.
    ///
    /// # Errors
    /// As for [`send_signal`](Process::send_signal).
    pub fn terminate(&self) -> Result<()> {
        self.child.send_signal("Process.terminate", libc::SIGTERM)
    }

    /// Ends the process (`kill`), by `SIGKILL`.
    ///
    /// # Errors
    /// As for [`send_signal`](Process::send_signal).
    pub fn kill(&self) -> Result<()> {
        self.child.send_signal("Process.kill", libc::SIGKILL)
    }

    /// Ends the process and everything that it has started, and returns its return code. If the
    /// process was started with [`start_new_session(true)`](crate::Spawn::start_new_session), all
    /// processes of its session are asked to terminate, and those left after `grace` are killed. With
    /// [`process_group(0)`](crate::Spawn::process_group), these are the processes of its group.
    /// asyncio has no counterpart.
    ///
    /// The process itself may have ended, and left others. The system then keeps its status, so that
    /// its number stays that of the session: it shows as a zombie until the others are ended here, or
    /// the `Process` is dropped. Processes that have started a session of their own are not found.
    /// Without pidfds, processes that have started a group within the session are not found either; on
    /// systems other than Linux, neither are those that outlive the process.
    ///
    /// # Errors
    /// `Runtime` if the process leads neither a session nor a group; the system's `EPERM` if a process in
    /// it runs as another user, and does not end.
    ///
    /// # Cancellation
    /// The work continues: the session is still ended, in a thread of the default executor.
    ///
    /// ```
    /// use asyncio::create_subprocess_shell;
    /// use std::time::Duration;
    ///
    /// asyncio::run(async {
    ///     let shell = create_subprocess_shell("sleep 1000 & sleep 1000").start_new_session(true).await?;
    ///     assert_eq!(shell.kill_tree(Duration::from_secs(1)).await?, -15);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), asyncio::Error>(())
    /// ```
    #[track_caller]
    pub fn kill_tree(&self, grace: Duration) -> KillTree {
        KillTree::new(self.child.clone(), grace, WaitSite::here(&"Process.kill_tree"))
    }
}

fn not_a_pipe(stream: &str) -> Error {
    Error::value(format!(
        "Process.{stream}: it is not a pipe, or was taken out; start the process with `.{stream}(PIPE)`"
    ))
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Process {:?}>", self.child)
    }
}
