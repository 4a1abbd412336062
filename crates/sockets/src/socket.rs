//! [`Socket`]: a system socket in non-blocking mode that its loop knows.

use crate::{
    address::Address,
    errors::{described, in_call, of_call},
    question::Hints,
    short::is_tcp,
    target::{Resolved, ToAddress},
};
use asyncio_core::{
    Error, Result,
    raw::is_debug,
    source::{Direction, IoWait, Source},
    wait_site::WaitSite,
};
use nix::libc::AI_PASSIVE;
use socket2::{Domain, Protocol, Type};
use std::{
    fmt, io,
    net::Shutdown,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::net::{UnixDatagram, UnixListener, UnixStream},
    },
    task::{Context, Poll},
};

/// A socket in non-blocking mode, which owns its descriptor (Python's `socket.socket`).
///
/// It can be created directly, or made from any socket of the standard library or the `socket2`
/// crate, and turned back into one. It may be sent to other threads, and its operations may be
/// awaited in any loop. Once an operation has waited, the others have to be in the same loop until
/// that loop is closed. Dropping the socket closes it.
pub struct Socket {
    pub(crate) source: Source<socket2::Socket>,
    pub(crate) domain: Domain,
    /// Whether it is a stream socket.
    pub(crate) is_stream: bool,
    /// Whether it is a TCP socket, where a short read or write means that the next one would block.
    pub(crate) is_tcp: bool,
}

impl Socket {
    /// Creates a socket (`socket.socket`). `None` is the usual protocol of the type.
    ///
    /// # Errors
    /// The system's error, for example that it does not know the family.
    #[doc(alias = "socket.socket")]
    pub fn new(domain: Domain, kind: Type, protocol: Option<Protocol>) -> Result<Socket> {
        let io = socket2::Socket::new(domain, kind, protocol).map_err(of_call("Socket::new"))?;
        io.set_nonblocking(true).map_err(of_call("Socket::new"))?;
        Ok(Socket::of(io, domain, kind))
    }

    /// Creates two sockets that are connected to each other (`socket.socketpair`).
    ///
    /// # Errors
    /// The system's error; most families except [`Domain::UNIX`] have no pairs.
    #[doc(alias("socket.socketpair", "socketpair"))]
    pub fn pair(domain: Domain, kind: Type, protocol: Option<Protocol>) -> Result<(Self, Self)> {
        let (one, other) =
            socket2::Socket::pair(domain, kind, protocol).map_err(of_call("Socket::pair"))?;
        one.set_nonblocking(true).map_err(of_call("Socket::pair"))?;
        other.set_nonblocking(true).map_err(of_call("Socket::pair"))?;
        Ok((Socket::of(one, domain, kind), Socket::of(other, domain, kind)))
    }

    /// Takes over a socket of any kind, and makes it non-blocking (`socket.socket(fileno=…)`). The
    /// socket types of the standard library and of `socket2` also have [`TryFrom`].
    ///
    /// Non-blocking mode belongs to the open socket, not to the descriptor. If other processes share the
    /// socket, it becomes non-blocking for them too, and stays so after this `Socket` is dropped.
    ///
    /// # Errors
    /// An error if the descriptor is not that of a socket.
    pub fn from_fd(fd: impl Into<OwnedFd>) -> Result<Socket> {
        let io = socket2::Socket::from(fd.into());
        let kind = io.r#type().map_err(of_call("Socket::from_fd"))?;
        let domain = io.local_addr().map_err(of_call("Socket::from_fd"))?.domain();
        io.set_nonblocking(true).map_err(of_call("Socket::from_fd"))?;
        Ok(Socket::of(io, domain, kind))
    }

    fn of(io: socket2::Socket, domain: Domain, kind: Type) -> Socket {
        let (is_stream, is_tcp) = (kind == Type::STREAM, is_tcp(&io, domain, kind));
        Socket { source: Source::new(io), domain, is_stream, is_tcp }
    }

    /// Returns whether a short read or write means that the next one would block. For transports.
    #[doc(hidden)]
    pub fn is_tcp(&self) -> bool {
        self.is_tcp
    }

    /// Wraps a socket that was accepted on this listening socket.
    pub(crate) fn accepted(&self, io: socket2::Socket) -> Socket {
        let Socket { domain, is_stream, is_tcp, .. } = *self;
        Socket { source: Source::new(io), domain, is_stream, is_tcp }
    }

    /// Binds the socket to an address (`socket.bind`). A host name is looked up in this call, which
    /// blocks.
    ///
    /// # Errors
    /// `Value` for an invalid address; the system's error, for example that the address is in use,
    /// or is not of this machine or of the socket's family.
    #[doc(alias = "socket.bind")]
    pub fn bind(&self, address: impl ToAddress) -> Result<()> {
        let named = |error| in_call("Socket::bind", error);
        let hints = Hints { flags: AI_PASSIVE, ..self.hints() };
        let address = match address.to_target().resolve(hints).map_err(named)? {
            Resolved::Address(address) => address,
            Resolved::Question(question) => {
                let found = question.ask().map_err(of_call("Socket::bind"))?;
                let first = found.into_iter().next();
                first.ok_or_else(|| named(Error::value("no address")))?.address
            }
        };
        self.get_ref()
            .bind(address.as_sock_addr())
            .map_err(|error| described(format!("Socket::bind: {address}: {error}"), error).into())
    }

