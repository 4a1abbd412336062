//! [`Semaphore`] and [`BoundedSemaphore`]: a limit on how many tasks do something at a time.

use crate::waiters::{Deferred, Polled, QueuedWait, WaitQueue};
use asyncio_core::{
    AsyncContextManager, Error, Result,
    raw::sync::{Mutex, keep},
    wait_site::WaitSite,
};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// A counter of permits. A task takes one, or waits until one is released (`asyncio.Semaphore`).
///
/// Waiters are served in order, and cannot be overtaken. A release passes its permit directly to
/// the first waiter.
///
/// ```
/// use asyncio::Semaphore;
/// static UPLOADS: Semaphore = Semaphore::new(3);
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let permit = UPLOADS.acquire().await?;
///     assert_eq!(UPLOADS.value(), 2);
///     drop(permit);
///     Ok(())
/// }
/// ```
#[doc(alias = "asyncio.Semaphore")]
pub struct Semaphore {
    state: Mutex<State>,
}

struct State {
    value: usize,
    /// The number of permits that were removed while they were taken, and do not come back.
    removed: usize,
    queue: WaitQueue,
}

impl State {
    fn is_locked(&self) -> bool {
        self.value == 0 || self.queue.has_claims()
    }

    /// Gives permits to the waiters, at most `limit`, as long as there are any.
    fn give(&mut self, limit: usize, after: &mut Deferred) {
        for _ in 0..limit {
            if self.value == 0 || !self.queue.wake_next(after) {
                return;
            }
            self.value -= 1;
        }
    }

    /// Takes permits back, except those that were removed.
    fn put_in(&mut self, permits: usize) {
        let gone = permits.min(self.removed);
        self.removed -= gone;
        self.value = self.value.saturating_add(permits - gone);
    }

    fn release(&mut self, after: &mut Deferred) {
        self.put_in(1);
        self.give(1, after);
    }
}

impl Semaphore {
    const_fn! {
        /// Creates a semaphore of `value` permits.
        ///
        /// ```
        /// assert!(asyncio::Semaphore::new(0).locked());
        /// ```
        pub fn new(value: usize) -> Semaphore {
            Semaphore { state: Mutex::new(State { value, removed: 0, queue: WaitQueue::new() }) }
        }
    }

