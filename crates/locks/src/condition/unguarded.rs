//! A [`Condition`] without a value, used as in asyncio: any caller may use it, with or without a
//! guard.

use super::Condition;
use crate::{
    lock::Lock,
    raw::RawLock,
    waiters::WaitQueue,
    waiting::{Waiting, cannot_wait},
};
use asyncio_core::{Result, wait_site::WaitSite};
use std::{
    borrow::Borrow,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

impl<L: Borrow<Lock>> Condition<(), L> {
    /// Releases the lock, whichever task holds it (`Condition.release`): see [`Lock::release`].
    ///
    /// # Errors
    /// `Runtime` if the lock is not held.
    ///
    /// ```
    /// use asyncio::Condition;
    /// assert!(Condition::new(()).release().is_err());
    /// ```
    #[doc(alias = "asyncio.Condition.release")]
    pub fn release(&self) -> Result<()> {
        self.lock().release()
    }

    /// Releases the lock, waits to be notified, and takes the lock again (`Condition.wait`), for a
    /// task that has no guard. A guard that held the lock no longer does. When this returns, the
    /// lock is held until [`release`](Condition::release) is called.
    ///
    /// # Errors
    /// `Cancelled`; `Runtime` if the lock is not held.
    ///
    /// # Cancellation
    /// The lock is held again before the error is returned, as with
    /// [`ConditionGuard::wait`](super::ConditionGuard::wait). Dropping the future leaves the lock
    /// released.
    ///
    /// ```
    /// use asyncio::Condition;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let error = Condition::new(()).wait().await.unwrap_err();
    ///     assert_eq!(error.to_string(), "cannot wait on un-acquired lock");
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "asyncio.Condition.wait")]
    #[track_caller]
    pub fn wait(&self) -> ConditionWait<'_> {
        self.wait_at(WaitSite::here(&"Condition.wait"))
    }

    /// Waits until `predicate` is true (`Condition.wait_for`), for a task that has no guard. It does
    /// not suspend if it is.
    ///
    /// # Errors
    /// `Cancelled`; `Runtime` if it has to wait, and the lock is not held.
    ///
    /// # Cancellation
    /// As with [`wait`](Condition::wait).
    ///
    /// ```
    /// use asyncio::Condition;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let condition = Condition::new(());
    ///     std::mem::forget(condition.acquire().await?);
    ///     condition.wait_for(|| true).await?;
    ///     condition.release()
    /// }
    /// ```
    #[doc(alias = "asyncio.Condition.wait_for")]
    #[track_caller]
    pub fn wait_for<P: FnMut() -> bool>(&self, predicate: P) -> ConditionWaitFor<'_, P> {
        ConditionWaitFor { wait: self.wait_at(WaitSite::here(&"Condition.wait_for")), predicate }
    }

    fn wait_at(&self, site: WaitSite) -> ConditionWait<'_> {
        let raw = self.lock().raw();
        ConditionWait { raw, waiting: Waiting::new(raw, &self.queue, site) }
    }
}

/// Waits for a notification: see [`Condition::wait`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct ConditionWait<'a> {
    raw: &'a RawLock,
    waiting: Waiting<'a, WaitQueue>,
}

impl ConditionWait<'_> {
    fn begin(&mut self, cx: &Context<'_>) -> Result<()> {
        if !self.raw.is_locked() {
            return Err(cannot_wait());
        }
        self.waiting.begin(cx, || self.raw.release_any())
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        // `release` ends the hold.
        let (_hold, outcome) = ready!(self.waiting.poll(cx));
        Poll::Ready(outcome)
    }
}

impl Future for ConditionWait<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if !self.waiting.is_idle() {
            return self.poll_end(cx);
        }
        self.begin(cx)?;
        Poll::Pending
    }
}

/// Waits until something is true: see [`Condition::wait_for`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct ConditionWaitFor<'a, P> {
    wait: ConditionWait<'a>,
    predicate: P,
}

// The predicate is never pinned.
impl<P> Unpin for ConditionWaitFor<'_, P> {}

impl<P> fmt::Debug for ConditionWaitFor<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConditionWaitFor").field(&self.wait).finish()
    }
}

impl<P: FnMut() -> bool> Future for ConditionWaitFor<'_, P> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let ConditionWaitFor { wait, predicate } = &mut *self;
        if !wait.waiting.is_idle() {
            ready!(wait.poll_end(cx))?;
        }
        if predicate() {
            return Poll::Ready(Ok(()));
        }
        wait.begin(cx)?;
        Poll::Pending
    }
}
