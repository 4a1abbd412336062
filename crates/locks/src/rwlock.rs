//! [`RwLock`]: many tasks that read, or one that writes.

use crate::waiters::{Deferred, Polled, QueuedWait, WaitQueue};
use asyncio_core::{
    AsyncContextManager, Error, Result,
    raw::sync::{Mutex, keep},
    wait_site::WaitSite,
};
use std::{
    cell::UnsafeCell,
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

#[allow(unsafe_code)] // The value behind the lock.
mod guard;

pub use guard::{
    LockRef, Mode, OwnedReadGuard, OwnedWriteGuard, ReadGuard, Reading, RwLockGuard, WriteGuard,
    Writing,
};

/// Lets many tasks read the guarded value at a time, or one task write it (aiorwlock's `RWLock`; asyncio has
/// no such lock).
///
/// Readers and writers are served in the order in which they come: a reader that comes after a waiting writer
/// waits too, so that writers get their turn. The lock is not re-entrant: a task that reads must not ask to read
/// or write again before it has dropped its guard. The lock is never poisoned: a panic while a guard is held
/// releases it. Without a value, the lock guards data that is stored elsewhere.
///
/// ```
/// use asyncio::RwLock;
/// static USERS: RwLock<Vec<&str>> = RwLock::new(Vec::new());
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     USERS.write().await?.push("Ada");
///     let (one, other) = (USERS.read().await?, USERS.read().await?);
///     assert_eq!(one[0], other[0]);
///     assert!(USERS.try_write().is_none());
///     Ok(())
/// }
/// ```
#[doc(alias("aiorwlock.RWLock", "reader_lock", "writer_lock"))]
pub struct RwLock<T: ?Sized = ()> {
    state: Mutex<State>,
    value: UnsafeCell<T>,
}

/// How a task accesses the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// Which tasks hold the lock. A waiter that was woken holds it already.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Holders {
    readers: usize,
    has_writer: bool,
}

impl Holders {
    const NONE: Holders = Holders { readers: 0, has_writer: false };

    fn admit(self, access: Access) -> bool {
        !self.has_writer && (access == Access::Read || self.readers == 0)
    }

    fn add(&mut self, access: Access) {
        match access {
            Access::Read => self.readers += 1,
            Access::Write => self.has_writer = true,
        }
    }

    fn remove(&mut self, access: Access) {
        match access {
            Access::Read => self.readers -= 1,
            Access::Write => self.has_writer = false,
        }
    }
}

#[derive(Debug)]
struct State {
    holders: Holders,
    line: WaitQueue<Access>,
}

impl State {
    /// Whether `access` is possible without waiting.
    fn admits(&mut self, access: Access) -> bool {
        self.holders.admit(access) && !self.line.has_waiting()
    }

    /// Gives the lock to the first waiters, as long as their access is possible.
    fn give(&mut self, after: &mut Deferred) {
        let State { holders, line } = self;
        while let Some(access) = line.wake_next_if(|access| holders.admit(*access), after) {
            holders.add(*access);
        }
    }
}

impl<T> RwLock<T> {
    const_fn! {
        /// Creates a lock that is free.
        ///
        /// ```
        /// let lock = asyncio::RwLock::new(1);
        /// assert!(!lock.locked());
        /// ```
        pub fn new(value: T) -> RwLock<T> {
            let state = State { holders: Holders::NONE, line: WaitQueue::new() };
            RwLock { state: Mutex::new(state), value: UnsafeCell::new(value) }
        }
    }

    /// Returns the guarded value.
    ///
    /// ```
    /// assert_eq!(asyncio::RwLock::new(7).into_inner(), 7);
    /// ```
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until no task writes and all earlier waiters have had their turn, and takes the lock for reading.
    /// It does not suspend if no writer holds the lock or waits for it.
    ///
    /// `lock.read().with(async |value| …)` is `async with`.
    ///
    /// # Errors
    /// Only `Cancelled`.
    ///
    /// # Cancellation
    /// The lock is not held, and the place in the queue is lost. A waiter that had been given the lock passes it
    /// to the next one. Dropping the future does the same.
    ///
    /// A future that was given the lock and is never polled again keeps it. In a task that awaits several things,
    /// drop such a future, or keep polling it.
    ///
    /// ```
    /// use asyncio::{RwLock, prelude::*};
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let names = RwLock::new(vec!["Ada", "Grace"]);
    ///     assert_eq!(names.read().await?.len(), 2);
    ///     let first = names.read().with(async |names| Ok(names[0])).await?;
    ///     assert_eq!(first, "Ada");
    ///     Ok(())
    /// }
    /// ```
    #[track_caller]
    #[doc(alias("async with", "__aenter__", "reader"))]
    pub fn read(&self) -> RwLockAcquire<&Self, Reading> {
        RwLockAcquire::new(self, WaitSite::here(&"RwLock.read"))
    }

