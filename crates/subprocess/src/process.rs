//! [`Process`]: a child process with its streams.

use crate::{
    child::Child,
    communicate::{Communicate, Exchange},
    subprocess::Connected,
    wait::{KillTree, ProcessWait},
};
use asyncio_core::{Error, Result, wait_site::WaitSite};
use asyncio_streams::{StreamReader, StreamWriter};
use nix::libc;
use std::{fmt, sync::Arc, time::Duration};

/// A child process (`asyncio.subprocess.Process`).
///
/// Its status is taken by the loop as soon as it ends, whether or not a task waits, and no signal is
/// sent to its number after that.
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
///     let output = sort.communicate(Some(b"a\nc\nb\n")).await?;
///     assert_eq!((&*output.stdout, sort.returncode()), (&b"c\nb\na\n"[..], Some(0)));
///     Ok(())
/// })?;
/// # Ok::<(), asyncio::Error>(())
/// ```
#[doc(alias = "asyncio.subprocess.Process")]
pub struct Process {
    /// What the child reads, if that is a [`PIPE`](crate::PIPE) (`stdin`). Dropping the writer closes
    /// the pipe.
    pub stdin: Option<StreamWriter>,
    /// What the child writes, if that is a [`PIPE`](crate::PIPE) (`stdout`).
    pub stdout: Option<StreamReader>,
    /// Its errors, if that is a [`PIPE`](crate::PIPE) (`stderr`).
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
    /// `Value` if that is not a [`PIPE`](crate::PIPE).
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
    /// `Value` if that is not a [`PIPE`](crate::PIPE).
    pub fn stdout(&mut self) -> Result<&mut StreamReader> {
        self.stdout.as_mut().ok_or_else(|| not_a_pipe("stdout"))
    }

    /// Returns the pipe from the child's standard error output.
    ///
    /// # Errors
    /// `Value` if that is not a [`PIPE`](crate::PIPE).
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

    /// Waits until the process has ended, and gives its return code (`wait`), any number of times and
    /// in any number of tasks. It does not wait for its pipes, which others may have inherited.
    ///
    /// A child that writes more than its pipes take waits until they are read, and does not
    /// end: use [`communicate`](Process::communicate) then.
    ///
    /// # Cancellation
    /// Nothing happens to the process, and other waiters continue.
    #[track_caller]
    pub fn wait(&self) -> ProcessWait {
        ProcessWait::new(self.child.clone(), WaitSite::here(&"Process.wait"))
    }

    /// Writes `input` to the child and closes its standard input; meanwhile reads its output and
    /// errors to their end, as far as they are pipes; then waits until it has ended (`communicate`).
    /// Standard input is closed also without `input`. That the child does not read it all is no error.
    ///
    /// # Errors
    /// `Value` for input to what is not a pipe, or after communication was begun; what the system
    /// says of the pipes.
    ///
    /// # Cancellation
    /// Nothing is lost: `communicate(None)` goes on where this stopped, and gives all that was read.
    #[track_caller]
    pub fn communicate<'a>(&'a mut self, input: Option<&'a [u8]>) -> Communicate<'a> {
        Communicate::new(self, input, WaitSite::here(&"Process.communicate"))
    }

    /// Sends a signal (`send_signal`).
    ///
    /// # Errors
    /// The system's `ESRCH` (Python: `ProcessLookupError`) if the process has ended and the loop has
    /// noticed; if it has not, nothing happens. `Value` if there is no such signal; the system's
    /// `EPERM` if the process has become another user's.
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

    /// Ends the process and all that it has started, and gives its return code. Of a process that was
    /// started with [`start_new_session(true)`](crate::Spawn::start_new_session) everything is asked
    /// to terminate that is in its session; what is left after `grace` is killed. With
    /// [`process_group(0)`](crate::Spawn::process_group), it is what is in its group. asyncio has no
    /// such thing.
    ///
    /// It may have ended itself, and left others: so that its number stays that of the session, its
    /// status is then kept in the system, where it shows as a zombie, until they are ended here or the
    /// `Process` is dropped. What began a session of its own is not found. Where there are no pidfds,
    /// that is also so for what began a group within the session, and on other systems than Linux for
    /// what outlives the process.
    ///
    /// # Errors
    /// `Runtime` if the process began neither a session nor a group; the system's `EPERM` if some process
    /// in it is another user's, and does not end.
    ///
    /// # Cancellation
    /// What was begun goes on: the session is ended all the same, in a thread of the default executor.
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
        "Process.{stream}: it is not a pipe; start the process with `.{stream}(PIPE)`, and do not take it out"
    ))
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Process {:?}>", self.child)
    }
}
