//! [`Metrics`]: what a loop has done and what it has to do, from its [counters].

pub(crate) mod counters;

use self::counters::{Counts, LATE_BOUNDS, set};
use crate::{
    LoopHandle,
    home::LoopRef,
    scheduler::{Scheduler, clock::since_epoch},
};
use std::time::Duration;

impl Scheduler {
    /// Updates the counters that are as of the last reading of the clock.
    pub fn count_what_is_there(&self) {
        let Some(counters) = self.home().map(LoopRef::counters) else { return };
        set(&counters.ready, self.ready.len() as u64);
        set(&counters.tasks, self.tasks.len() as u64);
        set(&counters.timers, self.timers.len() as u64);
        set(&counters.descriptors, self.sources.borrow().len() as u64);
        set(&counters.outstanding, self.run.outstanding() as u64);
    }
}

/// The metrics of a loop since it was created (`loop.metrics()`, [`LoopHandle::metrics`]).
///
/// The loop's thread writes the numbers while they are read: two of them may be an iteration apart. By
/// default, they cost a loop two additions in each iteration, and two readings of the clock for each wait.
/// `EventLoop::measure_steps` also measures each step, which costs two readings of the clock for each step.
///
/// ```
/// # use std::time::Duration;
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let handle = asyncio::get_running_loop()?.handle();
///     asyncio::sleep(Duration::from_millis(1)).await?;
///     let metrics = std::thread::spawn(move || handle.metrics()).join().unwrap()?;
///     assert!(metrics.steps >= 2 && metrics.waiting >= Duration::from_millis(1));
///     assert_eq!((metrics.tasks, metrics.longest_step), (1, None));
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// The number of iterations.
    pub iterations: u64,
    /// The number of steps of tasks, and callbacks, in them.
    pub steps: u64,
    /// The time for which the loop has run, without its waits.
    pub busy: Duration,
    /// The time for which it has waited for I/O, timers and other threads.
    pub waiting: Duration,
    /// The longest time in which it neither waited nor read the clock. It reads the clock after at
    /// most 32 steps, and more often while steps take long. No step took longer than this.
    pub longest_stretch: Duration,
    /// The longest step, if steps are measured, or in debug mode.
    pub longest_step: Option<Duration>,
    /// The number of ready steps when the loop last waited or read the clock.
    pub ready: u64,
    /// The number of unfinished tasks at that time.
    pub tasks: u64,
    /// The number of waiting timers at that time: sleeps, deadlines, `call_later`.
    pub timers: u64,
    /// The number of registered sockets, pipes and similar descriptors at that time.
    pub descriptors: u64,
    /// The number of outstanding jobs in other threads, child processes and the like at that time.
    pub outstanding: u64,
    /// The number of events that the system has reported.
    pub events: u64,
    /// The number of jobs that were given to other threads.
    pub jobs: u64,
    /// The lateness of timers: see [`late_timers`](Metrics::late_timers).
    late: [u64; LATE_BOUNDS.len() + 1],
}

impl Metrics {
    fn of(counts: Counts, now: u64) -> Metrics {
        Metrics {
            iterations: counts.iterations,
            steps: counts.steps,
            busy: Duration::from_nanos(counts.busy_by(now)),
            waiting: Duration::from_nanos(counts.waited_by(now)),
            longest_stretch: Duration::from_nanos(counts.longest_stretch),
            longest_step: Some(counts.longest_step).filter(|n| *n > 0).map(Duration::from_nanos),
            ready: counts.ready,
            tasks: counts.tasks,
            timers: counts.timers,
            descriptors: counts.descriptors,
            outstanding: counts.outstanding,
            events: counts.events,
            jobs: counts.jobs,
            late: counts.late,
        }
    }

    /// Returns a histogram of how late timers ran. Each entry counts the timers that were late by at most
    /// its bound, and by more than the bound before. `None` is the bound of the last entry.
    pub fn late_timers(&self) -> impl Iterator<Item = (Option<Duration>, u64)> + use<> {
        let bounds = LATE_BOUNDS.map(|bound| Some(Duration::from_nanos(bound)));
        bounds.into_iter().chain([None]).zip(self.late)
    }
}

impl LoopHandle {
    /// Returns the metrics of the loop, from any thread.
    ///
    /// # Errors
    /// `Runtime` if the loop is closed.
    pub fn metrics(&self) -> crate::Result<Metrics> {
        let home = LoopRef::from(*self);
        let counts = home.counters().counts();
        // Another loop may use the place by now.
        match home.is_closed() {
            true => Err(crate::Error::runtime("metrics: Event loop is closed")),
            false => Ok(Metrics::of(counts, since_epoch())),
        }
    }
}
