//! The traits of tokio. A wait through them is foreign: it never returns a cancellation as an
//! `io::Error`.

use crate::{reader::StreamReader, writer::StreamWriter};
use asyncio_core::scope::foreign;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

impl AsyncRead for StreamReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let data = ready!(foreign(|| self.poll_bytes(cx, buffer.remaining())))?;
        buffer.put_slice(&data);
        Poll::Ready(Ok(()))
    }
}

impl AsyncBufRead for StreamReader {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        foreign(|| self.get_mut().poll_lent(cx).map_err(io::Error::from))
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        self.consume_lent(amount);
    }
}

impl AsyncWrite for StreamWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        foreign(|| self.poll_write_some(cx, data).map_err(io::Error::from))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        foreign(|| self.poll_write_pieces(cx, pieces).map_err(io::Error::from))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        foreign(|| self.poll_flush_some(cx).map_err(io::Error::from))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        foreign(|| self.poll_end(cx).map_err(io::Error::from))
    }
}
