//! [`spawn`]: an asyncio task for work on the runtime's thread.

use asyncio_core::{
    CancelledError, Error, Result,
    raw::{Outstanding, caught, with_running},
    wait_site::WaitSite,
};
use asyncio_future::Future;
use asyncio_task::{Task, TaskBuilder};
use pin_project_lite::pin_project;
use std::{
    future::Future as StdFuture,
    panic::Location,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{runtime::Handle, task::AbortHandle};

/// Runs `future` on the thread of the tokio runtime, and returns an asyncio task for it. The work begins
/// immediately. As with [`to_thread`](asyncio_task::to_thread), the output is returned unchanged: write
/// `spawn(f).await??` if it is a `Result`.
///
/// If the future panics, the task ends with the error `Panic`; if the work is aborted, the task ends cancelled.
/// Without a tokio runtime, or without a loop, the returned task has failed with a `Runtime` error. While the work
/// runs, a virtual clock does not advance.
///
/// # Cancellation
/// Cancelling the task, or closing the loop, aborts the work: it is dropped at its next await.
///
/// ```
/// #[asyncio::main(tokio)]
/// async fn main() -> asyncio::Result<()> {
///     let listener = asyncio_tokio::spawn(tokio::net::TcpListener::bind("127.0.0.1:0")).await??;
///     println!("{:?}", listener.local_addr()?);
///     Ok(())
/// }
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> Task<F::Output>
where
    F: StdFuture + Send + 'static,
    F::Output: Send + 'static,
{
    let site = WaitSite::here(&"asyncio_tokio::spawn");
    let begun = begin(future, site);
    TaskBuilder::default().location(Location::caller()).create(async move {
        let (result, work) = begun?;
        let outcome = result.take().await;
        drop(work);
        outcome
    })
}

/// Begins the work, whose outcome is stored in the future.
fn begin<F>(work: F, site: WaitSite) -> Result<(Future<F::Output>, Work)>
where
    F: StdFuture + Send + 'static,
    F::Output: Send + 'static,
{
    let home = with_running("asyncio_tokio::spawn", |scheduler| scheduler.check_open())?;
    let runtime = Handle::try_current().map_err(|_| {
        Error::runtime(
            "asyncio_tokio::spawn: there is no tokio runtime; run the program with \
             `#[asyncio::main(tokio)]`, or with `Runner::tokio(true)`",
        )
    })?;
    let result = Future::of_operation(site, None);
    let there =
        There { work, end: End { result: result.clone(), _outstanding: Outstanding::begin(home) } };
    let work = Work(runtime.spawn(there).abort_handle());
    Ok((result, work))
}

/// The work, as seen from the loop. Dropping it aborts unfinished work.
struct Work(AbortHandle);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pin_project! {
    /// The work on the runtime's thread.
    struct There<F>
    where
        F: StdFuture,
        F::Output: Send,
        F::Output: 'static,
    {
        #[pin]
        work: F,
        end: End<F::Output>,
    }
}

impl<F> StdFuture for There<F>
where
    F: StdFuture,
    F::Output: Send + 'static,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let outcome = match caught(|| this.work.poll(cx)) {
            Ok(poll) => Ok(ready!(poll)),
            Err(panic) => Err(panic),
        };
        // Refused if the task was cancelled: then nothing waits for it.
        let _ = this.end.result.set(outcome);
        Poll::Ready(())
    }
}

/// Reports the end to the loop, at the latest when it is dropped.
struct End<T: Send + 'static> {
    result: Future<T>,
    /// Dropped after the result was sent.
    _outstanding: Outstanding,
}

impl<T: Send + 'static> Drop for End<T> {
    fn drop(&mut self) {
        // Refused if there is an outcome.
        let _ = self.result.set(Err(CancelledError::new("the tokio task was aborted").into()));
    }
}
