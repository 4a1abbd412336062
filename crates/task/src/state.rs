//! A task's allocation: the cell that every task has, followed by the coroutine, which the outcome
//! replaces when the task has ended.
//!
//! ```text
//!            first step                 Ready, Err, panic (1)
//!   NEW ───────────────► SUSPENDED ─────────────────────────────► DONE: a value, an error,
//!    │                     │   ▲                                   or cancelled
//!    │ cancelled before    └───┘ each further step
//!    └──────────────────────────────────────────────────────────► DONE: cancelled (2)
//! ```
//!
//! (1) is [`Data::end`], once, on the task's thread, before any listener is notified; (2) the same: the coroutine
//! never ran. Before that the coroutine is dropped, and a pending outcome put there
//! ([`Data::vacated`]). The outcome is written by `end` and read by handles; both happen on the task's
//! thread, except for the last handle, which has exclusive access. Which of the two drops it is settled by the
//! count in `task/reference.rs` of `asyncio-core`.

use asyncio_core::{
    CancelledError, Error, Result,
    exception::{ExceptionContext, reported},
    raw::{LoopRef, Maker, TaskCell, TaskRef},
};
use std::{cell::UnsafeCell, mem::MaybeUninit, ptr::NonNull};

/// How a task ended.
pub(crate) enum Outcome<T> {
    /// Not yet.
    Pending,
    /// A value; the function copies a kept value for each caller.
    Value(T, Option<fn(&T) -> T>),
    /// A value that an awaiter took.
    Taken,
    Failed(Error),
    /// Cancelled, by the error that ended it. The first caller gets its message; later callers get
    /// an error without one.
    Cancelled(CancelledError),
    /// Cancelled by a `cancel()` in the step in which it returned. Every caller gets the message.
    Overtaken(CancelledError),
}

/// A task's allocation, as handles know it. `cell` is its first field, so that a pointer to one is a
/// pointer to the other.
#[repr(C)]
pub(crate) struct Data<T> {
    cell: TaskCell,
    /// Present from the moment when the cell [says so](TaskCell::has_ended).
    outcome: UnsafeCell<MaybeUninit<Outcome<T>>>,
}

impl<T> Data<T> {
    /// Puts a pending outcome into the place of the coroutine.
    ///
    /// # Safety
    /// Must be called on the task's thread. The coroutine must be dropped, and nothing may access
    /// its place.
    #[inline(always)]
    pub(crate) unsafe fn vacated(&self) {
        // SAFETY: as the caller promised; from now on the outcome is there.
        unsafe {
            self.outcome().write(Outcome::Pending);
            self.maker().set_ended();
        }
    }

    /// The address of the outcome, if it is present.
    #[inline(always)]
    fn outcome(&self) -> *mut Outcome<T> {
        self.outcome.get().cast()
    }

    pub(crate) fn cell(&self) -> &TaskCell {
        &self.cell
    }

