//! [`Protocol`] and [`BufferedProtocol`]: what is called with that which happens to a connection.

use crate::{
    slot::{Buffered, Calls, Plain},
    transport::Transport,
};
use asyncio_core::Error;
use bytes::Bytes;
use std::{cell::RefCell, rc::Rc};

/// What is called with the bytes of a stream as they arrive (`asyncio.Protocol`).
///
/// `connection_made` comes first and once, `connection_lost` last and once; `data_received` any number
/// of times between them, then perhaps `eof_received`, once. Each runs as a callback of the loop; a
/// panic in one is reported, and ends the connection.
pub trait Protocol: 'static {
    /// There is a connection.
    fn connection_made(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// The connection is over: `None` if it came to its end, or was closed or aborted on this side.
    fn connection_lost(&mut self, transport: &Transport, error: Option<Error>) {
        let _ = (transport, error);
    }

    /// More is buffered for sending than the high-water mark allows: write no more for now.
    fn pause_writing(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// No more is buffered than the low-water mark: go on writing.
    fn resume_writing(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// Some bytes arrived: at least one, and as many as there were.
    fn data_received(&mut self, transport: &Transport, data: Bytes);

    /// The other side will send no more. If this returns false, as it does unless written otherwise,
    /// the transport closes itself; if true, it stays open for writing.
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

/// A protocol that has bytes written into memory of its own (`asyncio.BufferedProtocol`).
///
/// Otherwise like [`Protocol`].
pub trait BufferedProtocol: 'static {
    /// There is a connection.
    fn connection_made(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// The connection is over: `None` if it came to its end, or was closed or aborted on this side.
    fn connection_lost(&mut self, transport: &Transport, error: Option<Error>) {
        let _ = (transport, error);
    }

    /// More is buffered for sending than the high-water mark allows: write no more for now.
    fn pause_writing(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// No more is buffered than the low-water mark: go on writing.
    fn resume_writing(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// Where the next bytes shall go. An empty buffer is an error that ends the connection.
    fn get_buffer(&mut self, transport: &Transport) -> &mut [u8];

    /// So many bytes were written to the beginning of that buffer.
    fn buffer_updated(&mut self, transport: &Transport, nbytes: usize);

    /// As [`Protocol::eof_received`].
    fn eof_received(&mut self, transport: &Transport) -> bool {
        let _ = transport;
        false
    }
}

/// What a transport can have for its protocol: a [`Protocol`] or a [`BufferedProtocol`]. The compiler
/// finds out which, and `Kind` with it.
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