    /// Waits until no other task holds the lock and all earlier waiters have had their turn, and takes the lock for
    /// writing. It does not suspend if the lock is free and there are no waiters.
    ///
    /// # Errors
    /// Only `Cancelled`.
    ///
    /// # Cancellation
    /// As for [`read`](RwLock::read). If a writer gives up, the readers behind it no longer wait for it.
    ///
    /// ```
    /// use asyncio::RwLock;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let count = RwLock::new(0);
    ///     *count.write().await? += 1;
    ///     assert_eq!(count.into_inner(), 1);
    ///     Ok(())
    /// }
    /// ```
    #[track_caller]
    #[doc(alias("async with", "__aenter__", "writer"))]
    pub fn write(&self) -> RwLockAcquire<&Self, Writing> {
        RwLockAcquire::new(self, WaitSite::here(&"RwLock.write"))
    }

    /// Takes the lock as [`read`](RwLock::read) does. The guard keeps the lock alive and borrows nothing, so
    /// it can be moved to another task.
    ///
    /// # Errors
    /// Only `Cancelled`.
    ///
    /// # Cancellation
    /// As for [`read`](RwLock::read).
    ///
    /// ```
    /// use asyncio::RwLock;
    /// use std::sync::Arc;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let limit = Arc::new(RwLock::new(3));
    ///     let guard = limit.clone().read_owned().await?;
    ///     let task = asyncio::create_task(async move { Ok(*guard) });
    ///     assert_eq!(task.await?, 3);
    ///     Ok(())
    /// }
    /// ```
    #[track_caller]
    pub fn read_owned(self: Arc<Self>) -> RwLockAcquire<Arc<Self>, Reading> {
        RwLockAcquire::new(self, WaitSite::here(&"RwLock.read_owned"))
    }

    /// Takes the lock as [`write`](RwLock::write) does, with a guard that keeps the lock alive: see
    /// [`read_owned`](RwLock::read_owned).
    ///
    /// # Errors
    /// Only `Cancelled`.
    ///
    /// # Cancellation
    /// As for [`write`](RwLock::write).
    ///
    /// ```
    /// use asyncio::RwLock;
    /// use std::sync::Arc;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let count = Arc::new(RwLock::new(1));
    ///     let mut guard = count.clone().write_owned().await?;
    ///     asyncio::create_task(async move { Ok(*guard += 1) }).await?;
    ///     assert_eq!(*count.read().await?, 2);
    ///     Ok(())
    /// }
    /// ```
    #[track_caller]
    pub fn write_owned(self: Arc<Self>) -> RwLockAcquire<Arc<Self>, Writing> {
        RwLockAcquire::new(self, WaitSite::here(&"RwLock.write_owned"))
    }

    /// Takes the lock for reading, if that needs no waiting.
    ///
    /// ```
    /// let lock = asyncio::RwLock::new(1);
    /// let one = lock.try_read();
    /// assert!(one.is_some() && lock.try_read().is_some());
    /// ```
    pub fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        self.try_acquire()
    }

    /// Takes the lock for writing, if that needs no waiting.
    ///
    /// ```
    /// let lock = asyncio::RwLock::new(1);
    /// let reader = lock.try_read();
    /// assert!(lock.try_write().is_none());
    /// # drop(reader);
    /// ```
    pub fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        self.try_acquire()
    }

    fn try_acquire<M: Mode>(&self) -> Option<RwLockGuard<&Self, M>> {
        let mut state = self.state.lock();
        if !state.admits(M::ACCESS) {
            return None;
        }
        state.holders.add(M::ACCESS);
        Some(RwLockGuard::new(self))
    }

    /// Returns whether a task holds the lock for writing. A waiter that was given the lock holds it, even if it has
    /// not run since.
    ///
    /// ```
    /// let lock = asyncio::RwLock::new(());
    /// let writer = lock.try_write();
    /// assert!(lock.locked());
    /// # drop(writer);
    /// ```
    pub fn locked(&self) -> bool {
        self.state.lock().holders.has_writer
    }

    /// Returns how many tasks hold the lock for reading, including waiters that were given the
    /// lock.
    ///
    /// ```
    /// let lock = asyncio::RwLock::new(());
    /// let reader = lock.try_read();
    /// assert_eq!(lock.readers(), 1);
    /// # drop(reader);
    /// ```
    pub fn readers(&self) -> usize {
        self.state.lock().holders.readers
    }

    /// Returns the guarded value. The exclusive reference proves that no other handle is in use.
    ///
    /// ```
    /// let mut lock = asyncio::RwLock::new(1);
    /// *lock.get_mut() += 1;
    /// assert_eq!(lock.into_inner(), 2);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

