//! [`ToAddress`]: the types that are accepted as an address; [`Endpoint`]: an address or a socket.

use crate::{
    address::Address,
    question::{Hints, Question},
    socket::Socket,
};
use asyncio_core::{Error, Result};
use socket2::Domain;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    path::{Path, PathBuf},
};

/// A type that is accepted as an address: an [`Address`], any pair of an IP address and a port, a
/// `(host, port)` whose host and port may be names, or text. Text is `"host:port"`, or the path of a
/// Unix socket.
///
/// An empty host is Python's `None`: every interface for a listening socket, else this machine.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an address",
    label = "an address is expected",
    note = "write `(\"127.0.0.1\", 8888)`, `\"127.0.0.1:8888\"`, a `SocketAddr`, or for a Unix socket the path",
    note = "a port that is not a literal has to be a `u16`"
)]
pub trait ToAddress {
    /// Converts to the target of an operation.
    fn to_target(self) -> Target;
}

/// An address, in which a name is not looked up yet.
#[derive(Clone)]
pub struct Target(Said);

#[derive(Clone)]
enum Said {
    Address(Address),
    Host(String, Service),
    Text(String),
    Path(PathBuf),
}

/// `127.0.0.1:80`, `localhost:http`, `/run/a.sock`
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Said::Address(address) => write!(f, "{address}"),
            Said::Host(host, service) => write!(f, "{host}:{service}"),
            Said::Text(text) => f.write_str(text),
            Said::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A port, or the name of a service, such as `"http"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// A number.
    Port(u16),
    /// A name, which is looked up.
    Name(String),
}

impl From<u16> for Service {
    fn from(port: u16) -> Service {
        Service::Port(port)
    }
}

/// Digits are a number; empty text is the number 0.
impl From<&str> for Service {
    fn from(text: &str) -> Service {
        match text.parse() {
            Ok(port) => Service::Port(port),
            Err(_) if text.is_empty() => Service::Port(0),
            Err(_) => Service::Name(text.to_owned()),
        }
    }
}

impl From<String> for Service {
    fn from(text: String) -> Service {
        Service::from(&*text)
    }
}

/// `80`, `http`
impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Service::Port(port) => write!(f, "{port}"),
            Service::Name(name) => f.write_str(name),
        }
    }
}

/// A type that is accepted as the host of [`getaddrinfo`](crate::getaddrinfo): text, or `None` for this machine.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a host",
    label = "write the host as text, or `None` for this machine",
    note = "the port is an argument of its own: `getaddrinfo(\"localhost\", 80)`"
)]
pub trait ToHost {
    /// Returns the host, if there is one.
    fn to_host(self) -> Option<String>;
}

impl ToHost for &str {
    fn to_host(self) -> Option<String> {
        Some(self.to_owned())
    }
}

impl ToHost for String {
    fn to_host(self) -> Option<String> {
        Some(self)
    }
}

impl ToHost for &String {
    fn to_host(self) -> Option<String> {
        Some(self.clone())
    }
}

impl ToHost for Option<&str> {
    fn to_host(self) -> Option<String> {
        self.map(str::to_owned)
    }
}

/// An address, or the question that finds one.
#[derive(Debug)]
pub(crate) enum Resolved {
    Address(Address),
    Question(Question),
}

impl Target {
    pub(crate) fn host(host: String, service: Service) -> Target {
        Target(Said::Host(host, service))
    }

    /// Resolves the address as far as possible without a look-up.
    pub(crate) fn resolve(self, hints: Hints) -> Result<Resolved> {
        let (host, service) = match self.0 {
            Said::Address(address) => return address.check().map(Resolved::Address),
            Said::Path(path) => return Address::from_path(path).map(Resolved::Address),
            Said::Text(path) if hints.family == Some(Domain::UNIX) => {
                return Address::from_path(path).map(Resolved::Address);
            }
            Said::Text(text) => return Target(split(&text)?).resolve(hints),
            Said::Host(host, service) => (host, service),
        };
        let question = Question::new(host, service, hints)?;
        Ok(match question.answer_at_once() {
            Some(address) => Resolved::Address(address.into()),
            None => Resolved::Question(question),
        })
    }
}

