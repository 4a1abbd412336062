//! [`Address`]: where a socket is, or is to go; and [`ToAddress`]: what the program may say for it.

use asyncio_core::{Error, Result};
use socket2::{Domain, SockAddr};
use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    path::{Path, PathBuf},
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

/// What can be said for an address: an [`Address`], anything that names an IP address and a port, a
/// `(host, port)` whose host may be a name, or text: `"host:port"`, and for a Unix socket the path.
///
/// An empty host is every interface, as in Python.
pub trait ToAddress {
    /// What was said.
    fn to_target(self) -> Target;
}

/// What was said for an address; a name in it is not looked up yet.
#[derive(Clone, Debug)]
pub struct Target(Said);

#[derive(Clone, Debug)]
enum Said {
    Address(Address),
    Host(String, u16),
    Text(String),
    Path(PathBuf),
}

/// An address, or what has to be looked up to find one.
#[derive(Debug)]
pub(crate) enum Resolved {
    Address(Address),
    Name(String, u16),
}

impl Target {
    /// The address for a socket of this family, as far as it can be told without asking anyone.
    pub(crate) fn resolve(self, domain: Domain) -> Result<Resolved> {
        let (host, port) = match self.0 {
            Said::Address(address) => return Ok(Resolved::Address(address)),
            Said::Path(path) => return Address::from_path(path).map(Resolved::Address),
            Said::Text(path) if domain == Domain::UNIX => {
                return Address::from_path(path).map(Resolved::Address);
            }
            Said::Text(text) => split(&text)?,
            Said::Host(host, port) => (host, port),
        };
        if host.is_empty() {
            let every: IpAddr = match domain {
                Domain::IPV6 => Ipv6Addr::UNSPECIFIED.into(),
                _ => Ipv4Addr::UNSPECIFIED.into(),
            };
            return Ok(Resolved::Address((every, port).into()));
        }
        match host.parse::<IpAddr>() {
            Ok(ip) => Ok(Resolved::Address((ip, port).into())),
            Err(_) if host.as_bytes().contains(&0) => {
                Err(Error::value("a host name has no null bytes"))
            }
            Err(_) => Ok(Resolved::Name(host, port)),
        }
    }
}

/// `host:port`; an IPv6 address stands in brackets.
fn split(text: &str) -> Result<(String, u16)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok((address.ip().to_string(), address.port()));
    }
    let parts = text.rsplit_once(':').filter(|(host, _)| !host.contains(':'));
    match parts.map(|(host, port)| (host, port.parse())) {
        Some((host, Ok(port))) => Ok((host.to_owned(), port)),
        _ => Err(Error::value(format!("{text:?} is not of the form host:port"))),
    }
}

/// The first address of a socket's family under a name. Blocks.
pub(crate) fn look_up(host: &str, port: u16, domain: Domain) -> io::Result<Address> {
    let found = std::net::ToSocketAddrs::to_socket_addrs(&(host, port))?;
    let fits = |address: &SocketAddr| match domain {
        Domain::IPV4 => address.is_ipv4(),
        Domain::IPV6 => address.is_ipv6(),
        _ => true,
    };
    let address = found.into_iter().find(fits);
    address.map(Address::from).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            format!("{host} has no address of the socket's family"),
        )
    })
}

macro_rules! said {
    ($($type:ty: $value:ident => $said:expr;)*) => {$(
        impl ToAddress for $type {
            fn to_target(self) -> Target {
                let $value = self;
                Target($said)
            }
        }
    )*};
}

said! {
    Address: address => Said::Address(address);
    &Address: address => Said::Address(address.clone());
    SocketAddr: address => Said::Address(address.into());
    SocketAddrV4: address => Said::Address(SocketAddr::from(address).into());
    SocketAddrV6: address => Said::Address(SocketAddr::from(address).into());
    (IpAddr, u16): address => Said::Address(address.into());
    (Ipv4Addr, u16): address => Said::Address(address.into());
    (Ipv6Addr, u16): address => Said::Address(address.into());
    (&str, u16): address => Said::Host(address.0.to_owned(), address.1);
    (String, u16): address => Said::Host(address.0, address.1);
    &str: text => Said::Text(text.to_owned());
    String: text => Said::Text(text);
    &Path: path => Said::Path(path.to_owned());
    PathBuf: path => Said::Path(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(target: impl ToAddress, domain: Domain) -> String {
        match target.to_target().resolve(domain) {
            Ok(Resolved::Address(address)) => address.to_string(),
            Ok(Resolved::Name(host, port)) => format!("{host} {port}?"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_needs_no_look_up_gets_none() {
        assert_eq!(resolved(("127.0.0.1", 80), Domain::IPV4), "127.0.0.1:80");
        assert_eq!(resolved("127.0.0.1:80", Domain::IPV4), "127.0.0.1:80");
        assert_eq!(resolved("[::1]:80", Domain::IPV6), "[::1]:80");
        assert_eq!(resolved(("", 80), Domain::IPV4), "0.0.0.0:80");
        assert_eq!(resolved(("", 80), Domain::IPV6), "[::]:80");
        assert_eq!(resolved("/tmp/x", Domain::UNIX), "/tmp/x");
        assert_eq!(resolved(Path::new("/tmp/x"), Domain::UNIX), "/tmp/x");
    }

    #[test]
    fn names_and_zones_are_looked_up() {
        assert_eq!(resolved(("localhost", 80), Domain::IPV4), "localhost 80?");
        assert_eq!(resolved("localhost:80", Domain::IPV4), "localhost 80?");
        assert_eq!(resolved(("fe80::1%lo", 80), Domain::IPV6), "fe80::1%lo 80?");
        let found = look_up("localhost", 80, Domain::IPV4).unwrap();
        assert_eq!(found.to_string(), "127.0.0.1:80");
    }

    #[test]
    fn what_is_no_address_is_an_error() {
        for text in ["localhost", "localhost:http", "::1:80:", "1.2.3.4:99999", ""] {
            assert_eq!(
                resolved(text, Domain::IPV4),
                format!("{text:?} is not of the form host:port")
            );
        }
        assert_eq!(resolved(("a\0b", 1), Domain::IPV4), "a host name has no null bytes");
        assert!(resolved("x".repeat(200), Domain::UNIX).contains("SUN_LEN"));
    }
}
