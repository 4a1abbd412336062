//! [`State`]: the data that the reader, the writer and the protocol of a connection share.
//!
//! The protocol changes it on events of the connection, and wakes the waiters; reader and writer read
//! it, and wait. It is behind one mutex, so that the two halves may be moved to any thread.

use crate::{
    buffer::Buffer,
    separators::{Found, Separators},
    stdio::Standard,
};
use asyncio_core::{
    Error, IncompleteReadError, LimitOverrunError, Result,
    raw::{
        running_loop,
        sync::{Arc, Mutex},
    },
    wait::{Waiter, Wakers},
    wait_site::WaitSite,
};
use asyncio_locks::waiters::{Deferred, WaitQueue};
use asyncio_transports::{Arrival, Transport};
use bytes::Bytes;
use std::mem::ManuallyDrop;

pub(crate) type Shared = Arc<Mutex<State>>;

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) limit: usize,
    pub(crate) buffer: Buffer,
    /// The stream has ended.
    pub(crate) eof: bool,
    /// The error of every read.
    pub(crate) exception: Option<Error>,
    /// The waiter for more data.
    pub(crate) reading: Option<Waiter>,
    /// Data that arrived and that the system holds, for the waiter.
    pub(crate) arrival: Option<Arrival>,
    /// Whether the reader was dropped.
    pub(crate) is_unread: bool,
    /// The transport that is paused while too much is buffered, and whether it is.
    pub(crate) transport: Option<Transport>,
    pub(crate) paused: bool,
    pub(crate) writing: Writing,
    /// The additional state of the standard input.
    pub(crate) standard: Option<Box<Standard>>,
}

#[derive(Debug, Default)]
pub(crate) struct Writing {
    /// Whether more is buffered for sending than should be.
    pub(crate) paused: bool,
    /// The tasks suspended in `drain`, and how often writing was resumed, which wakes all of them.
    pub(crate) drainers: WaitQueue,
    pub(crate) resumed: u64,
    /// The result with which the connection ended, and the tasks that wait for it.
    pub(crate) lost: Option<Result<()>>,
    pub(crate) closers: WaitQueue,
    /// The reason why data was not written, until a caller gets it.
    pub(crate) refused: Option<Error>,
    /// Whether a writer has ended the sending direction.
    pub(crate) ended: bool,
    /// Whether the writer was dropped. The connection is then closed with the reader.
    pub(crate) is_over: bool,
    /// Whether a server made the connection.
    #[cfg(feature = "tls")]
    pub(crate) is_server: bool,
}

impl Writing {
    /// Whether the sending direction was ended and the connection is still open.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended && self.lost.is_none()
    }
}

/// Work that is left until the lock is free again: calling foreign wakers, dropping waiters, calling
/// the transport. **Declare it before the guard.** Usually there is none.
#[derive(Debug, Default)]
pub(crate) struct Followup(ManuallyDrop<Option<Box<Rest>>>);

#[derive(Debug, Default)]
struct Rest {
    wakers: Wakers,
    spent: Vec<Waiter>,
    queues: Deferred,
    /// Whether the transport should read.
    flow: Option<(Transport, bool)>,
    closed: Option<Transport>,
}

impl Followup {
    #[cold]
    fn rest(&mut self) -> &mut Rest {
        self.0.get_or_insert_default()
    }

    /// Wakes a waiter that is dropped later.
    #[cold]
    pub(crate) fn wake(&mut self, waiter: Waiter) {
        let rest = self.rest();
        waiter.wake(&mut rest.wakers);
        rest.spent.push(waiter);
    }

    /// The deferred work of waking the waiters of a queue.
    pub(crate) fn queues(&mut self) -> &mut Deferred {
        &mut self.rest().queues
    }

    pub(crate) fn drop_later(&mut self, waiters: impl IntoIterator<Item = Waiter>) {
        for waiter in waiters {
            self.rest().spent.push(waiter);
        }
    }
}

/// Everything that has to be dropped is taken out here, so that nothing is called if no work is left.
impl Drop for Followup {
    #[inline]
    fn drop(&mut self) {
        if let Some(rest) = self.0.take() {
            rest.finish();
        }
    }
}

