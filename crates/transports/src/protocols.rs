//! [`Protocol`] and [`BufferedProtocol`]: the callbacks of a connection.

use crate::{
    slot::{Buffered, Calls, Plain},
    transport::Transport,
};
use asyncio_core::Error;
use bytes::Bytes;
use std::{cell::RefCell, rc::Rc};

/// Receives the bytes of a stream as they arrive (`asyncio.Protocol`).
///
/// `connection_made` comes first and once, `connection_lost` last and once; `data_received` any number
/// of times between them, then perhaps `eof_received`, once. Each runs as a callback of the loop; a
/// panic in one is reported, and ends the connection.
#[doc(alias = "asyncio.Protocol")]
pub trait Protocol: 'static {
    /// The connection was made.
    fn connection_made(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// The connection is closed. The error is `None` if the stream ended, or was closed or aborted on this side.
    fn connection_lost(&mut self, transport: &Transport, error: Option<Error>) {
        let _ = (transport, error);
    }

    /// The write buffer has exceeded the high-water mark: stop writing for now.
    fn pause_writing(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// The write buffer has drained to the low-water mark: continue writing.
    fn resume_writing(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// Bytes arrived; there is at least one.
    fn data_received(&mut self, transport: &Transport, data: Bytes);

    /// The other side will send no more. If this returns false, which is the default, the transport closes itself.
    /// If true, it stays open for writing.
    fn eof_received(&mut self, transport: &Transport) -> bool {
        let _ = transport;
        false
    }

    /// Some bytes arrived: whether they are left with the system until the protocol asks for them.
    #[doc(hidden)]
    fn leaves(&mut self, transport: &Transport) -> bool {
        let _ = transport;
        false
    }
}

/// A protocol that receives bytes into its own buffer (`asyncio.BufferedProtocol`).
///
/// Otherwise like [`Protocol`].
#[doc(alias = "asyncio.BufferedProtocol")]
pub trait BufferedProtocol: 'static {
    /// The connection was made.
    fn connection_made(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// The connection is closed. The error is `None` if the stream ended, or was closed or aborted on this side.
    fn connection_lost(&mut self, transport: &Transport, error: Option<Error>) {
        let _ = (transport, error);
    }

    /// The write buffer has exceeded the high-water mark: stop writing for now.
    fn pause_writing(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// The write buffer has drained to the low-water mark: continue writing.
    fn resume_writing(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// Returns the buffer for the next bytes. An empty buffer is an error that ends the connection.
    fn get_buffer(&mut self, transport: &Transport) -> &mut [u8];

    /// `nbytes` bytes were written to the beginning of that buffer.
    fn buffer_updated(&mut self, transport: &Transport, nbytes: usize);

    /// As [`Protocol::eof_received`].
    fn eof_received(&mut self, transport: &Transport) -> bool {
        let _ = transport;
        false
    }
}

/// What a transport accepts as its protocol: a [`Protocol`] or a [`BufferedProtocol`]. The compiler infers which,
/// and `Kind` with it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no protocol",
    label = "the factory has to return a protocol",
    note = "implement `asyncio::Protocol` or `asyncio::BufferedProtocol` for `{Self}`"
)]
pub trait IntoProtocol<Kind>: Sized + 'static {
    #[doc(hidden)]
    fn into_calls(protocol: Rc<RefCell<Self>>) -> Calls;
}

impl<P: Protocol> IntoProtocol<Plain> for P {
    fn into_calls(protocol: Rc<RefCell<P>>) -> Calls {
        Calls::Plain(protocol)
    }
}

impl<P: BufferedProtocol> IntoProtocol<Buffered> for P {
    fn into_calls(protocol: Rc<RefCell<P>>) -> Calls {
        Calls::Buffered(protocol)
    }
}
