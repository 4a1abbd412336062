//! [`Io`]: a connection, as hyper reads and writes it, with its state.

use asyncio_streams::Duplex;
use hyper::rt::{Read, ReadBufCursor, Write};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A connection with the state that its side needs.
pub(crate) struct Io<T> {
    pub(crate) both: Duplex,
    pub(crate) side: T,
}

/// A side of a connection.
pub(crate) trait Side: Unpin {
    /// Bytes have come in, or the end.
    fn received(&self) {}

    /// Everything has been sent, and the sending direction is ended: waits until the connection may be closed.
    fn poll_end(&mut self, _both: &mut Duplex, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

impl<T: Side> Io<T> {
    fn both(self: Pin<&mut Self>) -> Pin<&mut Duplex> {
        Pin::new(&mut self.get_mut().both)
    }
}

impl<T: Side> Read for Io<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Read::poll_read(Pin::new(&mut self.both), cx, buffer))?;
        self.side.received();
        Poll::Ready(Ok(()))
    }
}

impl<T: Side> Write for Io<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Write::poll_write(self.both(), cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Write::poll_write_vectored(self.both(), cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        Write::is_write_vectored(&self.both)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Write::poll_flush(self.both(), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Write::poll_shutdown(self.as_mut().both(), cx))?;
        let Io { both, side } = self.get_mut();
        side.poll_end(both, cx).map(Ok)
    }
}
