//! asyncio's transports and protocols: TCP, Unix sockets, UDP, pipes, servers.
//!
//! A *transport* moves bytes; a *protocol* is called with the bytes that arrive, and decides what to
//! send. This layer is for programs that implement a protocol; most programs want `asyncio-streams`,
//! which is built on it.
//!
//! A running event loop is needed; it comes from `asyncio`, or from `asyncio-loop`.
//!
//! # Cancellation
//! Transports are not awaited, so nothing cancels them: [`close`](Transport::close) and
//! [`abort`](Transport::abort) end one. The functions that create a transport are awaited, and
//! their docs say what a cancellation leaves behind: a connection that was being made is closed.
//!
//! # Threads
//! A connection lives in its loop, with its protocol, until it is lost, whether or not the program keeps
//! a handle. A [`Transport`] is such a handle, and may be moved to any thread; calls from there are
//! passed to the loop. Protocols stay on the loop's thread, and need not be `Send`.
//!
//! # Differences from asyncio
//! Each callback of a protocol gets the transport as an argument, so there is nothing to store in
//! `connection_made`. `pause_writing` and `resume_writing` are called inside `write`, as in asyncio; but if the
//! protocol itself writes, they are called right after its callback. Data that cannot be written (after
//! `write_eof`, for example) is an error for the loop's exception handler; `write` returns nothing, as in asyncio.

mod connect;
mod connection;
mod datagram;
mod extra_info;
mod flow_control;
mod io;
mod pipes;
mod protocols;
mod sendfile;
mod server;
mod slot;
#[cfg(feature = "tls")]
pub mod ssl;
#[cfg(not(feature = "tls"))]
#[path = "no_ssl.rs"]
mod ssl;
mod starting;
mod stream;
#[cfg(test)]
mod testing;
mod transport;
mod trsock;

pub use asyncio_core::{Error, Result};
pub use connect::{
    Connecting, ConnectingTransport, CreateConnection, connect_accepted_socket, create_connection,
    create_unix_connection, create_unix_connection_at,
};
#[doc(hidden)] // For asyncio-streams.
pub use connection::Arrival;
pub use datagram::{
    CreateDatagramEndpoint, CreateDatagramTransport, DatagramProtocol, DatagramTransport,
    Recipient, create_datagram_endpoint,
};
pub use extra_info::{ExtraInfo, Known, PEERNAME, SOCKET, SOCKNAME};
#[doc(hidden)] // For asyncio-streams.
pub use io::pinned_by;
pub use pipes::{ConnectPipe, ConnectPipeTransport, connect_read_pipe, connect_write_pipe};
pub use protocols::{BufferedProtocol, IntoProtocol, Protocol};
pub use sendfile::{Sendfile, sendfile};
pub use server::{
    ACCEPT_RETRY_DELAY, CreateServer, CreateUnixServer, CreatingServer, ServeForever, Server,
    StartServing, WaitClosed, create_server, create_unix_server,
};
#[doc(hidden)] // The kind of a `Protocol`, for code that has to name it.
pub use slot::Plain;
pub use transport::{LOG_THRESHOLD_FOR_CONNLOST_WRITES, Transport};
pub use trsock::TransportSocket;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
