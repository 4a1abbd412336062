//! [`Condition`]: waits until a task that holds the lock notifies of a change.

use crate::{
    lock::{Acquire as LockAcquire, Lock, LockGuard},
    owned::LOST,
    waiters::{Deferred, WaitQueue},
    waiting::{Waiting, cannot_wait},
};
use asyncio_core::{AsyncContextManager, Error, Result, raw::sync::Mutex, wait_site::WaitSite};
use std::{
    borrow::Borrow,
    fmt,
    future::Future,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    pin::Pin,
    task::{Context, Poll, ready},
};

mod unguarded;
pub use unguarded::{ConditionWait, ConditionWaitFor};

/// A lock, and a queue of tasks that wait for a change of the guarded value (`asyncio.Condition`).
///
/// The condition has a lock of its own, or shares one. `L` is the type through which it reaches its
/// [`Lock`], for example `Arc<Lock<T>>`, `Rc<Lock<T>>` or `&Lock<T>`.
///
/// ```
/// use asyncio::Condition;
/// use asyncio::Error;
/// use futures_lite::future::{block_on, try_zip};
/// let stock = Condition::new(Vec::new());
/// let consumer = async {
///     let mut items = stock.acquire().await?;
///     items.wait_for(|items| !items.is_empty()).await?;
///     Ok::<_, Error>(items.pop())
/// };
/// let producer = async {
///     let mut items = stock.acquire().await?;
///     items.push("tea");
///     items.notify(1);
///     Ok(())
/// };
/// assert_eq!(block_on(try_zip(consumer, producer)).unwrap().0, Some("tea"));
/// ```
#[doc(alias = "asyncio.Condition")]
pub struct Condition<T = (), L = Lock<T>> {
    lock: L,
    queue: Mutex<WaitQueue>,
    value: PhantomData<fn() -> T>,
}

impl<T> Condition<T> {
    const_fn! {
        /// Creates a condition with its own lock, which guards `value`.
        ///
        /// ```
        /// use asyncio::Condition;
        /// static IDLE: Condition<Vec<u32>> = Condition::new(Vec::new());
        /// assert!(!IDLE.locked());
        /// ```
        pub fn new(value: T) -> Condition<T> {
            Condition { lock: Lock::new(value), queue: Mutex::new(WaitQueue::new()), value: PhantomData }
        }
    }
}

impl<T, L: Borrow<Lock<T>>> Condition<T, L> {
    /// Creates a condition with a shared lock (`asyncio.Condition(lock)`).
    ///
    /// ```
    /// use asyncio::{Condition, Lock};
    /// use std::sync::Arc;
    /// let lock = Arc::new(Lock::new(0));
    /// let (full, empty) = (Condition::with_lock(lock.clone()), Condition::with_lock(lock.clone()));
    /// let guard = full.try_acquire();
    /// assert!(empty.locked() && lock.locked());
    /// # drop(guard);
    /// ```
    pub fn with_lock(lock: L) -> Condition<T, L> {
        Condition { lock, queue: Mutex::new(WaitQueue::new()), value: PhantomData }
    }

    /// Returns the lock.
    ///
    /// ```
    /// use asyncio::Condition;
    /// assert_eq!(*Condition::new(7).lock().try_acquire().unwrap(), 7);
    /// ```
    pub fn lock(&self) -> &Lock<T> {
        self.lock.borrow()
    }

    /// Waits for the lock and takes it (`Condition.acquire`): see [`Lock::acquire`].
    ///
    /// # Errors
    /// Only `Cancelled`.
    ///
    /// # Cancellation
    /// As with [`Lock::acquire`].
    ///
    /// ```
    /// use asyncio::Condition;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let condition = Condition::new(1);
    ///     *condition.acquire().await? += 1;
    ///     assert_eq!(*condition.acquire().await?, 2);
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "asyncio.Condition.acquire")]
    #[track_caller]
    #[doc(alias("async with", "__aenter__"))]
    pub fn acquire(&self) -> ConditionAcquire<'_, T> {
        let acquire = self.lock().acquire_at(WaitSite::here(&"Condition.acquire"));
        ConditionAcquire { acquire, queue: &self.queue }
    }

    /// Takes the lock if it is free and there are no waiters.
    ///
    /// ```
    /// use asyncio::Condition;
    /// assert!(Condition::new(()).try_acquire().is_some());
    /// ```
    pub fn try_acquire(&self) -> Option<ConditionGuard<'_, T>> {
        Some(ConditionGuard { guard: self.lock().try_acquire()?, queue: &self.queue })
    }

    /// Returns whether the lock is held (`Condition.locked`).
    ///
    /// ```
    /// assert!(!asyncio::Condition::new(()).locked());
    /// ```
    #[doc(alias = "asyncio.Condition.locked")]
    pub fn locked(&self) -> bool {
        self.lock().locked()
    }

    /// Wakes up to `n` waiters (`Condition.notify`), for a caller that has no guard.
    ///
    /// # Errors
    /// `Runtime` if the lock is not held.
    ///
    /// ```
    /// use asyncio::Condition;
    /// let condition = Condition::new(());
    /// let error = condition.notify(1).unwrap_err();
    /// assert_eq!(error.to_string(), "cannot notify on un-acquired lock");
    /// ```
    #[doc(alias = "asyncio.Condition.notify")]
    pub fn notify(&self, n: usize) -> Result<()> {
        if !self.locked() {
            return Err(Error::runtime("cannot notify on un-acquired lock"));
        }
        notify(&self.queue, n);
        Ok(())
    }

    /// Wakes all waiters (`Condition.notify_all`), for a caller that has no guard.
    ///
    /// # Errors
    /// `Runtime` if the lock is not held.
    ///
    /// ```
    /// use asyncio::Condition;
    /// let condition = Condition::new(());
    /// let _guard = condition.try_acquire();
    /// condition.notify_all()?;
    /// # Ok::<_, asyncio::Error>(())
    /// ```
    #[doc(alias = "asyncio.Condition.notify_all")]
    pub fn notify_all(&self) -> Result<()> {
        self.notify(usize::MAX)
    }
}

