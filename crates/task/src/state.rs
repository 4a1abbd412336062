//! A task's allocation: the cell that every task has, and its outcome.
//!
//! ```text
//!            first step                 Ready, Err, panic (1)
//!   NEW ───────────────► SUSPENDED ─────────────────────────────► DONE: a value, an error,
//!    │                     │   ▲                                   or cancelled
//!    │ cancelled before    └───┘ each further step
//!    └──────────────────────────────────────────────────────────► DONE: cancelled (2)
//! ```
//!
//! 1. [`Data::end`], once, on the task's thread, before anyone is told. 2. The same; the coroutine
//! never ran. The outcome is written by `end` and read by handles; both happen on the task's thread,
//! but for the last handle, which has it to itself. Which of the two drops it is settled by the count
//! in [`asyncio_core::task_ref`].

use asyncio_core::{
    CancelledError, Error, Result, cancel::TaskCell, exception::ExceptionContext, task_ref::TaskRef,
};
use std::{
    cell::{Cell, UnsafeCell},
    ptr::NonNull,
};

/// How a task ended.
pub(crate) enum Outcome<T> {
    Pending,
    Value(T),
    /// A value that an awaiter took.
    Taken,
    Failed(Error),
    /// The first to ask gets the error that ended the task, with its message; later ones get the
    /// message of the `cancel()` that ended a task as it returned, which is most often none.
    Cancelled {
        first: Option<CancelledError>,
        later: CancelledError,
    },
}

/// A task's allocation. `cell` is its first field, so that a pointer to one is a pointer to the other.
#[repr(C)]
pub(crate) struct Data<T> {
    cell: TaskCell,
    outcome: UnsafeCell<Outcome<T>>,
    /// How to copy the value, once somebody who can has asked for it.
    copy: Cell<Option<fn(&T) -> T>>,
}

impl<T> Data<T> {
    pub(crate) fn new(cell: TaskCell) -> Data<T> {
        Data { cell, outcome: UnsafeCell::new(Outcome::Pending), copy: Cell::new(None) }
    }

    pub(crate) fn cell(&self) -> &TaskCell {
        &self.cell
    }

    /// The outcome, for the task's own thread. `f` runs no code of the user's but a `Clone`.
    fn outcome<R>(&self, f: impl FnOnce(&mut Outcome<T>) -> R) -> Result<R> {
        if !self.cell.is_local() {
            return Err(Error::runtime("Task: its result is for the thread of its loop alone"));
        }
        // SAFETY: on this thread, and never nested: `f` gets at no handle of this task.
        Ok(f(unsafe { &mut *self.outcome.get() }))
    }

    /// Puts the outcome of a task whose coroutine is gone in its place, and tells everyone. The task
    /// is done when the registry's reference, which this gives back, is [finished](TaskRef::finish).
    #[must_use]
    pub(crate) fn end(&self, result: Result<T>) -> Option<TaskRef> {
        let undelivered = self.cell.take_undelivered();
        let outcome = match (result, undelivered) {
            (Ok(_), Some(later)) => Outcome::Cancelled { first: None, later },
            (Ok(value), None) => Outcome::Value(value),
            (Err(Error::Cancelled(error)), _) => {
                Outcome::Cancelled { first: Some(error), later: CancelledError::default() }
            }
            (Err(error), _) => {
                if let (Error::KeyboardInterrupt(_), Some(scheduler)) =
                    (&error, self.cell.home().local())
                {
                    scheduler.abort_run(error.clone());
                }
                let asked_for = self.cell.keep_failure(&error);
                self.cell.set_unretrieved(!asked_for);
                Outcome::Failed(error)
            }
        };
        // SAFETY: only `end` writes it, once, before the task is marked as done.
        unsafe { *self.outcome.get() = outcome };
        self.cell.notify_listeners();
        if !self.cell.has_handles() {
            self.drop_outcome();
        }
        self.cell.home().local().and_then(|scheduler| scheduler.retire(&self.cell))
    }

    /// Reports a failure that nobody retrieved, and drops the outcome. For whoever is last.
    pub(crate) fn drop_outcome(&self) {
        // SAFETY: nobody else can ask for the outcome any more.
        let outcome = unsafe { std::mem::replace(&mut *self.outcome.get(), Outcome::Taken) };
        if let (Outcome::Failed(error), true) = (outcome, self.cell.is_unretrieved()) {
            let report = ExceptionContext::new("Task exception was never retrieved");
            let task = self.task_ref();
            report.with_exception(error).with_task(task).report(Some(self.cell.home()));
        }
    }

    /// The outcome of a finished task: a copy of the value where that is possible, else the value
    /// itself.
    pub(crate) fn retrieve(&self) -> Result<T> {
        self.cell.set_unretrieved(false);
        let copy = self.copy.get();
        self.outcome(|outcome| match outcome {
            Outcome::Pending => Err(Error::invalid_state("Task.result: result is not ready")),
            Outcome::Taken => {
                Err(Error::invalid_state("Task.result: the result was taken by an await"))
            }
            Outcome::Failed(error) => Err(error.clone()),
            Outcome::Cancelled { first, later } => Err(cancelled(first, later)),
            Outcome::Value(value) => match copy {
                Some(copy) => Ok(copy(value)),
                None => match std::mem::replace(outcome, Outcome::Taken) {
                    Outcome::Value(value) => Ok(value),
                    _ => unreachable!("it was a value"),
                },
            },
        })?
    }

    /// The error of a finished task, if it has one.
    pub(crate) fn exception(&self) -> Result<Option<Error>> {
        if !self.cell.is_done() {
            return Err(Error::invalid_state("Task.exception: exception is not set"));
        }
        self.cell.set_unretrieved(false);
        self.outcome(|outcome| match outcome {
            Outcome::Failed(error) => Ok(Some(error.clone())),
            Outcome::Cancelled { first, later } => Err(cancelled(first, later)),
            _ => Ok(None),
        })?
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cell.is_done()
            && self.outcome(|o| matches!(o, Outcome::Cancelled { .. })).unwrap_or(false)
    }

    /// The message with which a task was cancelled as it returned.
    pub(crate) fn later_message(&self) -> CancelledError {
        let message = self.outcome(|outcome| match outcome {
            Outcome::Cancelled { later, .. } => later.clone(),
            _ => CancelledError::default(),
        });
        message.unwrap_or_default()
    }

    /// From now on the value is copied, and stays.
    pub(crate) fn keep(&self)
    where
        T: Clone,
    {
        if self.cell.is_local() {
            self.copy.set(Some(T::clone));
        }
    }

    pub(crate) fn task_ref(&self) -> TaskRef {
        TaskRef::of(&self.cell)
    }
}

fn cancelled(first: &mut Option<CancelledError>, later: &CancelledError) -> Error {
    Error::Cancelled(first.take().unwrap_or_else(|| later.clone()))
}

/// What the last handle of a finished task does.
///
/// # Safety
/// `cell` is the first field of a living `Data<T>`, and nobody else can ask for its outcome.
pub(crate) unsafe fn last_handle<T>(cell: NonNull<TaskCell>) {
    // SAFETY: as the caller promised.
    unsafe { cell.cast::<Data<T>>().as_ref() }.drop_outcome();
}
