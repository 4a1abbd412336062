//! [`LoopExecutor`] and [`LoopTimer`]: the traits that hyper needs from a runtime.

use asyncio_core::{raw::with_entered, scope::foreign};
use asyncio_task::create_task;
use hyper::rt::{Executor, Sleep, Timer};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// Runs the futures of hyper as tasks of the running loop.
///
/// Without a running loop, or if the loop is closed, a future is dropped.
///
/// ```
/// use asyncio_http::LoopExecutor;
/// let http2 = hyper::server::conn::http2::Builder::new(LoopExecutor);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LoopExecutor;

impl<F: Future<Output: 'static> + 'static> Executor<F> for LoopExecutor {
    #[track_caller]
    fn execute(&self, future: F) {
        let task = create_task(async move {
            future.await;
            Ok(())
        });
        drop(task);
    }
}

/// Provides hyper's timers, by the clock of the running loop.
///
/// hyper interprets the end of a timer as "the time is up". So no cancellation reaches them, and
/// outside a loop, or in one that is being closed, they never end.
///
/// ```
/// use asyncio_http::LoopTimer;
/// let mut http1 = hyper::server::conn::http1::Builder::new();
/// http1.timer(LoopTimer).header_read_timeout(std::time::Duration::from_secs(10));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LoopTimer;

impl Timer for LoopTimer {
    #[track_caller]
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Pause(asyncio_task::sleep(duration)))
    }

    #[track_caller]
    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(deadline.saturating_duration_since(Instant::now()))
    }
}

/// The time of the running loop when it last asked the clock, as at the end of each wait: at no cost, for what
/// the wait has brought.
pub(crate) fn lately() -> Duration {
    let passed = with_entered(|scheduler| scheduler.timers.passed());
    Duration::from_nanos(passed.unwrap_or_default())
}

/// The time of the running loop.
pub(crate) fn now() -> Duration {
    with_entered(|scheduler| scheduler.timers.time()).unwrap_or_default()
}

struct Pause(asyncio_task::Sleep);

impl Sleep for Pause {}

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match foreign(|| Pin::new(&mut self.0).poll(cx)) {
            Poll::Ready(Ok(())) => Poll::Ready(()),
            // The loop is gone, or another one runs: the time is not up.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}
