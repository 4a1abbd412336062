//! [`Lock`]: one task at a time.

use crate::{
    owned::Owned,
    raw::{RawAcquire, RawLock},
    waiters::QueuedWait,
};
use asyncio_core::{AsyncContextManager, Error, Result, wait_site::WaitSite};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

pub use crate::owned::{LockGuard, OwnedLockGuard};

/// Gives one task at a time access to the value that it guards (`asyncio.Lock`).
///
/// Waiters are served in order. A release wakes the first in the queue and leaves the lock free until that
/// task runs; no other task can take it meanwhile, though [`locked`](Lock::locked) is false. The lock is
/// not re-entrant. It is never poisoned: a panic while a guard is held releases it.
///
/// Without a value, `Lock` works as in asyncio: any task may [`release`](Lock::release) it.
///
/// ```
/// use asyncio::Lock;
/// static COUNT: Lock<u64> = Lock::new(0);
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let mut count = COUNT.acquire().await?;
///     *count += 1;
///     drop(count);
///     assert!(!COUNT.locked());
///     Ok(())
/// }
/// ```
#[doc(alias = "asyncio.Lock")]
pub struct Lock<T: ?Sized = ()> {
    owned: Owned<T>,
}

impl<T> Lock<T> {
    const_fn! {
        /// Creates a lock that is free.
        ///
        /// ```
        /// use asyncio::Lock;
        /// static PLAIN: Lock = Lock::new(());
        /// assert!(!PLAIN.locked());
        /// ```
        pub fn new(value: T) -> Lock<T> {
            Lock { owned: Owned::new(value) }
        }
    }

    /// Returns the guarded value.
    ///
    /// ```
    /// use asyncio::Lock;
    /// assert_eq!(Lock::new(7).into_inner(), 7);
    /// ```
    pub fn into_inner(self) -> T {
        self.owned.into_inner()
    }
}

impl<T: ?Sized> Lock<T> {
    /// Waits until the lock is free and all earlier waiters have had it, and takes it
    /// (`Lock.acquire`). It does not suspend if the lock is free and there are no waiters.
    ///
    /// # Errors
    /// Only `Cancelled`.
    ///
    /// # Cancellation
    /// The lock is not held, and the place in the queue is lost. A waiter that was already woken wakes the
    /// next one. Dropping the future does the same.
    ///
    /// A future that was granted the lock and is never polled again holds up everything behind it in the
    /// queue. In a task that awaits several things, drop such a future, or keep polling it.
    ///
    /// ```
    /// use asyncio::Lock;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let names = Lock::new(vec!["Ada"]);
    ///     names.acquire().await?.push("Grace");
    ///     assert_eq!(names.into_inner(), ["Ada", "Grace"]);
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "asyncio.Lock.acquire")]
    #[track_caller]
    #[doc(alias("async with", "__aenter__"))]
    pub fn acquire(&self) -> Acquire<'_, T> {
        self.acquire_at(WaitSite::here(&"Lock.acquire"))
    }

    /// Takes the lock as [`acquire`](Lock::acquire) does. The guard keeps the lock alive and borrows nothing,
    /// so it can be moved to another task.
    ///
    /// # Errors
    /// Only `Cancelled`.
    ///
    /// # Cancellation
    /// As for [`acquire`](Lock::acquire).
    ///
    /// ```
    /// use asyncio::Lock;
    /// use std::sync::Arc;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let lock = Arc::new(Lock::new(1));
    ///     let mut guard = lock.clone().acquire_owned().await?;
    ///     asyncio::create_task(async move { Ok(*guard += 1) }).await?;
    ///     assert_eq!(*lock.acquire().await?, 2);
    ///     Ok(())
    /// }
    /// ```
    #[track_caller]
    pub fn acquire_owned(self: Arc<Self>) -> AcquireOwned<T> {
        AcquireOwned {
            lock: self,
            place: QueuedWait::new(),
            site: WaitSite::here(&"Lock.acquire_owned"),
        }
    }

    pub(crate) fn acquire_at(&self, site: WaitSite) -> Acquire<'_, T> {
        Acquire { lock: self, raw: self.owned.raw.acquire(site) }
    }

    /// Takes the lock if it is free and there are no waiters.
    ///
    /// ```
    /// use asyncio::Lock;
    /// let lock = Lock::new(1);
    /// let guard = lock.try_acquire().unwrap();
    /// assert!(lock.try_acquire().is_none());
    /// # drop(guard);
    /// ```
    pub fn try_acquire(&self) -> Option<LockGuard<'_, T>> {
        Some(LockGuard::new(self, self.owned.raw.try_acquire()?))
    }

    /// Blocks the thread until it has the lock. In a task, this would block the whole executor.
    ///
    /// ```
    /// use asyncio::Lock;
    /// let total = Lock::new(0);
    /// std::thread::scope(|scope| {
    ///     for n in 1..=3 {
    ///         scope.spawn({ let total = &total; move || *total.acquire_blocking() += n });
    ///     }
    /// });
    /// assert_eq!(total.into_inner(), 6);
    /// ```
    #[cfg(not(loom))]
    #[track_caller]
    pub fn acquire_blocking(&self) -> LockGuard<'_, T> {
        let site = WaitSite::here(&"Lock.acquire_blocking");
        loop {
            // Only a task can be cancelled. If this thread is running a task, the wait continues.
            if let Ok(guard) = crate::blocking::block_on(self.acquire_at(site)) {
                return guard;
            }
        }
    }

    /// Returns whether the lock is held (`Lock.locked`). It is also false between a release and the
    /// next step of the waiter that it woke, although no other task can take the lock then.
    ///
    /// ```
    /// use asyncio::Lock;
    /// let lock = Lock::new(());
    /// let guard = lock.try_acquire();
    /// assert!(lock.locked());
    /// # drop(guard);
    /// ```
    #[doc(alias = "asyncio.Lock.locked")]
    pub fn locked(&self) -> bool {
        self.owned.raw.is_locked()
    }

    /// Returns the guarded value. The exclusive reference proves that no other handle is in use.
    ///
    /// ```
    /// use asyncio::Lock;
    /// let mut lock = Lock::new(1);
    /// *lock.get_mut() += 1;
    /// assert_eq!(lock.into_inner(), 2);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.owned.get_mut()
    }

    pub(crate) fn owned(&self) -> &Owned<T> {
        &self.owned
    }

    pub(crate) fn raw(&self) -> &RawLock {
        &self.owned.raw
    }
}

