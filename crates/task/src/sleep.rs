//! [`sleep`].

use asyncio_core::{
    Error, Key, Result,
    raw::{CallbackRef, nanos, with_running},
    wait::{Resume, Wait, Waiter},
    wait_site::WaitSite,
};
use std::{
    fmt,
    future::Future,
    mem::ManuallyDrop,
    panic::Location,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// The future of [`sleep`]. It is small, because every sleeping task holds one.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Sleep<T = ()> {
    stage: Stage,
    /// Present until `stage` is [`Ended`](Stage::Ended).
    result: ManuallyDrop<T>,
}

#[derive(Debug)]
enum Stage {
    /// Not polled yet: the delay in nanoseconds, and the line of the call.
    New {
        delay: u64,
        location: &'static Location<'static>,
    },
    /// The wait knows the line and the loop. A bare yield has no timer.
    Armed {
        wait: Wait,
        timer: Option<Key>,
    },
    Ended,
}

// Three words, which is all that a task that only sleeps needs beside its cell.
#[cfg(not(loom))]
const _: () = assert!(size_of::<Sleep>() <= 24);

/// Suspends the task for `delay` (`asyncio.sleep`), counted from the first poll. A delay of zero
/// suspends it for exactly one iteration of the loop, without a timer.
///
/// # Errors
/// `Runtime` without a running loop, or if it is polled in another loop than the one in which it
/// started, because the time is the loop's.
///
/// # Cancellation
/// Returns `Err(Cancelled)`. Cancelling or dropping it removes its timer.
///
/// ```
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     use std::time::Duration;
///     asyncio::sleep(Duration::from_millis(10)).await?;
///     assert_eq!(asyncio::sleep(Duration::ZERO).result("rested").await?, "rested");
///     Ok(())
/// }
/// ```
#[doc(alias = "asyncio.sleep")]
#[track_caller]
pub fn sleep(delay: Duration) -> Sleep {
    sleep_at(delay, Location::caller())
}

/// Does what [`sleep`] does, for an operation that was called at `location`.
pub(crate) fn sleep_at(delay: Duration, location: &'static Location<'static>) -> Sleep {
    let stage = Stage::New { delay: nanos(delay), location };
    Sleep { stage, result: ManuallyDrop::new(()) }
}

impl Sleep {
    /// Sets the value that the sleep returns (asyncio's second argument).
    pub fn result<T>(mut self, result: T) -> Sleep<T> {
        let stage = std::mem::replace(&mut self.stage, Stage::Ended);
        Sleep { stage, result: ManuallyDrop::new(result) }
    }
}

impl<T> Sleep<T> {
    fn start(&mut self, cx: &Context<'_>) -> Result<()> {
        let Stage::New { delay, location } = self.stage else { return Err(ended()) };
        with_running("sleep", |scheduler| {
            if delay > 0 {
                scheduler.check_open()?;
            }
            self.stage = Stage::Armed { wait: Wait::new(), timer: None };
            // Built in place: moving a value that was just built causes a store-forwarding stall.
            if let Stage::Armed { wait, timer } = &mut self.stage {
                let site = WaitSite::new(&"sleep", location);
                if delay == 0 {
                    wait.arm_woken(cx, site);
                } else {
                    wait.arm(cx, site, None);
                    *timer = scheduler.wake_after(delay, wait, location).map(CallbackRef::key);
                }
            }
            Ok(())
        })
    }

    /// Ends the sleep, unless it has ended.
    fn end(&mut self) -> Option<T> {
        if let Stage::Ended = self.stage {
            return None;
        }
        self.stage = Stage::Ended;
        // SAFETY: the sleep had not ended, and has now.
        Some(unsafe { ManuallyDrop::take(&mut self.result) })
    }

    /// Handles a cancelled task, and a sleep that is now polled in another task than before.
    #[cold]
    fn poll_slow(&mut self, cx: &Context<'_>) -> Poll<Result<T>> {
        let Stage::Armed { wait, timer } = &mut self.stage else {
            return Poll::Ready(Err(ended()));
        };
        // In another thread, where the site of the wait is not known, the sleep is refused.
        let site = wait.site().unwrap_or_else(|| WaitSite::here(&"sleep"));
        let (timer, mut astray) = (timer.and_then(|key| wait.parked(key)), false);
        let replace = |waiter: Waiter| match timer {
            Some(timer) => astray = !timer.replace_waiter(waiter, site.location()),
            // The iteration that a bare yield waits for is over.
            None => _ = waiter.wake_now(),
        };
        let error = match wait.poll(cx, site, || None, replace) {
            Resume::Pending if astray => {
                Error::runtime("sleep: awaited in a loop other than the one in which it began")
            }
            Resume::Pending => return Poll::Pending,
            Resume::Woken => return Poll::Ready(self.end().ok_or_else(ended)),
            Resume::Cancelled { error, .. } => error,
        };
        if let Some(timer) = timer {
            timer.cancel();
        }
        drop(self.end());
        Poll::Ready(Err(error))
    }
}

#[cold]
fn ended() -> Error {
    Error::runtime("sleep: polled after its end")
}

impl<T> Unpin for Sleep<T> {}

/// The result is not shown, because it may already be moved out.
impl<T> fmt::Debug for Sleep<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl<T> Future for Sleep<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let Stage::Armed { wait, .. } = &mut self.stage else {
            return match self.start(cx) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            };
        };
        match wait.poll_fast(cx) {
            Some(Resume::Woken) => Poll::Ready(self.end().ok_or_else(ended)),
            Some(Resume::Pending) => Poll::Pending,
            _ => self.poll_slow(cx),
        }
    }
}

impl<T> asyncio_core::wait::Leaf for Sleep<T> {}

impl<T> Drop for Sleep<T> {
    fn drop(&mut self) {
        if let Stage::Armed { wait, timer: Some(key) } = &self.stage {
            if let Some(timer) = wait.parked(*key) {
                timer.cancel();
            }
        }
        drop(self.end());
    }
}
