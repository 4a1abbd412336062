//! [`StdioWriter`]: the standard output, over a transport or into a file.

use super::{Input, copy};
use crate::{
    protocol::StreamReaderProtocol, reader::DEFAULT_LIMIT, state::State, writer::StreamWriter,
};
use asyncio_core::{
    Error, Result,
    raw::sync::{Arc, Mutex},
    wait_site::WaitSite,
};
use asyncio_locks::waiters::{Deferred, Polled, QueuedWait, WaitQueue};
use asyncio_sockets::{in_call, on_thread};
use asyncio_transports::connect_write_pipe;
use std::{
    fmt,
    fs::File,
    future::Future,
    io::Write,
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll},
};

/// A standard output stream of the process, which [`stdout`](super::stdout) and
/// [`stderr`](super::stderr) return. All methods take `&self`, like those of [`StreamWriter`].
///
/// When it is dropped, the loop sends the buffered data; for a file, a thread writes it.
pub struct StdioWriter(Kind);

enum Kind {
    Stream(StreamWriter),
    File(Arc<FileWriter>),
}

impl StdioWriter {
    pub(super) async fn open(stream: impl AsFd, site: WaitSite) -> Result<StdioWriter> {
        let stream = copy(stream).map_err(|error| in_call(site.what(), error.into()))?;
        Ok(StdioWriter(match stream {
            Input::File(file) => {
                let queue = Mutex::new(Queue::default());
                Kind::File(Arc::new(FileWriter { file, site, queue }))
            }
            Input::Pipe(pipe) => {
                let shared = Arc::new(Mutex::new(State::with_limit(DEFAULT_LIMIT)));
                let for_protocol = shared.clone();
                let factory = move || StreamReaderProtocol::of(for_protocol);
                let transport = connect_write_pipe(factory, pipe).at(site).transport().await?;
                // Makes `drain` wait until the system has taken everything.
                transport.set_write_buffer_limits(Some(0), Some(0))?;
                Kind::Stream(StreamWriter::of(transport, shared, site.location()))
            }
        }))
    }

    /// Writes `data`: immediately as far as the system takes it, the rest from a buffer. If data could
    /// not be written, the next [`drain`](StdioWriter::drain) returns the error.
    pub fn write(&self, data: impl AsRef<[u8]>) {
        match &self.0 {
            Kind::Stream(writer) => writer.write(data),
            Kind::File(writer) => writer.write(data.as_ref()),
        }
    }

    /// Writes several pieces.
    pub fn writelines<I>(&self, pieces: I)
    where
        I: IntoIterator<Item: AsRef<[u8]>>,
    {
        match &self.0 {
            Kind::Stream(writer) => writer.writelines(pieces),
            Kind::File(writer) => pieces.into_iter().for_each(|data| writer.write(data.as_ref())),
        }
    }

    /// Waits until the system has taken everything that was written.
    ///
    /// # Errors
    /// `Io` if data could not be written, for example because the other end of the pipe is closed
    /// (`BrokenPipe` or `ConnectionReset`), or because the disk is full.
    ///
    /// # Cancellation
    /// No written data is lost: it is still sent.
    #[track_caller]
    pub fn drain(&self) -> impl Future<Output = Result<()>> + Send {
        self.drain_at(WaitSite::here(&"StdioWriter.drain"))
    }

    pub(super) async fn drain_at(&self, site: WaitSite) -> Result<()> {
        match &self.0 {
            Kind::Stream(writer) => match writer.drain().at(site).await {
                // The cause, where the writer says only that the connection is lost.
                Err(error) if !error.is_cancelled() => Err(writer.exception().unwrap_or(error)),
                outcome => outcome,
            },
            Kind::File(writer) => FileDrain { writer, place: QueuedWait::new(), site }.await,
        }
    }
}

impl Drop for StdioWriter {
    fn drop(&mut self) {
        if let Kind::Stream(writer) = &self.0 {
            writer.close();
        }
    }
}

impl fmt::Debug for StdioWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Stream(writer) => write!(f, "<StdioWriter {:?}>", writer.transport()),
            Kind::File(writer) => write!(f, "<StdioWriter {}>", writer.site),
        }
    }
}

/// A file that a thread writes, in order.
struct FileWriter {
    file: File,
    site: WaitSite,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    data: Vec<u8>,
    /// Whether a thread is writing.
    is_written: bool,
    /// The error of a write that `drain` has not returned yet.
    error: Option<Error>,
    drainers: WaitQueue,
}

impl FileWriter {
    fn write(self: &Arc<FileWriter>, data: &[u8]) {
        let mut queue = self.queue.lock();
        queue.data.extend_from_slice(data);
        if !queue.is_written && !queue.data.is_empty() {
            let this = self.clone();
            match on_thread(move || this.write_out()) {
                Ok(()) => queue.is_written = true,
                Err(error) => {
                    queue.data.clear();
                    queue.error = Some(in_call(self.site.what(), error));
                }
            }
        }
    }

    /// The work of the thread.
    fn write_out(&self) {
        loop {
            let mut deferred = Deferred::new();
            let mut queue = self.queue.lock();
            let data = std::mem::take(&mut queue.data);
            if data.is_empty() {
                queue.is_written = false;
                queue.drainers.wake_all(&mut deferred);
                return;
            }
            drop(queue);
            if let Err(error) = (&self.file).write_all(&data) {
                self.queue.lock().error = Some(in_call(self.site.what(), error.into()));
            }
        }
    }
}

/// The wait until a thread has written everything.
struct FileDrain<'a> {
    writer: &'a FileWriter,
    place: QueuedWait,
    site: WaitSite,
}

impl Future for FileDrain<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let FileDrain { writer, place, site } = &mut *self;
        let mut deferred = Deferred::new();
        let mut queue = writer.queue.lock();
        if place.is_taken() {
            match queue.drainers.poll(place, cx, *site, &mut deferred) {
                Polled::Pending => return Poll::Pending,
                Polled::Cancelled { error, .. } => return Poll::Ready(Err(error)),
                Polled::Moved => _ = queue.drainers.leave(place, &mut deferred),
                Polled::Woken => {}
            }
        }
        if queue.is_written {
            queue.drainers.join(place, cx, *site);
            return Poll::Pending;
        }
        Poll::Ready(queue.error.take().map_or(Ok(()), Err))
    }
}

impl Drop for FileDrain<'_> {
    fn drop(&mut self) {
        if self.place.is_taken() {
            let mut deferred = Deferred::new();
            self.writer.queue.lock().drainers.leave(&mut self.place, &mut deferred);
        }
    }
}
