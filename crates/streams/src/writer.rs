//! [`StreamWriter`]: the writing half of a connection.

use crate::{
    protocol::StreamReaderProtocol,
    state::{Shared, State},
};
use asyncio_core::{
    Error, Result,
    exception::ExceptionContext,
    log::{Level, log},
    raw::is_debug,
    wait::{Resume, Wait},
    wait_site::WaitSite,
};
use asyncio_locks::waiters::{Deferred, Polled, QueuedWait};
use asyncio_transports::{ExtraInfo, Transport};
use std::{
    fmt,
    future::Future,
    io::{self, IoSlice},
    panic::Location,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// The writing half of a connection (`asyncio.StreamWriter`).
///
/// [`write`](StreamWriter::write) sends what the system takes immediately, and buffers the rest, which the
/// loop sends when there is room. Call `drain().await?` after writes: it waits while too much is buffered, and
/// returns the error if the connection is broken.
///
/// All methods take `&self`: several tasks may share a writer, in an `Rc` or `Arc`. Dropping a writer
/// that has not been closed sends the buffered data, and then [ends](StreamWriter::write_eof) the sending
/// direction, so that the peer's answer can still be read. The connection is closed when the reader is
/// dropped too, or reaches the end of the stream.
///
/// It implements the trait `AsyncWrite` of `futures-io`, and with the feature `tokio` that of tokio. Through the
/// trait, a write waits as `drain` does. A flush waits no longer than that, because the loop sends buffered data
/// whether or not a task waits. `poll_close` [ends](StreamWriter::write_eof) the sending direction and waits until
/// everything has been sent. The connection itself is closed by
/// [`close`](StreamWriter::close), or when both halves are dropped.
#[doc(alias = "asyncio.StreamWriter")]
pub struct StreamWriter {
    transport: Transport,
    shared: Shared,
    made_at: &'static Location<'static>,
    /// The wait of a poll through a trait, and whether the writer was ended there.
    wait: Draining,
    ended: bool,
}

impl StreamWriter {
    /// Creates the writer of a transport whose protocol is `protocol`.
    #[track_caller]
    pub fn new(transport: Transport, protocol: &StreamReaderProtocol) -> StreamWriter {
        StreamWriter::of(transport, protocol.shared().clone(), Location::caller())
    }

    pub(crate) fn of(
        transport: Transport,
        shared: Shared,
        made_at: &'static Location<'static>,
    ) -> StreamWriter {
        StreamWriter { transport, shared, made_at, wait: Draining::default(), ended: false }
    }

    #[cfg(any(test, feature = "tls"))]
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Returns the error that broke the connection.
    pub(crate) fn exception(&self) -> Option<Error> {
        self.shared.lock().exception.clone()
    }

    /// Replaces the transport by another one of the same connection.
    #[cfg(feature = "tls")]
    pub(crate) fn set_transport(&mut self, transport: Transport) {
        self.shared.lock().transport = Some(transport.clone());
        self.transport = transport;
    }

    /// Returns the underlying transport (`transport`).
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Returns information about the connection (`get_extra_info`), such as its addresses.
    ///
    /// ```
    /// use asyncio::PEERNAME;
    /// # #[allow(dead_code)]
    /// fn greet(writer: &asyncio::StreamWriter) {
    ///     if let Some(address) = writer.get_extra_info(PEERNAME) {
    ///         println!("hello {address}");
    ///     }
    /// }
    /// ```
    pub fn get_extra_info<T>(&self, what: ExtraInfo<T>) -> Option<T> {
        self.transport.get_extra_info(what)
    }

    /// Sends `data` (`write`): immediately as far as the system takes it, the rest from a buffer.
    /// If it cannot be written, for example after [`write_eof`](StreamWriter::write_eof), the next
    /// [`drain`](StreamWriter::drain) returns the error.
    #[inline]
    pub fn write(&self, data: impl AsRef<[u8]>) {
        if let Err(error) = self.transport.try_write(data) {
            self.refuse(error);
        }
    }

    /// Sends several pieces (`writelines`), in one system call if nothing is buffered. Otherwise it
    /// works like [`write`](StreamWriter::write).
    pub fn writelines<I>(&self, pieces: I)
    where
        I: IntoIterator<Item: AsRef<[u8]>>,
    {
        if let Err(error) = self.transport.try_writelines(pieces) {
            self.refuse(error);
        }
    }

    #[cold]
    fn refuse(&self, error: Error) {
        self.shared.lock().writing.refused.get_or_insert(error);
    }

    /// Ends the sending direction after the buffered data (`write_eof`): the other side sees the end, and may
    /// continue to send. TLS does not support this: the next [`drain`](StreamWriter::drain) returns an error.
    pub fn write_eof(&self) {
        if !self.can_write_eof() {
            let text = "Cannot call write_eof() on a TLS connection, which cannot end one direction; call close()";
            return self.refuse(Error::runtime(text));
        }
        self.shared.lock().writing.ended = true;
        self.transport.write_eof();
    }

    /// Returns whether [`write_eof`](StreamWriter::write_eof) works (`can_write_eof`).
    pub fn can_write_eof(&self) -> bool {
        self.transport.can_write_eof()
    }

    /// Closes the connection (`close`): nothing more is read, and buffered data is sent first.
    pub fn close(&self) {
        self.transport.close();
    }

    /// Returns whether the connection is closed, or about to be (`is_closing`).
    #[inline]
    pub fn is_closing(&self) -> bool {
        self.transport.is_closing()
    }

    /// Waits while too much is buffered for sending (`drain`): if it is above the transport's high-water
    /// mark, until it is no more than the low one. Otherwise it does not suspend, except once if the
    /// connection is being closed, so that a task that writes in a loop notices the end. Several tasks may
    /// wait.
    ///
    /// # Errors
    /// The error that broke the connection; `Io` of the kind `ConnectionReset` if it is closed; `Runtime`, once, if
    /// data could not be written.
    ///
    /// # Cancellation
    /// No data is lost: what was written is still sent.
    #[inline]
    #[track_caller]
    pub fn drain(&self) -> Drain<'_> {
        let (stage, wait) = (Stage::Begins, Draining::default());
        Drain { writer: self, stage, wait, site: WaitSite::here(&"StreamWriter.drain") }
    }

    /// Waits until the connection is closed (`wait_closed`), usually after [`close`](StreamWriter::close).
    ///
    /// # Errors
    /// The error that broke the connection.
    ///
    /// # Cancellation
    /// Leaves nothing behind; the connection continues to close.
    #[track_caller]
    pub fn wait_closed(&self) -> WaitClosed<'_> {
        let site = WaitSite::here(&"StreamWriter.wait_closed");
        WaitClosed { writer: self, place: QueuedWait::new(), site }
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        let (refused, is_read) = self
            .wait
            .leave(&self.shared, |state| (state.writing.refused.take(), state.stop_writing()));
        if let Some(error) = refused {
            let report = ExceptionContext::new("StreamWriter.write() failed").with_exception(error);
            report.report(None);
        }
        if !self.transport.is_closing() {
            if is_debug() {
                log(Level::Warning, &format!("unclosed {self:?}"));
            }
            match is_read {
                true if self.can_write_eof() => self.transport.write_eof(),
                // With TLS, the connection stays open for the reader, and ends with it.
                true => {}
                false => self.transport.close(),
            }
        }
    }
}

