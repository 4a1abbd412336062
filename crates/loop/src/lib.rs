//! asyncio's event loop for Unix: poller, executor, signals, `Runner` and `run`.
//!
//! It mirrors `asyncio.base_events`, `selector_events`, `unix_events` and `runners`, and the
//! functions of `events`: [`run`], [`Runner`], [`EventLoop`], [`get_running_loop`] and similar
//! functions.
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
//! The loop cancels nothing by itself, except at the end of a [`Runner`], when it cancels every
//! task that is left. The docs of each awaitable operation say what cancelling it leaves behind.
//!
//! # Threads
//! A loop, and everything on it, stays on the thread that created it. Other threads can use its
//! [`LoopHandle`], which has [`call_soon_threadsafe`](LoopHandle::call_soon_threadsafe) and
//! [`run_coroutine_threadsafe`](asyncio_task::run_coroutine_threadsafe). Loops in several threads
//! run in parallel.
//!
//! # Time
//! Loop time is a [`Duration`](std::time::Duration) since an arbitrary start. On a loop with
//! [`virtual_time`](EventLoopBuilder::virtual_time), it jumps instead of passing, so hour-long
//! tests take no time. If every task is stuck, the run ends with an error that names each task and
//! where it waits.
//!
//! # Log
//! The messages of asyncio's logger go to `tracing`, with the target `asyncio`; or to standard error while the
//! program has no subscriber. A task carries the span in which it is created, unless
//! [`task_spans`](EventLoopBuilder::task_spans) turns this off. Reports about a task are inside that span, or
//! inside the one in which their error was converted or created, if that is known. A panic has no span of its
//! own.
//!
//! # Differences from asyncio
//! Keyword arguments are methods: `call_soon(f, context=c)` is `in_context(&c).call_soon(f)`. Calls
//! from the wrong thread do not compile. Signal handlers may be set on any loop in any thread, and
//! removing one restores exactly the previous disposition. While there is something to run, the
//! loop polls for I/O every 50 µs and not in every iteration, except with
//! [`poll_every_iteration`](EventLoopBuilder::poll_every_iteration). After a `fork`, the child must
//! not use the loop.

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
pub use executor::{ThreadPoolExecutor, ThreadPoolExecutorBuilder, ToExecutor};
pub use runners::{Entered, Runner, Surroundings, THREAD_JOIN_TIMEOUT, run};
pub use watchers::{WaitReady, wait_readable, wait_writable};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
