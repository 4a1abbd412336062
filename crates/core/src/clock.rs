//! What time it is for a loop: the machine's monotonic clock, or a virtual one.

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
