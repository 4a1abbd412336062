//! [`Waiting`]: the wait that conditions and barriers share. It releases the lock, waits for a
//! notification, and takes the lock again in any case.

use crate::{
    raw::{Hold, RawAcquire, RawLock},
    waiters::{Deferred, Polled, QueuedWait, WaitQueue},
};
use asyncio_core::{
    Error, Result,
    raw::sync::{Mutex, keep, mutant},
    wait_site::WaitSite,
};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// State that contains a queue of waiters.
pub(crate) trait HasQueue {
    fn queue(&mut self) -> &mut WaitQueue;
}

impl HasQueue for WaitQueue {
    fn queue(&mut self) -> &mut WaitQueue {
        self
    }
}

/// One wait for a notification.
///
/// ```text
///   idle ── join ──► in the queue ── notified or cancelled ──► acquires ── has the lock ──► idle
///                                                             ▲      │
///                                                             └──────┘ cancelled: remembers it
/// ```
///
/// If a waiter leaves with an error, or is dropped after it was notified, it notifies another one in its
/// place.
#[derive(Debug)]
pub(crate) struct Waiting<'a, S: HasQueue> {
    raw: &'a RawLock,
    state: &'a Mutex<S>,
    site: WaitSite,
    place: QueuedWait,
    acquire: Option<RawAcquire<'a>>,
    /// The latest cancellation.
    error: Option<Error>,
}

impl<'a, S: HasQueue> Waiting<'a, S> {
    pub(crate) fn new(raw: &'a RawLock, state: &'a Mutex<S>, site: WaitSite) -> Waiting<'a, S> {
        Waiting { raw, state, site, place: QueuedWait::new(), acquire: None, error: None }
    }

    pub(crate) fn is_idle(&self) -> bool {
        !self.place.is_taken() && self.acquire.is_none()
    }

    /// Joins the queue. The caller then releases the lock, in this order, so that a notification from
    /// another thread finds the waiter.
    pub(crate) fn join(&mut self, state: &mut S, cx: &Context<'_>) {
        state.queue().join(&mut self.place, cx, self.site);
    }

    /// Joins the queue and releases the lock; `release` returns whether it was held.
    pub(crate) fn begin(&mut self, cx: &Context<'_>, release: impl FnOnce() -> bool) -> Result<()> {
        if mutant("condition_released_first") {
            let released = release();
            self.join(&mut self.state.lock(), cx);
            return if released { Ok(()) } else { Err(cannot_wait()) };
        }
        self.join(&mut self.state.lock(), cx);
        if release() {
            return Ok(());
        }
        self.abandon();
        Err(cannot_wait())
    }

    /// Returns the lock, and the result of the wait.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Hold<'a>, Result<()>)> {
        if self.place.is_taken() {
            let mut after = Deferred::new();
            let mut state = self.state.lock();
            match state.queue().poll(&mut self.place, cx, self.site, &mut after) {
                Polled::Pending | Polled::Moved => return Poll::Pending,
                Polled::Woken => {}
                Polled::Cancelled { error, .. } => self.error = Some(error),
            }
        }
        let acquire = self.acquire.get_or_insert_with(|| self.raw.acquire(self.site));
        let hold = loop {
            match ready!(Pin::new(&mut *acquire).poll(cx)) {
                Ok(hold) => break hold,
                Err(error) => self.error = Some(error),
            }
        };
        self.acquire = None;
        let Some(error) = self.error.take() else { return Poll::Ready((hold, Ok(()))) };
        self.notify_another();
        Poll::Ready((hold, Err(error)))
    }

    fn notify_another(&self) {
        let mut after = Deferred::new();
        self.state.lock().queue().wake_next(&mut after);
    }

    /// Ends the wait without the lock.
    fn abandon(&mut self) {
        let was_notified = if self.place.is_taken() {
            let mut after = Deferred::new();
            let mut state = self.state.lock();
            let woken = state.queue().is_woken(&self.place);
            state = keep("condition_left_unseen", self.state, state);
            state.queue().leave(&mut self.place, &mut after);
            woken
        } else {
            self.acquire.take().is_some()
        };
        if was_notified {
            self.notify_another();
        }
    }
}

impl<S: HasQueue> Drop for Waiting<'_, S> {
    fn drop(&mut self) {
        if !self.is_idle() {
            self.abandon();
        }
    }
}

pub(crate) fn cannot_wait() -> Error {
    Error::runtime("cannot wait on un-acquired lock")
}
