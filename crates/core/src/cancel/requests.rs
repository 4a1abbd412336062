//! [`Requests`]: the requests to cancel of one loop that are being delivered.

use crate::{
    CancelledError,
    slots::Key,
    task::{cell::Which, reference::TaskRef},
    wait::target::Target,
};
use std::cell::{Cell, RefCell};

/// The remaining work of a request. A request is passed along tasks that await each other. The chain
/// may be longer than the stack, so this is not done by recursion.
pub(super) enum Work {
    /// A request that came from a scope, or from the root of the task.
    Deliver(TaskRef, Option<Key>, CancelledError),
    /// A wait or its target takes it.
    Give(TaskRef, Which, Option<Key>, CancelledError),
    /// Everything that a task has passed on is done.
    End(TaskRef, Option<Key>, CancelledError),
}

/// The requests of a loop that are being delivered; most are delivered in the call.
pub(crate) struct Requests {
    pub(super) under_way: Cell<bool>,
    /// Whether each task takes one request.
    pub(super) sweeps: Cell<bool>,
    /// The next entry is the last one.
    work: RefCell<Vec<Work>>,
    /// The entries that the current work has added, in its order.
    pub(super) added: RefCell<Vec<Work>>,
    /// The targets that already have the request that the end of a step delivers.
    told: RefCell<Vec<Target>>,
}

impl Requests {
    pub(crate) const fn new() -> Requests {
        Requests {
            under_way: Cell::new(false),
            sweeps: Cell::new(false),
            work: RefCell::new(Vec::new()),
            added: RefCell::new(Vec::new()),
            told: RefCell::new(Vec::new()),
        }
    }

    /// Replaces the targets that already have the request, and returns the former ones.
    pub(crate) fn replace_told(&self, told: Vec<Target>) -> Vec<Target> {
        self.told.replace(told)
    }

    pub(super) fn has_told(&self, target: &Target) -> bool {
        self.told.borrow().iter().any(|told| told.id() == target.id())
    }

    pub(super) fn next(&self) -> Option<Work> {
        let mut work = self.work.borrow_mut();
        work.extend(self.added.borrow_mut().drain(..).rev());
        work.pop()
    }
}
