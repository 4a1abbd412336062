//! [`Biased`]: a mutex that costs one thread next to nothing.
//!
//! What the two halves of a connection share is nearly always used by one thread, and may be used by
//! any. A mutex takes a read-modify-write to lock and another to unlock, and each waits until every
//! earlier write is done; after a system call those are the kernel's as well. So the thread that made
//! a `Biased` gets in with plain loads and stores, for as long as no other thread has come.
//!
//! # The law
//!
//! The owner writes *inside*, then reads *shared*. Another thread writes *shared*, then reads *inside*,
//! and waits until that is over. If each of the four happens in this order on its thread, one of the
//! two sees the other. To be sure of that both would need a full barrier between their write and their
//! read; the other thread has the system run one on *every* thread of the process, which is dear, and
//! happens once: from then on it is an ordinary mutex, for the owner too.
//!
//! That barrier is a system call, so a loop [brings](set_barrier) it. Without one (no loop so far, or
//! a system that has no such call) it is an ordinary mutex from the beginning.

use super::{AtomicBool, Mutex, MutexGuard, Ordering};
use crate::home::thread_id;
use std::{
    cell::UnsafeCell,
    fmt,
    ops::{Deref, DerefMut},
    sync::{OnceLock, atomic::compiler_fence},
    thread::yield_now,
};

static BARRIER: OnceLock<fn()> = OnceLock::new();

/// Says how to run a full memory barrier on every thread of the process that runs now. The function
/// must have done so when it returns. The first call decides.
///
/// # Safety
/// The function does what it is said to do.
pub unsafe fn set_barrier(barrier: fn()) {
    let _ = BARRIER.set(barrier);
}

/// A mutual exclusion lock without poison that costs the thread that makes it next to nothing, until
/// another one comes for the first time; an ordinary mutex from then on.
///
/// Whether it does so is up to the first loop of the process, which [brings](set_barrier) what it takes
/// from the system.
pub struct Biased<T> {
    /// The thread that made it; zero, which none has, if there is no barrier.
    owner: u64,
    /// The owner has the lock, or looks whether it may.
    inside: AtomicBool,
    /// From now on only who holds the mutex may get in.
    shared: AtomicBool,
    mutex: Mutex<()>,
    value: UnsafeCell<T>,
}

// SAFETY: the lock lets one thread in at a time: see the law above.
unsafe impl<T: Send> Sync for Biased<T> {}

impl<T> Biased<T> {
    /// Makes an unlocked one, for this thread above all.
    pub fn new(value: T) -> Biased<T> {
        let owner = if BARRIER.get().is_some() { thread_id() } else { 0 };
        Biased {
            owner,
            inside: AtomicBool::new(false),
            shared: AtomicBool::new(owner == 0),
            mutex: Mutex::new(()),
            value: UnsafeCell::new(value),
        }
    }

    /// Blocks until the lock is free, and takes it.
    ///
    /// # Panics
    /// If its owner has it already and asks again, where a mutex would wait for ever.
    #[inline]
    pub fn lock(&self) -> BiasedGuard<'_, T> {
        if self.owner == thread_id() {
            assert!(!self.inside.load(Ordering::Relaxed), "a lock is taken twice");
            self.inside.store(true, Ordering::Relaxed);
            // The other thread's barrier makes the processor keep the order, this the compiler.
            compiler_fence(std::sync::atomic::Ordering::SeqCst);
            if !self.shared.load(Ordering::Acquire) {
                return BiasedGuard { biased: self, mutex: None };
            }
            self.inside.store(false, Ordering::Release);
        }
        self.lock_shared()
    }

    #[cold]
    fn lock_shared(&self) -> BiasedGuard<'_, T> {
        let mutex = self.mutex.lock();
        if !self.shared.load(Ordering::Relaxed) {
            self.shared.store(true, Ordering::SeqCst);
            if let Some(barrier) = BARRIER.get() {
                barrier();
            }
            while self.inside.load(Ordering::Acquire) {
                yield_now();
            }
        }
        BiasedGuard { biased: self, mutex: Some(mutex) }
    }
}

impl<T> fmt::Debug for Biased<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Biased")
    }
}

/// The guard of [`Biased::lock`].
#[must_use]
pub struct BiasedGuard<'a, T> {
    biased: &'a Biased<T>,
    /// None if the owner is in without it. A guard stays on its thread because of it.
    mutex: Option<MutexGuard<'a, ()>>,
}

impl<T> Deref for BiasedGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: nobody else has the lock.
        unsafe { &*self.biased.value.get() }
    }
}

impl<T> DerefMut for BiasedGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: nobody else has the lock.
        unsafe { &mut *self.biased.value.get() }
    }
}

impl<T> Drop for BiasedGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.mutex.is_none() {
            self.biased.inside.store(false, Ordering::Release);
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for BiasedGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