/// `<StreamWriter transport=<Transport 127.0.0.1:8888 - 127.0.0.1:40404>>`
impl fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<StreamWriter transport={:?}>", self.transport)
    }
}

/// One wait in [`drainers`](crate::state::Writing::drainers). It must be left when its leaf is dropped.
#[derive(Debug, Default)]
pub(crate) struct Draining {
    place: QueuedWait,
    /// The number of times that writing had been resumed when it joined.
    resumed: u64,
}

impl Draining {
    pub(crate) fn is_waiting(&self) -> bool {
        self.place.is_taken()
    }

    /// Leaves the queue, if it is waiting there.
    pub(crate) fn leave<R>(&mut self, shared: &Shared, then: impl FnOnce(&mut State) -> R) -> R {
        let mut deferred = Deferred::new();
        let mut state = shared.lock();
        state.writing.drainers.leave(&mut self.place, &mut deferred);
        then(&mut state)
    }
}

fn connection_lost() -> Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "Connection lost").into()
}

impl StreamWriter {
    /// Whether there is nothing to wait for, and no error to return.
    #[inline]
    fn is_drained(&self) -> bool {
        self.shared.lock().is_drained() && !self.is_closing()
    }
}

impl State {
    /// Whether a caller that writes has nothing to wait for, and nothing to be told.
    #[inline]
    fn is_drained(&self) -> bool {
        let (writing, failed) = (&self.writing, self.exception.is_some());
        let is_told = writing.refused.is_none() && writing.lost.is_none() && !failed;
        is_told && !writing.paused
    }

    /// The error for the next caller that writes.
    #[inline]
    fn check_write(&mut self) -> Result<()> {
        if self.writing.refused.is_none() && self.exception.is_none() {
            return Ok(());
        }
        let error = self.writing.refused.take().or_else(|| self.exception.clone());
        error.map_or(Ok(()), Err)
    }

