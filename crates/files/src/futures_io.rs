//! The traits of `futures-io`. Their waits never return a cancellation: the innermost scope returns it
//! instead.

use crate::{
    buffered::{BUFFER_SIZE, Buffered},
    file::File,
    remote::Step,
};
use asyncio_core::scope::foreign;
use futures_io::{AsyncRead, AsyncSeek, AsyncWrite};
use std::{
    io::{self, SeekFrom},
    pin::Pin,
    task::{Context, Poll, ready},
};

impl AsyncRead for File {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.check_reads("File.poll_read")?;
        let fill = |file: &mut Buffered| file.fill(1);
        let mut look = |file: &mut Buffered| Step::done_or(file.take_into(buffer), fill);
        foreign(|| self.poll(cx, &"File.poll_read", &mut look)).map_err(io::Error::from)
    }
}

impl AsyncWrite for File {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_writes("File.poll_write")?;
        let data = &data[..data.len().min(BUFFER_SIZE - 1)];
        let mut look = |file: &mut Buffered| {
            Step::done_or(file.put(data).then_some(data.len()), Buffered::write_out)
        };
        foreign(|| self.poll(cx, &"File.poll_write", &mut look)).map_err(io::Error::from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut look = |file: &mut Buffered| {
            Step::done_or(file.is_written().then_some(()), Buffered::write_out)
        };
        foreign(|| self.poll(cx, &"File.poll_flush", &mut look)).map_err(io::Error::from)
    }

    /// Flushes. The descriptor is closed when the file is dropped.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl AsyncSeek for File {
    fn poll_seek(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        // The thread may be working since an earlier poll.
        let mut seeking = self.seeking.take().filter(|under_way| *under_way == to);
        let mut look = |file: &mut Buffered| match seeking.replace(to) {
            Some(_) => Step::Done(file.found),
            None => Step::job(move |file: &mut Buffered| file.seek(to)),
        };
        let outcome = foreign(|| self.poll(cx, &"File.poll_seek", &mut look));
        self.seeking = seeking.filter(|_| outcome.is_pending());
        Poll::Ready(ready!(outcome).map_err(io::Error::from))
    }
}
