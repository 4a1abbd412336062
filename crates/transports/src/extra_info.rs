//! [`ExtraInfo`]: what can be asked about a connection.

use crate::trsock::TransportSocket;
use asyncio_sockets::Address;
use std::{fmt, net::SocketAddr};

/// Names something that `get_extra_info` of a transport tells: a `T`.
#[derive(Clone, Copy)]
pub struct ExtraInfo<T> {
    name: &'static str,
    find: fn(&dyn Informed) -> Option<T>,
}

/// A transport, of any kind.
pub(crate) trait Informed {
    fn names(&self) -> &Names;
    fn socket(&self) -> Option<TransportSocket>;
}

impl<T> ExtraInfo<T> {
    pub(crate) fn of(self, transport: &dyn Informed) -> Option<T> {
        (self.find)(transport)
    }

    /// asyncio's name of it.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl<T> fmt::Debug for ExtraInfo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExtraInfo({:?})", self.name)
    }
}

/// The address of the other side (`"peername"`); also after the connection is over.
pub const PEERNAME: ExtraInfo<Address> =
    ExtraInfo { name: "peername", find: |transport| transport.names().peer.get() };

/// The address of this side (`"sockname"`); also after the connection is over.
pub const SOCKNAME: ExtraInfo<Address> =
    ExtraInfo { name: "sockname", find: |transport| transport.names().sock.get() };

/// The socket (`"socket"`); not of a pipe, not once the connection is over, not on another thread.
pub const SOCKET: ExtraInfo<TransportSocket> =
    ExtraInfo { name: "socket", find: |transport| transport.socket() };

/// The two addresses of a connection.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) sock: Name,
    pub(crate) peer: Name,
}

/// An address in little memory: there is one pair in each connection.
#[derive(Default)]
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