    /// Waits as long as writing is paused.
    fn poll_drained(
        &mut self,
        wait: &mut Draining,
        cx: &Context<'_>,
        site: WaitSite,
        deferred: &mut Deferred,
    ) -> Poll<Result<()>> {
        if wait.is_waiting() {
            match self.writing.drainers.poll(&mut wait.place, cx, site, deferred) {
                Polled::Pending => return Poll::Pending,
                Polled::Cancelled { error, .. } => return Poll::Ready(Err(error)),
                // In another task than before, it may have been skipped while it was cancelled.
                Polled::Moved => _ = self.writing.drainers.leave(&mut wait.place, deferred),
                Polled::Woken => {}
            }
            if wait.resumed < self.writing.resumed {
                return Poll::Ready(Ok(()));
            }
            if let Some(lost) = &self.writing.lost {
                return Poll::Ready(lost.clone());
            }
        } else if self.writing.lost.is_some() {
            return Poll::Ready(Err(connection_lost()));
        }
        if !self.writing.paused {
            return Poll::Ready(Ok(()));
        }
        self.check_awaited_here(site)?;
        wait.resumed = self.writing.resumed;
        self.writing.drainers.join(&mut wait.place, cx, site);
        Poll::Pending
    }
}

/// The future of [`StreamWriter::drain`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Drain<'a> {
    writer: &'a StreamWriter,
    stage: Stage,
    wait: Draining,
    site: WaitSite,
}

#[derive(Debug)]
enum Stage {
    Begins,
    /// Lets the loop run once, so that the end of a connection that is being closed is seen.
    Yields(Wait),
    Waits,
}

impl Drain<'_> {
    /// Sets the site at which the caller waits, for operations that are built on this one.
    #[doc(hidden)]
    pub fn at(mut self, site: WaitSite) -> Self {
        self.site = site;
        self
    }

    fn begin(&mut self, cx: &Context<'_>) -> Result<()> {
        let mut state = self.writer.shared.lock();
        state.check_write()?;
        if self.writer.is_closing() {
            let mut wait = Wait::new();
            wait.arm_woken(cx, self.site);
            self.stage = Stage::Yields(wait);
        } else {
            self.stage = Stage::Waits;
        }
        Ok(())
    }
}

impl Future for Drain<'_> {
    type Output = Result<()>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.stage {
            Stage::Begins if self.writer.is_drained() => Poll::Ready(Ok(())),
            _ => self.poll_on(cx),
        }
    }
}

impl Drain<'_> {
    fn poll_on(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self;
        match &mut this.stage {
            Stage::Begins => {
                this.begin(cx)?;
                if let Stage::Yields(_) = this.stage {
                    return Poll::Pending;
                }
            }
            Stage::Yields(wait) => {
                // If it was moved to another task, it has no reason to wait there.
                let wake = |waiter: asyncio_core::wait::Waiter| _ = waiter.wake_now();
                match wait.poll(cx, this.site, || None, wake) {
                    Resume::Pending => return Poll::Pending,
                    Resume::Cancelled { error, .. } => return Poll::Ready(Err(error)),
                    Resume::Woken => this.stage = Stage::Waits,
                }
            }
            Stage::Waits => {}
        }
        let mut deferred = Deferred::new();
        let mut state = this.writer.shared.lock();
        state.poll_drained(&mut this.wait, cx, this.site, &mut deferred)
    }
}

impl Drop for Drain<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.wait.is_waiting() {
            self.wait.leave(&self.writer.shared, |_| ());
        }
    }
}

/// The future of [`StreamWriter::wait_closed`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct WaitClosed<'a> {
    writer: &'a StreamWriter,
    place: QueuedWait,
    site: WaitSite,
}

impl Future for WaitClosed<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let WaitClosed { writer, place, site } = &mut *self;
        let mut deferred = Deferred::new();
        let mut state = writer.shared.lock();
        let closers = &mut state.writing.closers;
        if place.is_taken() {
            match closers.poll(place, cx, *site, &mut deferred) {
                Polled::Pending => return Poll::Pending,
                Polled::Cancelled { error, .. } => return Poll::Ready(Err(error)),
                Polled::Moved => _ = closers.leave(place, &mut deferred),
                Polled::Woken => {}
            }
        }
        if let Some(lost) = &state.writing.lost {
            return Poll::Ready(lost.clone());
        }
        state.check_awaited_here(*site)?;
        state.writing.closers.join(place, cx, *site);
        Poll::Pending
    }
}

impl Drop for WaitClosed<'_> {
    fn drop(&mut self) {
        if self.place.is_taken() {
            let mut deferred = Deferred::new();
            let mut state = self.writer.shared.lock();
            state.writing.closers.leave(&mut self.place, &mut deferred);
        }
    }
}

