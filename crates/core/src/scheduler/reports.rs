//! [`Reports`]: the handler of a loop's unhandled errors, and the reports of debug mode.

use super::Scheduler;
use crate::{caught::caught, context::swap_values, exception::ExceptionContext, log::InSpan};
use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    time::Duration,
};

/// The exception handler of a loop.
pub(crate) type ExceptionHandler = Rc<dyn Fn(&ExceptionContext)>;

/// The default time from which debug mode reports a step as slow.
const SLOW: Duration = Duration::from_millis(100);

/// The exception handler of a loop, and the settings of debug mode.
pub struct Reports {
    handler: RefCell<Option<ExceptionHandler>>,
    debug: Cell<bool>,
    /// Whether tasks carry the spans in which they are created.
    task_spans: Cell<bool>,
    slow_callback_duration: Cell<Duration>,
    measures_steps: Cell<bool>,
    is_timed: Cell<bool>,
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reports").field("debug", &self.debug).finish_non_exhaustive()
    }
}

impl Scheduler {
    /// Sets the exception handler; `None` is the default handler, which logs. Does nothing to a
    /// closed loop, because its home may be reused by another thread.
    pub fn set_exception_handler(&self, handler: Option<ExceptionHandler>) {
        if self.check_open().is_ok() {
            drop(self.reports.handler.replace(handler));
        }
    }
}

impl Reports {
    pub(super) const fn new() -> Reports {
        Reports {
            handler: RefCell::new(None),
            debug: Cell::new(false),
            task_spans: Cell::new(true),
            slow_callback_duration: Cell::new(SLOW),
            measures_steps: Cell::new(false),
            is_timed: Cell::new(false),
        }
    }

    pub(super) fn open(&self) {
        self.debug.set(false);
        self.task_spans.set(true);
        self.slow_callback_duration.set(SLOW);
        self.measures_steps.set(false);
        self.is_timed.set(false);
    }

    /// Removes the exception handler, and returns it.
    pub(super) fn take_handler(&self) -> Option<ExceptionHandler> {
        self.handler.take()
    }

    /// Returns the exception handler that was set.
    pub fn exception_handler(&self) -> Option<ExceptionHandler> {
        self.handler.borrow().clone()
    }

    /// Reports an unhandled error (`loop.call_exception_handler`). A panic in the handler is
    /// logged, and does not propagate.
    pub fn call_exception_handler(&self, context: &ExceptionContext) {
        let _entered = InSpan::enter(context.span.clone());
        let outer = context.values().map(swap_values);
        let outcome = caught(|| match self.exception_handler() {
            Some(handler) => handler(context),
            None => context.log(),
        });
        if let Err(error) = outcome {
            ExceptionContext::new("Unhandled error in exception handler")
                .with_exception(error)
                .with_note("context", context)
                .log();
        }
        if let Some(outer) = outer {
            drop(swap_values(outer));
        }
    }

    /// Returns whether debug mode is on.
    pub fn debug(&self) -> bool {
        self.debug.get()
    }

    /// Switches debug mode.
    pub fn set_debug(&self, on: bool) {
        self.debug.set(on);
        self.is_timed.set(on || self.measures_steps.get());
    }

    /// Whether each step is measured, in debug mode or on request.
    #[inline]
    pub(super) fn is_timed(&self) -> bool {
        self.is_timed.get()
    }

    /// Whether a step of this duration is to be reported.
    pub(super) fn is_slow(&self, took: Duration) -> bool {
        self.debug.get() && took >= self.slow_callback_duration.get()
    }

    /// Returns whether new tasks carry the span in which they are created.
    pub fn task_spans(&self) -> bool {
        self.task_spans.get()
    }

    /// Switches the measurement of steps, which reads the clock twice for each step.
    pub fn set_measures_steps(&self, on: bool) {
        self.measures_steps.set(on);
        self.is_timed.set(on || self.debug.get());
    }

    /// Sets [`task_spans`](Reports::task_spans). If it is false, the steps of tasks enter no span.
    pub fn set_task_spans(&self, on: bool) {
        self.task_spans.set(on);
    }

    /// Returns the time from which debug mode reports a step as slow.
    pub fn slow_callback_duration(&self) -> Duration {
        self.slow_callback_duration.get()
    }

    /// Sets [`slow_callback_duration`](Reports::slow_callback_duration).
    pub fn set_slow_callback_duration(&self, duration: Duration) {
        self.slow_callback_duration.set(duration);
    }
}
