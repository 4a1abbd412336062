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
/// `connection_made` is called first and once, `connection_lost` last and once. Between them,
/// `data_received` is called any number of times, and then `eof_received` at most once. Each call is a
/// callback of the loop; a panic in one is reported, and ends the connection.
///
/// ```
/// use asyncio::{Bytes, Protocol, Transport};
///
/// struct Echo;
///
/// impl Protocol for Echo {
///     fn data_received(&mut self, transport: &Transport, data: Bytes) {
///         transport.write(data);
///     }
/// }
///
/// # #[asyncio::main]
/// # async fn main() -> asyncio::Result<()> {
/// let server = asyncio::create_server(|| Echo, ("127.0.0.1", 0)).await?;
/// let (mut reader, writer) = asyncio::open_connection(server.local_addr()).await?;
/// writer.write("hello\n");
/// assert_eq!(reader.readline().await?, "hello\n");
/// # server.close();
/// # Ok(())
/// # }
/// ```
#[doc(alias("asyncio.Protocol", "BaseProtocol"))]
pub trait Protocol: 'static {
    /// Called when the connection was made.
    fn connection_made(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// Called when the connection is closed. The error is `None` if the stream ended, or was closed or aborted
    /// on this side.
    fn connection_lost(&mut self, transport: &Transport, error: Option<Error>) {
        let _ = (transport, error);
    }

    /// Called when the write buffer exceeds the high-water mark: stop writing.
    fn pause_writing(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// Called when the write buffer has drained to the low-water mark: writing may continue.
    fn resume_writing(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// Called with the bytes that arrive, at least one.
    fn data_received(&mut self, transport: &Transport, data: Bytes);

    /// Called when the other side stops sending. If this returns false, which is the default, the transport closes
    /// itself. If it returns true, the transport stays open for writing.
    fn eof_received(&mut self, transport: &Transport) -> bool {
        let _ = transport;
        false
    }

    /// Called when bytes have arrived: returns whether to leave them with the system until the
    /// protocol requests them.
    #[doc(hidden)]
    fn leaves(&mut self, transport: &Transport) -> bool {
        let _ = transport;
        false
    }
}

/// A protocol that receives bytes into its own buffer (`asyncio.BufferedProtocol`).
///
/// Otherwise it works like [`Protocol`].
///
/// ```
/// use asyncio::{BufferedProtocol, Transport};
///
/// struct Echo([u8; 1024]);
///
/// impl BufferedProtocol for Echo {
///     fn get_buffer(&mut self, _: &Transport) -> &mut [u8] {
///         &mut self.0
///     }
///
///     fn buffer_updated(&mut self, transport: &Transport, nbytes: usize) {
///         transport.write(&self.0[..nbytes]);
///     }
/// }
///
/// # #[asyncio::main]
/// # async fn main() -> asyncio::Result<()> {
/// let server = asyncio::create_server(|| Echo([0; 1024]), ("127.0.0.1", 0)).await?;
/// let (mut reader, writer) = asyncio::open_connection(server.local_addr()).await?;
/// writer.write("hello\n");
/// assert_eq!(reader.readline().await?, "hello\n");
/// # server.close();
/// # Ok(())
/// # }
/// ```
#[doc(alias = "asyncio.BufferedProtocol")]
pub trait BufferedProtocol: 'static {
    /// Called when the connection was made.
    fn connection_made(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// Called when the connection is closed. The error is `None` if the stream ended, or was closed or aborted
    /// on this side.
    fn connection_lost(&mut self, transport: &Transport, error: Option<Error>) {
        let _ = (transport, error);
    }

    /// Called when the write buffer exceeds the high-water mark: stop writing.
    fn pause_writing(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// Called when the write buffer has drained to the low-water mark: writing may continue.
    fn resume_writing(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// Returns the buffer for the next bytes. An empty buffer is an error that ends the connection.
    fn get_buffer(&mut self, transport: &Transport) -> &mut [u8];

    /// Called when `nbytes` bytes were written to the beginning of that buffer.
    fn buffer_updated(&mut self, transport: &Transport, nbytes: usize);

    /// Same as [`Protocol::eof_received`].
    fn eof_received(&mut self, transport: &Transport) -> bool {
        let _ = transport;
        false
    }
}

/// A type that a transport accepts as its protocol: a [`Protocol`] or a [`BufferedProtocol`]. The compiler infers
/// which, and `Kind` with it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a protocol",
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
