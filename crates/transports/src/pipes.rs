//! Pipes: [`connect_read_pipe`] and [`connect_write_pipe`].

use crate::{
    connection::{Connection, Kind},
    extra_info::Names,
    io::{Io, Pipe},
    protocols::IntoProtocol,
    slot::Calls,
    starting::{Starting, is_over},
    transport::Transport,
};
use asyncio_core::{Error, Result, wait_site::WaitSite};
use asyncio_sockets::in_call;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::{
    cell::RefCell,
    fmt,
    fs::File,
    io,
    marker::PhantomData,
    os::{fd::OwnedFd, unix::fs::FileTypeExt},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

mod mode;
#[cfg(test)]
mod tests;

pub(crate) use mode::NonBlocking;

/// Creates a transport of the reading end of a pipe (`loop.connect_read_pipe`), and returns it with the protocol
/// that `factory` made.
///
/// `pipe` is any value that owns the descriptor of a FIFO, a socket or a character device: an open
/// file, an end of `std::io::pipe`, the standard input of the program, the standard output of a child.
/// It is closed with the transport. At its end, `eof_received` is called, whose result is ignored, and
/// then `connection_lost(None)`, each as a separate step. Writing to the transport is an error for
/// the loop's exception handler. A device that the system cannot wait for, such as `/dev/null`, is
/// read in every iteration.
///
/// While the transport is open, the pipe is in non-blocking mode. This affects everything that shares
/// the open file: the program's other standard streams if they are the same terminal, and other
/// processes. When the transport is closed, or the process exits, blocking mode is restored if it was
/// set before. It is not restored if the process is killed by a signal.
///
/// # Errors
/// `Value` if it is something else, such as a regular file; `Runtime` without a running loop; the
/// system's error.
///
/// # Cancellation
/// The transport is closed: its protocol is called as for a transport that was closed immediately.
///
/// ```
/// use asyncio::Future;
/// use asyncio::{Protocol, Transport, connect_read_pipe};
/// use std::io::Write;
///
/// struct Collect(Vec<u8>, Future<Vec<u8>>);
///
/// impl Protocol for Collect {
///     fn data_received(&mut self, _: &Transport, data: asyncio::Bytes) {
///         self.0.extend(data);
///     }
///     fn connection_lost(&mut self, _: &Transport, _: Option<asyncio::Error>) {
///         let _ = self.1.set_result(self.0.split_off(0));
///     }
/// }
///
/// asyncio::run(async {
///     let (reader, mut writer) = std::os::unix::net::UnixStream::pair()?;
///     let all = Future::new();
///     connect_read_pipe(|| Collect(Vec::new(), all.clone()), reader).await?;
///     writer.write_all(b"hello")?;
///     drop(writer);
///     assert_eq!(all.await?, b"hello");
///     Ok(())
/// })?;
/// # Ok::<(), asyncio::Error>(())
/// ```
#[doc(alias = "loop.connect_read_pipe")]
#[track_caller]
pub fn connect_read_pipe<F, P, Kind>(
    factory: F,
    pipe: impl Into<OwnedFd>,
) -> ConnectPipe<F, P, Kind>
where
    F: FnOnce() -> P,
    P: IntoProtocol<Kind>,
{
    ConnectPipe::new(factory, End::Read, pipe.into(), WaitSite::here(&"connect_read_pipe"))
}

/// Creates a transport of the writing end of a pipe (`loop.connect_write_pipe`), and returns it with the protocol
/// that `factory` made.
///
/// `pipe` is as for [`connect_read_pipe`]. `write_eof` closes it. If the other end is closed, the
/// transport notices it without writing: `connection_lost` is called with a `BrokenPipe` if data
/// was still buffered, or else with `None`. For a character device, it does not notice.
///
/// ```
/// use asyncio::{Protocol, Transport, connect_write_pipe};
/// use std::io::Read;
///
/// struct Idle;
/// impl Protocol for Idle {
///     fn data_received(&mut self, _: &Transport, _: asyncio::Bytes) {}
/// }
///
/// asyncio::run(async {
///     let (mut reader, writer) = std::os::unix::net::UnixStream::pair()?;
///     let (transport, _protocol) = connect_write_pipe(|| Idle, writer).await?;
///     transport.write(b"hello");
///     transport.close();
///     let mut text = [0; 5];
///     reader.read_exact(&mut text)?;
///     assert_eq!(&text, b"hello");
///     Ok(())
/// })?;
/// # Ok::<(), asyncio::Error>(())
/// ```
///
/// # Errors
/// As for [`connect_read_pipe`].
///
/// # Cancellation
/// As for [`connect_read_pipe`].
#[doc(alias = "loop.connect_write_pipe")]
#[track_caller]
pub fn connect_write_pipe<F, P, Kind>(
    factory: F,
    pipe: impl Into<OwnedFd>,
) -> ConnectPipe<F, P, Kind>
where
    F: FnOnce() -> P,
    P: IntoProtocol<Kind>,
{
    ConnectPipe::new(factory, End::Write, pipe.into(), WaitSite::here(&"connect_write_pipe"))
}

/// The future that [`connect_read_pipe`] and [`connect_write_pipe`] return.
#[must_use = "futures do nothing unless they are awaited"]
pub struct ConnectPipe<F, P, Kind> {
    factory: Option<F>,
    protocol: Option<Rc<RefCell<P>>>,
    opening: Opening,
    kind: PhantomData<fn() -> Kind>,
}

impl<F, P, Kind> ConnectPipe<F, P, Kind> {
    fn new(factory: F, end: End, pipe: OwnedFd, site: WaitSite) -> Self {
        let opening = Opening { end, site, is_new: false, pipe: Some(pipe), starting: None };
        ConnectPipe { factory: Some(factory), protocol: None, opening, kind: PhantomData }
    }

    /// Sets the site at which the caller waits, for operations that are built on this one.
    #[doc(hidden)]
    pub fn at(mut self, site: WaitSite) -> Self {
        self.opening.site = site;
        self
    }

    /// States that the pipe was just created and is a FIFO without flags, so the system need not be
    /// asked.
    #[doc(hidden)]
    pub fn new_pipe(mut self) -> Self {
        self.opening.is_new = true;
        self
    }

    /// Returns the transport without the protocol. This future can be sent to another thread if the factory can.
    pub fn transport(self) -> ConnectPipeTransport<F, P, Kind> {
        let ConnectPipe { factory, opening, .. } = self;
        ConnectPipeTransport { factory, opening, kind: PhantomData }
    }
}

impl<F, P, Kind> Unpin for ConnectPipe<F, P, Kind> {}

impl<F, P, Kind> std::future::Future for ConnectPipe<F, P, Kind>
where
    F: FnOnce() -> P,
    P: IntoProtocol<Kind>,
{
    type Output = Result<(Transport, Rc<RefCell<P>>)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(factory) = this.factory.take() {
            let protocol = Rc::new(RefCell::new(factory()));
            this.opening.start(P::into_calls(protocol.clone()))?;
            this.protocol = Some(protocol);
        }
        let transport = ready!(this.opening.poll(cx))?;
        let protocol = this.protocol.take().ok_or_else(|| this.opening.is_over())?;
        Poll::Ready(Ok((transport, protocol)))
    }
}

