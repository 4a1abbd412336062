//! [`wrap_future`]: a future of the running loop that follows a [`ConcurrentFuture`].

use super::ConcurrentFuture;
use crate::{Future, Take};
use asyncio_core::{
    Result,
    raw::{Message, Scheduler, caught, with_running},
    wait_site::WaitSite,
};

/// Creates a future of the running loop that follows `source` (`asyncio.wrap_future`). The result
/// arrives through the loop's thread-safe queue, and cancelling the wrapper cancels the source.
/// Awaiting the wrapper moves the value out; for several awaiters, use
/// [`into_inner`](Take::into_inner).
///
/// The value goes to the first wrapper that is still in use; later ones fail with `InvalidState`. If
/// the source is [`shared`](ConcurrentFuture::shared), each wrapper gets a clone. If the loop is
/// closed before the result arrives, the wrapper fails with `Runtime`, and the source keeps its value.
///
/// # Errors
/// `Runtime` without a running loop.
///
/// ```
/// use asyncio::{ThreadPoolExecutor, wrap_future};
///
/// # #[asyncio::main]
/// # async fn main() -> asyncio::Result<()> {
/// let pool = ThreadPoolExecutor::builder().build()?;
/// let job = pool.submit(|| std::fs::read_to_string("Cargo.toml"))?;
/// let text = wrap_future(job)?.await??;
/// assert!(text.contains("[package]"));
/// # Ok(())
/// # }
/// ```
#[doc(alias = "asyncio.wrap_future")]
#[track_caller]
pub fn wrap_future<T: Send + 'static>(source: ConcurrentFuture<T>) -> Result<Take<T>> {
    let site = WaitSite::here(&"wrap_future");
    let home = with_running("wrap_future", Scheduler::check_open)?;
    let future = Future::of_loop(site, None);
    let back = source.clone();
    future.add_done_callback(move |future| {
        if future.cancelled() {
            back.cancel();
        }
    })?;
    let wrapper = Wrapper(future.clone());
    source.add_done_callback(move |source| {
        let source = source.clone();
        // A source that is already done is copied in the next iteration as well.
        let _ = home.send(Message::Call(Box::new(move || {
            wrapper.copy(&source);
            Ok(())
        })));
    });
    Ok(future.take())
}

/// Completes the wrapper, at the latest when it is dropped.
struct Wrapper<T>(Future<T>);

impl<T> Wrapper<T> {
    fn copy(&self, source: &ConcurrentFuture<T>) {
        // If the wrapper was cancelled, or no handle to it is left, the source keeps its value.
        if self.0.done() || self.0.handles() <= OURS {
            return;
        }
        // This may call the value's `Clone`, which may panic.
        let outcome = caught(|| source.try_result());
        if let Some(outcome) = outcome.unwrap_or_else(|panic| Some(Err(panic))) {
            let _ = self.0.set(outcome);
        }
    }
}

/// The number of handles of a pending wrapper that are not the user's: one in [`Wrapper`], and one
/// in the callback that passes on a cancellation.
const OURS: usize = 2;

impl<T> Drop for Wrapper<T> {
    /// The loop was closed before the result could arrive.
    fn drop(&mut self) {
        self.0.abandon();
    }
}
