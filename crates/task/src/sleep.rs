//! [`sleep`].

use asyncio_core::{
    Error, Result,
    clock::nanos,
    home::entered,
    listeners::Parked,
    wait::{Resume, Wait, Waiter},
    wait_site::WaitSite,
};
use std::{
    future::Future,
    panic::Location,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// The future of [`sleep`]. Small, for every task that sleeps holds one.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Sleep<T = ()> {
    wait: Wait,
    timer: Timer,
    location: &'static Location<'static>,
    result: Option<T>,
}

#[derive(Clone, Copy, Debug)]
enum Timer {
    /// For how long, in nanoseconds, until the timer is set: never for zero.
    Delay(u64),
    Set(Parked),
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
    let (timer, location) = (Timer::Delay(nanos(delay)), Location::caller());
    Sleep { wait: Wait::new(), timer, location, result: Some(()) }
}

impl Sleep {
    /// The value that the sleep returns (asyncio's second argument).
    pub fn result<T>(mut self, result: T) -> Sleep<T> {
        let wait = std::mem::take(&mut self.wait);
        let timer = std::mem::replace(&mut self.timer, Timer::Delay(0));
        Sleep { wait, timer, location: self.location, result: Some(result) }
    }
}

impl<T> Sleep<T> {
    fn start(&mut self, cx: &Context<'_>) -> Result<()> {
        let scheduler = entered().ok_or_else(|| Error::runtime("sleep: no running event loop"))?;
        match self.timer {
            Timer::Delay(0) => self.wait.arm_woken(cx, self.site()),
            Timer::Delay(delay) => {
                scheduler.check_open()?;
                self.wait.arm(cx, self.site(), None);
                if let Some(timer) = scheduler.wake_after(delay, &self.wait, self.location) {
                    self.timer = Timer::Set(timer);
                }
            }
            Timer::Set(_) => return Err(ended()),
        }
        Ok(())
    }

    fn site(&self) -> WaitSite {
        WaitSite::new(&"sleep", self.location)
    }

    fn stop(&mut self) {
        if let Timer::Set(timer) = self.timer {
            timer.cancel();
        }
    }
}

#[cold]
fn ended() -> Error {
    Error::runtime("sleep: polled after its end")
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
        let (timer, site, mut astray) = (this.timer, this.site(), false);
        // Another task awaits it now than the one in which it began.
        let replace = |waiter: Waiter| match timer {
            Timer::Set(timer) => astray = !timer.replace_waiter(waiter, site.location()),
            // The iteration that a bare yield waits for is over.
            Timer::Delay(_) => _ = waiter.wake_now(),
        };
        match this.wait.poll(cx, site, || None, replace) {
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
                this.timer = Timer::Delay(0);
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
