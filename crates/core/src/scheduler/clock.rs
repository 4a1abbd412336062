//! The time of a loop, and its due timers: by the machine's monotonic clock, or a virtual one.

use crate::{
    scheduler::timers::{Call, Callbacks},
    slots::Key,
};
use std::{
    cell::{Cell, RefCell, RefMut},
    sync::OnceLock,
    time::{Duration, Instant},
};

/// The largest lag of a coarse clock: see
/// [`move_due_timers`](crate::scheduler::Scheduler::move_due_timers).
pub const LAG_MAX: Duration = Duration::from_millis(20);

/// The clock of a loop. Loop time counts from an arbitrary start and never goes back.
#[derive(Debug)]
pub(crate) enum Clock {
    Real {
        start: Instant,
        /// The time of the last reading.
        seen: Cell<u64>,
        /// An upper bound of its lead over the coarse clock when both were last read: the coarse
        /// time plus this value is certainly not in the past.
        ahead: Cell<Option<u64>>,
    },
    /// Nanoseconds since the loop was made.
    Virtual(Cell<u64>),
}

/// The start of real loop time: one for the process, so that times of several loops compare.
fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

/// Returns the time since then, in nanoseconds.
pub fn since_epoch() -> u64 {
    nanos(epoch().elapsed())
}

impl Clock {
    pub(crate) fn new(is_virtual: bool) -> Clock {
        let start = epoch();
        if is_virtual {
            return Clock::Virtual(Cell::new(0));
        }
        Clock::Real { start, seen: Cell::new(0), ahead: Cell::new(None) }
    }

    /// Now, in nanoseconds of loop time.
    pub(crate) fn now(&self) -> u64 {
        match self {
            Clock::Real { start, seen, .. } => {
                seen.set(nanos(start.elapsed()));
                seen.get()
            }
            Clock::Virtual(now) => now.get(),
        }
    }

    /// [`now`](Clock::now), to be compared with a coarse clock that was asked just before.
    pub(crate) fn look(&self, coarse: Option<u64>) -> u64 {
        let now = self.now();
        if let (Clock::Real { ahead, .. }, Some(coarse)) = (self, coarse) {
            // The clocks may start anywhere: only the difference matters, even across zero.
            let lag_max = LAG_MAX.as_nanos() as u64;
            ahead.set(Some(now.wrapping_sub(coarse).wrapping_add(lag_max)));
        }
        now
    }

    /// Whether `when` is certainly in the future, according to the coarse clock. Its lag may be
    /// larger now than when the two were compared, but is bounded.
    #[inline]
    pub(crate) fn is_early(&self, when: u64, coarse: Option<u64>) -> bool {
        match (self, coarse) {
            (Clock::Real { ahead, .. }, Some(coarse)) => {
                ahead.get().is_some_and(|ahead| coarse.wrapping_add(ahead) < when)
            }
            _ => false,
        }
    }

    /// A time in the past, which is [`now`](Clock::now) if time is virtual; reading it costs
    /// nothing.
    pub(crate) fn passed(&self) -> u64 {
        match self {
            Clock::Real { seen, .. } => seen.get(),
            Clock::Virtual(now) => now.get(),
        }
    }
}

/// Converts a duration to nanoseconds. A value that does not fit (584 years) becomes the largest
/// one.
#[inline]
pub fn nanos(duration: Duration) -> u64 {
    let whole = duration.as_secs().checked_mul(1_000_000_000);
    whole.and_then(|w| w.checked_add(duration.subsec_nanos().into())).unwrap_or(u64::MAX)
}

/// The callbacks of a loop, including its timers, and its clock.
#[derive(Debug)]
pub struct Timers {
    callbacks: RefCell<Callbacks>,
    clock: RefCell<Clock>,
}

impl Timers {
    pub(crate) fn new() -> Timers {
        Timers { callbacks: RefCell::new(Callbacks::new()), clock: RefCell::new(Clock::new(false)) }
    }

    pub(crate) fn open(&self, is_virtual: bool) {
        self.clock.replace(Clock::new(is_virtual));
    }

    /// Returns the loop time (`loop.time`). It has an arbitrary start and never goes back.
    #[inline]
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.now())
    }

    /// [`time`](Timers::time), in nanoseconds.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.clock.borrow().now()
    }

    /// Returns the last reading of the clock, in nanoseconds; see [`Clock::passed`]. It costs nothing. The loop
    /// reads the clock at the end of each wait.
    #[inline]
    pub fn passed(&self) -> u64 {
        self.clock.borrow().passed()
    }

    /// Reads the machine's clock, and keeps the result for [`passed`](Timers::passed) unless time is
    /// virtual.
    #[inline]
    pub fn look_at_machine(&self) -> u64 {
        match &*self.clock.borrow() {
            Clock::Virtual(_) => since_epoch(),
            real @ Clock::Real { .. } => real.now(),
        }
    }

    /// Whether the clock is virtual.
    #[inline]
    pub fn is_virtual(&self) -> bool {
        matches!(&*self.clock.borrow(), Clock::Virtual(_))
    }

    /// Returns when the earliest timer is due, in loop time.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.callbacks.borrow_mut().next_deadline().map(Duration::from_nanos)
    }

    /// Returns the time, if a timer may be due.
    ///
    /// `coarse` reads a cheap clock, if there is one. The exact clock is then read only if a timer may be due.
    #[inline]
    pub(crate) fn look(&self, coarse: impl FnOnce() -> Option<u64>) -> Option<u64> {
        let deadline = self.callbacks.borrow_mut().next_deadline()?;
        let coarse = coarse();
        let clock = self.clock.borrow();
        (!clock.is_early(deadline, coarse)).then(|| clock.look(coarse))
    }

    /// Lets a virtual clock jump to the next timer. Returns false if there is none.
    pub fn advance(&self) -> bool {
        let Some(deadline) = self.callbacks.borrow_mut().next_deadline() else { return false };
        if let Clock::Virtual(now) = &*self.clock.borrow() {
            now.set(now.get().max(deadline));
        }
        true
    }

    /// The number of waiting timers.
    pub(crate) fn len(&self) -> usize {
        self.callbacks.borrow().timers()
    }

    /// Takes the function of a callback out, to call it or to drop it when the table is free again,
    /// because it may come back here.
    pub(crate) fn take_call(&self, call: Key) -> Option<Call> {
        self.callbacks.borrow_mut().take_call(call)
    }

    /// The table of callbacks. No code of the program runs while it is borrowed.
    #[inline]
    pub(crate) fn callbacks(&self) -> RefMut<'_, Callbacks> {
        self.callbacks.borrow_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarse_clock_tells_what_has_certainly_not_come() {
        let lag_max = LAG_MAX.as_nanos() as u64;
        for start in [0, u64::MAX - 1, 1 << 40] {
            let clock = Clock::new(false);
            assert!(!clock.is_early(u64::MAX, Some(start)), "they were never compared");
            let now = clock.look(Some(start));
            assert!(clock.is_early(now + lag_max + 1, Some(start)));
            assert!(!clock.is_early(now + lag_max, Some(start)));
            assert!(!clock.is_early(now + lag_max + 1, None));
            let later = start.wrapping_add(7);
            assert!(clock.is_early(now + lag_max + 8, Some(later)));
            assert!(!clock.is_early(now + lag_max + 7, Some(later)));
        }
        let clock = Clock::new(true);
        clock.look(Some(0));
        assert!(!clock.is_early(u64::MAX, Some(0)), "virtual time jumps");
    }
}