impl Rest {
    #[cold]
    fn finish(self) {
        let Rest { wakers, spent, queues, flow, closed } = self;
        drop(wakers);
        drop(queues);
        match flow {
            Some((transport, true)) => transport.resume_reading(),
            Some((transport, false)) => transport.pause_reading(),
            None => {}
        }
        if let Some(transport) = closed {
            transport.close();
        }
        drop(spent);
    }
}

/// Functions for waiters.
impl State {
    /// Checks that the loop of the connection runs while a task waits for it.
    ///
    /// # Errors
    /// `Runtime` if it does not.
    pub(crate) fn check_awaited_here(&self, site: WaitSite) -> Result<()> {
        match &self.transport {
            Some(transport) => transport.home().check_awaited_here(site.what()),
            None => Ok(()),
        }
    }
}

/// A search for a separator, over as many attempts as it takes.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// No separator begins before this.
    pub(crate) scanned: usize,
    /// The number of bytes that may precede the separator, if it differs from the reader's limit.
    pub(crate) limit: Option<usize>,
}

/// Functions for feeders.
impl State {
    /// # Errors
    /// `Value` if it is zero.
    pub(crate) fn check_limit(limit: usize) -> Result<usize> {
        match limit {
            0 => Err(Error::value("Limit cannot be <= 0")),
            _ => Ok(limit),
        }
    }

    /// The state of a connection that is not made yet.
    pub(crate) fn with_limit(limit: usize) -> State {
        State {
            limit,
            buffer: Buffer::default(),
            eof: false,
            exception: None,
            reading: None,
            arrival: None,
            is_unread: false,
            transport: None,
            paused: false,
            writing: Writing::default(),
            standard: None,
        }
    }

    #[inline]
    pub(crate) fn feed(&mut self, data: Bytes, after: &mut Followup) {
        if data.is_empty() || self.is_unread {
            return self.keep_for_the_next(&data);
        }
        self.buffer.push(data);
        self.wake_reader(after);
        if !self.paused && self.buffer.len() > self.limit.saturating_mul(2) {
            self.set_paused(true, after);
        }
    }

    /// Wakes the waiter if it is a task, which takes the data in its next step; returns whether it did.
    #[inline]
    pub(crate) fn announce(&mut self, arrival: Arrival) -> bool {
        let wakes = |waiter: &Waiter| waiter.wake_in(arrival.home());
        if !self.reading.as_ref().is_some_and(wakes) {
            return false;
        }
        // Dropped in place: it is not a foreign waker, and not the last reference to an unfinished
        // task.
        self.reading = None;
        self.arrival = Some(arrival);
        true
    }

    pub(crate) fn feed_eof(&mut self, after: &mut Followup) {
        self.eof = true;
        self.wake_reader(after);
    }

    pub(crate) fn set_exception(&mut self, error: Error, after: &mut Followup) {
        self.exception = Some(error);
        self.wake_reader(after);
    }

    #[inline]
    fn wake_reader(&mut self, after: &mut Followup) {
        let Some(waiter) = &self.reading else { return };
        if running_loop().is_some_and(|home| waiter.wake_in(home)) {
            // Dropped in place: it is not a foreign waker, and not the last reference to an unfinished
            // task.
            self.reading = None;
        } else if let Some(waiter) = self.reading.take() {
            after.wake(waiter);
        }
    }

    fn set_paused(&mut self, paused: bool, after: &mut Followup) {
        if let Some(transport) = &self.transport {
            self.paused = paused;
            after.rest().flow = Some((transport.clone(), !paused));
        }
    }

    /// Records that the reader was dropped: further data is discarded. If the writer is gone too, the
    /// connection is closed.
    pub(crate) fn stop_reading(&mut self, after: &mut Followup) -> Buffer {
        self.is_unread = true;
        self.resume(after);
        if self.writing.is_over {
            after.rest().closed = self.transport.clone();
        }
        std::mem::take(&mut self.buffer)
    }
}

/// Functions for readers. An attempt returns `None` and changes nothing as long as there is not
/// enough data.
impl State {
    /// Lets the transport read: a task waits.
    pub(crate) fn resume(&mut self, after: &mut Followup) {
        if self.paused {
            self.set_paused(false, after);
        }
    }

