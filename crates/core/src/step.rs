//! [`Step`]: from where a task resumes to where it suspends again.

use crate::{
    CancelledError,
    cell::{Affine, TaskCell},
    context::{Context, Values, swap_values},
    flags::{Flag, Phase},
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
        let values = match affine.flags.has(Flag::Shared) {
            false => affine.values.take(),
            true => affine.enter_shared(),
        };
        let outer = swap_values(values);
        affine.phase.set(Phase::Running);
        let previous = scheduler.replace_current(Some(cell.into()));
        Some(Step { cell, scheduler, previous, outer })
    }

    /// Turns must-cancel into a throw. Returns the error with which the task has to end here and
    /// now, because it is suspended in nothing of ours, or did not start yet.
    #[inline(always)]
    pub fn throw(&self) -> Option<CancelledError> {
        let affine = &self.cell.affine;
        if !affine.flags.take(Flag::MustCancel) {
            return None;
        }
        if self.cell.armed() == 0 {
            return Some(affine.take_message());
        }
        affine.flags.set(Flag::Throws);
        affine.flags.clear(Flag::Taken);
        affine.flags.clear(Flag::Fresh);
        affine.with_cold(|cold| cold.thrown_to = cold.last_other);
        None
    }

    /// The coroutine suspended: what is still undelivered goes to the wait it is suspended in.
    #[inline(always)]
    pub fn suspend(&self) {
        let affine = &self.cell.affine;
        if affine.flags.take(Flag::Throws) && !affine.flags.has(Flag::Taken) {
            affine.flags.set(Flag::MustCancel);
        }
        if affine.flags.has(Flag::MustCancel) {
            let error = affine.take_message();
            if self.cell.cancel_waits(affine, &error) {
                affine.flags.clear(Flag::MustCancel);
            } else {
                affine.set_message(error);
                if self.cell.armed() == 0 {
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
        affine.flags.clear(Flag::Throws);
        self.scheduler.replace_current(self.previous);
        let ours = swap_values(std::mem::take(&mut self.outer));
        match affine.flags.has(Flag::Shared) {
            false => affine.values.set(ours),
            true => affine.leave_shared(ours),
        }
        match affine.phase.get() {
            Phase::Running => affine.phase.set(Phase::Idle),
            Phase::Woken => {
                affine.phase.set(Phase::Ready);
                self.scheduler.push_task(self.cell.into());
            }
            _ => {}
        }
    }
}

impl Affine {
    #[cold]
    fn enter_shared(&self) -> Values {
        // An error if it is entered already: the task was started eagerly by code that runs in it.
        let enter = |context: &Context| context.enter().unwrap_or_else(|_| context.values());
        self.with_cold(|cold| cold.context.as_ref().map(enter)).flatten().unwrap_or_default()
    }

    #[cold]
    fn leave_shared(&self, values: Values) {
        let context = self.with_cold(|cold| cold.context.clone());
        if let Some(context) = context.flatten() {
            context.leave(values);
        }
    }
}
