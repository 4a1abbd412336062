//! Receiving: `sock_recv`, `sock_recv_into`, `sock_recvfrom`, `sock_recvfrom_into`.

use crate::{address::Address, short::is_short, socket::Socket};
use asyncio_core::{
    Error, Result,
    source::{Direction, IoWait},
    wait_site::WaitSite,
};
use bytes::Bytes;
use std::{
    cell::Cell,
    future::Future,
    io::{self, Read},
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll},
};

/// Up to this size, the system writes into a buffer of the thread, and the data is copied. A waiting
/// operation therefore holds no memory, and its result holds no more than its bytes.
const SHARED: usize = 64 * 1024;

/// The largest request; no system has more in one piece.
const MOST: usize = 16 * 1024 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Returns the data that `receive` writes into a buffer of `size` bytes; `receive` returns how many
/// bytes it wrote.
pub(crate) fn received<R>(
    size: usize,
    receive: impl FnOnce(&mut [u8]) -> io::Result<(usize, R)>,
) -> io::Result<(Bytes, R)> {
    if size > SHARED {
        let mut buffer = vec![0; size];
        let (length, rest) = receive(&mut buffer)?;
        buffer.truncate(length);
        if length <= size / 2 {
            buffer.shrink_to_fit();
        }
        return Ok((buffer.into(), rest));
    }
    // A thread that is ending no longer has one.
    let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
    if buffer.len() < size {
        buffer.resize(size, 0);
    }
    let received = receive(&mut buffer[..size]);
    let received = received.map(|(length, rest)| (Bytes::copy_from_slice(&buffer[..length]), rest));
    let _ = BUFFER.try_with(|place| place.set(buffer));
    received
}

/// Reads into `buffer`, and returns the sender.
fn receive_from(io: &socket2::Socket, buffer: &mut [u8]) -> io::Result<(usize, Address)> {
    // SAFETY: initialised bytes may be treated as possibly uninitialised, as long as no
    // uninitialised bytes are written; `socket2` promises that it writes none.
    let buffer = unsafe { &mut *(std::ptr::from_mut(buffer) as *mut [MaybeUninit<u8>]) };
    let (length, sender) = io.recv_from(buffer)?;
    Ok((length, sender.into()))
}

/// Receives up to `size` bytes (`loop.sock_recv`); none if the other side will send no more. If
/// `size` is 0, it returns immediately.
///
/// # Errors
/// `Io` with the system's error; `Runtime` if it has to wait and no loop runs, or the socket
/// belongs to another one.
///
/// # Cancellation
/// Nothing has been received: the data is left to the next operation.
///
/// ```
/// use asyncio::{socket::{Domain, Socket, Type}, sock_recv, sock_sendall};
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let (ours, theirs) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
///     sock_sendall(&theirs, b"hello").await?;
///     drop(theirs);
///     assert_eq!(sock_recv(&ours, 1024).await?, "hello");
///     assert!(sock_recv(&ours, 1024).await?.is_empty());
///     Ok(())
/// }
/// ```
#[doc(alias = "loop.sock_recv")]
#[track_caller]
pub fn sock_recv(socket: &Socket, size: usize) -> SockRecv<'_> {
    SockRecv {
        socket,
        size: size.min(MOST),
        wait: IoWait::new(),
        site: WaitSite::here(&"sock_recv"),
    }
}

/// The future that [`sock_recv`] returns.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct SockRecv<'a> {
    socket: &'a Socket,
    size: usize,
    wait: IoWait,
    site: WaitSite,
}

impl asyncio_core::wait::Leaf for SockRecv<'_> {}

impl Future for SockRecv<'_> {
    type Output = Result<Bytes>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Bytes>> {
        let SockRecv { socket, size, wait, site } = self.get_mut();
        if *size == 0 {
            return Poll::Ready(socket.check_nonblocking(*site).map(|()| Bytes::new()));
        }
        let receive = |mut io: &socket2::Socket| {
            let (bytes, ()) = received(*size, |buffer| Ok((io.read(buffer)?, ())))?;
            Ok(bytes)
        };
        socket.poll_io(cx, wait, (Direction::Read, *site), receive, |b| is_short(b.len(), *size))
    }
}

/// Receives into `buffer`, and returns the number of bytes (`loop.sock_recv_into`); zero if the
/// other side will send no more. If `buffer` is empty, it returns immediately.
///
/// # Errors
/// As for [`sock_recv`].
///
/// # Cancellation
/// Nothing has been received: the data is left to the next operation.
///
/// ```
/// use asyncio::{socket::{Domain, Socket, Type}, sock_recv_into, sock_sendall};
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let (ours, theirs) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
///     sock_sendall(&theirs, b"hello").await?;
///     let mut buffer = [0; 1024];
///     let received = sock_recv_into(&ours, &mut buffer).await?;
///     assert_eq!(&buffer[..received], b"hello");
///     Ok(())
/// }
/// ```
#[doc(alias = "loop.sock_recv_into")]
#[track_caller]
pub fn sock_recv_into<'a>(socket: &'a Socket, buffer: &'a mut [u8]) -> SockRecvInto<'a> {
    SockRecvInto { socket, buffer, wait: IoWait::new(), site: WaitSite::here(&"sock_recv_into") }
}

