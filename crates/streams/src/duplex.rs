//! [`Duplex`]: both halves of a connection as one value.

use crate::{reader::StreamReader, writer::StreamWriter};
use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

/// Both halves of a connection as one value, for libraries that read from and write to the same
/// value.
///
/// It implements `AsyncRead`, `AsyncBufRead` and `AsyncWrite` of `futures-io`, with the feature `tokio`
/// those of tokio, and with the feature `hyper` the traits `Read` and `Write` of `hyper::rt`. They work
/// as those of the halves: a wait through them is foreign, and never returns a cancellation as an
/// `io::Error`.
///
/// It is made from the two halves, and can be split again. Unread data stays with the reader, and
/// unsent data with the writer.
///
/// ```
/// use asyncio::{open_connection, start_server, streams::Duplex};
/// use futures_lite::{AsyncReadExt, AsyncWriteExt};
///
/// # asyncio::run(async {
/// let server = start_server(
///     async |reader, writer| Ok(futures_lite::io::copy(reader, writer).await?),
///     ("127.0.0.1", 0),
/// )
/// .await?;
/// let mut both = Duplex::from(open_connection(server.local_addr()).await?);
/// both.write_all(b"one\ntwo\n").await?;
/// let mut four = [0; 4];
/// both.read_exact(&mut four).await?;
/// assert_eq!(&four, b"one\n");
///
/// let (mut reader, _writer) = both.into_split();
/// assert_eq!(reader.readline().await?, "two\n");
/// # server.close();
/// # Ok(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Duplex {
    reader: StreamReader,
    writer: StreamWriter,
}

impl Duplex {
    /// Returns the two halves.
    pub fn into_split(self) -> (StreamReader, StreamWriter) {
        (self.reader, self.writer)
    }

    /// Returns the half for reading.
    pub fn reader(&mut self) -> &mut StreamReader {
        &mut self.reader
    }

    /// Returns the half for writing.
    pub fn writer(&self) -> &StreamWriter {
        &self.writer
    }

    fn read_half(self: Pin<&mut Self>) -> Pin<&mut StreamReader> {
        Pin::new(&mut self.get_mut().reader)
    }

    fn write_half(self: Pin<&mut Self>) -> Pin<&mut StreamWriter> {
        Pin::new(&mut self.get_mut().writer)
    }
}

impl From<(StreamReader, StreamWriter)> for Duplex {
    fn from((reader, writer): (StreamReader, StreamWriter)) -> Duplex {
        Duplex { reader, writer }
    }
}

impl From<Duplex> for (StreamReader, StreamWriter) {
    fn from(both: Duplex) -> (StreamReader, StreamWriter) {
        both.into_split()
    }
}

impl AsyncRead for Duplex {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.read_half().poll_read(cx, buffer)
    }
}

impl AsyncBufRead for Duplex {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.read_half().poll_fill_buf(cx)
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        AsyncBufRead::consume(self.read_half(), amount);
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write_half().poll_write(cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write_half().poll_write_vectored(cx, pieces)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write_half().poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write_half().poll_close(cx)
    }
}

#[cfg(feature = "tokio")]
mod of_tokio {
    use super::*;
    use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

    impl AsyncRead for Duplex {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.read_half().poll_read(cx, buffer)
        }
    }

    impl AsyncBufRead for Duplex {
        fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
            AsyncBufRead::poll_fill_buf(self.read_half(), cx)
        }

        fn consume(self: Pin<&mut Self>, amount: usize) {
            AsyncBufRead::consume(self.read_half(), amount);
        }
    }

    impl AsyncWrite for Duplex {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            data: &[u8],
        ) -> Poll<io::Result<usize>> {
            AsyncWrite::poll_write(self.write_half(), cx, data)
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            pieces: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            AsyncWrite::poll_write_vectored(self.write_half(), cx, pieces)
        }

        fn is_write_vectored(&self) -> bool {
            self.writer.is_write_vectored()
        }

        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            AsyncWrite::poll_flush(self.write_half(), cx)
        }

        fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.write_half().poll_shutdown(cx)
        }
    }
}

#[cfg(feature = "hyper")]
mod of_hyper {
    use super::*;
    use asyncio_core::scope::foreign;
    use hyper::rt::{Read, ReadBufCursor, Write};
    use std::task::ready;

    impl Read for Duplex {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            mut buffer: ReadBufCursor<'_>,
        ) -> Poll<io::Result<()>> {
            let data = ready!(foreign(|| self.reader.poll_bytes(cx, buffer.remaining())))?;
            buffer.put_slice(&data);
            Poll::Ready(Ok(()))
        }
    }

    impl Write for Duplex {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            data: &[u8],
        ) -> Poll<io::Result<usize>> {
            AsyncWrite::poll_write(self.write_half(), cx, data)
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            pieces: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            AsyncWrite::poll_write_vectored(self.write_half(), cx, pieces)
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            AsyncWrite::poll_flush(self.write_half(), cx)
        }

        fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.write_half().poll_close(cx)
        }
    }
}
