//! asyncio's streams: connections as two halves, one for reading and one for writing.
//!
//! A running event loop is needed; it comes from `asyncio`, or from `asyncio-loop`.
//!
//! | here | in asyncio |
//! |---|---|
//! | [`open_connection`], [`open_unix_connection`] | the functions of these names |
//! | [`start_server`], [`start_unix_server`] | the functions of these names |
//! | [`StreamReader`], fed by hand through a [`StreamFeeder`] | `asyncio.StreamReader` |
//! | [`StreamWriter`] | `asyncio.StreamWriter` |
//! | [`open_datagram_endpoint`], [`DatagramEndpoint`] | – |
//! | [`Duplex`], both halves as one value | – |
//! | [`StreamReaderProtocol`] | `asyncio.StreamReaderProtocol` |
//! | [`stdin`], [`stdout`], [`stderr`], [`input`] | `sys.stdin` through `connect_read_pipe`, …; `input` |
//! | [`DEFAULT_LIMIT`] | `streams._DEFAULT_LIMIT` |
//!
//! ```
//! use asyncio_streams::{open_connection, start_server};
//!
//! # asyncio_loop::run(async {
//! let server = start_server(
//!     async |mut reader, writer| {
//!         let line = reader.readline().await?;
//!         writer.write(&line.to_ascii_uppercase());
//!         writer.drain().await
//!     },
//!     ("127.0.0.1", 0),
//! )
//! .await?;
//!
//! let (mut reader, writer) = open_connection(server.local_addr()).await?;
//! writer.write(b"hello\n");
//! writer.drain().await?;
//! assert_eq!(reader.readline().await?, "HELLO\n");
//! # server.close();
//! # Ok(())
//! # }).unwrap();
//! ```
//!
//! # Cancellation
//! A cancelled read leaves all data to the next one: a read consumes exactly what it returns. A
//! cancelled [`drain`](StreamWriter::drain) does not withdraw written data. A connection or server
//! that was being made is closed. The same holds for dropped futures.
//!
//! # Threads
//! A connection lives in its loop. Its halves may be moved to other threads, and be awaited there
//! under any executor. Data that is written on another thread is passed to the loop first, and no
//! high-water mark limits how much of it is queued. Prefer to write on the loop's thread.
//!
//! # Differences from asyncio
//! - `read()` without a number is [`read_to_end`](StreamReader::read_to_end). Cancelled, it loses nothing.
//! - Reads take `&mut self`, so a second read cannot start while one waits; in asyncio, this is a
//!   `RuntimeError`.
//! - [`write`](StreamWriter::write) returns nothing: if it was refused, the next
//!   [`drain`](StreamWriter::drain) returns the error.
//! - Dropping an unclosed writer ends the sending direction. The connection is closed when the reader
//!   is dropped too, or reaches the end of the stream. asyncio closes it immediately, and the peer's
//!   answer is lost. The warning about it appears in debug mode only.
//! - `start_server` takes coroutine functions; for plain functions, use
//!   [`StreamReaderProtocol::with_callback`].
//! - A limit of zero is an error of `start_server` itself, not of each connection.
//! - Cancelling a wait for the end of a connection does not affect other waiters.

#![forbid(unsafe_code)]

mod buffer;
mod connect;
mod datagrams;
mod duplex;
mod futures_io;
mod protocol;
mod reader;
mod reading;
mod separators;
mod server;
#[cfg(feature = "tls")]
mod ssl;
mod state;
mod stdio;
#[cfg(feature = "tokio")]
mod tokio_io;
mod writer;

pub use asyncio_core::{Error, Result};
pub use connect::{
    OpenConnection, OpenUnixConnection, Opening, open_connection, open_unix_connection,
};
pub use datagrams::{
    DatagramEndpoint, NextDatagram, OpenDatagramEndpoint, OpeningDatagramEndpoint, RecvFrom,
    open_datagram_endpoint,
};
pub use duplex::Duplex;
pub use protocol::StreamReaderProtocol;
pub use reader::{DEFAULT_LIMIT, StreamFeeder, StreamReader};
pub use reading::{NextLine, Read, ReadChunk, ReadExactly, ReadLine, ReadToEnd, ReadUntil};
pub use separators::{IntoSeparators, Separators};
pub use server::{StartServer, StartUnixServer, Starting, start_server, start_unix_server};
#[cfg(feature = "tls")]
pub use ssl::StartTls;
pub use stdio::{OpeningStdio, Stdin, StdioWriter, input, stderr, stdin, stdout};
pub use writer::{Drain, StreamWriter, WaitClosed};

#[cfg(test)]
mod tests;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