/// Splits `host:port`; an IPv6 address is in brackets.
fn split(text: &str) -> Result<Said> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Said::Address(address.into()));
    }
    let parts = text.rsplit_once(':').and_then(|(host, port)| {
        let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = in_brackets.or_else(|| (!host.contains(':')).then_some(host))?;
        Some(Said::Host(host.to_owned(), Service::Port(port.parse().ok()?)))
    });
    parts.ok_or_else(|| Error::value(format!("{text:?} is not of the form host:port")))
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
    ([u8; 4], u16): address => Said::Address(address.into());
    ([u8; 16], u16): address => Said::Address(address.into());
    (&str, u16): address => Said::Host(address.0.to_owned(), address.1.into());
    (String, u16): address => Said::Host(address.0, address.1.into());
    (&str, &str): address => Said::Host(address.0.to_owned(), address.1.into());
    (&str, Service): address => Said::Host(address.0.to_owned(), address.1);
    &str: text => Said::Text(text.to_owned());
    String: text => Said::Text(text);
    &String: text => Said::Text(text.clone());
    &Path: path => Said::Path(path.to_owned());
    PathBuf: path => Said::Path(path);
    &PathBuf: path => Said::Path(path.clone());
}

impl ToAddress for Target {
    fn to_target(self) -> Target {
        self
    }
}

/// A type that is accepted for one side of a connection: an address, or an existing socket
/// (asyncio's `sock` argument).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither an address nor a socket",
    label = "an address is expected",
    note = "write `(\"127.0.0.1\", 8888)`, `\"127.0.0.1:8888\"`, a `SocketAddr`, for a Unix socket the path, or \
            an `asyncio::socket::Socket`",
    note = "a port that is not a literal has to be a `u16`"
)]
pub trait ToEndpoint {
    /// Converts to the target of an operation.
    fn to_endpoint(self) -> Endpoint;
}

/// One side of a connection.
#[derive(Debug)]
pub enum Endpoint {
    /// An address.
    Address(Target),
    /// A socket.
    Socket(Socket),
}

impl Endpoint {
    /// Returns the host name, or the IP address, with which a certificate is compared. For the
    /// crates that are built on this one.
    #[doc(hidden)]
    pub fn host(&self) -> Option<String> {
        let Endpoint::Address(Target(said)) = self else { return None };
        let host = match said {
            Said::Address(address) => address.as_inet()?.ip().to_string(),
            Said::Host(host, _) => host.clone(),
            Said::Text(text) => match split(text).ok()? {
                Said::Address(address) => address.as_inet()?.ip().to_string(),
                Said::Host(host, _) => host,
                Said::Text(_) | Said::Path(_) => return None,
            },
            Said::Path(_) => return None,
        };
        (!host.is_empty()).then_some(host)
    }
}

impl<A: ToAddress> ToEndpoint for A {
    fn to_endpoint(self) -> Endpoint {
        Endpoint::Address(self.to_target())
    }
}

impl ToEndpoint for Endpoint {
    fn to_endpoint(self) -> Endpoint {
        self
    }
}

