//! asyncio's low-level sockets: [`Socket`], the `sock_*` operations on it, addresses and names.
//!
//! A [`Socket`] is a system socket in non-blocking mode with its [`Source`](asyncio_core::source::Source). It is
//! registered with the loop once, at its first wait, and deregistered when it is dropped. An operation tries first, and
//! waits only if the system call would block. Several operations may wait on one socket; in each direction, they are
//! served in order.
//!
//! A running event loop is needed; it comes from `asyncio`, or from `asyncio-loop`.
//!
//! ```
//! use asyncio_loop::new_event_loop;
//! use asyncio_sockets::{Domain, Socket, Type, sock_accept, sock_connect, sock_recv, sock_sendall};
//!
//! let event_loop = new_event_loop()?;
//! event_loop.run_until_complete(async {
//!     let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
//!     listener.bind(("127.0.0.1", 0))?;
//!     listener.listen(100)?;
//!
//!     let client = Socket::new(Domain::IPV4, Type::STREAM, None)?;
//!     sock_connect(&client, listener.local_addr()?).await?;
//!     let (server, address) = sock_accept(&listener).await?;
//!     assert_eq!(address, client.local_addr()?);
//!
//!     sock_sendall(&client, b"hello").await?;
//!     assert_eq!(sock_recv(&server, 1024).await?, "hello");
//!     asyncio_core::Result::Ok(())
//! })?;
//! event_loop.close()?;
//! # Ok::<(), asyncio_core::Error>(())
//! ```
//!
//! # Cancellation
//! An operation that is cancelled while it waits has done nothing: data that has arrived is left to the
//! next one, and no connection is lost. Only [`sock_sendall`] and [`sock_sendfile`] may have done a part
//! of their work; [`SockSendall::sent`] and [`SockSendfile::sent`] return how much.
//!
//! # Differences from asyncio
//! asyncio refuses an operation on the socket of a transport. Here a transport owns its socket, so this
//! cannot happen. A second operation in the same direction waits for the first, where asyncio's would
//! replace it.

mod accept;
mod address;
mod connect;
mod decode;
mod errors;
mod lookup;
mod messages;
mod question;
mod receive;
mod resolver;
mod send;
mod sendfile;
mod short;
mod socket;
mod target;
#[cfg(test)]
mod tests;

pub use accept::accept;
pub use accept::{SockAccept, sock_accept};
pub use address::Address;
#[doc(hidden)]
pub use asyncio_core::{Error, Result};
pub use bytes::Bytes;
pub use connect::{SockConnect, sock_connect};
pub use decode::Decode;
#[doc(hidden)]
pub use errors::{described, described_as, in_call};
#[doc(hidden)]
pub use lookup::{Answer, Lookup, on_thread};
pub use messages::{ReceivedMessage, SockRecvmsg, SockSendmsg, sock_recvmsg, sock_sendmsg};
pub use question::AddrInfo;
pub use receive::{
    SockRecv, SockRecvInto, SockRecvfrom, SockRecvfromInto, sock_recv, sock_recv_into,
    sock_recvfrom, sock_recvfrom_into,
};
pub use resolver::{GetAddrInfo, GetNameInfo, ensure_resolved, getaddrinfo, getnameinfo};
pub use send::{SockSendall, SockSendto, sock_sendall, sock_sendto};
#[doc(hidden)]
pub use sendfile::Transfer;
pub use sendfile::{SENDFILE_FALLBACK_READBUFFER_SIZE, SockSendfile, sock_sendfile};
#[doc(hidden)]
pub use short::{is_short, is_tcp};
pub use socket::Socket;
pub use socket2::{Domain, Protocol, Type};
pub use target::{Endpoint, Service, Target, ToAddress, ToEndpoint, ToHost};

/// The flags of [`getaddrinfo`].
pub use nix::libc::{AI_ADDRCONFIG, AI_CANONNAME, AI_NUMERICHOST, AI_NUMERICSERV, AI_PASSIVE};
/// The flags of [`getnameinfo`].
pub use nix::libc::{NI_DGRAM, NI_NAMEREQD, NI_NOFQDN, NI_NUMERICHOST, NI_NUMERICSERV};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
