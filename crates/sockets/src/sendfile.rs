//! Files: `sock_sendfile`, and the [`Transfer`] on which it and the `sendfile` of transports are
//! built.

use crate::{
    errors::{in_call, of_call},
    lookup::Lookup,
    send::FLAGS,
    socket::Socket,
};
use asyncio_core::{
    Error, Result, SendfileNotAvailableError,
    source::{Direction, IoWait, Source},
    wait::{Resume, Wait, Waiter},
    wait_site::WaitSite,
};
use bytes::{Buf, Bytes};
use nix::libc;
use socket2::SockRef;
use std::{
    fs::File,
    future::Future,
    io::{self, Read, Seek, SeekFrom},
    os::{fd::AsFd, unix::fs::FileExt},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// The size in bytes of the blocks in which [`sock_sendfile`] reads a file that the system cannot
/// send.
pub const SENDFILE_FALLBACK_READBUFFER_SIZE: usize = 256 * 1024;

/// Sends a file to the other side of a stream socket, and returns the number of bytes sent
/// (`loop.sock_sendfile`). It sends the whole file, unless [`offset`](SockSendfile::offset) or
/// [`count`](SockSendfile::count) say otherwise.
///
/// On Linux, the system copies from the file to the socket. On other systems, and for files that
/// cannot be sent in this way, the file is read in blocks on a thread. However the operation ends,
/// the file's position is then after the last byte that was sent.
///
/// `file` is any value with the descriptor of an open file. The descriptor is duplicated, so it may
/// be closed meanwhile.
///
/// # Errors
/// `Value` for a count of zero, or if the socket is not a stream socket; `SendfileNotAvailable` if
/// the system cannot do it and [`fallback`](SockSendfile::fallback) is off; the system's error for
/// the file or the socket; `Runtime` without a running loop. [`SockSendfile::sent`] returns how
/// much was sent before.
///
/// # Cancellation
/// A part may have been sent. To know how much, await the future by `&mut`, and call
/// [`SockSendfile::sent`] afterwards. If it is awaited again, it continues where it was.
///
/// ```
/// use asyncio::{socket::{Domain, Socket, Type}, sock_recv, sock_sendfile};
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let (ours, theirs) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
///     let file = std::fs::File::open("Cargo.toml")?;
///     assert_eq!(sock_sendfile(&ours, &file).offset(1).count(7).await?, 7);
///     assert_eq!(sock_recv(&theirs, 100).await?, "package");
///     Ok(())
/// }
/// ```
#[doc(alias = "loop.sock_sendfile")]
#[track_caller]
pub fn sock_sendfile<'a>(socket: &'a Socket, file: &impl AsFd) -> SockSendfile<'a> {
    let site = WaitSite::here(&"sock_sendfile");
    let transfer = Transfer::new(file, SENDFILE_FALLBACK_READBUFFER_SIZE, site);
    SockSendfile { socket, transfer }
}

/// The future that [`sock_sendfile`] returns.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct SockSendfile<'a> {
    socket: &'a Socket,
    transfer: Transfer,
}

impl SockSendfile<'_> {
    /// Sets the offset in the file at which to begin, in bytes.
    pub fn offset(mut self, offset: u64) -> Self {
        self.transfer.start = offset;
        self
    }

    /// Sets the largest number of bytes to send. By default, all bytes until the end of the file
    /// are sent.
    pub fn count(mut self, count: u64) -> Self {
        self.transfer.count = Some(count);
        self
    }

    /// Sets whether a file that the system cannot send is read and sent instead. With `false`, it
    /// is an error.
    pub fn fallback(mut self, fallback: bool) -> Self {
        self.transfer.fallback = fallback;
        self
    }

    /// Returns how many bytes the system has taken so far.
    pub fn sent(&self) -> u64 {
        self.transfer.sent
    }
}

#[cfg(test)]
impl SockSendfile<'_> {
    /// As on a system that cannot do it.
    pub(crate) fn pretend_unavailable(&mut self) {
        self.transfer.is_native = false;
    }
}

impl Future for SockSendfile<'_> {
    type Output = Result<u64>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<u64>> {
        let SockSendfile { socket, transfer } = self.get_mut();
        if !socket.is_stream {
            let text = "sock_sendfile: only SOCK_STREAM type sockets are supported";
            return Poll::Ready(Err(Error::value(text)));
        }
        transfer.poll(cx, &socket.source)
    }
}

