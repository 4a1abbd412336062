//! Libraries that need a tokio runtime, inside the tasks of asyncio.
//!
//! reqwest, sqlx and everything else over `tokio::net` and `tokio::time` look for a runtime in the thread on
//! which they are polled. [`RunnerExt::tokio`], or the option `tokio` of `#[asyncio::main]` and
//! `#[asyncio::test]`, provides one. The libraries' futures are awaited in asyncio's tasks, on the loop's
//! thread, and the runtime's reactor watches their I/O and timers on a separate thread.
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
//!     // This future runs on the runtime's thread.
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
//! | [`spawn`] | an asyncio task for work on the runtime's thread |
//!
//! # Cancellation
//! A future of another library is dropped at the innermost scope around it when its task is cancelled, and the
//! scope returns `Err(Cancelled)`, as everywhere in asyncio. [`spawn`] aborts its work.
//!
//! # Threads
//! The runtime has one thread, and others for `spawn_blocking` as they are needed. They end with the loop, and
//! so do the runtime's descriptors. Code there runs in no loop: functions of asyncio that need a loop return an
//! error that says so. This also holds for work that a library itself starts there with `tokio::spawn`, such as
//! the handlers of `axum::serve` (`asyncio_http::serve` serves the same router in asyncio's tasks). The runtime
//! is a current-thread runtime, on which `tokio::task::block_in_place` does not work.
//!
//! # Time
//! tokio's timers run in real time. Under the virtual clock, unfinished work of [`spawn`] is outstanding: time
//! does not advance until it has ended, and no deadlock is reported. The loop cannot see any other wait for
//! tokio: during such a wait, the virtual clock jumps to the next timer, and a run without other work ends with
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
