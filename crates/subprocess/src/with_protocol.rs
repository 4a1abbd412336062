//! [`subprocess_exec`] and [`subprocess_shell`]: a child process with a protocol.

use crate::{
    arguments::ToArguments,
    options::Spawn,
    protocols::SubprocessProtocol,
    spawn::Program,
    start::launch,
    stdio::Stdio,
    transport::{SubprocessTransport, connect},
};
use asyncio_core::{Error, Result, wait_site::WaitSite};
use std::{
    cell::RefCell,
    ffi::OsStr,
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// Starts a program with arguments, and returns its transport with the protocol that `factory` made
/// (`loop.subprocess_exec`). All three standard streams are pipes, unless the methods of [`Spawn`]
/// set them. It returns when the pipes are connected and `connection_made` was called.
///
/// # Errors
/// As for [`create_subprocess_exec`](crate::create_subprocess_exec).
///
/// # Cancellation
/// The process is killed and waited for.
///
/// ```
/// use asyncio::Error;
/// use asyncio::Future;
/// use asyncio::{SubprocessProtocol, SubprocessTransport, subprocess_exec};
///
/// struct Print(Future<i32>);
///
/// impl SubprocessProtocol for Print {
///     fn pipe_data_received(&mut self, _: &SubprocessTransport, fd: i32, data: asyncio::Bytes) {
///         println!("{fd}: {}", String::from_utf8_lossy(&data));
///     }
///     fn connection_lost(&mut self, transport: &SubprocessTransport, _: Option<Error>) {
///         let _ = self.0.set_result(transport.get_returncode().unwrap_or(-1));
///     }
/// }
///
/// asyncio::run(async {
///     let over = Future::new();
///     let (_transport, _protocol) =
///         subprocess_exec(|| Print(over.clone()), "echo", ["hello"]).await?;
///     assert_eq!(over.clone().await?, 0);
///     Ok(())
/// })?;
/// # Ok::<(), asyncio::Error>(())
/// ```
#[doc(alias = "loop.subprocess_exec")]
#[track_caller]
pub fn subprocess_exec<F, P, Kind>(
    factory: F,
    program: impl AsRef<OsStr>,
    args: impl ToArguments<Kind>,
) -> Spawn<WithProtocol<F>>
where
    F: FnOnce() -> P,
    P: SubprocessProtocol,
{
    let program = Program::exec("subprocess_exec", program.as_ref(), args.to_arguments());
    with_pipes(program, WaitSite::here(&"subprocess_exec"), factory)
}

/// Runs a command line in the shell, and returns the shell's transport with the protocol that
/// `factory` made (`loop.subprocess_shell`). Otherwise it works like [`subprocess_exec`].
///
/// # Errors
/// As for [`create_subprocess_shell`](crate::create_subprocess_shell).
///
/// # Cancellation
/// The process is killed and waited for.
#[doc(alias = "loop.subprocess_shell")]
#[track_caller]
pub fn subprocess_shell<F, P>(factory: F, command: impl AsRef<OsStr>) -> Spawn<WithProtocol<F>>
where
    F: FnOnce() -> P,
    P: SubprocessProtocol,
{
    let program = Program::shell("subprocess_shell", command.as_ref());
    with_pipes(program, WaitSite::here(&"subprocess_shell"), factory)
}

fn with_pipes<F>(program: Box<Program>, site: WaitSite, factory: F) -> Spawn<WithProtocol<F>> {
    let spawn = Spawn { program, site, kind: WithProtocol(factory) };
    spawn.stdin(Stdio::Pipe).stdout(Stdio::Pipe).stderr(Stdio::Pipe)
}

/// Marks a [`Spawn`] that makes a [`SubprocessTransport`], with the protocol of a factory.
#[derive(Debug)]
pub struct WithProtocol<F>(F);

impl<F, P> IntoFuture for Spawn<WithProtocol<F>>
where
    F: FnOnce() -> P,
    P: SubprocessProtocol,
{
    type Output = Result<(SubprocessTransport, Rc<RefCell<P>>)>;
    type IntoFuture = SpawningWithProtocol<F, P>;

    fn into_future(self) -> SpawningWithProtocol<F, P> {
        SpawningWithProtocol { spawn: Some(self), connecting: None }
    }
}

type Connecting<P> = Pin<Box<dyn Future<Output = Result<(SubprocessTransport, Rc<RefCell<P>>)>>>>;

/// The future of [`subprocess_exec`] and [`subprocess_shell`].
///
/// # Cancellation
/// The process is killed and waited for. If the future is dropped, the process is killed, and the
/// loop takes its status.
#[must_use = "futures do nothing unless they are awaited"]
pub struct SpawningWithProtocol<F, P> {
    /// `Some` until the first poll.
    spawn: Option<Spawn<WithProtocol<F>>>,
    /// `Some` from then on.
    connecting: Option<Connecting<P>>,
}

impl<F, P> Unpin for SpawningWithProtocol<F, P> {}

impl<F, P> Future for SpawningWithProtocol<F, P>
where
    F: FnOnce() -> P,
    P: SubprocessProtocol,
{
    type Output = Result<(SubprocessTransport, Rc<RefCell<P>>)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(Spawn { program, site, kind: WithProtocol(factory) }) = self.spawn.take() {
            let protocol = Rc::new(RefCell::new(factory()));
            self.connecting = Some(Box::pin(async move {
                let (child, started) = launch(program)?;
                let transport = connect(child, started, protocol.clone(), site).await?;
                Ok((transport, protocol))
            }));
        }
        match &mut self.connecting {
            Some(connecting) => connecting.as_mut().poll(cx),
            // The factory has panicked.
            None => Poll::Ready(Err(Error::runtime("subprocess_exec: awaited after a panic"))),
        }
    }
}

impl<F, P> fmt::Debug for SpawningWithProtocol<F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpawningWithProtocol")
    }
}
