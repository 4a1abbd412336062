//! [`TransportSocket`]: the socket of a transport or server, to query and to set options.

use crate::io::Io;
use asyncio_core::{Result, source::Source};
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
use asyncio_sockets::Protocol;
use asyncio_sockets::{Address, Domain, Type};
use std::{
    fmt, io,
    net::Shutdown,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    rc::{Rc, Weak},
};

/// The socket of a transport or server (`asyncio.trsock.TransportSocket`). The transport still owns
/// the socket: there are no methods to send, receive or close.
///
/// It may be kept. Once the transport has closed the socket, every method returns an error.
///
/// ```
/// use asyncio::{SOCKET, Transport};
/// # #[allow(dead_code)]
/// fn keep_alive(transport: &Transport) -> asyncio::Result<()> {
///     if let Some(socket) = transport.get_extra_info(SOCKET) {
///         socket.with(|socket| socket.set_keepalive(true))?;
///     }
///     Ok(())
/// }
/// ```
#[doc(alias = "asyncio.trsock.TransportSocket")]
#[derive(Clone)]
pub struct TransportSocket(Weak<dyn HasSocket>);

/// An owner of a socket.
pub(crate) trait HasSocket {
    fn socket(&self) -> Option<&socket2::Socket>;
}

impl HasSocket for Source<Io> {
    fn socket(&self) -> Option<&socket2::Socket> {
        match self.get_ref() {
            Io::Socket(socket) => Some(socket),
            Io::Pipe(_) => None,
        }
    }
}

impl HasSocket for Source<socket2::Socket> {
    fn socket(&self) -> Option<&socket2::Socket> {
        Some(self.get_ref())
    }
}

impl TransportSocket {
    /// Returns the socket of `owner`, if it has one.
    pub(crate) fn of<T: HasSocket + 'static>(owner: &Rc<T>) -> Option<TransportSocket> {
        owner.socket()?;
        let owner: Rc<dyn HasSocket> = owner.clone();
        Some(TransportSocket(Rc::downgrade(&owner)))
    }

    /// Calls `f` with the socket, for any option that it has (`getsockopt`, `setsockopt`). It has to
    /// stay in non-blocking mode.
    ///
    /// # Errors
    /// The errors of `f`; `NotConnected` if the transport has closed the socket.
    #[doc(alias("getsockopt", "setsockopt"))]
    pub fn with<R>(&self, f: impl FnOnce(&socket2::Socket) -> io::Result<R>) -> Result<R> {
        let owner = self.0.upgrade();
        match owner.as_ref().and_then(|owner| owner.socket()) {
            Some(socket) => Ok(f(socket)?),
            None => {
                let text = "the socket was closed by its transport";
                Err(io::Error::new(io::ErrorKind::NotConnected, text).into())
            }
        }
    }

    /// Returns the number of the socket's descriptor (`fileno`).
    ///
    /// # Errors
    /// An error once it is closed, as for all methods here.
    pub fn fileno(&self) -> Result<RawFd> {
        self.with(|socket| Ok(socket.as_raw_fd()))
    }

    /// Returns the family of the socket's addresses (`family`).
    ///
    /// # Errors
    /// An error once it is closed.
    pub fn family(&self) -> Result<Domain> {
        self.with(|socket| Ok(socket.local_addr()?.domain()))
    }

    /// Returns the type of the socket (`type`): stream or datagram.
    ///
    /// # Errors
    /// An error once it is closed.
    pub fn kind(&self) -> Result<Type> {
        self.with(socket2::Socket::r#type)
    }

    /// Returns the socket's protocol (`proto`), on systems that tell it.
    ///
    /// # Errors
    /// An error once it is closed.
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    pub fn protocol(&self) -> Result<Option<Protocol>> {
        self.with(socket2::Socket::protocol)
    }

    /// Returns the socket's own address (`getsockname`).
    ///
    /// # Errors
    /// An error once it is closed.
    pub fn getsockname(&self) -> Result<Address> {
        self.with(|socket| Ok(socket.local_addr()?.into()))
    }

    /// Returns the address of the other side (`getpeername`).
    ///
    /// # Errors
    /// `NotConnected` if there is none; an error once it is closed.
    pub fn getpeername(&self) -> Result<Address> {
        self.with(|socket| Ok(socket.peer_addr()?.into()))
    }

    /// Ends one or both directions (`shutdown`), without the transport's knowledge.
    ///
    /// # Errors
    /// The system's error; an error once it is closed.
    pub fn shutdown(&self, how: Shutdown) -> Result<()> {
        self.with(|socket| socket.shutdown(how))
    }

    /// Returns another descriptor of the same socket (`dup`), in non-blocking mode too.
    ///
    /// # Errors
    /// The system's error; an error once it is closed.
    pub fn dup(&self) -> Result<OwnedFd> {
        self.with(|socket| Ok(socket.try_clone()?.into()))
    }
}

/// `<TransportSocket fd=7 127.0.0.1:8888>`
impl fmt::Debug for TransportSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.fileno(), self.getsockname()) {
            (Ok(fd), Ok(address)) => write!(f, "<TransportSocket fd={fd} {address}>"),
            (Ok(fd), Err(_)) => write!(f, "<TransportSocket fd={fd}>"),
            _ => f.write_str("<TransportSocket closed>"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Pipe;

    #[test]
    fn it_answers_until_the_owner_closes_the_socket() {
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let fd = socket.as_raw_fd();
        let owner = Rc::new(Source::new(socket));
        let socket = TransportSocket::of(&owner).unwrap();
        assert_eq!(socket.fileno().unwrap(), fd);
        assert_eq!(socket.family().unwrap(), Domain::IPV4);
        assert_eq!(socket.kind().unwrap(), Type::STREAM);
        socket.with(|socket| socket.set_keepalive(true)).unwrap();
        assert!(socket.with(|socket| socket.keepalive()).unwrap());
        assert!(socket.getpeername().is_err());
        drop(owner);
        let error = socket.fileno().unwrap_err().to_string();
        assert_eq!(error, "the socket was closed by its transport");
        assert_eq!(format!("{socket:?}"), "<TransportSocket closed>");
    }

    #[test]
    fn a_pipe_has_none() {
        let pipe = Pipe::new(std::fs::File::open("/dev/null").unwrap(), None);
        assert!(TransportSocket::of(&Rc::new(Source::new(Io::Pipe(pipe)))).is_none());
    }
}
