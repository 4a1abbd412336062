//! Accepting connections: `sock_accept`.

use crate::address::Address;
use crate::socket::Socket;
use asyncio_core::{
    Result,
    source::{Direction, IoWait},
    wait_site::WaitSite,
};
use socket2::SockAddr;
use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

/// Accepts a connection on a listening socket, and returns it with the address of the peer (`loop.sock_accept`).
///
/// # Errors
/// `Io` with the system's error, for example that too many files are open, or that the connection
/// was broken before it was accepted; `Runtime` if it has to wait and no loop runs, or the socket
/// belongs to another one.
///
/// # Cancellation
/// No connection has been accepted: the next one waits for the next `sock_accept`.
///
/// ```
/// use asyncio::{socket::{Domain, Socket, Type}, sock_accept};
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
///     listener.bind(("127.0.0.1", 0))?;
///     listener.listen(100)?;
///     let address = listener.local_addr()?.as_inet().unwrap();
///     let client = std::net::TcpStream::connect(address)?;
///     let (_connection, from) = sock_accept(&listener).await?;
///     assert_eq!(from, client.local_addr()?.into());
///     Ok(())
/// }
/// ```
#[doc(alias = "loop.sock_accept")]
#[track_caller]
pub fn sock_accept(socket: &Socket) -> SockAccept<'_> {
    SockAccept { socket, wait: IoWait::new(), site: WaitSite::here(&"sock_accept") }
}

/// The future that [`sock_accept`] returns.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct SockAccept<'a> {
    socket: &'a Socket,
    wait: IoWait,
    site: WaitSite,
}

impl asyncio_core::wait::Leaf for SockAccept<'_> {}

impl Future for SockAccept<'_> {
    type Output = Result<(Socket, Address)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let SockAccept { socket, wait, site } = self.get_mut();
        let outcome = socket.poll_io(cx, wait, (Direction::Read, *site), accept, |_| false);
        outcome.map_ok(|(io, address)| (socket.accepted(io), address.into()))
    }
}

/// Accepts a connection as a non-blocking socket, in one system call. For servers.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[doc(hidden)]
pub fn accept(io: &socket2::Socket) -> io::Result<(socket2::Socket, SockAddr)> {
    use nix::libc;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    // SAFETY: the storage and its length are valid for the call, which fills them in. If it
    // succeeds, it returns a new descriptor that has no other owner.
    unsafe {
        SockAddr::try_init(|storage, length| {
            let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            match libc::accept4(io.as_raw_fd(), storage.cast(), length, flags) {
                -1 => Err(io::Error::last_os_error()),
                raw => Ok(OwnedFd::from_raw_fd(raw).into()),
            }
        })
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[doc(hidden)]
pub fn accept(io: &socket2::Socket) -> io::Result<(socket2::Socket, SockAddr)> {
    let (accepted, address) = io.accept()?;
    accepted.set_nonblocking(true)?;
    Ok((accepted, address))
}
