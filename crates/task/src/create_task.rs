//! [`create_task`]: starts a task.

use crate::{Task, TaskBuilder};
use asyncio_core::Result;
use std::future::IntoFuture;

/// Runs `coroutine` as a task of the running loop, concurrently with the caller
/// (`asyncio.create_task`).
///
/// The task starts when the current one suspends. It runs until it ends, even if the handle is dropped. If the
/// coroutine never returns, its type is not known: see [`endless`](crate::endless).
///
/// See [`TaskBuilder::create`] for what happens without a running loop.
///
/// ```
/// # #[asyncio::main]
/// # async fn main() -> asyncio::Result<()> {
/// let task = asyncio::create_task(async { Ok(6 * 7) });
/// assert!(!task.done()); // It has not started.
/// assert_eq!(task.await?, 42);
/// # Ok(())
/// # }
/// ```
#[must_use = "the error of a task that is not awaited is only logged; to let the task run on, drop the handle"]
#[inline]
#[track_caller]
pub fn create_task<F, T>(coroutine: F) -> Task<T>
where
    F: IntoFuture<Output = Result<T>>,
    F::IntoFuture: 'static,
    T: 'static,
{
    TaskBuilder::default().create(coroutine)
}