impl<F, P, Kind> fmt::Debug for ConnectPipe<F, P, Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConnectPipe").field(&self.opening).finish()
    }
}

/// The future that [`ConnectPipe::transport`] returns.
#[must_use = "futures do nothing unless they are awaited"]
pub struct ConnectPipeTransport<F, P, Kind> {
    factory: Option<F>,
    opening: Opening,
    kind: PhantomData<fn() -> (P, Kind)>,
}

impl<F, P, Kind> Unpin for ConnectPipeTransport<F, P, Kind> {}

impl<F, P, Kind> std::future::Future for ConnectPipeTransport<F, P, Kind>
where
    F: FnOnce() -> P,
    P: IntoProtocol<Kind>,
{
    type Output = Result<Transport>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Transport>> {
        let this = self.get_mut();
        if let Some(factory) = this.factory.take() {
            this.opening.start(P::into_calls(Rc::new(RefCell::new(factory()))))?;
        }
        this.opening.poll(cx)
    }
}

impl<F, P, Kind> fmt::Debug for ConnectPipeTransport<F, P, Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConnectPipeTransport").field(&self.opening).finish()
    }
}

/// An end of a pipe.
#[derive(Clone, Copy, Debug)]
enum End {
    Read,
    Write,
}

/// The state of a pipe until there is a transport.
#[derive(Debug)]
struct Opening {
    end: End,
    site: WaitSite,
    /// Whether it is known to be a FIFO without flags.
    is_new: bool,
    /// `Some` until it starts.
    pipe: Option<OwnedFd>,
    /// `Some` from then on.
    starting: Option<Starting>,
}

impl Opening {
    fn start(&mut self, protocol: Calls) -> Result<()> {
        let pipe = File::from(self.pipe.take().ok_or_else(|| self.is_over())?);
        let kind = self.kind(&pipe)?;
        let mode = set_nonblocking(&pipe, self.is_new).map_err(|error| self.failed(error))?;
        let transport =
            Connection::open(Io::Pipe(Pipe::new(pipe, mode)), kind, Names::default(), protocol)
                .map_err(|error| in_call(self.site.what(), error))?;
        self.starting = Some(Starting::begin(transport, self.site));
        Ok(())
    }

    fn kind(&self, pipe: &File) -> Result<Kind> {
        let is_stream = self.is_new || self.is_stream(pipe)?;
        Ok(match self.end {
            End::Read => Kind::ReadPipe,
            End::Write => Kind::WritePipe { tells_the_end: is_stream },
        })
    }

    /// Whether it is a FIFO or a socket, and not a device.
    fn is_stream(&self, pipe: &File) -> Result<bool> {
        let file_type = pipe.metadata().map_err(|error| self.failed(error))?.file_type();
        let is_stream = file_type.is_fifo() || file_type.is_socket();
        if !is_stream && !file_type.is_char_device() {
            let text = "Pipe transport is for pipes/sockets only.";
            return Err(Error::value(format!("{}: {text}", self.site.what())));
        }
        Ok(is_stream)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Transport>> {
        match &mut self.starting {
            Some(starting) => starting.poll(cx),
            None => Poll::Ready(Err(self.is_over())),
        }
    }

    fn failed(&self, error: io::Error) -> Error {
        in_call(self.site.what(), error.into())
    }

    fn is_over(&self) -> Error {
        is_over(self.site)
    }
}

/// A new pipe has no other flags to keep, and is not shared.
fn set_nonblocking(pipe: &File, is_new: bool) -> io::Result<Option<NonBlocking>> {
    if !is_new {
        return NonBlocking::begin(pipe);
    }
    fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(None)
}