    /// Takes a permit, or waits for one (`Semaphore.acquire`). It does not suspend if a permit is
    /// left and there are no waiters.
    ///
    /// # Errors
    /// Only `Cancelled`.
    ///
    /// # Cancellation
    /// No permit is taken; a permit that had already been given goes to the next waiter. Dropping the
    /// future does the same.
    ///
    /// A future that was granted a permit and is never polled again holds up everything behind it in the
    /// queue. In a task that awaits several things, drop such a future, or keep polling it.
    ///
    /// ```
    /// use asyncio::Semaphore;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let semaphore = Semaphore::new(1);
    ///     let permit = semaphore.acquire().await?;
    ///     assert!(semaphore.locked());
    ///     drop(permit);
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "asyncio.Semaphore.acquire")]
    #[track_caller]
    #[doc(alias("async with", "__aenter__"))]
    pub fn acquire(&self) -> SemaphoreAcquire<'_> {
        self.acquire_at(None, WaitSite::here(&"Semaphore.acquire"))
    }

    fn acquire_at(&self, bound: Option<usize>, site: WaitSite) -> SemaphoreAcquire<'_> {
        SemaphoreAcquire { semaphore: self, bound, place: QueuedWait::new(), site }
    }

    /// Takes a permit if one is left and there are no waiters.
    ///
    /// ```
    /// use asyncio::Semaphore;
    /// let semaphore = Semaphore::new(1);
    /// let permit = semaphore.try_acquire();
    /// assert!(permit.is_some() && semaphore.try_acquire().is_none());
    /// ```
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.try_acquire_within(None)
    }

    fn try_acquire_within(&self, bound: Option<usize>) -> Option<Permit<'_>> {
        let mut state = self.state.lock();
        if state.is_locked() {
            return None;
        }
        state.value -= 1;
        Some(Permit { semaphore: self, bound })
    }

    /// Adds a permit, whether or not one was taken before, and wakes the first waiter
    /// (`Semaphore.release`).
    ///
    /// ```
    /// use asyncio::Semaphore;
    /// let semaphore = Semaphore::new(0);
    /// semaphore.release();
    /// assert_eq!(semaphore.value(), 1);
    /// ```
    #[doc(alias = "asyncio.Semaphore.release")]
    pub fn release(&self) {
        let mut after = Deferred::new();
        self.state.lock().release(&mut after);
    }

    /// Releases a permit, unless the semaphore already has `bound` permits.
    pub(crate) fn release_within(&self, bound: Option<usize>) -> Result<()> {
        let mut after = Deferred::new();
        let mut state = self.state.lock();
        if bound.is_some_and(|bound| state.value >= bound) {
            return Err(Error::value("BoundedSemaphore released too many times"));
        }
        state = keep("semaphore_over_released", &self.state, state);
        state.release(&mut after);
        Ok(())
    }

    /// Adds this many permits to the semaphore, and wakes as many waiters. Together with
    /// [`remove_permits`](Semaphore::remove_permits), this is trio's and anyio's `CapacityLimiter`. asyncio has
    /// no counterpart.
    ///
    /// ```
    /// use asyncio::Semaphore;
    /// let workers = Semaphore::new(1);
    /// let permit = workers.try_acquire();
    /// workers.add_permits(2);
    /// assert_eq!(workers.value(), 2);
    /// # drop(permit);
    /// ```
    #[doc(alias = "CapacityLimiter")]
    pub fn add_permits(&self, permits: usize) {
        let mut after = Deferred::new();
        let mut state = self.state.lock();
        state.put_in(permits);
        state.give(usize::MAX, &mut after);
    }

    /// Removes this many permits from the semaphore. Permits that are taken are removed when they are
    /// released.
    ///
    /// ```
    /// use asyncio::Semaphore;
    /// let workers = Semaphore::new(2);
    /// let permit = workers.try_acquire();
    /// workers.remove_permits(2);
    /// drop(permit);
    /// assert_eq!(workers.value(), 0);
    /// ```
    pub fn remove_permits(&self, permits: usize) {
        let mut state = self.state.lock();
        let here = permits.min(state.value);
        state = keep("semaphore_shrunk_unseen", &self.state, state);
        state.value = state.value.saturating_sub(here);
        state.removed = state.removed.saturating_add(permits - here);
    }

    /// Returns whether an [`acquire`](Semaphore::acquire) would have to wait (`Semaphore.locked`):
    /// if no permit is left, or if there are waiters.
    ///
    /// ```
    /// assert!(!asyncio::Semaphore::new(1).locked());
    /// ```
    #[doc(alias = "asyncio.Semaphore.locked")]
    pub fn locked(&self) -> bool {
        self.state.lock().is_locked()
    }

    /// Returns how many permits are left. Permits that were given to a waiter which has not run yet
    /// are not counted.
    ///
    /// ```
    /// assert_eq!(asyncio::Semaphore::new(4).value(), 4);
    /// ```
    pub fn value(&self) -> usize {
        self.state.lock().value
    }
}

