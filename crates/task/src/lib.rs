//! asyncio's tasks: `create_task`, `sleep`, `gather`, `shield`, `wait`, `wait_for`, `as_completed`,
//! `TaskGroup`, `timeout`, `to_thread`, `run_coroutine_threadsafe`, `staggered_race`, and
//! asynchronous generators. It mirrors `asyncio.tasks`, `taskgroups`, `timeouts`, `threads` and
//! `staggered`.
//!
//! A coroutine is a future whose output is a [`Result`]. A task runs a coroutine concurrently with
//! others, in the loop of this thread (from `asyncio-loop`, or from `asyncio`, which has everything
//! in one crate):
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
//! each request. The task may clean up, which may need awaits, and passes the error on with `?`; or
//! it handles the error and continues. Requests are counted ([`AnyTask::cancelling`]), so that
//! nested scopes ([`timeout()`], [`TaskGroup`]) know whose request it was. The docs of each function
//! describe its cancellation; [`asyncio_core::cancel`] has all the rules.
//!
//! # Threads
//! A task belongs to the thread of its loop. [`to_thread`] runs blocking work on another thread, and
//! [`run_coroutine_threadsafe`] runs a coroutine on a loop from another thread. A handle is `Send` if
//! its result is; `cancel`, `done` and dropping work on any thread.
//!
//! # Differences from asyncio
//! The loop owns its tasks: a task without handles continues to run. A result that is not `Clone` is
//! moved to the first awaiter. `wait` returns lists in argument order, where asyncio returns sets.
//! If a task cannot be created (no running loop, a group that takes no more tasks), the returned
//! task has ended with the error.

mod amap;
mod any_task;
mod as_completed;
mod awaitables;
#[doc(hidden)] // For the code that `join!`, `try_join!` and `select!` make.
pub mod branches;
mod cast;
mod create_task;
mod endless;
mod free_list;
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
pub use awaitables::Awaitables;
pub use create_task::create_task;
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
pub use task::{AnyTask, Task, TaskBuilder, all_tasks, current_task};
pub use taskgroups::{Group, TaskGroup};
pub use taskgroups_start::TaskStatus;
pub use threads::{ToThread, run_coroutine_threadsafe, to_thread};
pub use timeouts::{Deadline, Timeout, Watch, timeout, timeout_at};
pub use wait::{ReturnWhen, Wait, Waiting, wait};
pub use wait_for::{WaitFor, wait_for};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
