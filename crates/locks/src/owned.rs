//! [`Owned`]: a value that only the holder of its lock can access. This file and `rwlock/guard.rs` contain all
//! `unsafe` code of the crate.

use crate::{
    lock::{Lock, not_acquired},
    raw::{Hold, RawLock},
};
use asyncio_core::Result;
use std::{
    cell::UnsafeCell,
    fmt,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    sync::Arc,
};

/// A lock, and the value that it guards.
pub(crate) struct Owned<T: ?Sized> {
    pub(crate) raw: RawLock,
    value: UnsafeCell<T>,
}

// SAFETY: a shared `Owned` gives the value to one holder of the lock at a time, by `&` or `&mut`. So
// the value moves between threads, but is never shared by them, which needs `Send` alone.
unsafe impl<T: ?Sized + Send> Sync for Owned<T> {}

impl<T> Owned<T> {
    const_fn! {
        pub(crate) fn new(value: T) -> Owned<T> {
            Owned { raw: RawLock::new(), value: UnsafeCell::new(value) }
        }
    }

    pub(crate) fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Owned<T> {
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

/// Holds a [`Lock`], gives access to its value, and releases it when dropped.
///
/// It can be kept across awaits, and moved to another task. A guard *knows whether it holds the
/// lock*. It does not after [`Lock::release`] (which exists only without a value), or after a
/// [`Condition`](crate::Condition) wait that was dropped before its end. Then it releases nothing.
///
/// To hold the lock without a guard, as asyncio's `acquire()` does, `std::mem::forget` the guard, and
/// call [`Lock::release`] later.
///
/// # Panics
/// Access to the value panics if the guard has lost its lock to a dropped `Condition` wait.
#[must_use = "a guard that is dropped releases the lock"]
pub struct LockGuard<'a, T: ?Sized = ()> {
    owned: &'a Owned<T>,
    /// A hold of `owned.raw`.
    hold: Option<Hold<'a>>,
    /// The guard gives out `&mut T`, so it is `Send` and `Sync` if `&mut T` is.
    value: PhantomData<&'a mut T>,
}

impl<'a, T: ?Sized> LockGuard<'a, T> {
    pub(crate) fn new(lock: &'a Lock<T>, hold: Hold<'a>) -> LockGuard<'a, T> {
        let mut guard = LockGuard { owned: lock.owned(), hold: None, value: PhantomData };
        guard.take_back(hold);
        guard
    }

    /// Returns whether the guard still holds the lock.
    pub fn is_held(this: &Self) -> bool {
        this.hold.as_ref().is_some_and(Hold::is_valid)
    }

    /// Releases the lock, as dropping the guard does.
    ///
    /// # Errors
    /// `Runtime` if the guard no longer holds the lock.
    pub fn release(mut this: Self) -> Result<()> {
        let released = this.give_up().is_some_and(Hold::release);
        if released { Ok(()) } else { Err(not_acquired()) }
    }

    pub(crate) fn raw(&self) -> &'a RawLock {
        &self.owned.raw
    }

    /// Takes the hold out of the guard, which then gives no access.
    pub(crate) fn give_up(&mut self) -> Option<Hold<'a>> {
        self.hold.take()
    }

    /// Gives the guard a hold of its own lock.
    pub(crate) fn take_back(&mut self, hold: Hold<'a>) {
        assert!(hold.is_of(&self.owned.raw), "a hold belongs to one lock");
        self.hold = Some(hold);
    }
}

impl<T: ?Sized> Deref for LockGuard<'_, T> {
    type Target = T;

    #[track_caller]
    fn deref(&self) -> &T {
        assert!(self.hold.is_some(), "{LOST}");
        // SAFETY: the guard has a hold of this value's lock (`take_back` ensures it), and a hold
        // exists once, so no other guard gives access. Only `Lock<()>` and `Condition<()>` release a
        // hold that a guard still has, and a `()` has no data to access.
        unsafe { &*self.owned.value.get() }
    }
}

impl<T: ?Sized> DerefMut for LockGuard<'_, T> {
    #[track_caller]
    fn deref_mut(&mut self) -> &mut T {
        assert!(self.hold.is_some(), "{LOST}");
        // SAFETY: as in `deref`; and the guard is borrowed mutably.
        unsafe { &mut *self.owned.value.get() }
    }
}

pub(crate) const LOST: &str =
    "this guard does not hold its lock: a Condition wait was dropped midway";

impl<T: ?Sized> Drop for LockGuard<'_, T> {
    fn drop(&mut self) {
        if let Some(hold) = self.hold.take() {
            hold.release();
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for LockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hold {
            Some(_) => f.debug_tuple("LockGuard").field(&&**self).finish(),
            None => f.write_str("LockGuard(lost)"),
        }
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for LockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

/// A [`LockGuard`] that keeps its lock alive and borrows nothing, from [`Lock::acquire_owned`].
#[must_use = "a guard that is dropped releases the lock"]
pub struct OwnedLockGuard<T: ?Sized = ()> {
    lock: Arc<Lock<T>>,
    /// A hold of the lock.
    hold: u64,
    /// The guard gives out `&mut T`, so it is `Send` and `Sync` if `&mut T` is.
    value: PhantomData<T>,
}

impl<T: ?Sized> OwnedLockGuard<T> {
    /// `hold` must be a hold of this lock.
    pub(crate) fn new(lock: Arc<Lock<T>>, hold: u64) -> OwnedLockGuard<T> {
        OwnedLockGuard { lock, hold, value: PhantomData }
    }

    /// Returns the lock.
    pub fn lock(this: &Self) -> &Arc<Lock<T>> {
        &this.lock
    }

    /// Returns whether the guard still holds the lock. It does not after [`Lock::release`].
    pub fn is_held(this: &Self) -> bool {
        this.lock.raw().hold(this.hold).is_valid()
    }
}

impl<T: ?Sized> Deref for OwnedLockGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard was made with a hold of this value's lock, and a hold exists once, so no other
        // guard gives access. Only `Lock<()>` releases a hold that a guard still has, and a `()` has no
        // data to access.
        unsafe { &*self.lock.owned().value.get() }
    }
}

impl<T: ?Sized> DerefMut for OwnedLockGuard<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; and the guard is borrowed mutably.
        unsafe { &mut *self.lock.owned().value.get() }
    }
}

impl<T: ?Sized> Drop for OwnedLockGuard<T> {
    fn drop(&mut self) {
        self.lock.raw().hold(self.hold).release();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for OwnedLockGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedLockGuard").field(&&**self).finish()
    }
}
