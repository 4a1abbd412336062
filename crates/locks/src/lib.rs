//! asyncio's locks, under any executor.
//!
//! | here | in asyncio |
//! |---|---|
//! | [`Lock`] | `asyncio.Lock` |
//! | [`Event`] | `asyncio.Event` |
//! | [`Condition`] | `asyncio.Condition` |
//! | [`Semaphore`], [`BoundedSemaphore`] | `asyncio.Semaphore`, `asyncio.BoundedSemaphore` |
//! | [`Barrier`] | `asyncio.Barrier` |
//! | [`RwLock`] | – (aiorwlock's `RWLock`) |
//!
//! Locks own what they guard: `Lock<T>`, `RwLock<T>` and `Condition<T>` give a guard through which it is reached.
//! `T` is `()` by default, which is asyncio's own lock.
//!
//! ```
//! # use asyncio_core::Error;
//! use asyncio_locks::{Event, Lock};
//! # use futures_lite::future::{block_on, try_zip};
//! let (done, log) = (Event::new(), Lock::new(Vec::new()));
//! let worker = async {
//!     log.acquire().await?.push("worked");
//!     done.set();
//!     Ok::<_, Error>(())
//! };
//! let watcher = async {
//!     done.wait().await?;
//!     log.acquire().await?.push("seen");
//!     Ok(())
//! };
//! block_on(try_zip(watcher, worker))?;
//! assert_eq!(log.into_inner(), ["worked", "seen"]);
//! # Ok::<_, asyncio_core::Error>(())
//! ```
//!
//! # When not to use it
//!
//! - For data that no other task needs while a task is suspended, `std::sync::Mutex` is faster, and in a
//!   program of one thread `RefCell` is enough: tasks of one loop take turns only at an await.
//! - To pass values from task to task, a queue expresses the intent better (`asyncio-queues`).
//! - None of these can be used from a signal handler.
//!
//! # Cancellation
//!
//! In a task of an asyncio loop a wait ends with `Err(Cancelled)` when the task is cancelled. The
//! waiter counts as cancelled from the call of `cancel()`: a release later in the same step passes it
//! over. Under other executors no task is ever cancelled, but every future here may be dropped at any
//! await. Cancelled or dropped, a waiter that was woken and does not use it passes the wake-up on:
//! no wake-up or permit is ever lost. The docs of each operation say what it leaves behind.
//!
//! # Threads
//!
//! Everything is `Send` and `Sync` where its contents are, and bound to no loop and no executor: tasks
//! of several loops, of other executors and plain threads ([`Lock::acquire_blocking`]) may share a
//! lock. A wait costs no allocation in a task of an asyncio loop, one elsewhere.
//!
//! # Differences from asyncio
//!
//! - A lock is not bound to the loop of its first wait.
//! - `acquire()` gives a guard, which releases when dropped. `release()` without a guard exists where
//!   there is nothing to guard: on `Lock<()>`, `Condition<()>` and semaphores.
//! - A [`Condition`] wait that is *dropped*, which Python cannot do, leaves the lock released, and its
//!   guard knows that.
//! - A semaphore takes its value as `usize`: a negative one does not compile.

#![deny(unsafe_code)]

/// A constructor that is `const`, except where loom's types cannot be made so.
macro_rules! const_fn {
    ($(#[$attribute:meta])* $visibility:vis fn $($rest:tt)*) => {
        #[cfg(not(loom))]
        $(#[$attribute])*
        $visibility const fn $($rest)*

        #[cfg(loom)]
        $(#[$attribute])*
        $visibility fn $($rest)*
    };
}

pub mod barrier;
#[cfg(not(loom))]
#[doc(hidden)] // For the queues.
pub mod blocking;
pub mod condition;
pub mod event;
#[cfg(test)]
mod in_line;
pub mod lock;
#[allow(unsafe_code)] // The value behind a lock.
mod owned;
mod owned_permit;
mod raw;
pub mod rwlock;
pub mod semaphore;
#[cfg(test)]
mod testing;
pub mod waiters;
mod waiting;

pub use asyncio_core::{Error, Result};
pub use barrier::Barrier;
pub use condition::{Condition, ConditionGuard};
pub use event::Event;
pub use lock::{Lock, LockGuard, OwnedLockGuard};
pub use owned_permit::{AcquirePermit, OwnedPermit, Permits};
pub use rwlock::{
    OwnedReadGuard, OwnedWriteGuard, ReadGuard, Reading, RwLock, RwLockGuard, WriteGuard, Writing,
};
pub use semaphore::{BoundedSemaphore, Permit, Semaphore};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
