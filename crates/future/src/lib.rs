//! asyncio's `Future`: a result that will be set elsewhere.
//!
//! [`Future`] mirrors `asyncio.Future`. [`ConcurrentFuture`] mirrors its thread-safe twin,
//! `concurrent.futures.Future`, on which a thread can block. [`wrap_future`] connects the two.
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
//! cancels the future that it awaits. Under another executor there are no tasks of ours, so no wait is
//! cancelled in this way, but `cancel()` on a future still works.
//!
//! # Threads
//! A future is `Send + Sync` if its value is `Send`: it may be set, cancelled and awaited from any
//! thread. A done callback runs in the loop in which it was registered.
//!
//! # Differences from asyncio
//! A future is not bound to a loop. A value that is not `Clone` goes to one awaiter, with
//! [`Future::take`]. To remove a done callback, pass the value that `add_done_callback` returned,
//! because closures cannot be compared.

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