impl ToEndpoint for Socket {
    fn to_endpoint(self) -> Endpoint {
        Endpoint::Socket(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::libc::{AI_CANONNAME, AI_PASSIVE};
    use socket2::{Protocol, Type};

    fn stream(family: impl Into<Option<Domain>>) -> Hints {
        Hints { family: family.into(), kind: Some(Type::STREAM), ..Hints::default() }
    }

    fn resolved(target: impl ToAddress, hints: Hints) -> String {
        match target.to_target().resolve(hints) {
            Ok(Resolved::Address(address)) => address.to_string(),
            Ok(Resolved::Question(question)) => format!("{question}?"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_needs_no_look_up_gets_none() {
        for family in [None, Some(Domain::IPV4)] {
            assert_eq!(resolved(("127.0.0.1", 80), stream(family)), "127.0.0.1:80");
            assert_eq!(resolved(("127.0.0.1", "80"), stream(family)), "127.0.0.1:80");
            assert_eq!(resolved(("127.0.0.1", ""), stream(family)), "127.0.0.1:0");
            assert_eq!(resolved("127.0.0.1:80", stream(family)), "127.0.0.1:80");
        }
        for family in [None, Some(Domain::IPV6)] {
            assert_eq!(resolved("[::1]:80", stream(family)), "[::1]:80");
            assert_eq!(resolved("[::1%3]:80", stream(family)), "[::1%3]:80");
            assert_eq!(resolved(("::1", 80), stream(family)), "[::1]:80");
        }
        let datagrams = Hints { kind: Some(Type::DGRAM), ..Hints::default() };
        assert_eq!(resolved(("::1", 80), datagrams), "[::1]:80");
        assert_eq!(resolved("/tmp/x", stream(Domain::UNIX)), "/tmp/x");
        assert_eq!(resolved(Path::new("/tmp/x"), stream(None)), "/tmp/x");
    }

    #[test]
    fn no_host_is_this_machine_or_every_interface() {
        assert_eq!(resolved(("", 80), stream(Domain::IPV4)), "127.0.0.1:80");
        assert_eq!(resolved(("", 80), stream(Domain::IPV6)), "[::1]:80");
        let passive = |family| Hints { flags: AI_PASSIVE, ..stream(family) };
        assert_eq!(resolved(("", 80), passive(Domain::IPV4)), "0.0.0.0:80");
        assert_eq!(resolved(":80", passive(Domain::IPV6)), "[::]:80");
        assert_eq!(resolved(("", 80), stream(None)), ":80, kind=1?");
    }

    #[test]
    fn names_zones_and_services_are_looked_up_and_so_is_what_a_literal_does_not_say() {
        assert_eq!(resolved(("localhost", 80), stream(None)), "localhost:80, kind=1?");
        assert_eq!(resolved("localhost:80", stream(None)), "localhost:80, kind=1?");
        let text = "fe80::1%lo:80, family=AF_INET6, kind=1?";
        assert_eq!(resolved(("fe80::1%lo", 80), stream(Domain::IPV6)), text);
        assert_eq!(resolved("[fe80::1%lo]:80", stream(Domain::IPV6)), text);
        assert_eq!(resolved(("127.0.0.1", "http"), stream(None)), "127.0.0.1:http, kind=1?");
        let text = "127.0.0.1:80, family=AF_INET6, kind=1?";
        assert_eq!(resolved(("127.0.0.1", 80), stream(Domain::IPV6)), text);
        assert_eq!(resolved(("127.0.0.1", 80), Hints::default()), "127.0.0.1:80?");
        let raw = Hints { kind: Some(Type::RAW), ..Hints::default() };
        assert_eq!(resolved(("127.0.0.1", 80), raw), "127.0.0.1:80, kind=3?");
        let other = Hints { protocol: Some(Protocol::ICMPV4), ..stream(None) };
        assert_eq!(resolved(("127.0.0.1", 80), other), "127.0.0.1:80, kind=1, protocol=1?");
        let canonical = Hints { flags: AI_CANONNAME, ..stream(None) };
        assert!(resolved(("127.0.0.1", 80), canonical).ends_with("flags=2?"));
    }

    #[test]
    fn what_is_no_address_is_an_error() {
        for text in ["localhost", "localhost:http", "::1:80:", "1.2.3.4:99999", "[::1:80", ""] {
            let expected = format!("{text:?} is not of the form host:port");
            assert_eq!(resolved(text, stream(None)), expected);
        }
        assert_eq!(resolved(("a\0b", 1), stream(None)), "a host name has no null bytes");
        assert_eq!(resolved(("a", "b\0"), stream(None)), "a service name has no null bytes");
        for port in ["65536", "123456789012", "+65616", " 65616", "-1", "+"] {
            let expected = format!("port must be 0-65535, not {port}");
            assert_eq!(resolved(("127.0.0.1", port), stream(None)), expected);
        }
        assert!(resolved("x".repeat(200), stream(Domain::UNIX)).contains("SUN_LEN"));
    }
}