/// The transfer of a file into a socket.
#[doc(hidden)]
#[derive(Debug)]
pub struct Transfer {
    /// A duplicate, which has the same position.
    file: Result<Arc<File>>,
    pub start: u64,
    pub count: Option<u64>,
    pub fallback: bool,
    pub sent: u64,
    /// Whether the system can do it, as far as is known.
    is_native: bool,
    block_size: usize,
    /// The read of the next block, and the unsent rest of the last one.
    reading: Option<Lookup<Vec<u8>>>,
    block: Bytes,
    wait: IoWait,
    pause: Wait,
    site: WaitSite,
    /// Whether the position of the file is to be set.
    is_moved: bool,
}

/// The number of bytes after which the loop runs other tasks.
const PER_ITERATION: u64 = 4 << 20;

/// The result of one round.
enum Round {
    Over,
    More,
}

impl Transfer {
    pub fn new(file: &impl AsFd, block_size: usize, site: WaitSite) -> Transfer {
        let file = file.as_fd().try_clone_to_owned();
        let file = file.map_err(|error| Error::from(of_call(site.what())(error)));
        Transfer {
            file: file.map(|file| Arc::new(file.into())),
            start: 0,
            count: None,
            fallback: true,
            sent: 0,
            is_native: cfg!(any(target_os = "linux", target_os = "android")),
            block_size,
            reading: None,
            block: Bytes::new(),
            wait: IoWait::new(),
            pause: Wait::new(),
            site,
            is_moved: false,
        }
    }

    /// Checks whether the transfer is possible.
    pub fn check(&self) -> Result<()> {
        let what = self.site.what();
        if self.count == Some(0) {
            return Err(Error::value(format!("{what}: count must be a positive integer (got 0)")));
        }
        if i64::try_from(self.start).is_err() {
            let text = format!("{what}: offset is larger than any file (got {})", self.start);
            return Err(Error::value(text));
        }
        self.file.as_ref().map(drop).map_err(Error::clone)
    }

    /// Sends until everything is sent, and returns the number of bytes. The socket must be
    /// non-blocking.
    pub fn poll<T: AsFd>(&mut self, cx: &mut Context<'_>, to: &Source<T>) -> Poll<Result<u64>> {
        self.check()?;
        self.is_moved = true;
        let outcome = ready!(self.advance(cx, to));
        self.set_position();
        Poll::Ready(match outcome {
            Ok(()) => Ok(self.sent),
            Err(error) => Err(in_call(self.site.what(), error)),
        })
    }

