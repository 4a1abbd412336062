//! TLS (Python's module `ssl`, and asyncio's `sslproto`), over `rustls`.
//!
//! An [`SslContext`] holds the certificates, and the requirements for the other side. It is the
//! `ssl` argument of functions that create connections and servers, or an argument of [`start_tls`]
//! for an existing connection. The result is a [`Transport`] like any other: protocols and streams
//! work over it unchanged.
//!
//! ```
//! use asyncio_transports::ssl::{Purpose, create_default_context};
//! use asyncio_transports::{Protocol, Transport, create_connection, create_server};
//! use bytes::Bytes;
//!
//! struct Echo;
//! impl Protocol for Echo {
//!     fn data_received(&mut self, transport: &Transport, data: Bytes) {
//!         transport.write(&data);
//!     }
//! }
//!
//! # fn certificate() -> (String, String) {
//! #     let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
//! #     (made.cert.pem(), made.signing_key.serialize_pem())
//! # }
//! # asyncio_loop::run(async {
//! # let (certificate, key) = certificate();
//! let mut context = create_default_context(Purpose::ClientAuth);
//! context.load_cert_chain_pem(certificate.as_bytes(), key.as_bytes())?;
//! let server = create_server(|| Echo, ("127.0.0.1", 0)).ssl(context).await?;
//!
//! let mut context = create_default_context(Purpose::ServerAuth);
//! context.clear_verify_locations()?;
//! context.load_verify_pem(certificate.as_bytes())?;
//! let connecting = create_connection(|| Echo, server.local_addr());
//! let (transport, _) = connecting.ssl(context).server_hostname("localhost").await?;
//! transport.close();
//! # server.close();
//! # server.wait_closed().await
//! # }).unwrap();
//! ```
//!
//! # States
//!
//! A connection goes through these, and only along these arrows (asyncio's `SSLProtocolState`):
//!
//! ```text
//!                 connection_made of                 the handshake is over:
//!                 the transport below                connection_made
//!   UNWRAPPED ─────────────────► DO_HANDSHAKE ─────────────────► WRAPPED
//!       ▲                             │                             │ close(), the end by the other
//!       │    abort(), close(), failed │                             │ side; a last read is delivered
//!       │◄────────────────────────────┘                             ▼
//!       │                                                        FLUSHING
//!       │    abort(), failed: from every state                      │ all that was written is encrypted
//!       │◄──────────────────────────────────────────────────────────┤
//!       │                                                           ▼
//!       │    both sides have closed, or the limit is over        SHUTDOWN
//!       └────────────────────────────────────────────── close_notify was sent, and is awaited
//! ```
//!
//! If the handshake fails, `connection_made` is never called, and the task that awaits the connection gets the
//! error: an [`SslError`], or the error of the underlying connection. A handshake that takes too long ends
//! with an `Io` error of the kind `ConnectionAborted`.
//!
//! # The end
//!
//! `close()` sends the buffered data and a `close_notify`, and waits for the `close_notify` of the other
//! side, up to the limit; then `connection_lost(None)` is called, or `connection_lost` with a `Timeout`.
//! Data that arrives meanwhile is dropped. If the other side closes, `eof_received` is called, and the
//! connection is closed, whatever it returns: a TLS connection here cannot stay open in one direction, so
//! [`can_write_eof`](crate::Transport::can_write_eof) is false, although TLS 1.3 would permit it. If the
//! underlying connection ends without a `close_notify`, this is treated like an end with one, as in
//! asyncio: a protocol that has to distinguish the end of a message from a broken connection must send
//! the length of the message.
//!
//! # Flow control
//!
//! The protocol has to pause when 512 KiB of its output are not encrypted yet because the underlying
//! connection is full, and continues at 128 KiB. While the protocol has paused reading, up to 256 KiB of
//! encrypted input are kept; then the underlying connection is paused until 64 KiB are left.
//!
//! # Differences from asyncio
//! - What is buffered stays plain text until the connection below has room for it.
//! - Application data after `close()` is dropped, where asyncio ends with an error.
//! - An alert is sent when a handshake fails.
//! - [`start_tls`](StartTls::received) takes bytes that were received before on both sides, and not on
//!   the server's alone.

