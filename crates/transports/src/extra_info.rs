//! [`ExtraInfo`]: information about a connection.

use crate::trsock::TransportSocket;
use asyncio_sockets::Address;
use std::{fmt, net::SocketAddr};

/// A key for `get_extra_info` of a transport, whose value is a `T`.
///
/// You can make a key of your own from others:
///
/// ```
/// use asyncio::{ExtraInfo, PEERNAME};
/// use std::net::IpAddr;
///
/// /// The IP address of the other side.
/// const PEER_IP: ExtraInfo<IpAddr> =
///     ExtraInfo::new("peer_ip", |known| known.get(PEERNAME)?.ip());
/// # #[allow(dead_code)]
/// fn greet(transport: &asyncio::Transport) {
///     println!("hello {:?}", transport.get_extra_info(PEER_IP));
/// }
/// ```
pub struct ExtraInfo<T> {
    name: &'static str,
    find: fn(Known<'_>) -> Option<T>,
}

impl<T> Clone for ExtraInfo<T> {
    fn clone(&self) -> ExtraInfo<T> {
        *self
    }
}

impl<T> Copy for ExtraInfo<T> {}

/// The information about one transport, for keys that are made from other keys: see [`ExtraInfo`].
#[derive(Clone, Copy)]
pub struct Known<'a>(pub(crate) &'a dyn Informed);

impl Known<'_> {
    /// Returns the value of `key`.
    pub fn get<T>(self, key: ExtraInfo<T>) -> Option<T> {
        (key.find)(self)
    }
}

impl fmt::Debug for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Known({:?})", self.0.names())
    }
}

/// A transport, of any kind.
pub(crate) trait Informed {
    fn names(&self) -> &Names;
    fn socket(&self) -> Option<TransportSocket>;

    /// Its TLS layer, if it can have one.
    #[cfg(feature = "tls")]
    fn ssl(&self) -> Option<&crate::ssl::Layer> {
        None
    }
}

impl<T> ExtraInfo<T> {
    /// Creates a key from a name and a function that finds its value.
    pub const fn new(name: &'static str, find: fn(Known<'_>) -> Option<T>) -> ExtraInfo<T> {
        ExtraInfo { name, find }
    }

    pub(crate) fn of(self, transport: &dyn Informed) -> Option<T> {
        Known(transport).get(self)
    }

    /// Returns asyncio's name of the key.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl<T> fmt::Debug for ExtraInfo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExtraInfo({:?})", self.name)
    }
}

/// The address of the other side (`"peername"`), even after the end of the connection.
pub const PEERNAME: ExtraInfo<Address> =
    ExtraInfo::new("peername", |transport| transport.0.names().peer.get());

/// The address of this side (`"sockname"`), even after the end of the connection.
pub const SOCKNAME: ExtraInfo<Address> =
    ExtraInfo::new("sockname", |transport| transport.0.names().sock.get());

/// The socket (`"socket"`). A pipe has none, and there is none after the end of the connection or
/// on another thread.
pub const SOCKET: ExtraInfo<TransportSocket> =
    ExtraInfo::new("socket", |transport| transport.0.socket());

/// The two addresses of a connection.
#[derive(Clone, Default)]
pub(crate) struct Names {
    pub(crate) sock: Name,
    pub(crate) peer: Name,
}

/// An address in compact form, because every connection has two.
#[derive(Clone, Default)]
pub(crate) enum Name {
    #[default]
    None,
    Inet(SocketAddr),
    Other(Box<Address>),
}

impl Name {
    fn get(&self) -> Option<Address> {
        match self {
            Name::None => None,
            Name::Inet(address) => Some((*address).into()),
            Name::Other(address) => Some((**address).clone()),
        }
    }
}

impl From<Option<Address>> for Name {
    fn from(address: Option<Address>) -> Name {
        match address {
            None => Name::None,
            Some(address) => match address.as_inet() {
                Some(inet) => Name::Inet(inet),
                None => Name::Other(Box::new(address)),
            },
        }
    }
}

/// `127.0.0.1:8888 - 127.0.0.1:40404`
impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.sock.get(), self.peer.get()) {
            (Some(sock), Some(peer)) => write!(f, "{sock} - {peer}"),
            (Some(one), None) | (None, Some(one)) => write!(f, "{one}"),
            (None, None) => f.write_str("pipe"),
        }
    }
}