    fn advance<T: AsFd>(&mut self, cx: &mut Context<'_>, to: &Source<T>) -> Poll<Result<()>> {
        if self.pause.is_armed() {
            // In another task than the one in which it started, the pause is over.
            let replace = |waiter: Waiter| _ = waiter.wake_now();
            match self.pause.poll(cx, self.site, || None, replace) {
                Resume::Pending => return Poll::Pending,
                Resume::Cancelled { error, .. } => return Poll::Ready(Err(error)),
                Resume::Woken => {}
            }
        }
        loop {
            if !self.is_native && !self.fallback {
                let text = format!("{}: sendfile is not available", self.site.what());
                let error = SendfileNotAvailableError::new(text);
                return Poll::Ready(Err(Error::SendfileNotAvailable(error)));
            }
            let round = match self.is_native {
                true => ready!(self.send_file(cx, to))?,
                false => match ready!(self.read_block(cx))? {
                    Round::Over => Ok(Round::Over),
                    Round::More => ready!(self.send_block(cx, to))?.map(|()| Round::More),
                },
            };
            match round {
                Ok(Round::Over) => return Poll::Ready(Ok(())),
                Ok(Round::More) if self.is_native => {
                    self.pause.arm_woken(cx, self.site);
                    return Poll::Pending;
                }
                Ok(Round::More) => {}
                // Any error leads here: if it is that of the socket, the fallback gets it too.
                Err(error) if self.is_native && self.sent == 0 => {
                    self.is_native = false;
                    if !self.fallback {
                        let text = format!("{}: sendfile failed: {error}", self.site.what());
                        let error = SendfileNotAvailableError::new(text);
                        return Poll::Ready(Err(Error::SendfileNotAvailable(error)));
                    }
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    fn offset(&self) -> u64 {
        self.start.saturating_add(self.sent)
    }

    /// The number of bytes that may still be sent.
    fn left(&self) -> u64 {
        self.count.map_or(u64::MAX, |count| count.saturating_sub(self.sent))
    }

    /// Lets the system send from the file.
    fn send_file<T: AsFd>(
        &mut self,
        cx: &mut Context<'_>,
        to: &Source<T>,
    ) -> Poll<Result<io::Result<Round>>> {
        let (mut wait, site) = (std::mem::take(&mut self.wait), self.site);
        let mut budget = PER_ITERATION;
        let send = |to: &T| {
            loop {
                let length = self.left().min(budget);
                if length == 0 {
                    return Ok(if self.left() == 0 { Round::Over } else { Round::More });
                }
                match system_sendfile(to, self.file.as_ref().ok(), self.offset(), length)? {
                    0 => return Ok(Round::Over),
                    sent => {
                        self.sent += sent;
                        budget -= sent;
                    }
                }
            }
        };
        let outcome = to.poll_io(cx, &mut wait, Direction::Write, site, send, |_| false);
        self.wait = wait;
        outcome
    }

    /// Reads on a thread, unless there is already something to send.
    fn read_block(&mut self, cx: &mut Context<'_>) -> Poll<Result<Round>> {
        if !self.block.is_empty() {
            return Poll::Ready(Ok(Round::More));
        }
        if self.left() == 0 {
            return Poll::Ready(Ok(Round::Over));
        }
        if self.reading.is_none() {
            let (file, offset) = (self.file.clone()?, self.offset());
            let length = self.block_size.min(usize::try_from(self.left()).unwrap_or(usize::MAX));
            let read = move || Ok(read(&file, offset, length)?);
            self.reading = Some(Lookup::new(self.site, read));
        }
        let Some(reading) = &mut self.reading else { return Poll::Ready(Ok(Round::Over)) };
        let outcome = ready!(Pin::new(reading).poll(cx));
        if !outcome.as_ref().is_err_and(Error::is_cancelled) {
            self.reading = None;
        }
        self.block = outcome?.into();
        Poll::Ready(Ok(if self.block.is_empty() { Round::Over } else { Round::More }))
    }

    /// Returns the next block of the file for its sender; an empty one at the end.
    pub fn poll_block(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes>> {
        self.check()?;
        self.is_moved = true;
        let outcome = ready!(self.read_block(cx));
        outcome.map_err(|error| in_call(self.site.what(), error))?;
        let block = std::mem::take(&mut self.block);
        self.sent += block.len() as u64;
        if block.is_empty() {
            self.set_position();
        }
        Poll::Ready(Ok(block))
    }

    /// Sends all that was read.
    fn send_block<T: AsFd>(
        &mut self,
        cx: &mut Context<'_>,
        to: &Source<T>,
    ) -> Poll<Result<io::Result<()>>> {
        let Transfer { block, sent, wait, site, .. } = self;
        let send = |to: &T| {
            while !block.is_empty() {
                let length = SockRef::from(to).send_with_flags(block, FLAGS)?;
                *sent += length as u64;
                block.advance(length);
            }
            Ok(())
        };
        to.poll_io(cx, wait, Direction::Write, *site, send, |()| false)
    }

    fn set_position(&mut self) {
        if let (true, Ok(file)) = (std::mem::take(&mut self.is_moved), &self.file) {
            // A pipe has none.
            let _ = (&**file).seek(SeekFrom::Start(self.offset()));
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.set_position();
    }
}

/// Reads a block. A file without offsets, such as a pipe, is read in sequence.
fn read(mut file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut block = vec![0; length];
    let length = loop {
        let outcome = match file.read_at(&mut block, offset) {
            Err(error) if error.raw_os_error() == Some(libc::ESPIPE) => file.read(&mut block),
            outcome => outcome,
        };
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => break outcome?,
        }
    };
    block.truncate(length);
    Ok(block)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn system_sendfile(
    to: &impl AsFd,
    file: Option<&Arc<File>>,
    offset: u64,
    length: u64,
) -> io::Result<u64> {
    let Some(file) = file else { return Ok(0) };
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let mut offset = i64::try_from(offset).map_err(invalid)?;
    let length = usize::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok(nix::sys::sendfile::sendfile64(to, file, Some(&mut offset), length)? as u64)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn system_sendfile(_: &impl AsFd, _: Option<&Arc<File>>, _: u64, _: u64) -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}
