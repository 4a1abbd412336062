//! What time it is for a loop: the machine's monotonic clock, or a virtual one.

use crate::{
    home::{LoopRef, Message},
    ready::Entry,
    scheduler::Scheduler,
};
use std::{cell::Cell, sync::OnceLock, time::Duration, time::Instant};

/// How far a coarse clock may be behind: see
/// [`move_due_timers`](crate::scheduler::Scheduler::move_due_timers).
pub const LAG_MAX: Duration = Duration::from_millis(20);

/// The clock of a loop. Loop time counts from an arbitrary start and never goes back.
#[derive(Debug)]
pub(crate) enum Clock {
    Real {
        start: Instant,
        /// What it was when it was last asked.
        seen: Cell<u64>,
        /// How far it was ahead of the coarse clock when both were last asked, or more: what is to
        /// be added to the coarse one for a time that cannot have come yet.
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

/// How long ago that was, in nanoseconds.
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
            // The one may start anywhere: the difference counts, around zero too.
            let lag_max = LAG_MAX.as_nanos() as u64;
            ahead.set(Some(now.wrapping_sub(coarse).wrapping_add(lag_max)));
        }
        now
    }

    /// Whether `when` has certainly not come, going by the coarse clock. It may lag more now than
    /// when the two were compared, but by no more than it ever does.
    #[inline]
    pub(crate) fn is_early(&self, when: u64, coarse: Option<u64>) -> bool {
        match (self, coarse) {
            (Clock::Real { ahead, .. }, Some(coarse)) => {
                ahead.get().is_some_and(|ahead| coarse.wrapping_add(ahead) < when)
            }
            _ => false,
        }
    }

    /// A time that has passed, and is [`now`](Clock::now) if time is virtual: costs nothing.
    pub(crate) fn passed(&self) -> u64 {
        match self {
            Clock::Real { seen, .. } => seen.get(),
            Clock::Virtual(now) => now.get(),
        }
    }
}

/// A duration in nanoseconds; what does not fit (584 years) is as good as never.
#[inline]
pub fn nanos(duration: Duration) -> u64 {
    let whole = duration.as_secs().checked_mul(1_000_000_000);
    whole.and_then(|w| w.checked_add(duration.subsec_nanos().into())).unwrap_or(u64::MAX)
}

/// Time.
impl Scheduler {
    /// Loop time (`loop.time`): since an arbitrary start, never going back.
    #[inline]
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.clock.borrow().now())
    }

    /// Whether the clock is virtual.
    #[inline]
    pub fn is_virtual(&self) -> bool {
        matches!(&*self.clock.borrow(), Clock::Virtual(_))
    }

    /// When the earliest timer is due, in loop time.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.callbacks.borrow_mut().next_deadline().map(Duration::from_nanos)
    }

    /// Appends every due timer to the ready queue, by deadline and then by creation.
    ///
    /// `coarse` reads a cheap clock, if there is one: it goes with the loop's from any start, in
    /// nanoseconds, is never ahead of it and at most [`LAG_MAX`] behind. The
    /// exact one is then asked only when a timer may be due.
    #[inline]
    pub fn move_due_timers(&self, coarse: impl FnOnce() -> Option<u64>) {
        let deadline = self.callbacks.borrow_mut().next_deadline();
        let Some(deadline) = deadline else { return };
        let coarse = coarse();
        if !self.clock.borrow().is_early(deadline, coarse) {
            self.move_timers_due_by(self.clock.borrow().look(coarse));
        }
    }

    fn move_timers_due_by(&self, now: u64) {
        let mut callbacks = self.callbacks.borrow_mut();
        let counters = self.home().map(LoopRef::counters);
        while let Some((when, key)) = callbacks.pop_due(now) {
            if let Some(counters) = counters {
                counters.timer_is_late(now - when);
            }
            self.ready.borrow_mut().push_back(Entry::Callback(key));
        }
    }

    /// How long the loop may wait for I/O: not at all if something is ready or it is to stop, else
    /// until the next timer; `None` if there is no timer.
    #[inline]
    pub fn timeout(&self) -> Option<Duration> {
        if self.has_ready() || self.stopping.get() || self.fatal.borrow().is_some() {
            return Some(Duration::ZERO);
        }
        self.next_deadline().map(|deadline| deadline.saturating_sub(self.time()))
    }

    /// Lets a virtual clock jump to the next timer. False if there is none.
    pub fn advance(&self) -> bool {
        let Some(deadline) = self.callbacks.borrow_mut().next_deadline() else { return false };
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

/// Something that will come back to a loop from outside. Dropping it, on whatever thread, ends what
/// [`Scheduler::add_outstanding`] began.
#[derive(Debug)]
#[must_use]
pub struct Outstanding(LoopRef);

impl Outstanding {
    /// Counts it, on the thread of the loop.
    pub fn begin(home: LoopRef) -> Outstanding {
        home.with(Scheduler::add_outstanding);
        Outstanding(home)
    }

    /// The loop to which it comes back.
    pub fn home(&self) -> LoopRef {
        self.0
    }
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        let home = self.0;
        let end = move || _ = home.with(Scheduler::sub_outstanding);
        // By a message, behind the result. A closed loop counts nothing.
        let _ = home.send(Message::Quiet(Box::new(end)));
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
