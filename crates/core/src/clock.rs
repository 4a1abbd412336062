//! What time it is for a loop: the machine's monotonic clock, or a virtual one.

use crate::scheduler::Scheduler;
use std::{cell::Cell, sync::OnceLock, time::Duration, time::Instant};

/// The clock of a loop. Loop time counts from an arbitrary start and never goes back.
#[derive(Debug)]
pub(crate) enum Clock {
    Real,
    /// Nanoseconds since the loop was made.
    Virtual(Cell<u64>),
}

/// The start of real loop time: one for the process, so that times of several loops compare.
fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

impl Clock {
    pub(crate) fn new(is_virtual: bool) -> Clock {
        epoch();
        if is_virtual { Clock::Virtual(Cell::new(0)) } else { Clock::Real }
    }

    /// Now, in nanoseconds of loop time.
    pub(crate) fn now(&self) -> u64 {
        match self {
            Clock::Real => nanos(epoch().elapsed()),
            Clock::Virtual(now) => now.get(),
        }
    }
}

/// A duration in nanoseconds; what does not fit (584 years) is as good as never.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Time.
impl Scheduler {
    /// Loop time (`loop.time`): since an arbitrary start, never going back.
    #[inline]
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.clock.borrow().now())
    }

    /// Whether the clock is virtual.
    pub fn is_virtual(&self) -> bool {
        matches!(&*self.clock.borrow(), Clock::Virtual(_))
    }

    /// When the earliest timer is due, in loop time.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.callbacks.borrow().next_deadline().map(Duration::from_nanos)
    }

    /// How long the loop may wait for I/O: not at all if something is ready or it is to stop, else
    /// until the next timer; `None` if there is no timer.
    pub fn timeout(&self) -> Option<Duration> {
        if self.has_ready() || self.stopping.get() || self.fatal.borrow().is_some() {
            return Some(Duration::ZERO);
        }
        self.next_deadline().map(|deadline| deadline.saturating_sub(self.time()))
    }

    /// Lets a virtual clock jump to the next timer. False if there is none.
    pub fn advance(&self) -> bool {
        let Some(deadline) = self.callbacks.borrow().next_deadline() else { return false };
        if let Clock::Virtual(now) = &*self.clock.borrow() {
            now.set(now.get().max(deadline));
        }
        true
    }

    /// Counts something that will come back from outside of the loop: while there is such a thing,
    /// the virtual clock stands still and nothing is a deadlock.
    pub fn add_outstanding(&self) {
        self.outstanding.set(self.outstanding.get() + 1);
    }

    /// Ends what [`add_outstanding`](Scheduler::add_outstanding) began.
    pub fn sub_outstanding(&self) {
        self.outstanding.set(self.outstanding.get().saturating_sub(1));
    }

    /// Whether something will come back from outside of the loop.
    pub fn is_outstanding(&self) -> bool {
        self.outstanding.get() > 0
    }
}
