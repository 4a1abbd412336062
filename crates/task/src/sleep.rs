//! [`sleep`].

use asyncio_core::{
    Error, Key, Result,
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
    /// For how long, in nanoseconds, until the wait is armed; then the key of the timer, or zero for a
    /// delay of zero, which has none.
    timer: u64,
    /// Gone when the sleep has ended.
    result: Option<(T, &'static Location<'static>)>,
}

// Four words, of which a task that does nothing but sleep consists beside its cell.
#[cfg(not(loom))]
const _: () = assert!(size_of::<Sleep>() == 32);

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
    let result = Some(((), Location::caller()));
    Sleep { wait: Wait::new(), timer: nanos(delay), result }
}

impl Sleep {
    /// The value that the sleep returns (asyncio's second argument).
    pub fn result<T>(mut self, result: T) -> Sleep<T> {
        let wait = std::mem::take(&mut self.wait);
        let result = self.result.take().map(|((), location)| (result, location));
        Sleep { wait, timer: self.timer, result }
    }
}

impl<T> Sleep<T> {
    fn site(&self) -> Result<WaitSite> {
        let (_, location) = self.result.as_ref().ok_or_else(ended)?;
        Ok(WaitSite::new(&"sleep", location))
    }

    fn start(&mut self, cx: &Context<'_>, site: WaitSite) -> Result<()> {
        let scheduler = entered().ok_or_else(|| Error::runtime("sleep: no running event loop"))?;
        if self.timer == 0 {
            self.wait.arm_woken(cx, site);
        } else {
            scheduler.check_open()?;
            self.wait.arm(cx, site, None);
            let timer = scheduler.wake_after(self.timer, &self.wait, site.location());
            self.timer = timer.map_or(0, |timer| timer.key().to_bits());
        }
        Ok(())
    }

    /// The timer, if it is set.
    fn timer(&self) -> Option<Parked> {
        if self.timer == 0 { None } else { self.wait.parked(Key::from_bits(self.timer)) }
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
        let site = match this.site() {
            Ok(site) => site,
            Err(error) => return Poll::Ready(Err(error)),
        };
        if !this.wait.is_armed() {
            return match this.start(cx, site) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            };
        }
        let (timer, mut astray) = (this.timer(), false);
        // Another task awaits it now than the one in which it began.
        let replace = |waiter: Waiter| match timer {
            Some(timer) => astray = !timer.replace_waiter(waiter, site.location()),
            // The iteration that a bare yield waits for is over.
            None => _ = waiter.wake_now(),
        };
        let error = match this.wait.poll(cx, site, || None, replace) {
            Resume::Pending if astray => {
                this.wait.disarm();
                Error::runtime("sleep: awaited in another loop than the one in which it began")
            }
            Resume::Pending => return Poll::Pending,
            Resume::Cancelled { error, .. } => error,
            Resume::Woken => {
                return Poll::Ready(this.result.take().map(|(result, _)| result).ok_or_else(ended));
            }
        };
        if let Some(timer) = timer {
            timer.cancel();
        }
        this.result = None;
        Poll::Ready(Err(error))
    }
}

impl<T> Drop for Sleep<T> {
    fn drop(&mut self) {
        if let Some(timer) = self.timer() {
            timer.cancel();
        }
    }
}
