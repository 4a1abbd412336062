//! [`Run`]: what ends the current run of a loop, and what may still come to it from outside.

use crate::Error;
use std::cell::{Cell, RefCell};

/// How the current run goes on.
#[derive(Debug)]
pub struct Run {
    is_stopping: Cell<bool>,
    fatal: RefCell<Option<Error>>,
    /// Jobs, children and promises that will come back from outside of the loop.
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

    /// Ends the run at once, with `error` (asyncio: `KeyboardInterrupt` out of a callback).
    pub fn abort(&self, error: Error) {
        self.fatal.borrow_mut().get_or_insert(error);
    }

    /// Whether it is to end at once.
    pub(crate) fn is_aborted(&self) -> bool {
        self.fatal.borrow().is_some()
    }

    /// Takes the error that ends the run.
    pub fn take_fatal(&self) -> Option<Error> {
        self.fatal.borrow_mut().take()
    }

    /// Counts something that will come back from outside of the loop: while there is such a thing,
    /// the virtual clock stands still and nothing is a deadlock.
    pub fn add_outstanding(&self) {
        self.outstanding.set(self.outstanding.get() + 1);
    }

    /// Ends what [`add_outstanding`](Run::add_outstanding) began.
    pub fn sub_outstanding(&self) {
        self.outstanding.set(self.outstanding.get().saturating_sub(1));
    }

    /// Returns whether something will come back from outside the loop.
    pub fn is_outstanding(&self) -> bool {
        self.outstanding.get() > 0
    }

    /// How much will come back from outside of the loop.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.get()
    }
}
