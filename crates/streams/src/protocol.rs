//! [`StreamReaderProtocol`]: connects a transport to its two halves.

use crate::{
    reader::StreamReader,
    state::{Followup, Shared},
    writer::StreamWriter,
};
use asyncio_core::{Error, exception::ExceptionContext};
use asyncio_transports::{Arrival, Protocol, Transport};
use bytes::Bytes;
use std::fmt;

/// The protocol that feeds a [`StreamReader`] and tells a [`StreamWriter`] when to continue
/// (`asyncio.StreamReaderProtocol`), for programs that create the transport themselves.
///
/// It keeps the connection open when the other side stops sending, so that the writer can still
/// answer, unless the writer has been dropped.
#[doc(alias = "asyncio.StreamReaderProtocol")]
pub struct StreamReaderProtocol {
    shared: Shared,
    /// In a box, which is dropped as soon as there is a connection.
    accepted: Option<Box<Accepted>>,
}

/// The reader, and the function that gets the two halves once there is a connection.
type Accepted = (StreamReader, Box<dyn FnOnce(StreamReader, StreamWriter)>);

impl StreamReaderProtocol {
    /// Creates the protocol that feeds `reader`. If the reader is dropped before there is a
    /// connection, the connection is aborted and reported to the exception handler.
    pub fn new(reader: &StreamReader) -> StreamReaderProtocol {
        StreamReaderProtocol::of(reader.shared().clone())
    }

    /// Creates the protocol that keeps `reader`, and passes it to `client_connected` with a writer
    /// once there is a connection. With it, the factory of a server makes streams and passes them to
    /// a plain function:
    ///
    /// ```
    /// use asyncio::{StreamReader, StreamReaderProtocol, StreamWriter};
    ///
    /// fn client_connected(_reader: StreamReader, writer: StreamWriter) {
    ///     writer.write(b"too late\n"); // Dropped, it sends that and closes.
    /// }
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let factory = || {
    ///         let reader = StreamReader::new(1000).expect("more than zero");
    ///         StreamReaderProtocol::with_callback(reader, client_connected)
    ///     };
    ///     let server = asyncio::create_server(factory, ("127.0.0.1", 0)).await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn with_callback(
        reader: StreamReader,
        client_connected: impl FnOnce(StreamReader, StreamWriter) + 'static,
    ) -> StreamReaderProtocol {
        let shared = reader.shared().clone();
        #[cfg(feature = "tls")]
        {
            shared.lock().writing.is_server = true;
        }
        StreamReaderProtocol {
            shared,
            accepted: Some(Box::new((reader, Box::new(client_connected)))),
        }
    }

    pub(crate) fn of(shared: Shared) -> StreamReaderProtocol {
        StreamReaderProtocol { shared, accepted: None }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Protocol for StreamReaderProtocol {
    fn connection_made(&mut self, transport: &Transport) {
        let mut state = self.shared.lock();
        if state.is_unread {
            drop(state);
            let text = "An open stream was garbage collected prior to establishing network \
                        connection; call \"stream.close()\" explicitly.";
            let report = ExceptionContext::new(text);
            report.with_note("transport", format_args!("{transport:?}")).report(None);
            return transport.abort();
        }
        state.transport = Some(transport.clone());
        drop(state);
        if let Some(accepted) = self.accepted.take() {
            let (reader, client_connected) = *accepted;
            let writer = StreamWriter::new(transport.clone(), self);
            client_connected(reader, writer);
        }
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<Error>) {
        let mut after = Followup::default();
        self.shared.lock().connection_lost(error, &mut after);
    }

    fn pause_writing(&mut self, _: &Transport) {
        self.shared.lock().pause_writing();
    }

    fn resume_writing(&mut self, _: &Transport) {
        let mut after = Followup::default();
        self.shared.lock().resume_writing(&mut after);
    }

    #[inline]
    fn data_received(&mut self, _: &Transport, data: Bytes) {
        let mut after = Followup::default();
        self.shared.lock().feed(data, &mut after);
    }

    fn eof_received(&mut self, transport: &Transport) -> bool {
        let mut after = Followup::default();
        let mut state = self.shared.lock();
        state.feed_eof(&mut after);
        // With TLS the other direction ends too; and if the writer is gone, nothing more will be sent.
        transport.can_write_eof() && !state.writing.is_over
    }

    #[inline]
    fn leaves(&mut self, transport: &Transport) -> bool {
        self.shared.lock().announce(Arrival::at(transport))
    }
}

/// The transport has dropped the protocol: the remaining waiters, which may be on other threads,
/// are woken.
impl Drop for StreamReaderProtocol {
    fn drop(&mut self) {
        let mut after = Followup::default();
        let mut state = self.shared.lock();
        if state.transport.is_some() && state.writing.lost.is_none() {
            let text =
                "the loop of the connection is closed, or its transport has another protocol";
            state.connection_lost(Some(Error::runtime(text)), &mut after);
        }
    }
}

impl fmt::Debug for StreamReaderProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<StreamReaderProtocol>")
    }
}