    /// Lets the transport read if there is room again.
    #[inline]
    pub(crate) fn maybe_resume(&mut self, after: &mut Followup) {
        if self.paused && self.buffer.len() <= self.limit {
            self.set_paused(false, after);
        }
    }

    #[inline]
    pub(crate) fn try_read(&mut self, n: usize) -> Option<Result<Bytes>> {
        (n == 0 || self.eof || !self.buffer.is_empty()).then(|| Ok(self.buffer.take(n)))
    }

    pub(crate) fn try_read_to_end(&mut self) -> Option<Result<Bytes>> {
        self.eof.then(|| Ok(self.take_all()))
    }

    pub(crate) fn try_readexactly(&mut self, n: usize) -> Option<Result<Bytes>> {
        if self.buffer.len() >= n {
            return Some(Ok(self.buffer.take(n)));
        }
        self.eof.then(|| Err(self.incomplete(Some(n))))
    }

    pub(crate) fn try_readuntil(
        &mut self,
        separators: &Separators<'_>,
        search: &mut Search,
    ) -> Option<Result<Bytes>> {
        match self.find(separators, search) {
            Ok(Some(found)) => Some(Ok(self.buffer.take(found.end))),
            Ok(None) => self.eof.then(|| Err(self.incomplete(None))),
            Err(overrun) => Some(Err(Error::LimitOverrun(overrun))),
        }
    }

    pub(crate) fn try_readline(&mut self, search: &mut Search) -> Option<Result<Bytes>> {
        match self.find(&Separators::NEWLINE, search) {
            Ok(Some(found)) => Some(Ok(self.buffer.take(found.end))),
            Ok(None) => self.eof.then(|| Ok(self.take_all())),
            Err(overrun) => {
                // If the end of a line that is too long is known, only that line is lost.
                match self.buffer.as_slice().get(overrun.consumed()) {
                    Some(b'\n') => _ = self.buffer.take(overrun.consumed() + 1),
                    _ => _ = self.take_all(),
                }
                Some(Err(Error::value(overrun.to_string())))
            }
        }
    }

    fn find(
        &self,
        separators: &Separators<'_>,
        search: &mut Search,
    ) -> Result<Option<Found>, LimitOverrunError> {
        let data = self.buffer.as_slice();
        let limit = search.limit.unwrap_or(self.limit);
        let Some(found) = separators.find(data, search.scanned) else {
            search.scanned = (data.len() + 1).saturating_sub(separators.longest());
            if search.scanned > limit {
                let text = "Separator is not found, and chunk exceed the limit";
                return Err(LimitOverrunError::new(text, search.scanned));
            }
            return Ok(None);
        };
        if found.start > limit {
            let text = "Separator is found, but chunk is longer than limit";
            return Err(LimitOverrunError::new(text, found.start));
        }
        Ok(Some(found))
    }

    fn incomplete(&mut self, expected: Option<usize>) -> Error {
        Error::IncompleteRead(IncompleteReadError::new(self.take_all(), expected))
    }

    fn take_all(&mut self) -> Bytes {
        std::mem::take(&mut self.buffer).take_all()
    }
}

/// Functions for the writer.
impl State {
    /// Records that the writer was dropped. Returns whether the reader still needs the connection.
    pub(crate) fn stop_writing(&mut self) -> bool {
        self.writing.is_over = true;
        let has_ended = self.eof || self.exception.is_some() || self.writing.lost.is_some();
        !self.is_unread && !has_ended
    }
}

/// Functions for the protocol.
impl State {
    pub(crate) fn pause_writing(&mut self) {
        self.writing.paused = true;
    }

    pub(crate) fn resume_writing(&mut self, after: &mut Followup) {
        self.writing.paused = false;
        self.writing.resumed += 1;
        self.writing.drainers.wake_all(after.queues());
    }

    pub(crate) fn connection_lost(&mut self, error: Option<Error>, after: &mut Followup) {
        match &error {
            None => self.feed_eof(after),
            Some(error) => self.set_exception(error.clone(), after),
        }
        self.transport = None;
        self.paused = false;
        self.writing.lost = Some(error.map_or(Ok(()), Err));
        self.writing.closers.wake_all(after.queues());
        self.writing.drainers.wake_all(after.queues());
    }
}
