//! asyncio's queues, under any executor.
//!
//! | here | in asyncio |
//! |---|---|
//! | [`Queue`] | `asyncio.Queue` |
//! | [`PriorityQueue`] | `asyncio.PriorityQueue` |
//! | [`LifoQueue`] | `asyncio.LifoQueue` |
//! | [`OrderedQueue`] with an [`Order`] of your own | a subclass with its own `_put` and `_get` |
//! | [`PutError`] | `QueueFull`, `QueueShutDown` |
//!
//! ```
//! # use asyncio_core::Error;
//! use asyncio_queues::Queue;
//! # use futures_lite::future::{block_on, try_zip};
//! let queue = Queue::new(2);
//! let producer = async {
//!     for n in 1..=5 {
//!         queue.put(n).await?;
//!     }
//!     queue.join().await?;
//!     queue.shutdown(false);
//!     Ok::<_, Error>(())
//! };
//! let consumer = async {
//!     let mut sum = 0;
//!     while let Ok(n) = queue.get().await {
//!         sum += n;
//!         queue.task_done()?;
//!     }
//!     Ok(sum)
//! };
//! assert_eq!(block_on(try_zip(producer, consumer))?.1, 15);
//! # Ok::<_, Error>(())
//! ```
//!
//! # When not to use it
//!
//! - For one value, a future is simpler; for "something has happened", an `Event`.
//! - Between plain threads alone, `std::sync::mpsc` is enough.
//! - Each item goes to only one receiver: a queue is not a broadcast channel.
//!
//! # Cancellation
//!
//! No item is lost, and none is put twice. A cancelled [`get`](OrderedQueue::get) leaves the item in
//! the queue. A cancelled [`put`](OrderedQueue::put) keeps its item, which [`Put::into_item`] returns. A
//! waiter that was woken and does not use the wake-up wakes the next one. The same holds for futures that
//! are dropped, except that a dropped `put` drops its item.
//!
//! # Threads
//!
//! Queues are `Send` and `Sync` if their items are `Send`. They are not bound to a loop or an
//! executor. A thread may put items ([`put_blocking`](OrderedQueue::put_blocking)) that a task gets.
//! If several threads use a queue, the results of [`qsize`](OrderedQueue::qsize) and similar methods
//! may already be out of date when they return.
//!
//! # Differences from asyncio
//!
//! - A queue is not bound to the loop of its first wait.
//! - An item that could not be put is not lost. [`put_nowait`](OrderedQueue::put_nowait) and
//!   [`put_blocking`](OrderedQueue::put_blocking) return it in a [`PutError`], which `?` turns into an
//!   [`Error`], Python's exception.
//! - `maxsize` is a `usize`; zero means no limit.
//! - Items of a [`PriorityQueue`] need an order (`Ord`). They are compared while the queue is locked,
//!   so the comparison must not use the queue. The same holds for an [`Order`].

#![forbid(unsafe_code)]

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

mod channel;
pub mod error;
pub mod order;
pub mod queue;
#[cfg(test)]
#[path = "../../locks/src/testing.rs"] // The same helper; it is no part of either API.
mod testing;

pub use asyncio_core::{Error, Result};
pub use channel::{Receiver, Sender, channel};
pub use error::PutError;
pub use order::{Fifo, Lifo, Order, Priority};
pub use queue::{Get, LifoQueue, OrderedQueue, PriorityQueue, Put, Queue};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
