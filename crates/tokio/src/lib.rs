//! Libraries that need a tokio runtime, inside the tasks of asyncio.
//!
//! reqwest, sqlx and everything else over `tokio::net` and `tokio::time` look for a runtime in the thread on
//! which they are polled. With [`RunnerExt::tokio`], or the option `tokio` of `#[asyncio::main]` and
//! `#[asyncio::test]`, there is one: their futures are awaited in our tasks, on our thread, and what they wait
//! for is watched by the runtime's reactor, on a thread of its own.
//!
//! ```
//! use std::time::Duration;
//!
//! #[asyncio::main(tokio)]
//! async fn main() -> asyncio::Result<()> {
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//!     let accept = async { Ok(listener.accept().await?) };
//!     let outcome = asyncio::wait_for(accept, Duration::from_millis(10)).await;
//!     assert!(outcome.unwrap_err().is_timeout());
//!
//!     // This future runs over there.
//!     let answer = asyncio_tokio::spawn(async {
//!         tokio::time::sleep(Duration::from_millis(1)).await;
//!         42
//!     });
//!     assert_eq!(answer.await?, 42);
//!     Ok(())
//! }
//! ```
//!
//! | here | what it is |
//! |---|---|
//! | [`RunnerExt::tokio`] | a runtime around the runs of a `Runner` and their jobs in threads |
//! | [`spawn`] | a task of ours for work on the runtime's thread |
//!
//! # Cancellation
//! A future of another library is dropped at the innermost scope around it when its task is cancelled, and the
//! scope returns `Err(Cancelled)`, as everywhere in asyncio. [`spawn`] aborts its work.
//!
//! # Threads
//! The runtime has one thread, and others for `spawn_blocking` as they are needed. They end with the loop, and
//! so do the runtime's descriptors. What runs there is in no loop: functions of asyncio that need one return an
//! error that says so. This is also true of what a library moves there by itself: what it starts with
//! `tokio::spawn`, such as the handlers of `axum::serve` (`asyncio_http::serve` serves the same router in our
//! tasks). The runtime is of the current-thread kind, on which `tokio::task::block_in_place` does not work.
//!
//! # Time
//! tokio's timers run in real time. Under the virtual clock, unfinished work of [`spawn`] is outstanding: time
//! stands still until it has ended, and nothing is a deadlock. What else a task awaits of tokio cannot be seen:
//! while it does so, the virtual clock jumps to the next timer, and a run in which nothing else is left ends with
//! `Error::Deadlock`. Put such a wait into `spawn`.

#![forbid(unsafe_code)]

mod runtime;
mod spawn;

pub use asyncio_core::{Error, Result};
pub use runtime::RunnerExt;
pub use spawn::spawn;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
