//! [`Waiting`]: the wait that conditions and barriers have in common. Give the lock up, wait to be
//! notified, and come back with the lock, whatever happens.

use crate::{
    raw::{Hold, RawAcquire, RawLock},
    waiters::{After, Line, Place, Turn},
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

/// State in which a line of waiters stands.
pub(crate) trait HasLine {
    fn line(&mut self) -> &mut Line;
}

impl HasLine for Line {
    fn line(&mut self) -> &mut Line {
        self
    }
}

/// One wait for a notification.
///
/// ```text
///   idle ── join ──► in the line ── notified or cancelled ──► acquires ── has the lock ──► idle
///                                                             ▲      │
///                                                             └──────┘ cancelled: remembers it
/// ```
///
/// A waiter that leaves with an error, or is dropped after it was notified, notifies another in its place.
#[derive(Debug)]
pub(crate) struct Waiting<'a, S: HasLine> {
    raw: &'a RawLock,
    state: &'a Mutex<S>,
    site: WaitSite,
    place: Place,
    acquire: Option<RawAcquire<'a>>,
    /// The latest cancellation.
    error: Option<Error>,
}

impl<'a, S: HasLine> Waiting<'a, S> {
    pub(crate) fn new(raw: &'a RawLock, state: &'a Mutex<S>, site: WaitSite) -> Waiting<'a, S> {
        Waiting { raw, state, site, place: Place::new(), acquire: None, error: None }
    }

    pub(crate) fn is_idle(&self) -> bool {
        !self.place.is_taken() && self.acquire.is_none()
    }

    /// Joins the line. The caller then gives the lock up: in this order, so that a notification from
    /// another thread finds the waiter.
    pub(crate) fn join(&mut self, state: &mut S, cx: &Context<'_>) {
        state.line().join(&mut self.place, cx, self.site);
    }

    /// Joins the line and gives the lock up; `release` says whether it was held.
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

    /// Comes back with the lock, and with the error that the wait ends in.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Hold<'a>, Result<()>)> {
        if self.place.is_taken() {
            let mut after = After::new();
            let mut state = self.state.lock();
            match state.line().poll(&mut self.place, cx, self.site, &mut after) {
                Turn::Pending | Turn::Moved => return Poll::Pending,
                Turn::Woken => {}
                Turn::Cancelled { error, .. } => self.error = Some(error),
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
        let mut after = After::new();
        self.state.lock().line().wake_next(&mut after);
    }

    /// Ends the wait without the lock.
    fn abandon(&mut self) {
        let was_notified = if self.place.is_taken() {
            let mut after = After::new();
            let mut state = self.state.lock();
            let woken = state.line().is_woken(&self.place);
            state = keep("condition_left_unseen", self.state, state);
            state.line().leave(&mut self.place, &mut after);
            woken
        } else {
            self.acquire.take().is_some()
        };
        if was_notified {
            self.notify_another();
        }
    }
}

impl<S: HasLine> Drop for Waiting<'_, S> {
    fn drop(&mut self) {
        if !self.is_idle() {
            self.abandon();
        }
    }
}

pub(crate) fn cannot_wait() -> Error {
    Error::runtime("cannot wait on un-acquired lock")
}