/// Waiting for the lock, and giving it back.
impl<T: ?Sized> RwLock<T> {
    fn poll_acquire(
        &self,
        access: Access,
        place: &mut QueuedWait,
        cx: &mut Context<'_>,
        site: WaitSite,
    ) -> Poll<Result<()>> {
        let mut after = Deferred::new();
        let mut guard = self.state.lock();
        if !place.is_taken() {
            let admitted = guard.admits(access);
            guard = keep("rwlock_decided_early", &self.state, guard);
            if !admitted {
                guard.line.join_for(access, place, cx, site);
                return Poll::Pending;
            }
            guard.holders.add(access);
            return Poll::Ready(Ok(()));
        }
        let state = &mut *guard;
        let outcome = match state.line.poll(place, cx, site, &mut after) {
            Polled::Pending => return Poll::Pending,
            Polled::Moved => Poll::Pending,
            Polled::Woken => return Poll::Ready(Ok(())),
            Polled::Cancelled { error, woken } => {
                if woken {
                    state.holders.remove(access);
                }
                Poll::Ready(Err(error))
            }
        };
        state.give(&mut after);
        outcome
    }

    /// Gives up a place in the queue, if one is taken.
    fn leave(&self, access: Access, place: &mut QueuedWait) {
        if place.is_taken() {
            let mut after = Deferred::new();
            let mut state = self.state.lock();
            let woken = state.line.is_woken(place);
            state = keep("rwlock_left_unseen", &self.state, state);
            state.line.leave(place, &mut after);
            if woken {
                state.holders.remove(access);
            }
            state.give(&mut after);
        }
    }

    fn release(&self, access: Access) {
        let mut after = Deferred::new();
        let mut state = self.state.lock();
        state.holders.remove(access);
        state.give(&mut after);
    }

    /// Turns a writer into a reader, and admits the readers that wait behind it.
    fn downgrade(&self) {
        let mut after = Deferred::new();
        let mut state = self.state.lock();
        state.holders.remove(Access::Write);
        state = keep("rwlock_free_meanwhile", &self.state, state);
        state.holders.add(Access::Read);
        state.give(&mut after);
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> RwLock<T> {
        RwLock::new(value)
    }
}

/// Shows how the lock is held, not the guarded value.
impl<T: ?Sized> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("RwLock")
            .field("locked", &state.holders.has_writer)
            .field("readers", &state.holders.readers)
            .field("waiters", &state.line.len())
            .finish()
    }
}

/// Waits for an [`RwLock`]: see [`RwLock::read`] and [`RwLock::write`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct RwLockAcquire<L: LockRef, M: Mode> {
    lock: L,
    place: QueuedWait,
    site: WaitSite,
    mode: PhantomData<M>,
}

impl<L: LockRef, M: Mode> RwLockAcquire<L, M> {
    fn new(lock: L, site: WaitSite) -> RwLockAcquire<L, M> {
        RwLockAcquire { lock, place: QueuedWait::new(), site, mode: PhantomData }
    }
}

impl<L: LockRef, M: Mode> Unpin for RwLockAcquire<L, M> {}

impl<L: LockRef, M: Mode> asyncio_core::wait::Leaf for RwLockAcquire<L, M> {}

impl<L: LockRef, M: Mode> Future for RwLockAcquire<L, M> {
    type Output = Result<RwLockGuard<L, M>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let RwLockAcquire { lock, place, site, .. } = self.get_mut();
        ready!(lock.lock().poll_acquire(M::ACCESS, place, cx, *site))?;
        Poll::Ready(Ok(RwLockGuard::new(lock.clone())))
    }
}

impl<L: LockRef, M: Mode> Drop for RwLockAcquire<L, M> {
    fn drop(&mut self) {
        self.lock.lock().leave(M::ACCESS, &mut self.place);
    }
}

impl<L: LockRef, M: Mode> fmt::Debug for RwLockAcquire<L, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} of {:?}>", self.site, self.lock.lock())
    }
}

/// `async with lock.reader`: `lock.read().with(async |value| …)`.
impl<L: LockRef, M: Mode> AsyncContextManager for RwLockAcquire<L, M> {
    type Target = RwLockGuard<L, M>;

    async fn enter(&mut self) -> Result<RwLockGuard<L, M>> {
        self.await
    }

    async fn exit(&mut self, guard: RwLockGuard<L, M>, _: Option<&Error>) -> Result<()> {
        drop(guard);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