use crate::{flow_control::HIGH_WATER, transport::Transport};
use asyncio_core::raw::LoopLocal;
use info::Facts;
use protocol::SslProtocol;

mod arguments;
mod certificates;
mod configuration;
mod context;
mod error;
mod info;
mod protocol;
mod scratch;
mod sendfile;
mod session;
mod start_tls;
#[cfg(test)]
mod tests;
mod verify;

pub(crate) use arguments::{Arguments, Plan};
pub use arguments::{SSL_HANDSHAKE_TIMEOUT, SSL_SHUTDOWN_TIMEOUT, Ssl};
pub use context::{Purpose, SslContext, TlsVersion, VerifyMode, create_default_context};
pub use error::SslError;
pub(crate) use error::named;
pub use info::{CIPHER, COMPRESSION, Cipher, PEERCERT, SSL_OBJECT, SSLCONTEXT, SslObject};
pub use protocol::{FLOW_CONTROL_HIGH_WATER_SSL_READ, FLOW_CONTROL_HIGH_WATER_SSL_WRITE};
pub use start_tls::{StartTls, start_tls};

/// The underlying library, and its types for certificates and keys.
pub use rustls;

/// The object to which a [`Layer`] refers.
pub(crate) type Place = SslProtocol;

/// The TLS layer of a handle, if it has one.
pub(crate) struct Layer(Option<Box<Over>>);

struct Over {
    local: LoopLocal<SslProtocol>,
    facts: Facts,
}

impl Layer {
    pub(crate) const NONE: Layer = Layer(None);

    fn of(local: LoopLocal<SslProtocol>, facts: Facts) -> Layer {
        Layer(Some(Box::new(Over { local, facts })))
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<LoopLocal<SslProtocol>> {
        self.0.as_ref().map(|over| over.local)
    }

    /// The default of the high-water mark for writing.
    pub(crate) fn high_water(&self) -> usize {
        self.0.as_ref().map_or(HIGH_WATER, |_| FLOW_CONTROL_HIGH_WATER_SSL_WRITE)
    }

    fn facts(&self) -> Option<&Facts> {
        self.0.as_ref().map(|over| &over.facts)
    }

    pub(crate) fn object(&self) -> Option<&SslObject> {
        self.facts()?.object.get()
    }

    pub(crate) fn context(&self) -> Option<&SslContext> {
        self.facts().map(|facts| &facts.context)
    }
}

/// The marks for received data that is not decrypted yet.
impl Transport {
    /// Sets the marks, in bytes, for received data that is not decrypted yet because the protocol has
    /// paused reading (`set_read_buffer_limits`). At `high`, receiving stops; at `low`, it resumes. By
    /// default `high` is four times `low`, or 256 KiB; `low` is a quarter of `high`. Does nothing on a
    /// connection without TLS, which has no such buffer.
    ///
    /// # Errors
    /// `Value` unless `high` is at least `low`; nothing has changed.
    pub fn set_read_buffer_limits(
        &self,
        high: Option<usize>,
        low: Option<usize>,
    ) -> asyncio_core::Result<()> {
        let default = FLOW_CONTROL_HIGH_WATER_SSL_READ;
        let what = "set_read_buffer_limits";
        let (low, high) = crate::flow_control::water_marks(what, default, high, low)?;
        if let Some(place) = self.0.ssl.get() {
            place.send(move |ssl| ssl.set_read_marks(low, high));
        }
        Ok(())
    }

    /// Returns the marks, as `(low, high)` (`get_read_buffer_limits`); zeros without TLS.
    pub fn get_read_buffer_limits(&self) -> (usize, usize) {
        self.0.ssl.get().and_then(|p| p.with(SslProtocol::read_marks)).unwrap_or_default()
    }

    /// Returns the number of bytes that were received and are not decrypted yet
    /// (`get_read_buffer_size`).
    pub fn get_read_buffer_size(&self) -> usize {
        self.0.ssl.get().and_then(|p| p.with(SslProtocol::unread)).unwrap_or_default()
    }
}
