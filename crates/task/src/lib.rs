//! asyncio's tasks.
#![allow(missing_docs)]
mod as_completed;
mod future_like;
#[path = "gather.rs"]
mod gather;
mod gather_tuple;
pub mod generator;
mod shield;
mod sleep;
mod staggered;
mod state;
mod step;
mod task;
mod taskgroups;
mod threads;
mod timeouts;
mod wait;
mod wait_for;
pub use as_completed::{AsCompleted, Completed, NextCompleted, as_completed};
pub use future_like::{Awaitable, FutureLike, ensure_future};
pub use gather::{Gather, GatherAll, gather};
pub use gather_tuple::{AnyResult, GatherTuple, GatherTupleAll, IntoGather, Sorted};
pub use generator::{Generator, GeneratorExit, Yielder, generator};
pub use shield::{Shield, shield};
pub use sleep::{Sleep, sleep};
pub use staggered::{Race, staggered_race};
pub use task::{AnyTask, Task, TaskBuilder, all_tasks, create_task, current_task};
pub use taskgroups::{Group, TaskGroup};
pub use threads::{ToThread, run_coroutine_threadsafe, to_thread};
pub use timeouts::{Deadline, Timeout, Watch, timeout, timeout_at};
pub use wait::{ReturnWhen, Wait, Waiting, wait};
pub use wait_for::{WaitFor, wait_for};