/// Waiting for a permit.
impl Semaphore {
    /// Takes a permit as soon as the waiter is first.
    pub(crate) fn poll_acquire(
        &self,
        place: &mut QueuedWait,
        cx: &mut Context<'_>,
        site: WaitSite,
    ) -> Poll<Result<()>> {
        let mut after = Deferred::new();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if !place.is_taken() {
            if state.is_locked() {
                guard = keep("semaphore_joined_late", &self.state, guard);
                guard.queue.join(place, cx, site);
                return Poll::Pending;
            }
            state.value -= 1;
            return Poll::Ready(Ok(()));
        }
        let outcome = match state.queue.poll(place, cx, site, &mut after) {
            Polled::Pending => return Poll::Pending,
            Polled::Moved => Poll::Pending,
            Polled::Woken => Poll::Ready(Ok(())),
            Polled::Cancelled { error, woken } => {
                state.put_in(usize::from(woken));
                Poll::Ready(Err(error))
            }
        };
        // While this waiter was in the queue, a permit may have come back that no other waiter took.
        state.give(usize::MAX, &mut after);
        outcome
    }

    /// Gives up a place in the queue, if one is taken.
    pub(crate) fn leave(&self, place: &mut QueuedWait) {
        if place.is_taken() {
            let mut after = Deferred::new();
            let mut state = self.state.lock();
            let woken = state.queue.is_woken(place);
            state = keep("semaphore_left_unseen", &self.state, state);
            state.queue.leave(place, &mut after);
            state.put_in(usize::from(woken));
            state.give(usize::MAX, &mut after);
        }
    }
}

/// One permit, as in asyncio.
impl Default for Semaphore {
    fn default() -> Semaphore {
        Semaphore::new(1)
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Semaphore")
            .field("value", &state.value)
            .field("waiters", &state.queue.len())
            .finish()
    }
}

/// A permit of a [`Semaphore`] or [`BoundedSemaphore`]. Dropping it releases the permit.
#[derive(Debug)]
#[must_use = "a permit that is dropped is released"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    bound: Option<usize>,
}

impl Permit<'_> {
    /// Keeps the permit taken until `release` is called on the semaphore.
    ///
    /// ```
    /// use asyncio::Semaphore;
    /// let semaphore = Semaphore::new(1);
    /// semaphore.try_acquire().unwrap().forget();
    /// assert_eq!(semaphore.value(), 0);
    /// ```
    pub fn forget(self) {
        std::mem::forget(self);
    }

    /// Releases the permit, as dropping it does.
    ///
    /// # Errors
    /// `Value` if the semaphore is bounded, and other code has already released all permits.
    pub fn release(self) -> Result<()> {
        let (semaphore, bound) = (self.semaphore, self.bound);
        self.forget();
        semaphore.release_within(bound)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // If a bounded semaphore is full again, this permit is one too many, and is discarded.
        let _ = self.semaphore.release_within(self.bound);
    }
}

/// `async with semaphore`: `semaphore.with(async |_| …)`.
impl<'a> AsyncContextManager for &'a Semaphore {
    type Target = Permit<'a>;

    async fn enter(&mut self) -> Result<Permit<'a>> {
        self.acquire().await
    }

    async fn exit(&mut self, permit: Permit<'a>, _: Option<&Error>) -> Result<()> {
        permit.release()
    }
}

/// Waits for a permit: see [`Semaphore::acquire`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct SemaphoreAcquire<'a> {
    semaphore: &'a Semaphore,
    bound: Option<usize>,
    place: QueuedWait,
    site: WaitSite,
}

impl asyncio_core::wait::Leaf for SemaphoreAcquire<'_> {}

impl<'a> Future for SemaphoreAcquire<'a> {
    type Output = Result<Permit<'a>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let SemaphoreAcquire { semaphore, bound, place, site } = &mut *self;
        let (semaphore, bound) = (*semaphore, *bound);
        semaphore.poll_acquire(place, cx, *site).map_ok(|()| Permit { semaphore, bound })
    }
}

impl Drop for SemaphoreAcquire<'_> {
    fn drop(&mut self) {
        self.semaphore.leave(&mut self.place);
    }
}