impl Lock<()> {
    /// Releases the lock, whichever task holds it (`Lock.release`). A guard that held the lock then does
    /// nothing when it is dropped.
    ///
    /// # Errors
    /// `Runtime` if the lock is not held.
    ///
    /// ```
    /// use asyncio::Lock;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let lock = Lock::new(());
    ///     std::mem::forget(lock.acquire().await?);
    ///     lock.release()?;
    ///     assert_eq!(lock.release().unwrap_err().to_string(), "Lock is not acquired.");
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "asyncio.Lock.release")]
    pub fn release(&self) -> Result<()> {
        if self.owned.raw.release_any() { Ok(()) } else { Err(not_acquired()) }
    }
}

pub(crate) fn not_acquired() -> Error {
    Error::runtime("Lock is not acquired.")
}

impl<T: Default> Default for Lock<T> {
    fn default() -> Lock<T> {
        Lock::new(T::default())
    }
}

impl<T> From<T> for Lock<T> {
    fn from(value: T) -> Lock<T> {
        Lock::new(value)
    }
}

impl<T: ?Sized> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.owned.raw.fmt(f)
    }
}

/// `async with lock`: `lock.with(async |guard| …)`.
///
/// The block ends with an error (`Runtime`) if the body has released the lock.
impl<'a, T: ?Sized> AsyncContextManager for &'a Lock<T> {
    type Target = LockGuard<'a, T>;

    async fn enter(&mut self) -> Result<LockGuard<'a, T>> {
        self.acquire().await
    }

    async fn exit(&mut self, guard: LockGuard<'a, T>, _: Option<&Error>) -> Result<()> {
        LockGuard::release(guard)
    }
}

/// Waits for a [`Lock`]: see [`Lock::acquire_owned`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct AcquireOwned<T: ?Sized = ()> {
    lock: Arc<Lock<T>>,
    place: QueuedWait,
    site: WaitSite,
}

impl<T: ?Sized> Future for AcquireOwned<T> {
    type Output = Result<OwnedLockGuard<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let AcquireOwned { lock, place, site } = &mut *self;
        let hold = std::task::ready!(lock.raw().poll_acquire(place, cx, *site))?.into_number();
        Poll::Ready(Ok(OwnedLockGuard::new(lock.clone(), hold)))
    }
}

impl<T: ?Sized> Drop for AcquireOwned<T> {
    fn drop(&mut self) {
        self.lock.raw().leave(&mut self.place);
    }
}

/// Waits for a [`Lock`]: see [`Lock::acquire`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Acquire<'a, T: ?Sized = ()> {
    lock: &'a Lock<T>,
    raw: RawAcquire<'a>,
}

impl<T: ?Sized> asyncio_core::wait::Leaf for Acquire<'_, T> {}

impl<'a, T: ?Sized> Future for Acquire<'a, T> {
    type Output = Result<LockGuard<'a, T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let lock = self.lock;
        Pin::new(&mut self.raw).poll(cx).map_ok(|hold| LockGuard::new(lock, hold))
    }
}

#[cfg(test)]
mod tests;
