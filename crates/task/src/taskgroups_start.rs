//! [`Group::start`]: a child that says when it is ready.

use crate::{AnyTask, Group, Task};
use asyncio_core::{Error, Result, wait_site::WaitSite};
use asyncio_future::{Future, NotPending};
use std::{fmt, future::Future as StdFuture, panic::Location};

/// The value with which a child that was [started](Group::start) says that it is ready (trio's
/// `task_status`).
pub struct TaskStatus<T>(Future<T>);

impl<T> TaskStatus<T> {
    /// Reports that the child is ready, and passes `value` to the caller of [`Group::start`].
    ///
    /// # Errors
    /// Returns the value if the caller no longer waits.
    pub fn started(self, value: T) -> Result<(), NotPending<T>> {
        self.0.set_result(value)
    }
}

impl<T> fmt::Debug for TaskStatus<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TaskStatus")
    }
}

/// A child that has not said that it is ready; it is cancelled when the wait for it ends.
struct Unready(Option<AnyTask>);

impl Drop for Unready {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.cancel();
        }
    }
}

impl Group {
    /// Runs `child` as a task of the group, waits until it calls [`started`](TaskStatus::started), and
    /// returns the value of that call (trio's and anyio's `start`). asyncio has no counterpart.
    ///
    /// # Errors
    /// The error of the child, if it fails before it calls `started`; it is then not an error of the group.
    /// `Runtime` if the child returns without calling `started`, or if the group takes no more tasks.
    ///
    /// # Cancellation
    /// The child is cancelled too, and has ended when this returns. Dropping the future cancels the child.
    ///
    /// ```
    /// use asyncio::{AsyncContextManager, TaskGroup, TaskStatus, start_server};
    ///
    /// async fn serve(ready: TaskStatus<asyncio::Address>) -> asyncio::Result<()> {
    ///     let server = start_server(async |_, _| Ok(()), ("127.0.0.1", 0)).await?;
    ///     let _ = ready.started(server.local_addr());
    ///     server.serve_forever().await
    /// }
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let outcome = TaskGroup::new().with_suppress(async |group| {
    ///         let address = group.start(serve).await?;
    ///         asyncio::open_connection(address).await?;
    ///         group.cancel();
    ///         asyncio::sleep(std::time::Duration::ZERO).await
    ///     });
    ///     assert_eq!(outcome.await?, None);
    ///     Ok(())
    /// }
    /// ```
    #[track_caller]
    pub fn start<T, R>(
        &self,
        child: impl AsyncFnOnce(TaskStatus<T>) -> Result<R> + 'static,
    ) -> impl StdFuture<Output = Result<T>>
    where
        T: 'static,
        R: 'static,
    {
        let (site, location) = (WaitSite::here(&"TaskGroup.start"), Location::caller());
        async move {
            self.may_create()?;
            let ready = Future::of_loop(site, None);
            let status = TaskStatus(ready.clone());
            let coroutine = async move { child(status).await };
            let task = Task::builder().location(location).create(coroutine);
            let mut unready = Unready(Some(task.any()));
            let early = ready.clone();
            task.add_done_callback(move |task| {
                // Refused if it was started, or if nothing waits any more.
                let _ = early.set(Err(ended_early(task)));
            })?;
            let started = ready.take().await.and_then(|value| {
                self.may_create()?;
                self.adopt(&task)?;
                Ok(value)
            });
            if let Err(error) = started {
                task.cancel();
                return Err(match task.await {
                    Err(own) if !own.is_cancelled() && !error.is_cancelled() => error,
                    Err(own) if !own.is_cancelled() => own.with_context(error),
                    _ => error,
                });
            }
            unready.0 = None;
            started
        }
    }
}

fn ended_early<R>(task: &Task<R>) -> Error {
    match task.exception() {
        Ok(Some(error)) | Err(error) => error,
        Ok(None) => Error::runtime("TaskGroup.start: the child returned before it was started"),
    }
}
