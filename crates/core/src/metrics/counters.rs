//! [`Counters`]: the counters of a loop, which any thread may read.
//!
//! Only the loop's thread writes them, each with a load and a store: nothing is locked, and a reader
//! may see one counter of an iteration and not yet another.

use std::sync::atomic::{AtomicU64, Ordering};

/// The upper bounds of the rows of [`Counters::late`], in nanoseconds; the last row has the timers
/// that are later than all bounds.
pub const LATE_BOUNDS: [u64; LATE - 1] =
    [100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

const LATE: usize = 6;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of one loop. Durations and times are in nanoseconds. Times are those of a loop on
        /// the machine's clock; a start time is zero while its activity is not in progress.
        // In separate cache lines: other threads read them.
        #[derive(Debug, Default)]
        #[repr(C, align(128))]
        pub struct Counters {
            $($(#[$doc])* pub $name: AtomicU64,)*
            /// The number of timers in each row: see [`LATE_BOUNDS`].
            pub late: [AtomicU64; LATE],
        }

        /// A snapshot of [`Counters`].
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
            /// The number of timers in each row: see [`LATE_BOUNDS`].
            pub late: [u64; LATE],
        }

        impl Counts {
            /// How many there are.
            pub const COUNT: usize = [$(stringify!($name)),*].len() + LATE;

            /// Creates the counts from the words that a reader of another process has read, in
            /// their order in memory.
            pub fn from_words(words: [u64; Counts::COUNT]) -> Counts {
                let [$($name,)* late @ ..] = words;
                Counts { $($name,)* late }
            }
        }

        impl Counters {
            /// Returns the current counts.
            pub fn counts(&self) -> Counts {
                let late = std::array::from_fn(|row| self.late[row].load(Ordering::Relaxed));
                Counts { $($name: self.$name.load(Ordering::Relaxed),)* late }
            }

            /// Resets all counters.
            pub(crate) fn reset(&self) {
                $(self.$name.store(0, Ordering::Relaxed);)*
                self.late.iter().for_each(|row| row.store(0, Ordering::Relaxed));
            }
        }
    };
}

counters! {
    /// The system's number of the thread, or zero if it gives none.
    thread,
    /// The time of the system's monotonic clock when loop time was zero.
    clock_zero,
    /// The number of iterations.
    iterations,
    /// The number of steps of tasks, and callbacks, in them.
    steps,
    /// The number of events from the system for which the loop had a receiver.
    events,
    /// The number of jobs that were given to other threads.
    jobs,
    /// The time for which the loop has run, without the current run.
    ran,
    /// The start of the current run.
    running_since,
    /// The time for which it has waited in its runs, without the current wait.
    waited,
    /// The start of the current wait.
    waiting_since,
    /// The longest time in which it neither waited nor read the clock: at least the longest step.
    longest_stretch,
    /// The longest step, if steps are measured.
    longest_step,
    /// The number of ready steps, as of the last wait or reading of the clock.
    ready,
    /// The number of unfinished tasks, as of then.
    tasks,
    /// The number of waiting timers, as of then.
    timers,
    /// The number of descriptors registered by sources, as of then.
    descriptors,
    /// The number of outstanding jobs, children and promises, as of then.
    outstanding,
}

impl Counts {
    /// Returns how long the loop has waited by `now`, in loop time of the real clock.
    pub fn waited_by(&self, now: u64) -> u64 {
        self.waited.saturating_add(since(self.waiting_since, now))
    }

    /// Returns how long the loop has run and not waited by then.
    pub fn busy_by(&self, now: u64) -> u64 {
        let ran = self.ran.saturating_add(since(self.running_since, now));
        ran.saturating_sub(self.waited_by(now))
    }
}

/// The duration of an activity that may have started; zero if it started after `now` was read.
fn since(began: u64, now: u64) -> u64 {
    if began == 0 { 0 } else { now.saturating_sub(began) }
}

/// Adds to a number, on the loop's own thread.
#[inline(always)]
pub fn add(counter: &AtomicU64, amount: u64) {
    set(counter, counter.load(Ordering::Relaxed).wrapping_add(amount));
}

/// Sets a number, on the loop's own thread.
#[inline(always)]
pub fn set(counter: &AtomicU64, value: u64) {
    counter.store(value, Ordering::Relaxed);
}

/// Raises a number to `value`, on the loop's own thread.
#[inline]
pub fn raise(counter: &AtomicU64, value: u64) {
    if value > counter.load(Ordering::Relaxed) {
        set(counter, value);
    }
}

impl Counters {
    /// Counts a timer that is late by this time.
    pub(crate) fn timer_is_late(&self, nanoseconds: u64) {
        let row = LATE_BOUNDS.iter().position(|bound| nanoseconds <= *bound);
        add(&self.late[row.unwrap_or(LATE - 1)], 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_in_the_order_in_which_counters_stand() {
        let counters = Counters::default();
        set(&counters.thread, 1);
        set(&counters.outstanding, 2);
        counters.timer_is_late(1_000_001);
        counters.timer_is_late(u64::MAX);
        let counts = counters.counts();
        assert_eq!(counts.late, [0, 0, 1, 0, 0, 1]);
        let mut words = [0; Counts::COUNT];
        (words[0], words[16], words[19], words[22]) = (1, 2, 1, 1);
        assert_eq!(Counts::from_words(words), counts);
        counters.reset();
        assert_eq!(counters.counts(), Counts::default());
    }
}
