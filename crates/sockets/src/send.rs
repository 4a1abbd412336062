//! Sending: `sock_sendall`, `sock_sendto`.

use crate::{connect::Destination, short::is_short, socket::Socket, target::ToAddress};
use asyncio_core::{
    Result,
    source::{Direction, IoWait},
    wait_site::WaitSite,
};
use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A broken connection only returns an error, and raises no signal.
#[cfg(not(any(target_vendor = "apple", target_os = "solaris", target_os = "illumos")))]
pub(crate) const FLAGS: i32 = nix::libc::MSG_NOSIGNAL;
#[cfg(any(target_vendor = "apple", target_os = "solaris", target_os = "illumos"))]
pub(crate) const FLAGS: i32 = 0;

/// Sends all of `data` (`loop.sock_sendall`). Empty data is passed to the system too: it may be an empty
/// datagram, and it fails on a broken connection.
///
/// # Errors
/// `Io` with the system's error, for example `BrokenPipe`; `Runtime` if it has to wait and no loop
/// runs, or the socket belongs to another one. [`SockSendall::sent`] returns how much was sent
/// before.
///
/// # Cancellation
/// A part may have been sent. To know how much, await the future by `&mut`, and call
/// [`SockSendall::sent`] afterwards. If it is awaited again, it continues where it was.
///
/// ```
/// use asyncio::{socket::{Domain, Socket, Type}, sock_recv, sock_sendall};
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let (ours, theirs) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
///     let mut sending = sock_sendall(&ours, b"hello");
///     (&mut sending).await?;
///     assert_eq!(sending.sent(), 5);
///     assert_eq!(sock_recv(&theirs, 1024).await?, "hello");
///     Ok(())
/// }
/// ```
#[doc(alias = "loop.sock_sendall")]
#[track_caller]
pub fn sock_sendall<'a>(socket: &'a Socket, data: &'a [u8]) -> SockSendall<'a> {
    let site = WaitSite::here(&"sock_sendall");
    SockSendall { socket, data, sent: 0, wait: IoWait::new(), site }
}

/// The future that [`sock_sendall`] returns.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct SockSendall<'a> {
    socket: &'a Socket,
    data: &'a [u8],
    sent: usize,
    wait: IoWait,
    site: WaitSite,
}

impl SockSendall<'_> {
    /// Returns how many bytes the system has taken so far.
    pub fn sent(&self) -> usize {
        self.sent
    }
}

impl Future for SockSendall<'_> {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let SockSendall { socket, data, sent, wait, site } = self.get_mut();
        // The place in the queue is kept until everything is sent, so that two operations do not mix
        // their data.
        let send = |io: &socket2::Socket| loop {
            let left = &data[*sent..];
            let length = io.send_with_flags(left, FLAGS)?;
            *sent += length;
            if length == left.len() {
                return Ok(());
            }
            let is_short = socket.is_tcp && is_short(length, left.len());
            if is_short && socket.source.is_drained_by_less() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        };
        socket.poll_io(cx, wait, (Direction::Write, *site), send, |()| false)
    }
}

/// Sends `data` as a datagram to `address`, and returns the number of bytes sent
/// (`loop.sock_sendto`). A host name is looked up on a thread.
///
/// # Errors
/// As for [`sock_sendall`]; `Io` if the name cannot be found.
///
/// # Cancellation
/// Nothing has been sent.
///
/// ```
/// use asyncio::{socket::{Domain, Socket, Type}, sock_sendto};
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let other = std::net::UdpSocket::bind("127.0.0.1:0")?;
///     let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
///     assert_eq!(sock_sendto(&socket, b"hello", other.local_addr()?).await?, 5);
///     let mut buffer = [0; 1024];
///     assert_eq!(other.recv(&mut buffer)?, 5);
///     Ok(())
/// }
/// ```
#[doc(alias = "loop.sock_sendto")]
#[track_caller]
pub fn sock_sendto<'a>(
    socket: &'a Socket,
    data: &'a [u8],
    address: impl ToAddress,
) -> SockSendto<'a> {
    let site = WaitSite::here(&"sock_sendto");
    let destination = Destination::new(address, socket, site);
    SockSendto { socket, data, destination, wait: IoWait::new(), site }
}

/// The future that [`sock_sendto`] returns.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct SockSendto<'a> {
    socket: &'a Socket,
    data: &'a [u8],
    destination: Destination,
    wait: IoWait,
    site: WaitSite,
}

impl Future for SockSendto<'_> {
    type Output = Result<usize>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        let SockSendto { socket, data, destination, wait, site } = self.get_mut();
        let address = ready!(destination.poll(cx, *site))?;
        let send = |io: &socket2::Socket| io.send_to_with_flags(data, address, FLAGS);
        socket.poll_io(cx, wait, (Direction::Write, *site), send, |_| false)
    }
}
