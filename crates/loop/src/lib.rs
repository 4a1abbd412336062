//! asyncio's event loop for Unix: poller, executor, signals, `Runner` and `run`.
//!
//! Mirrors `asyncio.base_events`, `selector_events`, `unix_events` and `runners`, and the functions
//! of `events`: [`run`], [`Runner`], [`EventLoop`], [`get_running_loop`] and its like.
//!
//! ```
//! use std::time::Duration;
//! asyncio_loop::run(async {
//!     println!("hello");
//!     asyncio_task::sleep(Duration::from_millis(1)).await?;
//!     println!("world");
//!     Ok(())
//! })?;
//! # Ok::<(), asyncio_core::Error>(())
//! ```
//!
//! # Cancellation
//! The loop cancels nothing of its own accord, but at the end of a [`Runner`] every task that is
//! left. Each awaitable operation says what cancelling it leaves behind.
//!
//! # Threads
//! A loop, and everything on it, stays on the thread that made it. Other threads have its
//! [`LoopHandle`], and through it [`call_soon_threadsafe`](LoopHandle::call_soon_threadsafe) and
//! [`run_coroutine_threadsafe`](asyncio_task::run_coroutine_threadsafe). Loops in several threads
//! run beside each other.
//!
//! # Time
//! Loop time is a [`Duration`](std::time::Duration) since an arbitrary start. On a loop made with
//! [`virtual_time`](EventLoopBuilder::virtual_time) it jumps instead of passing, which makes tests
//! of hours take no time, and a program in which every task is stuck is an error that
//! names each task and where it waits.
//!
//! # Log
//! What asyncio writes to its logger goes to `tracing`, with the target `asyncio`; to standard error while the
//! program has no subscriber. A task carries the span in which it is made, unless
//! [`task_spans`](EventLoopBuilder::task_spans) says otherwise. Reports about it are inside of that span, or of
//! the one in which their error was converted or made, if that is known. A panic has no span of its own.
//!
//! # Differences from asyncio
//! Keyword arguments are methods: `call_soon(f, context=c)` is `in_context(&c).call_soon(f)`.
//! Calling from a wrong thread does not compile. Signal handlers may be set on any loop in any
//! thread, and removing one puts back exactly what was there before. While there is something to
//! run, the loop asks the system for I/O every 50 µs and not in every iteration, except with
//! [`poll_every_iteration`](EventLoopBuilder::poll_every_iteration).
//! After `fork` nothing is promised in the child.

mod base_events;
mod events;
mod executor;
mod inbox;
mod log;
mod metrics;
mod runners;
mod selector;
pub mod signals;
#[cfg(test)]
mod test_loop;
mod watchdog;
mod watchers;

pub use asyncio_core::{Error, Result};
pub use asyncio_core::{LoopHandle, Metrics};
pub use base_events::{
    Calls, EventLoop, EventLoopBuilder, ExceptionHandler, ShutdownAsyncgens,
    ShutdownDefaultExecutor, TaskFactory, eager_task_factory,
};
pub use events::{get_event_loop, get_running_loop, new_event_loop, set_event_loop};
pub use executor::{ThreadPoolExecutor, ThreadPoolExecutorBuilder};
pub use runners::{Entered, Runner, Surroundings, THREAD_JOIN_TIMEOUT, run};
pub use watchers::{WaitReady, wait_readable, wait_writable};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
