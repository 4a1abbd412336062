//! [`RwLockGuard`]: holds an [`RwLock`], and gives access to its value.

use super::{Access, RwLock};
use std::{
    fmt,
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::{Deref, DerefMut},
    ptr,
    sync::Arc,
};

// SAFETY: a shared `RwLock` gives `&T` to several threads at once, and `&mut T` to one; that takes `Sync` and
// `Send`.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

/// A reference to the lock, `&RwLock<T>` or `Arc<RwLock<T>>`, for an acquire and its guard. Sealed.
pub trait LockRef: Clone + sealed::LockRef {}

/// Whether a guard reads or writes: [`Reading`] or [`Writing`]. Sealed.
pub trait Mode: sealed::Mode {}

mod sealed {
    use super::{Access, RwLock};

    pub trait LockRef {
        type Value: ?Sized;
        /// The same lock at each call.
        fn lock(&self) -> &RwLock<Self::Value>;
    }

    pub trait Mode {
        #[allow(private_interfaces)] // No other crate can name this trait.
        const ACCESS: Access;
    }
}

impl<T: ?Sized> LockRef for &RwLock<T> {}
impl<T: ?Sized> sealed::LockRef for &RwLock<T> {
    type Value = T;
    fn lock(&self) -> &RwLock<T> {
        self
    }
}

impl<T: ?Sized> LockRef for Arc<RwLock<T>> {}
impl<T: ?Sized> sealed::LockRef for Arc<RwLock<T>> {
    type Value = T;
    fn lock(&self) -> &RwLock<T> {
        self
    }
}

/// The guard reads.
#[derive(Clone, Copy, Debug)]
pub enum Reading {}

/// The guard reads and writes.
#[derive(Clone, Copy, Debug)]
pub enum Writing {}

impl Mode for Reading {}
impl sealed::Mode for Reading {
    #[allow(private_interfaces)]
    const ACCESS: Access = Access::Read;
}

impl Mode for Writing {}
impl sealed::Mode for Writing {
    #[allow(private_interfaces)]
    const ACCESS: Access = Access::Write;
}

/// Holds an [`RwLock`], gives access to its value, and releases it when dropped.
///
/// It can be kept across awaits, and moved to another task. `L` is its reference to the lock, a `&` or an
/// `Arc`; `M` says whether it reads or writes. See [`ReadGuard`], [`WriteGuard`] and their owned forms.
#[must_use = "a guard that is dropped releases the lock"]
pub struct RwLockGuard<L: LockRef, M: Mode> {
    lock: L,
    mode: PhantomData<M>,
}

/// The guard of [`RwLock::read`].
pub type ReadGuard<'a, T = ()> = RwLockGuard<&'a RwLock<T>, Reading>;

/// The guard of [`RwLock::write`].
pub type WriteGuard<'a, T = ()> = RwLockGuard<&'a RwLock<T>, Writing>;

/// The guard of [`RwLock::read_owned`].
pub type OwnedReadGuard<T = ()> = RwLockGuard<Arc<RwLock<T>>, Reading>;

/// The guard of [`RwLock::write_owned`].
pub type OwnedWriteGuard<T = ()> = RwLockGuard<Arc<RwLock<T>>, Writing>;

impl<L: LockRef, M: Mode> RwLockGuard<L, M> {
    /// The lock must be held in this mode; the guard releases it.
    pub(super) fn new(lock: L) -> RwLockGuard<L, M> {
        RwLockGuard { lock, mode: PhantomData }
    }
}

impl<L: LockRef> RwLockGuard<L, Writing> {
    /// Turns the guard into one for reading, without a moment in which another task could write. Readers at
    /// the head of the queue continue too.
    ///
    /// ```
    /// use asyncio::{RwLock, WriteGuard};
    ///
    /// let lock = RwLock::new(1);
    /// let mut writer = lock.try_write().unwrap();
    /// *writer += 1;
    /// let reader = WriteGuard::downgrade(writer);
    /// assert_eq!((*reader, lock.try_read().as_deref()), (2, Some(&2)));
    /// ```
    pub fn downgrade(this: Self) -> RwLockGuard<L, Reading> {
        let this = ManuallyDrop::new(this);
        // SAFETY: the guard is not dropped, so its reference to the lock is moved out once.
        let lock = unsafe { ptr::read(&raw const this.lock) };
        lock.lock().downgrade();
        RwLockGuard::new(lock)
    }
}

impl<L: LockRef, M: Mode> Deref for RwLockGuard<L, M> {
    type Target = L::Value;

    fn deref(&self) -> &L::Value {
        // SAFETY: the guard holds the lock. While it does, no guard for writing exists, except perhaps this one,
        // which is borrowed.
        unsafe { &*self.lock.lock().value.get() }
    }
}

impl<L: LockRef> DerefMut for RwLockGuard<L, Writing> {
    fn deref_mut(&mut self) -> &mut L::Value {
        // SAFETY: the guard holds the lock for writing. While it does, it is the only guard; and it is borrowed
        // mutably.
        unsafe { &mut *self.lock.lock().value.get() }
    }
}

impl<L: LockRef, M: Mode> Drop for RwLockGuard<L, M> {
    fn drop(&mut self) {
        self.lock.lock().release(M::ACCESS);
    }
}

impl<L: LockRef<Value: fmt::Debug>, M: Mode> fmt::Debug for RwLockGuard<L, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RwLockGuard").field(&&**self).finish()
    }
}

impl<L: LockRef<Value: fmt::Display>, M: Mode> fmt::Display for RwLockGuard<L, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}
