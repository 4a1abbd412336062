//! [`Address`]: the address of a socket.

use asyncio_core::{Error, Result};
use socket2::SockAddr;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    os::unix::ffi::OsStrExt,
    path::Path,
};

/// The address of a socket of any family: an IP address with a port, or a path.
///
/// ```
/// use asyncio::Address;
/// let address = Address::from(([127, 0, 0, 1], 8888));
/// assert_eq!(address.to_string(), "127.0.0.1:8888");
/// assert_eq!((address.ip().unwrap().is_loopback(), address.port()), (true, Some(8888)));
/// assert_eq!(Address::from_path("/tmp/s")?.as_path().unwrap().to_str(), Some("/tmp/s"));
/// # Ok::<(), asyncio::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(SockAddr);

impl Address {
    /// Creates the address of a Unix socket at `path`. A path that begins with a null byte is in
    /// Linux's abstract namespace. If the path is empty, `bind` lets the system choose a name on
    /// Linux.
    ///
    /// # Errors
    /// An error if the path is too long: about 100 bytes fit. `Value` if it contains a null byte,
    /// because the system would use only the part before it.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Address> {
        let path = path.as_ref();
        if is_cut(path.as_os_str().as_bytes()) {
            return Err(embedded_null_byte(path));
        }
        Ok(Address(SockAddr::unix(path)?))
    }

    /// # Errors
    /// `Value` if the address was made from a [`SockAddr`] whose path contains a null byte. Trailing null
    /// bytes are accepted: some systems pad their addresses with them.
    #[doc(hidden)]
    pub fn check(self) -> Result<Address> {
        match self.as_path() {
            Some(path) if is_cut(without_padding(path)) => Err(embedded_null_byte(path)),
            _ => Ok(self),
        }
    }

    /// Returns the IP address and port, if the address is of an internet family.
    pub fn as_inet(&self) -> Option<SocketAddr> {
        self.0.as_socket()
    }

    /// Returns the IP address, if the address is of an internet family (Python's `address[0]`).
    pub fn ip(&self) -> Option<IpAddr> {
        self.as_inet().map(|address| address.ip())
    }

    /// Returns the port, if the address is of an internet family (Python's `address[1]`).
    pub fn port(&self) -> Option<u16> {
        self.as_inet().map(|address| address.port())
    }

    /// Returns the path, if this is the address of a Unix socket with a path.
    pub fn as_path(&self) -> Option<&Path> {
        self.0.as_pathname()
    }

    /// Returns the address in the system's form.
    pub fn as_sock_addr(&self) -> &SockAddr {
        &self.0
    }
}

/// Whether the system would use only a part of this path. An abstract name may contain null bytes.
fn is_cut(path: &[u8]) -> bool {
    let is_abstract =
        cfg!(any(target_os = "linux", target_os = "android")) && path.starts_with(b"\0");
    !is_abstract && path.contains(&0)
}

fn without_padding(path: &Path) -> &[u8] {
    let bytes = path.as_os_str().as_bytes();
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &bytes[..end]
}

fn embedded_null_byte(path: &Path) -> Error {
    Error::value(format!(
        "the path of a Unix socket has an embedded null byte: {path:?}; use a path without it"
    ))
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
