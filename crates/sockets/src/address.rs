//! [`Address`]: where a socket is, or is to go.

use asyncio_core::Result;
use socket2::SockAddr;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::Path,
};

/// The address of a socket of any family: an IP address with a port, or a path.
///
/// ```
/// use asyncio_sockets::Address;
/// let address = Address::from(([127, 0, 0, 1], 8888));
/// assert_eq!(address.to_string(), "127.0.0.1:8888");
/// assert_eq!(address.as_inet().unwrap().port(), 8888);
/// assert_eq!(Address::from_path("/tmp/s")?.as_path().unwrap().to_str(), Some("/tmp/s"));
/// # Ok::<(), asyncio_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(SockAddr);

impl Address {
    /// The address of a Unix socket at `path`. One that begins with a null byte is of Linux's
    /// abstract namespace.
    ///
    /// # Errors
    /// If the path is too long: about 100 bytes fit.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Address> {
        Ok(Address(SockAddr::unix(path)?))
    }

    /// The IP address and port, if it is of an internet family.
    pub fn as_inet(&self) -> Option<SocketAddr> {
        self.0.as_socket()
    }

    /// The path, if it is that of a Unix socket that has one.
    pub fn as_path(&self) -> Option<&Path> {
        self.0.as_pathname()
    }

    /// As the system has it.
    pub fn as_sock_addr(&self) -> &SockAddr {
        &self.0
    }
}

/// `127.0.0.1:8888`, `/run/socket`, `@abstract`; nothing for a socket without a name.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(inet) = self.as_inet() {
            return write!(f, "{inet}");
        }
        if let Some(path) = self.as_path() {
            return write!(f, "{}", path.display());
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(name) = self.0.as_abstract_namespace() {
            return write!(f, "@{}", name.escape_ascii());
        }
        Ok(())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl From<SockAddr> for Address {
    fn from(address: SockAddr) -> Address {
        Address(address)
    }
}

impl From<Address> for SockAddr {
    fn from(address: Address) -> SockAddr {
        address.0
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address(address.into())
    }
}

impl<I: Into<IpAddr>> From<(I, u16)> for Address {
    fn from((ip, port): (I, u16)) -> Address {
        SocketAddr::new(ip.into(), port).into()
    }
}