    /// The restrictions for an address of this socket.
    pub(crate) fn hints(&self) -> Hints {
        let kind = if self.is_stream { Type::STREAM } else { Type::DGRAM };
        Hints { family: Some(self.domain), kind: Some(kind), ..Hints::default() }
    }

    /// Starts to listen (`socket.listen`). Up to `backlog` connections may wait for
    /// [`sock_accept`](crate::sock_accept()).
    ///
    /// # Errors
    /// The system's error, for example that the type of the socket has no connections.
    #[doc(alias = "socket.listen")]
    pub fn listen(&self, backlog: u32) -> Result<()> {
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        Ok(self.get_ref().listen(backlog).map_err(of_call("Socket::listen"))?)
    }

    /// Returns the socket's own address (`socket.getsockname`).
    ///
    /// # Errors
    /// The system's error.
    #[doc(alias = "socket.getsockname")]
    #[doc(alias = "getsockname")]
    pub fn local_addr(&self) -> Result<Address> {
        Ok(self.get_ref().local_addr().map_err(of_call("Socket::local_addr"))?.into())
    }

    /// Returns the address of the other side (`socket.getpeername`).
    ///
    /// # Errors
    /// `NotConnected`, or another error of the system.
    #[doc(alias = "socket.getpeername")]
    #[doc(alias = "getpeername")]
    pub fn peer_addr(&self) -> Result<Address> {
        Ok(self.get_ref().peer_addr().map_err(of_call("Socket::peer_addr"))?.into())
    }

    /// Ends one or both directions of a connection (`socket.shutdown`).
    ///
    /// # Errors
    /// The system's error, for example that it is not connected.
    #[doc(alias = "socket.shutdown")]
    pub fn shutdown(&self, how: Shutdown) -> Result<()> {
        Ok(self.get_ref().shutdown(how).map_err(of_call("Socket::shutdown"))?)
    }

    /// Sets whether an address that was in use until recently can be bound again (`SO_REUSEADDR`).
    ///
    /// # Errors
    /// The system's error.
    pub fn set_reuse_address(&self, on: bool) -> Result<()> {
        Ok(self.get_ref().set_reuse_address(on).map_err(of_call("Socket::set_reuse_address"))?)
    }

    /// Sets whether small pieces are sent immediately instead of being collected (`TCP_NODELAY`).
    ///
    /// # Errors
    /// The system's error.
    pub fn set_nodelay(&self, on: bool) -> Result<()> {
        Ok(self.get_ref().set_tcp_nodelay(on).map_err(of_call("Socket::set_nodelay"))?)
    }

    /// Returns the underlying socket, for all other options. It has to stay in non-blocking mode.
    pub fn get_ref(&self) -> &socket2::Socket {
        self.source.get_ref()
    }

    /// Checks, in debug mode, that the socket is non-blocking.
    pub(crate) fn check_nonblocking(&self, site: WaitSite) -> Result<()> {
        if is_debug() {
            if let Ok(false) = self.get_ref().nonblocking() {
                let text = format!("{}: the socket must be non-blocking", site.what());
                return Err(Error::value(text));
            }
        }
        Ok(())
    }

    /// Runs `operation` as soon as it does not block; `site` names the function in errors.
    pub(crate) fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        wait: &mut IoWait,
        (direction, site): (Direction, WaitSite),
        operation: impl FnMut(&socket2::Socket) -> io::Result<R>,
        drained: impl FnOnce(&R) -> bool,
    ) -> Poll<Result<R>> {
        self.check_nonblocking(site)?;
        let drained = |result: &R| self.is_tcp && drained(result);
        match self.source.poll_io(cx, wait, direction, site, operation, drained) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(outcome)) => {
                Poll::Ready(outcome.map_err(|error| of_call(site.what())(error).into()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(in_call(site.what(), error))),
        }
    }
}

/// `<Socket fd=5 local=127.0.0.1:8888 peer=127.0.0.1:41570>`
impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Socket fd={}", self.as_raw_fd())?;
        if let Ok(local) = self.local_addr() {
            write!(f, " local={local}")?;
        }
        if let Ok(peer) = self.peer_addr() {
            write!(f, " peer={peer}")?;
        }
        f.write_str(">")
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.get_ref().as_raw_fd()
    }
}

/// Deregisters the socket from the loop. It stays in non-blocking mode.
impl From<Socket> for socket2::Socket {
    fn from(socket: Socket) -> socket2::Socket {
        socket.source.into_inner()
    }
}

/// Deregisters the socket from the loop. It stays in non-blocking mode.
impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> OwnedFd {
        socket2::Socket::from(socket).into()
    }
}

macro_rules! from_sockets {
    ($($type:ty),*) => {$(
        /// Same as [`Socket::from_fd`].
        impl TryFrom<$type> for Socket {
            type Error = Error;
            fn try_from(socket: $type) -> Result<Socket> {
                Socket::from_fd(socket)
            }
        }
    )*};
}

from_sockets!(
    OwnedFd,
    socket2::Socket,
    std::net::TcpListener,
    std::net::TcpStream,
    std::net::UdpSocket,
    UnixListener,
    UnixStream,
    UnixDatagram
);
