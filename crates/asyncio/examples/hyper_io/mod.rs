//! Our streams as what hyper reads from and writes to: its own traits, [`Read`] and [`Write`].

use asyncio::{StreamReader, StreamWriter};
use futures_io::{AsyncBufRead, AsyncWrite};
use hyper::rt::{Read, ReadBufCursor, Write};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// The two halves of a connection as one.
pub(crate) struct Io {
    pub(crate) reader: StreamReader,
    pub(crate) writer: StreamWriter,
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let data = ready!(Pin::new(&mut self.reader).poll_fill_buf(cx))?;
        let length = data.len().min(buffer.remaining());
        buffer.put_slice(&data[..length]);
        Pin::new(&mut self.reader).consume(length);
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_close(cx)
    }
}
