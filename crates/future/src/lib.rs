//! asyncio's `Future`: a result that will be set elsewhere.
//!
//! [`Future`] mirrors `asyncio.Future`; [`ConcurrentFuture`] its thread-safe twin
//! `concurrent.futures.Future`, on which a thread can block; [`wrap_future`] links one to the other.
//!
//! ```
//! use asyncio_future::Future;
//! # futures_lite::future::block_on(async {
//! let answer = Future::new();
//! let setter = answer.clone();
//! std::thread::spawn(move || setter.set_result("from another thread"));
//! assert_eq!(answer.await?, "from another thread");
//! # Ok::<(), asyncio_core::Error>(()) }).unwrap();
//! ```
//!
//! # Cancellation
//! `cancel()` ends a pending future: every task that awaits it gets `Err(Cancelled)`. A cancelled task
//! cancels the future it awaits. Under another executor no task of ours exists, so no wait is
//! cancelled that way, but a future on which `cancel()` is called still is.
//!
//! # Threads
//! A future is `Send + Sync` where its value is `Send`: it may be set, cancelled and awaited from
//! any thread. A done callback runs in the loop that registered it.
//!
//! # Differences from asyncio
//! A future is bound to no loop. A value that is not `Clone` is given to one awaiter, with
//! [`Future::take`]. A done callback is removed by what `add_done_callback` returned, since closures
//! do not compare.

#![forbid(unsafe_code)]

mod concurrent;
mod future;
mod state;

pub use asyncio_core::handle::CallbackOutput;
pub use asyncio_core::{Error, Result};
pub use concurrent::{ConcurrentFuture, ConcurrentResult, wrap_future};
pub use future::{DoneCallback, Future, NotPending, Take};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
