//! [`sleep`].

use asyncio_core::{
    Error, Result,
    home::entered,
    listeners::Parked,
    wait::{Resume, Wait, Waiter},
    wait_site::WaitSite,
};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// The future of [`sleep`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Sleep<T = ()> {
    delay: Duration,
    result: Option<T>,
    site: WaitSite,
    wait: Wait,
    timer: Option<Parked>,
}

/// Suspends the task for `delay` (`asyncio.sleep`), counted from the first poll. A delay of zero
/// suspends it for exactly one iteration of the loop, without a timer.
///
/// # Errors
/// `Runtime` without a running loop, or in another loop than the one in which it began: the time is
/// the loop's.
///
/// # Cancellation
/// Returns `Err(Cancelled)`. Dropped or cancelled, it takes its timer with it.
///
/// ```
/// # async fn example() -> asyncio_core::Result<()> {
/// use std::time::Duration;
/// asyncio_task::sleep(Duration::from_millis(10)).await?;
/// assert_eq!(asyncio_task::sleep(Duration::ZERO).result("rested").await?, "rested");
/// # Ok(()) }
/// ```
#[track_caller]
pub fn sleep(delay: Duration) -> Sleep {
    let site = WaitSite::here(&"sleep");
    Sleep { delay, result: Some(()), site, wait: Wait::new(), timer: None }
}

impl Sleep {
    /// The value that the sleep returns (asyncio's second argument).
    pub fn result<T>(self, result: T) -> Sleep<T> {
        Sleep {
            delay: self.delay,
            result: Some(result),
            site: self.site,
            wait: Wait::new(),
            timer: None,
        }
    }
}

impl<T> Sleep<T> {
    fn start(&mut self, cx: &Context<'_>) -> Result<()> {
        let scheduler = entered().ok_or_else(|| Error::runtime("sleep: no running event loop"))?;
        if self.delay.is_zero() {
            self.wait.arm_woken(cx, self.site);
            return Ok(());
        }
        scheduler.check_open()?;
        self.wait.arm(cx, self.site, None);
        self.timer = scheduler.wake_after(self.delay, &self.wait, self.site.location());
        Ok(())
    }

    fn stop(&mut self) {
        if let Some(timer) = self.timer.take() {
            timer.cancel();
        }
    }
}

impl<T> Unpin for Sleep<T> {}

impl<T> Future for Sleep<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let this = &mut *self;
        if !this.wait.is_armed() {
            return match this.start(cx) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            };
        }
        let (timer, location, mut astray) = (this.timer, this.site.location(), false);
        // Another task awaits it now than the one in which it began.
        let replace = |waiter: Waiter| match timer {
            Some(timer) => astray = !timer.replace_waiter(waiter, location),
            // The iteration that a bare yield waits for is over.
            None => _ = waiter.wake_now(),
        };
        match this.wait.poll(cx, this.site, || None, replace) {
            Resume::Pending if astray => {
                this.wait.disarm();
                let message = "sleep: awaited in another loop than the one in which it began";
                Poll::Ready(Err(Error::runtime(message)))
            }
            Resume::Pending => Poll::Pending,
            Resume::Cancelled { error, .. } => {
                this.stop();
                Poll::Ready(Err(error))
            }
            Resume::Woken => {
                // The timer is over: it has fired.
                this.timer = None;
                let ended = || Error::runtime("sleep: polled after its end");
                Poll::Ready(this.result.take().ok_or_else(ended))
            }
        }
    }
}

impl<T> Drop for Sleep<T> {
    fn drop(&mut self) {
        self.stop();
    }
}
