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
//! Locks own the value that they guard: `Lock<T>`, `RwLock<T>` and `Condition<T>` return a guard that gives
//! access to it. `T` is `()` by default, as in asyncio, where a lock has no value.
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
//! - For data that no other task needs while a task is suspended, `std::sync::Mutex` is faster. In a
//!   single-threaded program, `RefCell` is enough, because tasks of one loop take turns only at an
//!   await.
//! - To pass values from task to task, a queue expresses the intent better (`asyncio-queues`).
//! - None of these can be used from a signal handler.
//!
//! # Cancellation
//!
//! In a task of an asyncio loop, a wait ends with `Err(Cancelled)` when the task is cancelled. The
//! waiter counts as cancelled as soon as `cancel()` is called: a release later in the same step skips
//! it. Under other executors, no task is cancelled in this way, but every future here may be dropped
//! at any await. A waiter that was woken, and is then cancelled or dropped, passes its wake-up on: no
//! wake-up or permit is ever lost. The docs of each operation say what it leaves behind.
//!
//! # Threads
//!
//! All types are `Send` and `Sync` if their contents are. They are not bound to a loop or an executor:
//! tasks of several loops, tasks of other executors, and plain threads ([`Lock::acquire_blocking`])
//! may share a lock. A wait needs no allocation in a task of an asyncio loop, and one elsewhere.
//!
//! # Differences from asyncio
//!
//! - A lock is not bound to the loop of its first wait.
//! - `acquire()` returns a guard, which releases the lock when it is dropped. `release()` without a
//!   guard exists only where there is no value to guard: on `Lock<()>`, `Condition<()>` and
//!   semaphores.
//! - A [`Condition`] wait that is *dropped*, which Python cannot do, leaves the lock released, and its
//!   guard knows it.
//! - The value of a semaphore is a `usize`: a negative one does not compile.

#![deny(unsafe_code)]

/// Makes a constructor `const`, except under loom, whose types have no `const` constructors.
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
