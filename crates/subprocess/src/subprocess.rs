//! [`create_subprocess_exec`] and [`create_subprocess_shell`]: a child process with streams.

use crate::{
    arguments::ToArguments,
    options::Spawn,
    process::Process,
    spawn::{Program, Started},
    start::{complete, launch},
};
use asyncio_core::{Error, Result, raw::sync::Mutex, wait_site::WaitSite};
use asyncio_streams::{DEFAULT_LIMIT, StreamReader, StreamReaderProtocol, StreamWriter};
use asyncio_transports::{connect_read_pipe, connect_write_pipe};
use std::{
    ffi::OsStr,
    fmt,
    future::{Future, IntoFuture},
    os::fd::OwnedFd,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

/// Starts a program with arguments, or with `()` for none (`asyncio.create_subprocess_exec`). The arguments are
/// passed unchanged, without a shell. Standard streams are inherited, unless the methods of [`Spawn`] set them.
///
/// # Errors
/// `Value` for invalid arguments, such as a zero byte in an argument, or standard output that goes to
/// [`STDOUT`](crate::STDOUT); `Runtime` without a running loop; the system's error, with the program
/// or directory. In all these cases there is no process, and nothing is left open.
///
/// # Cancellation
/// The process is killed and waited for.
///
/// ```
/// use asyncio::{subprocess::PIPE, create_subprocess_exec};
///
/// asyncio::run(async {
///     let mut echo = create_subprocess_exec("echo", ["hello", "world"]).stdout(PIPE).await?;
///     assert_eq!(echo.communicate(None).await?.stdout, b"hello world\n");
///     Ok(())
/// })?;
/// # Ok::<(), asyncio::Error>(())
/// ```
#[doc(alias = "asyncio.create_subprocess_exec")]
#[track_caller]
pub fn create_subprocess_exec<Kind>(
    program: impl AsRef<OsStr>,
    args: impl ToArguments<Kind>,
) -> Spawn<Streams> {
    let program = Program::exec("create_subprocess_exec", program.as_ref(), args.to_arguments());
    let site = WaitSite::here(&"create_subprocess_exec");
    Spawn { program, site, kind: Streams { limit: DEFAULT_LIMIT } }
}

/// Runs a command line in the shell, `/bin/sh` (`asyncio.create_subprocess_shell`). The shell
/// interprets all text in the command line, including text that the program has inserted.
///
/// # Errors
/// As for [`create_subprocess_exec`]. A command that the shell does not find is not an error here;
/// its return code is 127.
///
/// # Cancellation
/// The process is killed and waited for.
///
/// ```
/// use asyncio::{subprocess::PIPE, create_subprocess_shell};
///
/// asyncio::run(async {
///     let mut pipeline = create_subprocess_shell("echo hello | tr a-z A-Z").stdout(PIPE).await?;
///     assert_eq!(pipeline.communicate(None).await?.stdout, b"HELLO\n");
///     Ok(())
/// })?;
/// # Ok::<(), asyncio::Error>(())
/// ```
#[doc(alias = "asyncio.create_subprocess_shell")]
#[track_caller]
pub fn create_subprocess_shell(command: impl AsRef<OsStr>) -> Spawn<Streams> {
    let program = Program::shell("create_subprocess_shell", command.as_ref());
    let site = WaitSite::here(&"create_subprocess_shell");
    Spawn { program, site, kind: Streams { limit: DEFAULT_LIMIT } }
}

/// Marks a [`Spawn`] that makes a [`Process`], whose pipes are streams.
#[derive(Clone, Copy, Debug)]
pub struct Streams {
    limit: usize,
}

impl Spawn<Streams> {
    /// Sets the longest line of the child's output in bytes, 64 KiB by default. Output beyond twice
    /// that waits in the pipe.
    pub fn limit(mut self, limit: usize) -> Self {
        self.kind.limit = limit;
        self
    }
}

impl IntoFuture for Spawn<Streams> {
    type Output = Result<Process>;
    type IntoFuture = Spawning;

    fn into_future(self) -> Spawning {
        Spawning { spawn: Some(self), connecting: None }
    }
}

/// The future of [`create_subprocess_exec`] and [`create_subprocess_shell`].
///
/// # Cancellation
/// The process is killed and waited for. If the future is dropped, the process is killed, and the
/// loop takes its status.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Spawning {
    /// `Some` until the first poll.
    spawn: Option<Spawn<Streams>>,
    /// `Some` from then on, if there are pipes.
    connecting: Option<Pin<Box<dyn Future<Output = Result<Process>> + Send>>>,
}

impl Future for Spawning {
    type Output = Result<Process>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Process>> {
        if let Some(Spawn { program, site, kind: Streams { limit } }) = self.spawn.take() {
            check_limit(limit)?;
            let (child, started) = launch(program)?;
            if !started.has_pipes() {
                return Poll::Ready(Ok(Process::new(child, (None, None, None))));
            }
            self.connecting = Some(Box::pin(async move {
                let streams = pin!(connect(started, limit, site));
                let streams = complete(&child, site, streams).await?;
                Ok(Process::new(child, streams))
            }));
        }
        match &mut self.connecting {
            Some(connecting) => connecting.as_mut().poll(cx),
            None => Poll::Ready(Err(Error::runtime("Spawn: awaited again after its end"))),
        }
    }
}

impl fmt::Debug for Spawning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spawning").field(&self.spawn).finish()
    }
}

/// Checks the limit before there is a process.
fn check_limit(limit: usize) -> Result<()> {
    if limit == 0 { StreamReader::new(limit).map(drop) } else { Ok(()) }
}

/// Standard input, output and errors, as far as they are pipes.
pub(crate) type Connected = (Option<StreamWriter>, Option<StreamReader>, Option<StreamReader>);

async fn connect(started: Started, limit: usize, site: WaitSite) -> Result<Connected> {
    let stdin = match started.stdin {
        Some(pipe) => Some(writer(pipe, limit, site).await?),
        None => None,
    };
    let stdout = match started.stdout {
        Some(pipe) => Some(reader(pipe, limit, site).await?),
        None => None,
    };
    let stderr = match started.stderr {
        Some(pipe) => Some(reader(pipe, limit, site).await?),
        None => None,
    };
    Ok((stdin, stdout, stderr))
}

async fn reader(pipe: OwnedFd, limit: usize, site: WaitSite) -> Result<StreamReader> {
    let reader = StreamReader::new(limit)?;
    let protocol = || StreamReaderProtocol::new(&reader);
    connect_read_pipe(protocol, pipe).at(site).new_pipe().transport().await?;
    Ok(reader)
}

async fn writer(pipe: OwnedFd, limit: usize, site: WaitSite) -> Result<StreamWriter> {
    // Nothing is read here, but a protocol needs both halves.
    let (reader, writer) = (StreamReader::new(limit)?, Arc::new(Mutex::new(None)));
    let made = writer.clone();
    let protocol = move || {
        StreamReaderProtocol::with_callback(reader, move |_, writer| *made.lock() = Some(writer))
    };
    let transport = connect_write_pipe(protocol, pipe).at(site).new_pipe().transport().await?;
    let writer = writer.lock().take();
    // `connection_made` has created it, or has panicked.
    writer.ok_or_else(|| Error::runtime(format!("no connection was made of {transport:?}")))
}