fn notify(queue: &Mutex<WaitQueue>, n: usize) {
    let mut after = Deferred::new();
    let mut queue = queue.lock();
    for _ in 0..n {
        if !queue.wake_next(&mut after) {
            return;
        }
    }
}

impl<T: Default> Default for Condition<T> {
    fn default() -> Condition<T> {
        Condition::new(T::default())
    }
}

impl<T, L: Borrow<Lock<T>>> fmt::Debug for Condition<T, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition")
            .field("lock", self.lock())
            .field("waiters", &self.queue.lock().len())
            .finish()
    }
}

/// `async with condition`: `condition.with(async |guard| …)`.
///
/// The block ends with an error (`Runtime`) if the body has released the lock.
impl<'a, T, L: Borrow<Lock<T>>> AsyncContextManager for &'a Condition<T, L> {
    type Target = ConditionGuard<'a, T>;

    async fn enter(&mut self) -> Result<ConditionGuard<'a, T>> {
        self.acquire().await
    }

    async fn exit(&mut self, guard: ConditionGuard<'a, T>, _: Option<&Error>) -> Result<()> {
        ConditionGuard::release(guard)
    }
}

/// Waits for the lock of a [`Condition`]: see [`Condition::acquire`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct ConditionAcquire<'a, T = ()> {
    acquire: LockAcquire<'a, T>,
    queue: &'a Mutex<WaitQueue>,
}

impl<'a, T> Future for ConditionAcquire<'a, T> {
    type Output = Result<ConditionGuard<'a, T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let queue = self.queue;
        Pin::new(&mut self.acquire).poll(cx).map_ok(|guard| ConditionGuard { guard, queue })
    }
}

/// Holds the lock of a [`Condition`]; releases it when dropped.
///
/// A guard *knows whether it holds the lock*. It does not while one of its waits is suspended,
/// after a wait that was dropped before its end, or after [`Condition::release`]. A wait through it
/// is an error then.
///
/// # Panics
/// Access to the value and notifications panic if the guard does not hold the lock.
#[must_use = "a guard that is dropped releases the lock"]
pub struct ConditionGuard<'a, T = ()> {
    guard: LockGuard<'a, T>,
    queue: &'a Mutex<WaitQueue>,
}

impl<'a, T> ConditionGuard<'a, T> {
    /// Releases the lock, waits to be notified, and takes the lock again (`Condition.wait`). The
    /// state may have changed back by then, or the wake-up may be spurious: check again, or use
    /// [`wait_for`](ConditionGuard::wait_for).
    ///
    /// # Errors
    /// `Cancelled`; `Runtime` if the guard does not hold the lock.
    ///
    /// # Cancellation
    /// The guard holds the lock again before the error is returned, however often the task is
    /// cancelled in between. The latest cancellation is returned. Another waiter is notified in
    /// place of this one.
    ///
    /// A *dropped* future cannot take the lock again. If it had been notified, another waiter is
    /// notified instead. The guard no longer holds the lock.
    ///
    /// ```
    /// use asyncio::Error;
    /// use asyncio::Condition;
    /// use futures_lite::future::{block_on, try_zip};
    /// let condition = Condition::new(0);
    /// let waiter = async {
    ///     let mut n = condition.acquire().await?;
    ///     n.wait().await?;
    ///     Ok::<_, Error>(*n)
    /// };
    /// let notifier = async {
    ///     let mut n = condition.acquire().await?;
    ///     *n = 5;
    ///     n.notify_all();
    ///     Ok(())
    /// };
    /// assert_eq!(block_on(try_zip(waiter, notifier)).unwrap().0, 5);
    /// ```
    #[doc(alias = "asyncio.Condition.wait")]
    #[track_caller]
    pub fn wait(&mut self) -> GuardWait<'_, 'a, T> {
        let waiting = self.waiting(WaitSite::here(&"Condition.wait"));
        GuardWait { guard: self, waiting }
    }