    #[inline(always)]
    pub(crate) fn maker(&self) -> Maker<'_> {
        maker(&self.cell)
    }

    /// Returns the outcome on the task's own thread. A kept value is never changed, so code of the
    /// user may run while it is borrowed: its `Clone`, which may call back here.
    #[inline]
    fn look(&self) -> Result<&Outcome<T>> {
        if !self.cell.is_local() {
            return Err(Error::runtime("Task: its result is available only on its loop's thread"));
        }
        if !self.cell.has_ended() {
            return Ok(&Outcome::Pending);
        }
        // SAFETY: on this thread, and `change` is not called while the reference is used.
        Ok(unsafe { &*self.outcome() })
    }

    /// Changes the outcome, after [`look`](Data::look) has shown that it is present and not kept. `f`
    /// must not run code of the user.
    #[inline]
    fn change<R>(&self, f: impl FnOnce(&mut Outcome<T>) -> R) -> R {
        // SAFETY: this is the task's thread, as `look` has found. Only a kept outcome is borrowed
        // while other code runs, and this is not one.
        f(unsafe { &mut *self.outcome() })
    }

    /// Stores the value that the coroutine returned, and notifies all listeners. The task is done when the
    /// registry's reference, which this returns, is [finished](TaskRef::finish). `dropped` is the result of
    /// dropping the coroutine.
    ///
    /// # Safety
    /// Must be called on the task's thread, after [`vacated`](Data::vacated).
    // Stored directly: moving a value that was just written in parts causes a store-forwarding
    // stall.
    #[must_use]
    #[inline(always)]
    pub(crate) unsafe fn end(&self, value: T, dropped: Result<()>) -> Option<TaskRef> {
        // SAFETY: there is an outcome.
        let is_first = matches!(unsafe { &*self.outcome() }, Outcome::Pending);
        if !is_first || dropped.is_err() || self.cell.must_cancel() {
            // SAFETY: as the caller promised.
            return unsafe { self.end_unusually(Ok(value), dropped) };
        }
        // SAFETY: nothing needs a drop in this place, and nothing accesses it now.
        unsafe { self.outcome().write(Outcome::Value(value, None)) }
        self.tell()
    }

    /// Does what [`end`](Data::end) does, for a task that failed, was cancelled, or returned before
    /// it could be cancelled.
    ///
    /// # Safety
    /// As there.
    #[must_use]
    #[cold]
    pub(crate) unsafe fn end_unusually(
        &self,
        result: Result<T>,
        dropped: Result<()>,
    ) -> Option<TaskRef> {
        let outcome = self.unusual(result, dropped);
        // SAFETY: as the caller promised; no kept value is borrowed here.
        let before = unsafe { self.outcome().replace(outcome) };
        // The old outcome is dropped after this. It contains a value of the user only if a panic
        // ended an earlier `end`.
        drop(before);
        self.tell()
    }

    /// Notifies all listeners of the outcome, and releases the task.
    #[inline(always)]
    fn tell(&self) -> Option<TaskRef> {
        self.call_keeper();
        self.maker().notify_listeners();
        if !self.cell.has_handles() {
            self.drop_outcome();
        }
        // SAFETY: it is the task's own loop, and the coroutine is gone.
        self.cell.home().with(|scheduler| unsafe { scheduler.tasks.retire(&self.cell) }).flatten()
    }

    /// Calls the keeper that was requested before the outcome was present.
    #[inline(always)]
    fn call_keeper(&self) {
        if let Some(keep) = self.maker().take_keeper() {
            // SAFETY: it is `keep_value::<T>`, and this is the task's thread.
            unsafe { keep(NonNull::from(self).cast()) }
        }
    }

    fn unusual(&self, result: Result<T>, dropped: Result<()>) -> Outcome<T> {
        let result = match dropped {
            Ok(()) => result,
            Err(panic) => {
                drop_caught(result, self.cell.home());
                Err(panic)
            }
        };
        let undelivered = self.maker().take_undelivered();
        match (result, undelivered) {
            (Ok(value), None) => Outcome::Value(value, None),
            (Ok(value), Some(later)) => {
                drop_caught(value, self.cell.home());
                Outcome::Overtaken(later)
            }
            (Err(Error::Cancelled(error)), _) => Outcome::Cancelled(error),
            (Err(error), _) if error.is_cancelled() => Outcome::Cancelled(unwrapped(error)),
            (Err(error), _) => {
                if let Error::KeyboardInterrupt(_) = error {
                    self.cell.home().with(|scheduler| scheduler.run.abort(error.clone()));
                }
                let error = self.cell.ends_with(error);
                let asked_for = self.maker().keep_failure(&error);
                self.maker().set_unretrieved(!asked_for);
                Outcome::Failed(error)
            }
        }
    }

    /// Reports a failure that was not retrieved, and drops the outcome. Called by the last user.
    #[inline]
    pub(crate) fn drop_outcome(&self) {
        if self.maker().has_keeper_elsewhere() {
            // The value is dropped.
            self.maker().take_keeper();
        }
        // SAFETY: the task has ended, and the outcome cannot be requested any more.
        if !matches!(unsafe { &*self.outcome() }, Outcome::Taken) {
            self.drop_outcome_left();
        }
    }

    fn drop_outcome_left(&self) {
        // SAFETY: as above.
        let outcome = unsafe { self.outcome().replace(Outcome::Taken) };
        match outcome {
            Outcome::Failed(error) if self.cell.is_unretrieved() => {
                let report = ExceptionContext::new("Task exception was never retrieved");
                let task = self.task_ref();
                report.with_exception(error).with_task(task).report(Some(self.cell.home()));
            }
            Outcome::Value(value, _) => drop_caught(value, self.cell.home()),
            _ => {}
        }
    }

    /// Drops the rest of the outcome without a report.
    ///
    /// # Safety
    /// The task must have ended, and the outcome must not be used afterwards.
    #[inline]
    pub(crate) unsafe fn free_outcome(&self) {
        // SAFETY: as the caller promised.
        unsafe { self.outcome().drop_in_place() }
    }

    /// Returns the outcome of a finished task: a copy of the value if it can be copied, else the
    /// value itself.
    #[inline(always)]
    pub(crate) fn retrieve(&self) -> Result<T> {
        if let Outcome::Value(_, None) = self.look()? {
            if self.maker().has_keeper_elsewhere() {
                self.call_keeper();
                return self.retrieve_copy();
            }
            if let Outcome::Value(value, _) = self.change(|o| std::mem::replace(o, Outcome::Taken))
            {
                return Ok(value);
            }
        }
        self.retrieve_copy()
    }

    fn retrieve_copy(&self) -> Result<T> {
        self.maker().set_unretrieved(false);
        Err(match self.look()? {
            Outcome::Value(value, Some(copy)) => return Ok(copy(value)),
            Outcome::Failed(error) => error.clone(),
            Outcome::Cancelled(_) | Outcome::Overtaken(_) => self.cancelled_error(),
            Outcome::Pending => Error::invalid_state("Task.result: result is not ready"),
            _ => Error::invalid_state("Task.result: the result was taken by an await"),
        })
    }

    fn cancelled_error(&self) -> Error {
        Error::Cancelled(self.change(|outcome| match outcome {
            Outcome::Cancelled(error) => std::mem::take(error),
            Outcome::Overtaken(error) => error.clone(),
            _ => CancelledError::default(),
        }))
    }

    /// Returns the error of a finished task, if it has one.
    pub(crate) fn exception(&self) -> Result<Option<Error>> {
        if !self.cell.is_done() {
            return Err(Error::invalid_state("Task.exception: exception is not set"));
        }
        self.maker().set_unretrieved(false);
        match self.look()? {
            Outcome::Failed(error) => Ok(Some(error.clone())),
            Outcome::Cancelled(_) | Outcome::Overtaken(_) => Err(self.cancelled_error()),
            _ => Ok(None),
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        let cancelled = |o: &_| matches!(o, Outcome::Cancelled(_) | Outcome::Overtaken(_));
        self.cell.is_done() && self.look().is_ok_and(cancelled)
    }

    /// The message with which a task was cancelled as it returned.
    pub(crate) fn later_message(&self) -> CancelledError {
        match self.look() {
            Ok(Outcome::Overtaken(later)) => later.clone(),
            _ => CancelledError::default(),
        }
    }

    /// Makes the value stay: from now on it is copied.
    pub(crate) fn keep(&self)
    where
        T: Clone,
    {
        match self.look() {
            Ok(Outcome::Value(_, None)) => self.change(|outcome| {
                if let Outcome::Value(_, copy) = outcome {
                    *copy = Some(T::clone);
                }
            }),
            // SAFETY: the cell is the beginning of a `Data<T>`.
            Ok(Outcome::Pending) | Err(_) => unsafe { self.maker().set_keeper(keep_value::<T>) },
            Ok(_) => {}
        }
    }

    pub(crate) fn task_ref(&self) -> TaskRef {
        TaskRef::of(&self.cell)
    }
}