#[cfg(feature = "tls")]
impl StreamWriter {
    /// Whether a server made the connection.
    pub(crate) fn is_server(&self) -> bool {
        self.shared.lock().writing.is_server
    }

    /// Waits as long as writing is paused, with a wait of the caller's.
    pub(crate) fn poll_drained_at(
        &self,
        wait: &mut Draining,
        cx: &Context<'_>,
        site: WaitSite,
    ) -> Poll<Result<()>> {
        let mut deferred = Deferred::new();
        let mut state = self.shared.lock();
        if !wait.is_waiting() {
            state.check_write()?;
        }
        state.poll_drained(wait, cx, site, &mut deferred)
    }
}

/// The largest size of one write through a trait, so that the buffer stays near the high-water
/// mark.
const MOST: usize = 64 * 1024;
/// Up to this size, several pieces are copied together, which costs less than sending them
/// separately.
const LITTLE: usize = 1024;

/// Polls through a trait.
impl StreamWriter {
    #[cold]
    fn poll_drained(&mut self, cx: &Context<'_>, what: &'static &'static str) -> Poll<Result<()>> {
        let site = WaitSite::new(what, self.made_at);
        let mut deferred = Deferred::new();
        let mut state = self.shared.lock();
        if !self.wait.is_waiting() {
            state.check_write()?;
        }
        state.poll_drained(&mut self.wait, cx, site, &mut deferred)
    }

    #[inline]
    fn poll_may_write(&mut self, cx: &Context<'_>) -> Poll<Result<()>> {
        let state = self.shared.lock();
        let is_free = state.is_drained() && !state.writing.is_ended();
        drop(state);
        match is_free && !self.wait.is_waiting() && !self.is_closing() {
            true => Poll::Ready(Ok(())),
            false => self.poll_may_write_otherwise(cx),
        }
    }

    #[cold]
    fn poll_may_write_otherwise(&mut self, cx: &Context<'_>) -> Poll<Result<()>> {
        let broken =
            |text| Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, text).into()));
        if self.shared.lock().writing.is_ended() {
            return broken("Cannot call write() after write_eof()");
        }
        ready!(self.poll_drained(cx, &"StreamWriter.poll_write"))?;
        if self.is_closing() {
            return broken("StreamWriter: the connection is closed");
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn poll_write_some(&mut self, cx: &Context<'_>, data: &[u8]) -> Poll<Result<usize>> {
        ready!(self.poll_may_write(cx))?;
        let data = &data[..data.len().min(MOST)];
        self.transport.try_write(data)?;
        Poll::Ready(Ok(data.len()))
    }

    /// Writes several pieces, in one system call if nothing is buffered.
    pub(crate) fn poll_write_pieces(
        &mut self,
        cx: &Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        ready!(self.poll_may_write(cx))?;
        let size: usize = pieces.iter().map(|piece| piece.len()).sum();
        if size <= LITTLE {
            let (mut joined, mut at) = ([0; LITTLE], 0);
            for piece in pieces {
                joined[at..at + piece.len()].copy_from_slice(piece);
                at += piece.len();
            }
            self.transport.try_write(&joined[..size])?;
            return Poll::Ready(Ok(size));
        }
        let mut room = MOST;
        let taken = pieces.iter().map_while(|piece| {
            let n = piece.len().min(room);
            room -= n;
            (n > 0 || room > 0).then_some(&piece[..n])
        });
        self.transport.try_writelines(taken)?;
        Poll::Ready(Ok(MOST - room))
    }

    #[inline]
    pub(crate) fn poll_flush_some(&mut self, cx: &Context<'_>) -> Poll<Result<()>> {
        if !self.wait.is_waiting() && self.shared.lock().is_drained() {
            return Poll::Ready(Ok(()));
        }
        self.poll_drained(cx, &"StreamWriter.poll_flush")
    }

    /// Ends the sending direction, and waits until everything has been sent.
    pub(crate) fn poll_end(&mut self, cx: &Context<'_>) -> Poll<Result<()>> {
        if !self.ended {
            self.ended = true;
            self.wait.leave(&self.shared, |_| ());
            // Nothing more will be written, so the low mark can be set to mean that everything was
            // sent.
            self.transport.set_write_buffer_limits(Some(0), Some(0))?;
            match self.can_write_eof() {
                true => self.write_eof(),
                false => self.close(),
            }
        }
        if !self.wait.is_waiting() {
            if let Some(lost) = &self.shared.lock().writing.lost {
                return Poll::Ready(lost.clone());
            }
        }
        self.poll_drained(cx, &"StreamWriter.poll_close")
    }
}
