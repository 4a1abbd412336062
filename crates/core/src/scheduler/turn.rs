//! One iteration: collecting the due timers, and running the ready queue.
//!
//! It is CPython's `_run_once`: the loop polls I/O and empties its inbox, then
//! [`move_due_timers`](Scheduler::move_due_timers), then [`run_ready`](Scheduler::run_ready) runs exactly the
//! steps that were ready at that point.

use super::{Scheduler, State};
use crate::{
    Error,
    caught::caught,
    context::swap_values,
    exception::{ExceptionContext, reported},
    home::LoopRef,
    log::{InSpan, Level, log},
    metrics::counters::raise,
    scheduler::{
        clock::nanos,
        ready::ReadyStep,
        timers::{Action, Call},
    },
    slots::Key,
    task::{cell::TaskCell, reference::TaskRef},
};
use std::{
    cell::Cell,
    fmt,
    panic::Location,
    time::{Duration, Instant},
};

impl Scheduler {
    /// Returns whether anything is ready to run.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Returns how long the loop may wait for I/O: zero if something is ready or the loop is
    /// stopping, else until the next timer; `None` if there is no timer.
    #[inline]
    pub fn timeout(&self) -> Option<Duration> {
        if self.has_ready() || self.run.is_stopping() || self.run.is_aborted() {
            return Some(Duration::ZERO);
        }
        self.timers.next_deadline().map(|deadline| deadline.saturating_sub(self.timers.time()))
    }

    /// Appends every due timer to the ready queue, by deadline and then by creation.
    ///
    /// `coarse` reads a cheap clock, if there is one. It counts nanoseconds like the loop's clock,
    /// but from any origin; it is never ahead of that clock, and at most
    /// [`LAG_MAX`](crate::raw::LAG_MAX) behind. The exact clock is then read only when a timer may
    /// be due.
    #[inline]
    pub fn move_due_timers(&self, coarse: impl FnOnce() -> Option<u64>) {
        if let Some(now) = self.timers.look(coarse) {
            self.move_timers_due_by(now);
        }
    }

    /// Appends every timer that is due by `now`: [`move_due_timers`](Scheduler::move_due_timers) for a loop that has
    /// just asked the clock.
    pub fn move_timers_due_by(&self, now: u64) {
        let mut callbacks = self.timers.callbacks();
        let counters = self.home().map(LoopRef::counters);
        while let Some((when, key)) = callbacks.pop_due(now) {
            if let Some(counters) = counters {
                counters.timer_is_late(now - when);
            }
            self.ready.push(ReadyStep::Callback(key));
        }
    }

    /// Runs the steps that are ready now, but none that become ready meanwhile. Returns the number
    /// of steps. Runs nothing while the loop is being closed.
    pub fn run_ready(&self) -> usize {
        if self.state.get() == State::Closed {
            // The queue may name tasks that have ended.
            return 0;
        }
        let count = self.ready.len();
        let left = Cell::new(count);
        // A step catches the panics of what it calls. Only the drop of an unused value, such as that
        // of a context variable, may still panic.
        while left.get() > 0 {
            let message = "Exception in the drop of a value";
            reported(message, self.home.get(), || self.run_so_many(&left));
        }
        count
    }

    fn run_so_many(&self, left: &Cell<usize>) {
        while left.get() > 0 {
            left.set(left.get() - 1);
            let Some(step) = self.ready.pop() else { return left.set(0) };
            match self.reports.is_timed() {
                false => _ = self.run_step(step),
                true => self.run_timed(step),
            }
            if self.run.is_aborted() {
                left.set(0);
            }
        }
    }

    /// Runs one step. Returns where it was created, if it is a callback of the program.
    #[inline(always)]
    fn run_step(&self, step: ReadyStep) -> Option<&'static Location<'static>> {
        match step {
            ReadyStep::Task(task) => {
                // SAFETY: see `ReadyStep::Task`.
                unsafe { TaskCell::run(task) }
                None
            }
            ReadyStep::Callback(key) => self.run_callback(key),
            ReadyStep::Source(key) => self.run_handler(key),
        }
    }

    #[cold]
    fn run_timed(&self, step: ReadyStep) {
        let task = match step {
            // SAFETY: see `ReadyStep::Task`.
            ReadyStep::Task(task) => Some(TaskRef::of(unsafe { task.as_ref() })),
            ReadyStep::Callback(_) | ReadyStep::Source(_) => None,
        };
        let started = Instant::now();
        let created_at = self.run_step(step);
        self.timed(started.elapsed(), &task.map_or(Ran::Callback(created_at), Ran::Task));
    }

    fn run_callback(&self, key: Key) -> Option<&'static Location<'static>> {
        let action = self.timers.callbacks().take(key)?;
        let Call { closure, context, location } = match action {
            Action::Call(call) => self.timers.take_call(call)?,
            Action::Resume { task, number } => {
                self.tasks.wake_first_wait(task, number);
                return None;
            }
            Action::Expire(scope) => {
                self.expire(scope);
                return None;
            }
        };
        let outer = swap_values(context);
        let result = caught(closure).unwrap_or_else(Err);
        let context = swap_values(outer);
        match result {
            Ok(()) => {}
            Err(error @ Error::KeyboardInterrupt(_)) => self.run.abort(error),
            Err(error) => ExceptionContext::new("Exception in callback")
                .with_exception(error)
                .with_origin(location)
                .in_values(context)
                .report(self.home.get()),
        }
        Some(location)
    }

    fn timed(&self, took: Duration, ran: &Ran) {
        if let Some(counters) = self.home.get().map(LoopRef::counters) {
            raise(&counters.longest_step, nanos(took));
        }
        if self.reports.is_slow(took) {
            let span = match ran {
                Ran::Task(task) => task.span(),
                Ran::Callback(_) => None,
            };
            let _entered = InSpan::enter(span);
            let seconds = took.as_secs_f64();
            log(Level::Warning, &format!("Executing {ran} took {seconds:.3} seconds"));
        }
    }
}

/// The step that has run, in debug mode.
enum Ran {
    Task(TaskRef),
    Callback(Option<&'static Location<'static>>),
}

/// Formatted like asyncio's handles: a task is shown with its current wait, and the line that
/// created it.
impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ran::Task(task) => {
                write!(f, "{task:?}")?;
                if let Some(site) = task.wait_site() {
                    write!(f, " waiting for {site}")?;
                }
                write!(f, " created at {}", task.spawned_at())
            }
            Ran::Callback(Some(location)) => write!(f, "<Handle created at {location}>"),
            Ran::Callback(None) => f.write_str("<Handle>"),
        }
    }
}