/// The future that [`sock_recv_into`] returns.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct SockRecvInto<'a> {
    socket: &'a Socket,
    buffer: &'a mut [u8],
    wait: IoWait,
    site: WaitSite,
}

impl asyncio_core::wait::Leaf for SockRecvInto<'_> {}

impl Future for SockRecvInto<'_> {
    type Output = Result<usize>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        let SockRecvInto { socket, buffer, wait, site } = self.get_mut();
        let size = buffer.len();
        if size == 0 {
            return Poll::Ready(socket.check_nonblocking(*site).map(|()| 0));
        }
        let receive = |mut io: &socket2::Socket| io.read(buffer);
        socket
            .poll_io(cx, wait, (Direction::Read, *site), receive, |length| is_short(*length, size))
    }
}

/// Receives a datagram of up to `size` bytes and its sender (`loop.sock_recvfrom`). The rest of a
/// longer datagram is lost, as usual.
///
/// # Errors
/// As for [`sock_recv`]; the system's error may be that an earlier datagram was not received.
///
/// # Cancellation
/// Nothing has been received: the data is left to the next operation.
///
/// ```
/// use asyncio::{socket::{Domain, Socket, Type}, sock_recvfrom};
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
///     socket.bind(("127.0.0.1", 0))?;
///     let other = std::net::UdpSocket::bind("127.0.0.1:0")?;
///     other.send_to(b"hello", socket.local_addr()?.as_inet().unwrap())?;
///     let (data, sender) = sock_recvfrom(&socket, 1024).await?;
///     assert_eq!(data, "hello");
///     assert_eq!(sender, other.local_addr()?.into());
///     Ok(())
/// }
/// ```
#[doc(alias = "loop.sock_recvfrom")]
#[track_caller]
pub fn sock_recvfrom(socket: &Socket, size: usize) -> SockRecvfrom<'_> {
    let site = WaitSite::here(&"sock_recvfrom");
    SockRecvfrom { socket, size: size.min(MOST), wait: IoWait::new(), site }
}

/// The future that [`sock_recvfrom`] returns.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct SockRecvfrom<'a> {
    socket: &'a Socket,
    size: usize,
    wait: IoWait,
    site: WaitSite,
}

impl asyncio_core::wait::Leaf for SockRecvfrom<'_> {}

impl Future for SockRecvfrom<'_> {
    type Output = Result<(Bytes, Address)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let SockRecvfrom { socket, size, wait, site } = self.get_mut();
        let receive = |io: &socket2::Socket| received(*size, |buffer| receive_from(io, buffer));
        socket
            .poll_io(cx, wait, (Direction::Read, *site), receive, |(b, _)| is_short(b.len(), *size))
    }
}

/// Receives a datagram into `buffer`, and returns its length and sender
/// (`loop.sock_recvfrom_into`). [`nbytes`](SockRecvfromInto::nbytes) limits it to a part of the
/// buffer.
///
/// # Errors
/// As for [`sock_recvfrom`]; and `Value` if `nbytes` is larger than the buffer, in which case
/// nothing is received.
///
/// # Cancellation
/// Nothing has been received: the data is left to the next operation.
///
/// ```
/// use asyncio::{socket::{Domain, Socket, Type}, sock_recvfrom_into, sock_sendto};
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
///     socket.bind(("127.0.0.1", 0))?;
///     sock_sendto(&socket, b"to myself", socket.local_addr()?).await?;
///     let mut buffer = [0; 1024];
///     let (length, sender) = sock_recvfrom_into(&socket, &mut buffer).await?;
///     assert_eq!(&buffer[..length], b"to myself");
///     assert_eq!(sender, socket.local_addr()?);
///     Ok(())
/// }
/// ```
#[doc(alias = "loop.sock_recvfrom_into")]
#[track_caller]
pub fn sock_recvfrom_into<'a>(socket: &'a Socket, buffer: &'a mut [u8]) -> SockRecvfromInto<'a> {
    let site = WaitSite::here(&"sock_recvfrom_into");
    SockRecvfromInto { socket, buffer, nbytes: 0, wait: IoWait::new(), site }
}

/// The future that [`sock_recvfrom_into`] returns.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct SockRecvfromInto<'a> {
    socket: &'a Socket,
    buffer: &'a mut [u8],
    nbytes: usize,
    wait: IoWait,
    site: WaitSite,
}

impl SockRecvfromInto<'_> {
    /// Sets the largest number of bytes; zero means the whole buffer.
    pub fn nbytes(mut self, nbytes: usize) -> Self {
        self.nbytes = nbytes;
        self
    }
}

impl asyncio_core::wait::Leaf for SockRecvfromInto<'_> {}

impl Future for SockRecvfromInto<'_> {
    type Output = Result<(usize, Address)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let SockRecvfromInto { socket, buffer, nbytes, wait, site } = self.get_mut();
        let size = if *nbytes == 0 { buffer.len() } else { *nbytes };
        let Some(buffer) = buffer.get_mut(..size) else {
            let text = "sock_recvfrom_into: nbytes is greater than the length of the buffer";
            return Poll::Ready(Err(Error::value(text)));
        };
        let receive = |io: &socket2::Socket| receive_from(io, buffer);
        socket.poll_io(cx, wait, (Direction::Read, *site), receive, |(length, _)| {
            is_short(*length, size)
        })
    }
}
