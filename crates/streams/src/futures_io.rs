//! The traits of `futures-io`.

use crate::{reader::StreamReader, writer::StreamWriter};
use asyncio_core::scope::foreign;
use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

impl AsyncRead for StreamReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let data = ready!(foreign(|| self.poll_bytes(cx, buffer.len())))?;
        buffer[..data.len()].copy_from_slice(&data);
        Poll::Ready(Ok(data.len()))
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

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        foreign(|| self.poll_flush_some(cx).map_err(io::Error::from))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        foreign(|| self.poll_end(cx).map_err(io::Error::from))
    }
}
