//! asyncio's tasks: `create_task`, `sleep`, `gather`, `shield`, `wait`, `wait_for`, `as_completed`,
//! `TaskGroup`, `timeout`, `to_thread`, `run_coroutine_threadsafe`, `staggered_race`, and
//! asynchronous generators. It mirrors `asyncio.tasks`, `taskgroups`, `timeouts`, `threads` and
//! `staggered`.
//!
//! A coroutine is a future whose output is a [`Result`]. A task runs one beside
//! others, in the loop of this thread (`asyncio-loop`, or `asyncio` for all in one):
//!
//! ```
//! # use asyncio_core::{AsyncContextManager, Result};
//! # use std::time::Duration;
//! # async fn example() -> Result<()> {
//! use asyncio_task::{create_task, sleep, timeout};
//! let worker = create_task(async {
//!     sleep(Duration::from_secs(1)).await?;
//!     Ok("done")
//! });
//! let outcome = timeout(Duration::from_secs(5)).with(async |_| worker.await).await?;
//! assert_eq!(outcome, "done");
//! # Ok(()) }
//! ```
//!
//! # Cancellation
//! `task.cancel()` makes the await at which the task is suspended return `Err(Cancelled)`, once for
//! each request. The task may clean up, awaiting if need be, and passes the error on with `?`; or it
//! swallows it and goes on. It is counted ([`AnyTask::cancelling`]), so that nested scopes
//! ([`timeout()`], [`TaskGroup`]) tell whose request it was. What every function does with a
//! cancellation stands in its docs; the whole law in [`asyncio_core::cancel`].
//!
//! # Threads
//! A task belongs to the thread of its loop. [`to_thread`] runs blocking work elsewhere,
//! [`run_coroutine_threadsafe`] brings a coroutine to a loop from elsewhere. Handles can be sent where
//! their results can; `cancel`, `done` and dropping work from any thread.
//!
//! # Differences from asyncio
//! The loop owns its tasks: a task without handles runs on. A result that is not `Clone` is moved to
//! the first awaiter. `wait` gives lists in argument order, where asyncio gives sets. A failed
//! creation (no running loop, a group that takes no more tasks) is a task that has ended with the
//! error.

mod amap;
mod any_task;
mod as_completed;
#[doc(hidden)] // For the code that `join!`, `try_join!` and `select!` make.
pub mod branches;
mod cast;
mod endless;
mod future_like;
mod gather;
mod gather_tuple;
pub mod generator;
pub mod graph;
mod limited;
mod members;
mod race;
mod retry;
mod shield;
mod sleep;
mod staggered;
mod state;
mod step;
mod task;
mod taskgroups;
mod taskgroups_start;
mod threads;
mod timeouts;
mod wait;
mod wait_for;
pub use amap::{Amap, amap};
pub use any_task::AnyAwait;
pub use as_completed::{AsCompleted, Completed, NextCompleted, NextItem, as_completed};
pub use asyncio_core::{Error, Result};
pub use endless::endless;
#[doc(hidden)]
pub use future_like::ensure_future_with;
pub use future_like::{Awaitable, FutureLike, ensure_future};
pub use gather::{Gather, GatherAll, gather};
pub use gather_tuple::{AnyResult, GatherTuple, GatherTupleAll, IntoGather, Sorted};
pub use generator::{Generator, GeneratorExit, Yielder, generator};
pub use race::{Racing, race};
pub use retry::{Retry, retry};
pub use shield::{Shield, shield};
pub use sleep::{Sleep, sleep};
pub use staggered::{Race, staggered_race, staggered_race_at};
pub use task::{AnyTask, Task, TaskBuilder, all_tasks, create_task, current_task};
pub use taskgroups::{Group, TaskGroup};
pub use taskgroups_start::TaskStatus;
pub use threads::{ToThread, run_coroutine_threadsafe, to_thread};
pub use timeouts::{Deadline, Timeout, Watch, timeout, timeout_at};
pub use wait::{ReturnWhen, Wait, Waiting, wait};
pub use wait_for::{WaitFor, wait_for};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
