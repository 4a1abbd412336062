//! A single entry point to the synchronisation primitives, so that loom can replace them.
//!
//! No other module of the workspace uses `std::sync` for state that a loom model must see. The
//! mutex has no poisoning: a panic while it is held releases it, and its owner keeps the guarded
//! value valid.

#[cfg(loom)]
pub use loom::{
    sync::{
        Arc, atomic,
        atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize},
    },
    thread_local,
};
#[cfg(not(loom))]
pub use std::{
    sync::{
        Arc, atomic,
        atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize},
    },
    thread_local,
};

pub use atomic::Ordering;

#[cfg(loom)]
use loom::sync as imp;
#[cfg(not(loom))]
use std::sync as imp;

/// Returns whether the named fault is switched on, so that a model can show that it detects the
/// fault. Outside of `cargo xtask loom --mutants`, it never is.
#[cfg(not(any(loom, asyncio_mutants)))]
#[inline(always)]
pub const fn mutant(_name: &str) -> bool {
    false
}

/// Returns whether `ASYNCIO_MUTANT` switches the named fault on.
#[cfg(any(loom, asyncio_mutants))]
pub fn mutant(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("ASYNCIO_MUTANT").ok()).as_deref() == Some(name)
}

/// Keeps the lock. The mutant `name` releases it here and takes it again, so that values read
/// before may have changed.
#[inline(always)]
pub fn keep<'a, T>(name: &str, mutex: &'a Mutex<T>, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    if mutant(name) {
        drop(guard);
        return mutex.lock();
    }
    guard
}

/// Changes `word` if it is still `from`. The mutant `name` first reads it, and then changes it in a
/// second operation.
#[inline(always)]
pub fn change(name: &str, word: &AtomicU64, from: u64, to: u64) -> bool {
    if mutant(name) {
        let unchanged = word.load(Ordering::Acquire) == from;
        if unchanged {
            word.store(to, Ordering::Release);
        }
        return unchanged;
    }
    word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
}

/// Declares a thread-local [`Cell`](std::cell::Cell). All threads of a loom model share one thread of
/// the machine, so models use loom's thread-local.
macro_rules! thread_cell {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr) => {
        #[cfg(not(loom))]
        std::thread_local! {
            $(#[$attribute])*
            static $name: std::cell::Cell<$type> = const { std::cell::Cell::new($value) };
        }
        #[cfg(loom)]
        $(#[$attribute])*
        static $name: crate::sync::ThreadCell<$type> = {
            loom::thread_local!(static KEY: std::cell::Cell<$type> = std::cell::Cell::new($value));
            crate::sync::ThreadCell(&KEY)
        };
    };
}
pub(crate) use thread_cell;

/// The type that [`thread_cell`] declares in a loom model.
#[cfg(loom)]
pub(crate) struct ThreadCell<T: 'static>(
    pub(crate) &'static loom::thread::LocalKey<std::cell::Cell<T>>,
);

#[cfg(loom)]
impl<T: Copy> ThreadCell<T> {
    pub(crate) fn get(&self) -> T {
        self.0.with(|cell| cell.get())
    }

    pub(crate) fn set(&self, value: T) {
        self.0.with(|cell| cell.set(value));
    }

    pub(crate) fn replace(&self, value: T) -> T {
        self.0.with(|cell| cell.replace(value))
    }
}

/// A mutual exclusion lock without poison.
#[derive(Debug, Default)]
pub struct Mutex<T: ?Sized>(imp::Mutex<T>);

/// The guard of [`Mutex::lock`].
pub type MutexGuard<'a, T> = imp::MutexGuard<'a, T>;

impl<T> Mutex<T> {
    /// Creates an unlocked mutex.
    #[cfg(not(loom))]
    pub const fn new(value: T) -> Mutex<T> {
        Mutex(imp::Mutex::new(value))
    }

    /// Creates an unlocked mutex.
    #[cfg(loom)]
    pub fn new(value: T) -> Mutex<T> {
        Mutex(imp::Mutex::new(value))
    }

    /// Returns the guarded value to its only owner, without taking the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Returns the guarded value.
    pub fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Blocks until the lock is free, and takes it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A condition variable for [`Mutex`].
#[derive(Debug, Default)]
pub struct Condvar(imp::Condvar);

impl Condvar {
    /// Creates a condition variable.
    pub fn new() -> Condvar {
        Condvar(imp::Condvar::new())
    }

    /// Releases the guard, waits for a notification, and takes the lock again.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Wakes one waiting thread.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes every waiting thread.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}