/// The cell of a task, for its handles and its end.
#[inline(always)]
pub(crate) fn maker(cell: &TaskCell) -> Maker<'_> {
    // SAFETY: this is the crate that creates tasks, and it follows the rules.
    unsafe { cell.maker() }
}

/// Returns the cancellation that an error wraps, with the error as its context.
fn unwrapped(error: Error) -> CancelledError {
    let cancelled = error.as_cancelled().cloned().unwrap_or_default();
    match Error::Cancelled(cancelled).with_context(error) {
        Error::Cancelled(cancelled) => cancelled,
        _ => CancelledError::default(),
    }
}

/// Drops a result that was not requested. A panic goes to the exception handler: it must not leave the
/// loop, or leave a task half ended.
pub(crate) fn drop_caught<V>(value: V, home: LoopRef) {
    if std::mem::needs_drop::<V>() {
        reported("Exception in the drop of a task's result", Some(home), || drop(value));
    }
}

/// Does what [`Data::keep`] does, for a cell whose outcome has just been stored.
///
/// # Safety
/// `cell` must be the first field of a living `Data<T>`.
unsafe fn keep_value<T: Clone>(cell: NonNull<TaskCell>) {
    // SAFETY: as the caller promised.
    unsafe { cell.cast::<Data<T>>().as_ref() }.keep();
}

/// Performs the work of the last handle of a finished task.
///
/// # Safety
/// `cell` must be the first field of a living `Data<T>`, and its outcome must not be requested
/// elsewhere.
pub(crate) unsafe fn last_handle<T>(cell: NonNull<TaskCell>) {
    // SAFETY: as the caller promised.
    unsafe { cell.cast::<Data<T>>().as_ref() }.drop_outcome();
}

/// Does what [`Data::exception`] does, for a cell whose type is not known.
///
/// # Safety
/// `cell` must be the first field of a living `Data<T>`.
pub(crate) unsafe fn exception<T>(cell: NonNull<TaskCell>) -> Result<Option<Error>> {
    // SAFETY: as the caller promised.
    unsafe { cell.cast::<Data<T>>().as_ref() }.exception()
}

/// Does what [`Data::is_cancelled`] does, for a cell whose type is not known.
///
/// # Safety
/// As for [`exception`].
pub(crate) unsafe fn cancelled<T>(cell: NonNull<TaskCell>) -> bool {
    // SAFETY: as the caller promised.
    unsafe { cell.cast::<Data<T>>().as_ref() }.is_cancelled()
}
