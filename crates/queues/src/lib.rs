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
//! - Every receiver takes items from the others: this is no broadcast.
//!
//! # Cancellation
//!
//! No item is lost and none is put twice. A cancelled [`get`](OrderedQueue::get) leaves the item in
//! the queue; a cancelled [`put`](OrderedQueue::put) hands its item back in the error. One that was
//! woken and does not use it wakes the next. The same holds for futures that are dropped, except that
//! a dropped `put` drops its item.
//!
//! # Threads
//!
//! Queues are `Send` and `Sync` where their items are `Send`, and bound to no loop and no executor. A
//! thread may put ([`put_blocking`](OrderedQueue::put_blocking)) what a task gets. With several
//! threads at work, what [`qsize`](OrderedQueue::qsize) and its like say may have changed by the time
//! you look at it.
//!
//! # Differences from asyncio
//!
//! - A queue is not bound to the loop of its first wait.
//! - What could not be put comes back: [`PutError`]. `?` makes an [`Error`] of
//!   it, as Python raises it.
//! - `maxsize` is a `usize`; zero is without bound.
//! - Items of a [`PriorityQueue`] need an order (`Ord`). It is asked for while the queue is locked, so
//!   it must not use the queue; the same goes for an [`Order`].

#![forbid(unsafe_code)]

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

pub mod channel;
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
