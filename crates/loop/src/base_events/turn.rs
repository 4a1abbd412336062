//! One iteration (asyncio's `_run_once`): look for I/O and messages, move due timers, run what is ready.

use super::EventLoop;
use crate::metrics::Meter;
use asyncio_core::{
    DeadlockError, Error, Result,
    raw::{BeforeWait, Scheduler, TaskRef},
};
use std::{cell::Cell, time::Duration};

/// The time in nanoseconds between two polls for I/O while there is something to run.
///
/// asyncio polls in every iteration, and so does this loop under the virtual clock and with
/// `poll_every_iteration`. But the system call costs as much as fifteen steps of a task. Messages and timers
/// are checked in every iteration.
const BETWEEN_POLLS: u64 = 50_000;

/// The largest number of steps after which the clock is read to see whether [`BETWEEN_POLLS`] is
/// over; fewer if steps take long.
const STEPS_PER_LOOK: usize = 32;

/// A deadline that does not fit: never.
const NEVER: Duration = Duration::from_nanos(u64::MAX);

/// Decides when to poll for I/O even though there is something to run.
#[derive(Debug)]
pub(super) struct Pace {
    /// Whether every iteration polls.
    always: bool,
    /// `None`: before the last wait, or never.
    polled_at: Cell<Option<u64>>,
    looked_at: Cell<Option<u64>>,
    /// Steps until the next look at the clock.
    left: Cell<usize>,
    /// Steps between two looks.
    steps: Cell<usize>,
}

impl Pace {
    pub(super) fn new(always: bool) -> Pace {
        Pace {
            always,
            polled_at: Cell::new(None),
            looked_at: Cell::new(None),
            left: Cell::new(0),
            steps: Cell::new(STEPS_PER_LOOK),
        }
    }

    /// Makes the next iteration poll.
    pub(super) fn hurry(&self) {
        self.polled_at.set(None);
        self.left.set(0);
    }

    /// The loop has waited.
    fn waited(&self) {
        self.polled_at.set(None);
        self.looked_at.set(None);
        self.left.set(self.steps.get());
    }

    /// Counts the steps of an iteration.
    fn ran(&self, steps: usize) {
        self.left.set(self.left.get().saturating_sub(steps.max(1)));
    }

    fn is_due(&self, scheduler: &Scheduler, meter: &Meter) -> bool {
        if self.left.get() > 0 {
            return self.always;
        }
        let now = meter.look(scheduler);
        let steps = self.steps.get();
        let steps = match self.looked_at.replace(Some(now)) {
            Some(before) if now - before > BETWEEN_POLLS => (steps / 2).max(1),
            _ => (steps * 2).min(STEPS_PER_LOOK),
        };
        self.steps.set(steps);
        self.left.set(steps);
        if self.polled_at.get().is_some_and(|polled| now - polled < BETWEEN_POLLS) {
            return self.always;
        }
        self.polled_at.set(Some(now));
        true
    }
}

impl EventLoop {
    #[inline]
    pub(super) fn run_once(&self, scheduler: &Scheduler) -> Result<()> {
        match scheduler.timeout() {
            Some(Duration::ZERO) => {
                if self.0.pace.is_due(scheduler, &self.0.meter) || scheduler.timers.is_virtual() {
                    self.poll(scheduler, Some(Duration::ZERO))?;
                }
                if self.0.inbox.has_messages() {
                    self.take_messages(scheduler);
                }
                scheduler.move_due_timers(|| self.0.coarse.now());
            }
            timeout => {
                if scheduler.timers.is_virtual() {
                    self.wait_virtually(scheduler)?;
                } else {
                    self.wait(scheduler, timeout)?;
                }
                self.0.pace.waited();
                scheduler.move_timers_due_by(scheduler.timers.passed());
            }
        }
        let steps = scheduler.run_ready();
        self.0.pace.ran(steps);
        self.0.meter.ran(steps);
        Ok(())
    }

    #[inline(always)]
    fn poll(&self, scheduler: &Scheduler, timeout: Option<Duration>) -> Result<()> {
        match self.selector() {
            Some(selector) => {
                selector.poll(timeout, scheduler).map(|events| self.0.meter.heard(events))
            }
            None => Ok(()),
        }
    }

    /// Waits until there is I/O or a message, or until `timeout`. It is inlined, like every function
    /// through which the loop returns after the system call.
    #[inline(always)]
    fn wait(&self, scheduler: &Scheduler, timeout: Option<Duration>) -> Result<()> {
        // A loop with timers has just asked the clock how long it may wait.
        let has_asked = timeout.is_some() && !scheduler.timers.is_virtual();
        let now = has_asked.then(|| scheduler.timers.passed());
        let timeout = match scheduler.reports.debug() {
            true => self.look_for_deadlock(scheduler, timeout),
            false => timeout,
        };
        let timeout = match self.0.inbox.before_wait() {
            BeforeWait::Wait => timeout,
            BeforeWait::Message => Some(Duration::ZERO),
        };
        self.0.meter.wait(scheduler, now);
        let polled = self.poll(scheduler, timeout);
        self.0.meter.waited(scheduler);
        self.take_messages(scheduler);
        polled
    }

    /// Waits under the virtual clock: time jumps when nothing else can make a step ready.
    #[cold]
    fn wait_virtually(&self, scheduler: &Scheduler) -> Result<()> {
        self.wait(scheduler, Some(Duration::ZERO))?;
        if scheduler.has_ready() {
            return Ok(());
        }
        if scheduler.run.is_outstanding() {
            return self.wait(scheduler, None);
        }
        match scheduler.timers.next_deadline() {
            Some(deadline) if deadline < NEVER => {
                scheduler.timers.advance();
                Ok(())
            }
            // The other side has all the time there is.
            _ if self.may_be_called(scheduler) => self.wait(scheduler, None),
            _ => Err(deadlock(scheduler)),
        }
    }

    /// Whether I/O, a signal, or a job that waits with a limit could make a step ready.
    pub(crate) fn may_be_called(&self, scheduler: &Scheduler) -> bool {
        self.may_be_called_by_itself(scheduler) || self.signals().is_any()
    }

    fn may_be_called_by_itself(&self, scheduler: &Scheduler) -> bool {
        let is_watching = || self.selector().is_some_and(|s| !s.watchers().is_empty());
        scheduler.is_waiting_for_io() || is_watching() || self.0.executor.is_waited_for_with_limit()
    }

    /// Whether a step is ready, or will be without a signal or another thread.
    pub(super) fn may_go_on(&self, scheduler: &Scheduler) -> bool {
        scheduler.has_ready()
            || scheduler.run.is_outstanding()
            || scheduler.timers.next_deadline().is_some_and(|deadline| deadline < NEVER)
            || self.may_be_called_by_itself(scheduler)
    }

    #[inline]
    fn take_messages(&self, scheduler: &Scheduler) {
        self.0.inbox.take_messages(|message| scheduler.deliver(message));
        self.deliver_signals(scheduler);
    }
}

/// The error of a run in which nothing can wake a task any more.
pub(crate) fn deadlock(scheduler: &Scheduler) -> Error {
    Error::Deadlock(DeadlockError::new(scheduler.tasks.all().iter().map(waits).collect()))
}

/// `Task-1: sleep at src/main.rs:3:14, created at src/main.rs:9:5`
pub(crate) fn waits(task: &TaskRef) -> String {
    let created = task.spawned_at();
    match task.wait_site() {
        Some(site) => format!("{}: {site}, created at {created}", task.name()),
        None => format!("{}: in a future of another library, created at {created}", task.name()),
    }
}
