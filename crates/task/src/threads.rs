//! Work in other threads, and from them: [`to_thread`] and [`run_coroutine_threadsafe`].

use crate::create_task;
use asyncio_core::{
    Error, LoopHandle, Result,
    context::{current_values, with_values},
    event_loop::running_event_loop,
    log::{InSpan, current_span},
    raw::{LoopRef, Message, caught},
    wait_site::WaitSite,
};
use asyncio_future::{ConcurrentFuture, Future, Take};
use std::{
    fmt,
    future::Future as StdFuture,
    pin::Pin,
    task::{Context, Poll},
};

/// Runs a blocking function in a thread of the default executor (`asyncio.to_thread`). The function
/// runs in a copy of the current context, and in the current span of `tracing`. The loop continues
/// meanwhile.
///
/// # Errors
/// `Runtime` without a running loop or after the executor was shut down; `Panic` if the function
/// panics.
///
/// # Cancellation
/// Returns `Err(Cancelled)`. A function that has not started never starts. A function that has
/// started runs to its end, and its result is dropped.
///
/// ```
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let text = asyncio::to_thread(|| std::fs::read_to_string("Cargo.toml")).await??;
///     Ok(())
/// }
/// ```
#[doc(alias = "asyncio.to_thread")]
#[track_caller]
pub fn to_thread<F, T>(function: F) -> ToThread<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let future = Future::of_operation(WaitSite::here(&"to_thread"), None);
    ToThread { function: Some(function), result: future.take() }
}

/// The future of [`to_thread`].
#[must_use = "the function does not run unless this is awaited"]
pub struct ToThread<F, T> {
    function: Option<F>,
    result: Take<T>,
}

impl<F, T> Unpin for ToThread<F, T> {}

impl<F, T> StdFuture for ToThread<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        // Waits even if the thread is quick, so that a pending cancellation arrives here.
        let polled = Pin::new(&mut self.result).poll(cx);
        if let (Poll::Pending, Some(function)) = (&polled, self.function.take()) {
            if let Err(error) = submit(function, self.result.future().clone()) {
                return Poll::Ready(Err(error));
            }
        }
        polled
    }
}

fn submit<T: Send + 'static>(
    function: impl FnOnce() -> T + Send + 'static,
    result: Future<T>,
) -> Result<()> {
    let event_loop = running_event_loop("to_thread")?;
    let (values, span) = (current_values(), current_span());
    event_loop.submit(Box::new(move || {
        if result.done() {
            return;
        }
        let _entered = InSpan::enter(span);
        let outcome = caught(|| with_values(values, function));
        // Refused if it was cancelled meanwhile; then there is no waiter.
        let _ = result.set(outcome);
    }))
}

impl<F, T> fmt::Debug for ToThread<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = if self.function.is_some() { "not started" } else { "started" };
        write!(f, "<ToThread {stage}>")
    }
}

/// Runs a coroutine as a task of a loop in another thread, and returns a future on which this thread
/// can block (`asyncio.run_coroutine_threadsafe`). Cancelling the future cancels the task. As in
/// Python, the future is pending until the task has ended, so it can be cancelled at any time before.
///
/// If the loop is closed, or is closed before the task has ended, the future fails with the `Runtime`
/// error `Event loop is closed`.
///
/// # Cancellation
/// If the returned future is cancelled, the task gets a request to cancel, and ends as it decides.
/// ```
/// # #[asyncio::main]
/// # async fn main() -> asyncio::Result<()> {
/// let handle = asyncio::get_running_loop()?.handle();
/// let answer = asyncio::to_thread(move || {
///     // This thread has no loop. It blocks until the task of the other one has ended.
///     let task = asyncio::run_coroutine_threadsafe(async { Ok(42) }, handle);
///     task.result(None)
/// });
/// assert_eq!(answer.await??, 42);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "asyncio.run_coroutine_threadsafe")]
pub fn run_coroutine_threadsafe<F, T>(
    coroutine: F,
    event_loop: impl Into<LoopHandle>,
) -> ConcurrentFuture<T>
where
    F: StdFuture<Output = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let home = LoopRef::from(event_loop.into());
    let future = ConcurrentFuture::of_loop(home);
    let promise = Promise(future.clone());
    let start = move || {
        let task = create_task(coroutine);
        let any = (*task).clone();
        promise.0.add_done_callback(move |future| {
            if future.cancelled() {
                let cancel = move || {
                    any.cancel();
                    Ok(())
                };
                // A closed loop has dropped the task.
                let _ = home.send(Message::Call(Box::new(cancel)));
            }
        });
        task.add_done_callback(move |task| {
            // Refused if it was cancelled meanwhile; then nothing waits for it.
            let _ = promise.0.set(caught(|| task.retrieve()).unwrap_or_else(Err));
        })?;
        Ok(())
    };
    // If the loop is closed, it returns the message, which is dropped here together with the
    // promise.
    let _ = home.send(Message::Call(Box::new(start)));
    future
}

/// Completes the future, at the latest when it is dropped. It is owned by the message that carries
/// the coroutine to the loop, and then by the callback of the task; closing the loop drops both.
struct Promise<T>(ConcurrentFuture<T>);

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        // Refused if it is done.
        let _ = self.0.set_exception(Error::runtime("Event loop is closed"));
    }
}
