//! [`Step`]: from where a task resumes to where it suspends again.

use crate::{
    CancelledError,
    cell::{TaskCell, TaskContext},
    context::{Values, swap_values},
    scheduler::Scheduler,
};
use std::{fmt, ptr::NonNull};

/// One step of a task: from its start to the next suspension (asyncio's `__step`).
///
/// Dropping it ends the step, and brings back the task and the context that were current before.
#[must_use]
pub struct Step<'a> {
    cell: &'a TaskCell,
    scheduler: &'static Scheduler,
    previous: Option<NonNull<TaskCell>>,
    outer: Values,
}

impl fmt::Debug for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step of {:?}", self.cell)
    }
}

impl<'a> Step<'a> {
    /// Makes the task current, in its context. `None` on a thread that is not the task's, or when
    /// its loop is closed: nothing may run then.
    ///
    /// # Safety
    /// The step is dropped, and before every step that was begun earlier on this thread; and `cell`
    /// is the registry's until then, or somebody holds a reference to it.
    #[inline(always)]
    pub unsafe fn begin(cell: &'a TaskCell) -> Option<Step<'a>> {
        let affine = cell.affine()?;
        let scheduler = cell.home.local()?;
        let values = match affine.context.take() {
            TaskContext::Own(values) => values,
            // Entered already: the task was started eagerly by code that runs in it.
            TaskContext::Shared(context) => {
                let values = context.enter().unwrap_or_else(|_| context.values());
                affine.context.set(TaskContext::Shared(context));
                values
            }
        };
        let outer = swap_values(values);
        affine.running.set(true);
        affine.rewake.set(false);
        let previous = scheduler.replace_current(Some(cell.into()));
        Some(Step { cell, scheduler, previous, outer })
    }

    /// Turns must-cancel into a throw. Returns the error with which the task has to end here and
    /// now, because it is suspended in nothing of ours, or did not start yet.
    #[inline(always)]
    pub fn throw(&self) -> Option<CancelledError> {
        let affine = &self.cell.affine;
        if !affine.must_cancel.replace(false) {
            return None;
        }
        if affine.armed.get() == 0 {
            return Some(affine.take_message());
        }
        affine.throw.set(affine.next.get());
        affine.thrown.set(false);
        None
    }

    /// The coroutine suspended: what is still undelivered goes to the wait it is suspended in.
    #[inline(always)]
    pub fn suspend(&self) {
        let affine = &self.cell.affine;
        if affine.throw.replace(0) != 0 && !affine.thrown.get() {
            affine.must_cancel.set(true);
        }
        if affine.must_cancel.get() {
            let error = affine.take_message();
            if self.cell.cancel_waits(affine, &error) {
                affine.must_cancel.set(false);
            } else {
                affine.set_message(error);
                if affine.armed.get() == 0 {
                    self.cell.wake();
                }
            }
        }
    }
}

impl Drop for Step<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        let affine = &self.cell.affine;
        affine.throw.set(0);
        affine.running.set(false);
        self.scheduler.replace_current(self.previous);
        let ours = swap_values(std::mem::take(&mut self.outer));
        affine.context.set(match affine.context.take() {
            TaskContext::Own(_) => TaskContext::Own(ours),
            TaskContext::Shared(context) => {
                context.leave(ours);
                TaskContext::Shared(context)
            }
        });
        if affine.rewake.get() && !affine.scheduled.replace(true) {
            self.scheduler.push_task(self.cell.into());
        }
    }
}
