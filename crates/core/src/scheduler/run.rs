//! [`Run`]: the stop and abort requests of a loop's current run, and the work outstanding outside
//! the loop.

use crate::Error;
use std::cell::{Cell, RefCell};

/// The state of the current run.
#[derive(Debug)]
pub struct Run {
    is_stopping: Cell<bool>,
    fatal: RefCell<Option<Error>>,
    /// The number of jobs, children and promises whose results will come from outside the loop.
    outstanding: Cell<usize>,
}

impl Run {
    pub(super) const fn new() -> Run {
        Run { is_stopping: Cell::new(false), fatal: RefCell::new(None), outstanding: Cell::new(0) }
    }

    pub(super) fn open(&self) {
        self.is_stopping.set(false);
        drop(self.fatal.take());
        self.outstanding.set(0);
    }

    /// Ends the run at the end of the current iteration (`loop.stop`).
    pub fn stop(&self) {
        self.is_stopping.set(true);
    }

    /// Returns whether [`stop`](Run::stop) was called since [`restart`](Run::restart).
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.get()
    }

    /// Clears a pending stop.
    pub fn restart(&self) {
        self.is_stopping.set(false);
    }

    /// Ends the run immediately, with `error` (asyncio: `KeyboardInterrupt` raised by a callback).
    pub fn abort(&self, error: Error) {
        self.fatal.borrow_mut().get_or_insert(error);
    }

    /// Whether the run is to end immediately.
    pub(crate) fn is_aborted(&self) -> bool {
        self.fatal.borrow().is_some()
    }

    /// Takes the error that ends the run.
    pub fn take_fatal(&self) -> Option<Error> {
        self.fatal.borrow_mut().take()
    }

    /// Counts a result that will come from outside the loop. While one is outstanding, the virtual
    /// clock does not advance and no deadlock is reported.
    pub fn add_outstanding(&self) {
        self.outstanding.set(self.outstanding.get() + 1);
    }

    /// Undoes one call of [`add_outstanding`](Run::add_outstanding).
    pub fn sub_outstanding(&self) {
        self.outstanding.set(self.outstanding.get().saturating_sub(1));
    }

    /// Returns whether a result from outside the loop is outstanding.
    pub fn is_outstanding(&self) -> bool {
        self.outstanding.get() > 0
    }

    /// The number of results that will come from outside the loop.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.get()
    }
}
