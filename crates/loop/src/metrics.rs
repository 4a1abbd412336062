//! [`Meter`]: updates the metrics of a loop.

use crate::EventLoop;
use asyncio_core::{
    Metrics,
    raw::{
        LoopRef, Scheduler,
        metrics::{Counters, add, raise, set},
        nanos, since_epoch,
    },
};
use std::{cell::Cell, sync::atomic::Ordering, time::Duration};

/// Metrics.
impl EventLoop {
    /// Returns the metrics of the loop so far. Those of a closed loop are all zero.
    pub fn metrics(&self) -> Metrics {
        self.handle().metrics().unwrap_or_default()
    }

    /// Sets whether each step is measured from now on: see [`Metrics::longest_step`].
    pub fn measure_steps(&self, on: bool) {
        self.home().with(|scheduler| scheduler.reports.set_measures_steps(on));
    }
}

/// How far the system's monotonic clock, which other processes read too, is ahead of loop time.
fn clock_zero() -> u64 {
    use nix::time::{ClockId, clock_gettime};
    // Every system has it.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    nanos(now).saturating_sub(since_epoch())
}

/// Updates the metrics of a loop, on its thread.
#[derive(Debug)]
pub(crate) struct Meter {
    counters: &'static Counters,
    /// When it last looked at the clock, or its wait or run began.
    looked_at: Cell<u64>,
}

impl Meter {
    pub(crate) fn new(home: LoopRef) -> Meter {
        let counters = home.counters();
        set(&counters.clock_zero, clock_zero());
        #[cfg(target_os = "linux")]
        set(&counters.thread, u64::from(nix::unistd::gettid().as_raw().unsigned_abs()));
        Meter { counters, looked_at: Cell::new(0) }
    }

    /// A run begins.
    pub(crate) fn run(&self) {
        let now = since_epoch().max(1);
        self.looked_at.set(now);
        set(&self.counters.running_since, now);
    }

    /// The run is over.
    pub(crate) fn ran_out(&self, scheduler: &Scheduler) {
        let now = self.look(scheduler);
        let began = self.counters.running_since.load(Ordering::Relaxed);
        set(&self.counters.running_since, 0);
        add(&self.counters.ran, now - began);
    }

    /// Looks at the clock.
    pub(crate) fn look(&self, scheduler: &Scheduler) -> u64 {
        self.looked(scheduler, scheduler.timers.look_at_machine())
    }

    /// The clock was asked, and says `now`.
    #[inline]
    fn looked(&self, scheduler: &Scheduler, now: u64) -> u64 {
        raise(&self.counters.longest_stretch, now - self.looked_at.replace(now));
        scheduler.count_what_is_there();
        now
    }

    /// A wait begins. `now` is what the clock says, if it was just asked.
    #[inline]
    pub(crate) fn wait(&self, scheduler: &Scheduler, now: Option<u64>) {
        let now = match now {
            Some(now) => self.looked(scheduler, now),
            None => self.look(scheduler),
        };
        set(&self.counters.waiting_since, now);
    }

    /// The wait is over.
    #[inline]
    pub(crate) fn waited(&self, scheduler: &Scheduler) {
        let (began, now) = (self.looked_at.get(), scheduler.timers.look_at_machine());
        self.looked_at.set(now);
        set(&self.counters.waiting_since, 0);
        add(&self.counters.waited, now - began);
    }

    /// The system has reported events.
    #[inline]
    pub(crate) fn heard(&self, events: usize) {
        add(&self.counters.events, events as u64);
    }

    /// Counts the steps of an iteration.
    #[inline(always)]
    pub(crate) fn ran(&self, steps: usize) {
        add(&self.counters.iterations, 1);
        add(&self.counters.steps, steps as u64);
    }

    /// A job was given to another thread.
    pub(crate) fn submitted(&self) {
        add(&self.counters.jobs, 1);
    }
}
