//! [`Event`]: tells all waiters that something has happened.

use crate::waiters::{Deferred, Polled, QueuedWait, WaitQueue};
use asyncio_core::{
    Result,
    raw::sync::{AtomicBool, Mutex, Ordering, keep, mutant},
    wait_site::WaitSite,
};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// A flag that tasks wait for (`asyncio.Event`).
///
/// ```
/// use asyncio::Event;
/// static READY: Event = Event::new();
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     READY.set();
///     READY.wait().await?;
///     Ok(())
/// }
/// ```
#[doc(alias = "asyncio.Event")]
pub struct Event {
    /// Written under the queue's mutex.
    flag: AtomicBool,
    queue: Mutex<WaitQueue>,
}

impl Event {
    const_fn! {
        /// Creates an event that is not set.
        ///
        /// ```
        /// assert!(!asyncio::Event::new().is_set());
        /// ```
        pub fn new() -> Event {
            Event { flag: AtomicBool::new(false), queue: Mutex::new(WaitQueue::new()) }
        }
    }

    /// Sets the flag and wakes all waiters (`Event.set`). They continue even if the flag is
    /// cleared before they run.
    ///
    /// ```
    /// let event = asyncio::Event::new();
    /// event.set();
    /// assert!(event.is_set());
    /// ```
    #[doc(alias = "asyncio.Event.set")]
    pub fn set(&self) {
        let mut after = Deferred::new();
        let mut queue = self.queue.lock();
        if !self.flag.swap(true, Ordering::AcqRel) {
            queue = keep("event_wakes_late", &self.queue, queue);
            queue.wake_all(&mut after);
        }
    }

    /// Clears the flag (`Event.clear`): later calls of `wait` wait for the next
    /// [`set`](Event::set).
    ///
    /// ```
    /// let event = asyncio::Event::new();
    /// event.set();
    /// event.clear();
    /// assert!(!event.is_set());
    /// ```
    #[doc(alias = "asyncio.Event.clear")]
    pub fn clear(&self) {
        let _line = self.queue.lock();
        self.flag.store(false, Ordering::Release);
    }

    /// Returns whether the flag is set (`Event.is_set`).
    ///
    /// ```
    /// assert!(!asyncio::Event::new().is_set());
    /// ```
    #[doc(alias = "asyncio.Event.is_set")]
    pub fn is_set(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }

    /// Waits until the flag is set (`Event.wait`). It does not suspend if the flag is set already.
    ///
    /// # Errors
    /// Only `Cancelled`.
    ///
    /// # Cancellation
    /// Leaves nothing behind. The same is true if the future is dropped.
    ///
    /// ```
    /// use asyncio::Event;
    /// use futures_lite::future::{block_on, try_zip};
    /// let event = Event::new();
    /// block_on(try_zip(event.wait(), async { event.set(); Ok(()) })).unwrap();
    /// ```
    #[doc(alias = "asyncio.Event.wait")]
    #[track_caller]
    pub fn wait(&self) -> EventWait<'_> {
        self.wait_at(WaitSite::here(&"Event.wait"))
    }

    /// Does what [`wait`](Event::wait) does, as a part of another operation.
    #[doc(hidden)]
    pub fn wait_at(&self, site: WaitSite) -> EventWait<'_> {
        EventWait { event: self, place: QueuedWait::new(), site }
    }
}

impl Default for Event {
    fn default() -> Event {
        Event::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("set", &self.is_set())
            .field("waiters", &self.queue.lock().len())
            .finish()
    }
}

/// Waits for an [`Event`]: see [`Event::wait`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct EventWait<'a> {
    event: &'a Event,
    place: QueuedWait,
    site: WaitSite,
}

impl Future for EventWait<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let EventWait { event, place, site } = &mut *self;
        if !place.is_taken() && event.is_set() {
            return Poll::Ready(Ok(()));
        }
        let mut after = Deferred::new();
        let mut queue = event.queue.lock();
        if !place.is_taken() {
            // Check once more, now that no `set` can come in between.
            if event.is_set() && !mutant("event_not_looked_at_again") {
                return Poll::Ready(Ok(()));
            }
            queue.join(place, cx, *site);
            return Poll::Pending;
        }
        match queue.poll(place, cx, *site, &mut after) {
            Polled::Pending => Poll::Pending,
            Polled::Moved => {
                if event.is_set() {
                    queue.wake_all(&mut after);
                }
                Poll::Pending
            }
            Polled::Woken => Poll::Ready(Ok(())),
            Polled::Cancelled { error, .. } => Poll::Ready(Err(error)),
        }
    }
}

impl asyncio_core::wait::Leaf for EventWait<'_> {}

impl Drop for EventWait<'_> {
    fn drop(&mut self) {
        if self.place.is_taken() {
            let mut after = Deferred::new();
            self.event.queue.lock().leave(&mut self.place, &mut after);
        }
    }
}

#[cfg(test)]
mod tests;