    /// Waits until `predicate` is true of the value (`Condition.wait_for`). It does not suspend if
    /// it is.
    ///
    /// # Errors
    /// `Cancelled`; `Runtime` if the guard does not hold the lock.
    ///
    /// # Cancellation
    /// As with [`wait`](ConditionGuard::wait).
    ///
    /// ```
    /// use asyncio::Condition;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let condition = Condition::new(3);
    ///     let mut n = condition.acquire().await?;
    ///     n.wait_for(|n| *n > 2).await?;
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "asyncio.Condition.wait_for")]
    #[track_caller]
    pub fn wait_for<P>(&mut self, predicate: P) -> GuardWaitFor<'_, 'a, T, P>
    where
        P: FnMut(&mut T) -> bool,
    {
        let waiting = self.waiting(WaitSite::here(&"Condition.wait_for"));
        GuardWaitFor { wait: GuardWait { guard: self, waiting }, predicate }
    }

    /// Wakes up to `n` waiters (`Condition.notify`). They continue when they get the lock.
    ///
    /// # Panics
    /// Panics if the guard does not hold the lock.
    ///
    /// ```
    /// use asyncio::Condition;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let condition = Condition::new(());
    ///     condition.acquire().await?.notify(1);
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "asyncio.Condition.notify")]
    #[track_caller]
    pub fn notify(&self, n: usize) {
        assert!(LockGuard::is_held(&self.guard), "{LOST}");
        notify(self.queue, n);
    }

    /// Wakes all waiters (`Condition.notify_all`).
    ///
    /// # Panics
    /// Panics if the guard does not hold the lock.
    ///
    /// ```
    /// use asyncio::Condition;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let condition = Condition::new(());
    ///     condition.acquire().await?.notify_all();
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "asyncio.Condition.notify_all")]
    #[track_caller]
    pub fn notify_all(&self) {
        self.notify(usize::MAX);
    }

    /// Returns whether the guard holds the lock.
    pub fn is_held(this: &Self) -> bool {
        LockGuard::is_held(&this.guard)
    }

    /// Releases the lock, as dropping the guard does.
    ///
    /// # Errors
    /// `Runtime` if the guard no longer holds the lock.
    pub fn release(this: Self) -> Result<()> {
        LockGuard::release(this.guard)
    }

    fn waiting(&self, site: WaitSite) -> Waiting<'a, WaitQueue> {
        Waiting::new(self.guard.raw(), self.queue, site)
    }
}

impl<T> Deref for ConditionGuard<'_, T> {
    type Target = T;

    #[track_caller]
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for ConditionGuard<'_, T> {
    #[track_caller]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T: fmt::Debug> fmt::Debug for ConditionGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConditionGuard").field(&self.guard).finish()
    }
}

/// Waits for a notification: see [`ConditionGuard::wait`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct GuardWait<'g, 'a, T> {
    guard: &'g mut ConditionGuard<'a, T>,
    waiting: Waiting<'a, WaitQueue>,
}

impl<T> fmt::Debug for GuardWait<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GuardWait").field(&self.waiting).finish()
    }
}

impl<T> GuardWait<'_, '_, T> {
    fn begin(&mut self, cx: &Context<'_>) -> Result<()> {
        if !ConditionGuard::is_held(self.guard) {
            return Err(cannot_wait());
        }
        let guard = &mut self.guard.guard;
        self.waiting.begin(cx, || guard.give_up().is_some_and(|hold| hold.release()))
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let (hold, outcome) = ready!(self.waiting.poll(cx));
        self.guard.guard.take_back(hold);
        Poll::Ready(outcome)
    }
}

impl<T> Future for GuardWait<'_, '_, T> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if !self.waiting.is_idle() {
            return self.poll_end(cx);
        }
        match self.begin(cx) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// Waits until something is true: see [`ConditionGuard::wait_for`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct GuardWaitFor<'g, 'a, T, P> {
    wait: GuardWait<'g, 'a, T>,
    predicate: P,
}

// The predicate is never pinned.
impl<T, P> Unpin for GuardWaitFor<'_, '_, T, P> {}

impl<T, P> fmt::Debug for GuardWaitFor<'_, '_, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GuardWaitFor").field(&self.wait.waiting).finish()
    }
}

impl<T, P: FnMut(&mut T) -> bool> Future for GuardWaitFor<'_, '_, T, P> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let GuardWaitFor { wait, predicate } = &mut *self;
        if !wait.waiting.is_idle() {
            ready!(wait.poll_end(cx))?;
        } else if !ConditionGuard::is_held(wait.guard) {
            return Poll::Ready(Err(cannot_wait()));
        }
        if predicate(&mut wait.guard.guard) {
            return Poll::Ready(Ok(()));
        }
        wait.begin(cx)?;
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