/// A [`Semaphore`] that cannot be released more often than it was acquired
/// (`asyncio.BoundedSemaphore`).
///
/// ```
/// use asyncio::BoundedSemaphore;
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let semaphore = BoundedSemaphore::new(1);
///     drop(semaphore.acquire().await?);
///     assert!(semaphore.release().is_err());
///     Ok(())
/// }
/// ```
#[doc(alias = "asyncio.BoundedSemaphore")]
pub struct BoundedSemaphore {
    pub(crate) semaphore: Semaphore,
    pub(crate) bound: usize,
}

impl BoundedSemaphore {
    const_fn! {
        /// Creates a semaphore of `value` permits, which never has more.
        ///
        /// ```
        /// assert_eq!(asyncio::BoundedSemaphore::new(3).value(), 3);
        /// ```
        pub fn new(value: usize) -> BoundedSemaphore {
            BoundedSemaphore { semaphore: Semaphore::new(value), bound: value }
        }
    }

    /// Takes a permit, or waits for one: see [`Semaphore::acquire`].
    ///
    /// # Errors
    /// Only `Cancelled`.
    ///
    /// # Cancellation
    /// As with [`Semaphore::acquire`].
    ///
    /// ```
    /// use asyncio::BoundedSemaphore;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let semaphore = BoundedSemaphore::new(2);
    ///     let _permit = semaphore.acquire().await?;
    ///     Ok(())
    /// }
    /// ```
    #[track_caller]
    #[doc(alias("async with", "__aenter__"))]
    pub fn acquire(&self) -> SemaphoreAcquire<'_> {
        let site = WaitSite::here(&"BoundedSemaphore.acquire");
        self.semaphore.acquire_at(Some(self.bound), site)
    }

    /// Takes a permit if one is left and there are no waiters.
    ///
    /// ```
    /// assert!(asyncio::BoundedSemaphore::new(1).try_acquire().is_some());
    /// ```
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.semaphore.try_acquire_within(Some(self.bound))
    }

    /// Returns a permit, and wakes the first waiter (`BoundedSemaphore.release`).
    ///
    /// # Errors
    /// `Value` if no permit is taken; nothing changes then.
    ///
    /// ```
    /// let full = asyncio::BoundedSemaphore::new(1);
    /// let error = full.release().unwrap_err();
    /// assert_eq!(error.to_string(), "BoundedSemaphore released too many times");
    /// ```
    #[doc(alias = "asyncio.BoundedSemaphore.release")]
    pub fn release(&self) -> Result<()> {
        self.semaphore.release_within(Some(self.bound))
    }

    /// Returns whether an [`acquire`](BoundedSemaphore::acquire) would have to wait.
    ///
    /// ```
    /// assert!(asyncio::BoundedSemaphore::new(0).locked());
    /// ```
    pub fn locked(&self) -> bool {
        self.semaphore.locked()
    }

    /// Returns how many permits are left: see [`Semaphore::value`].
    ///
    /// ```
    /// assert_eq!(asyncio::BoundedSemaphore::new(1).value(), 1);
    /// ```
    pub fn value(&self) -> usize {
        self.semaphore.value()
    }
}

/// One permit, as in asyncio.
impl Default for BoundedSemaphore {
    fn default() -> BoundedSemaphore {
        BoundedSemaphore::new(1)
    }
}

impl fmt::Debug for BoundedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.semaphore.state.lock();
        f.debug_struct("BoundedSemaphore")
            .field("value", &state.value)
            .field("bound", &self.bound)
            .field("waiters", &state.queue.len())
            .finish()
    }
}

/// `async with semaphore`: `semaphore.with(async |_| …)`.
///
/// The block ends with an error (`Value`) if the body has released too often.
impl<'a> AsyncContextManager for &'a BoundedSemaphore {
    type Target = Permit<'a>;

    async fn enter(&mut self) -> Result<Permit<'a>> {
        self.acquire().await
    }

    async fn exit(&mut self, permit: Permit<'a>, _: Option<&Error>) -> Result<()> {
        permit.release()
    }
}

#[cfg(test)]
mod tests;
