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
//! happens once: from then on it is an ordinary mutex, for the owner too. If the system refuses the
//! barrier, the other thread panics, and the lock stays with its owner.
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

/// Runs a full memory barrier on every running thread of the process. Returns false if the system
/// refuses it.
type Barrier = fn() -> bool;

static BARRIER: OnceLock<Barrier> = OnceLock::new();

/// Says how to run a full memory barrier on every thread of the process that runs now. The function
/// must have done so when it returns true. The first call decides.
///
/// # Safety
/// The function does what it is said to do.
pub unsafe fn set_barrier(barrier: Barrier) {
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
    barrier: Option<Barrier>,
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
        Biased::with_barrier(value, BARRIER.get().copied())
    }

    fn with_barrier(value: T, barrier: Option<Barrier>) -> Biased<T> {
        let owner = if barrier.is_some() { thread_id() } else { 0 };
        Biased {
            owner,
            barrier,
            inside: AtomicBool::new(false),
            shared: AtomicBool::new(owner == 0),
            mutex: Mutex::new(()),
            value: UnsafeCell::new(value),
        }
    }

    /// Blocks until the lock is free, and takes it.
    ///
    /// # Panics
    /// If its owner holds it already and asks again, where a mutex would wait for ever. On another
    /// thread, if the system allowed the barrier when the lock was made and refuses it now, for example
    /// because of a seccomp filter installed in between. The owner can still use the lock then.
    #[inline]
    pub fn lock(&self) -> BiasedGuard<'_, T> {
        loop {
            if self.owner == thread_id() {
                assert!(!self.inside.load(Ordering::Relaxed), "a lock is taken twice");
                self.inside.store(true, Ordering::Relaxed);
                // The other thread's barrier orders the processor's accesses; this fence orders the compiler's.
                compiler_fence(std::sync::atomic::Ordering::SeqCst);
                if !self.shared.load(Ordering::Acquire) {
                    return BiasedGuard { biased: self, mutex: None };
                }
                self.inside.store(false, Ordering::Release);
            }
            if let Some(guard) = self.lock_shared() {
                return guard;
            }
        }
    }

    /// `None` for the owner, if it is not shared after all.
    #[cold]
    fn lock_shared(&self) -> Option<BiasedGuard<'_, T>> {
        let mutex = self.mutex.lock();
        if !self.shared.load(Ordering::Relaxed) {
            if self.owner == thread_id() {
                // Another thread had asked for the lock, and was refused: try the fast path again.
                return None;
            }
            self.shared.store(true, Ordering::SeqCst);
            if self.barrier.is_some_and(|barrier| !barrier()) {
                // Without the barrier the owner may be inside and not see that the lock is shared.
                self.shared.store(false, Ordering::SeqCst);
                drop(mutex);
                panic!(
                    "a stream or transport cannot be used outside of the thread that made it: the \
                     system refuses membarrier(2), which it allowed when the event loop was made; \
                     allow it in the seccomp filter, or install the filter before the first event \
                     loop"
                );
            }
            while self.inside.load(Ordering::Acquire) {
                yield_now();
            }
        }
        Some(BiasedGuard { biased: self, mutex: Some(mutex) })
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::Arc,
        thread,
    };

    #[test]
    fn a_barrier_that_is_refused_keeps_the_other_thread_out_and_the_owner_in() {
        let numbers = Arc::new(Biased::with_barrier((0_u32, 0_u32), Some(|| false)));
        let ends = Arc::new(AtomicBool::new(false));
        let others = [(); 2].map(|()| {
            let (numbers, ends) = (numbers.clone(), ends.clone());
            thread::spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    let refused = catch_unwind(AssertUnwindSafe(|| drop(numbers.lock())));
                    let refused = refused.unwrap_err();
                    let text = refused.downcast_ref::<&str>().unwrap();
                    assert!(text.contains("membarrier"), "{text}");
                }
            })
        });
        for n in 0..100_000 {
            let mut numbers = numbers.lock();
            assert_eq!(*numbers, (n, n));
            numbers.0 += 1;
            std::hint::black_box(&mut *numbers);
            numbers.1 += 1;
        }
        ends.store(true, Ordering::Relaxed);
        others.into_iter().for_each(|thread| thread.join().unwrap());
    }
}
