//! [`Step`]: one step of a task, from resumption to the next suspension.

use crate::{
    CancelledError,
    cancel::{
        scopes::Within,
        stage::{MUST, SCOPES, YIELDS},
    },
    context::{Values, swap_values},
    scheduler::{Scheduler, ready::ReadyStep},
    task::{
        cell::{Affine, Entry, TaskCell},
        flags::{Flag, Phase},
    },
};
use std::{fmt, ptr::NonNull};

/// One step of a task: from its start to the next suspension (asyncio's `__step`).
///
/// Dropping it ends the step, and restores the previous current task and context.
#[must_use]
pub struct Step<'a> {
    cell: &'a TaskCell,
    scheduler: &'static Scheduler,
    previous: Option<NonNull<TaskCell>>,
    /// The scope that was being polled in the previous task.
    within: Within,
    outer: Values,
}

impl fmt::Debug for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step of {:?}", self.cell)
    }
}

impl<'a> Step<'a> {
    /// Makes the task and its context current. Returns `None` on any thread other than the task's,
    /// and if its loop is closed: nothing may run then.
    ///
    /// # Safety
    /// The step must be dropped, before every step that was begun earlier on this thread. Until
    /// then, `cell` must be in the registry, or another reference to it must exist.
    #[inline(always)]
    pub unsafe fn begin(cell: &'a TaskCell) -> Option<Step<'a>> {
        // A task is on its loop's thread.
        let scheduler = cell.home.local()?;
        let affine = &cell.affine;
        let values = match affine.flags.has(Flag::Enters) {
            false => affine.values.take(),
            true => affine.enter(),
        };
        let outer = swap_values(values);
        affine.phase.set(Phase::Running);
        let previous = scheduler.replace_current(Some(cell.into()));
        // Futures are polled only in a step.
        let within = match previous {
            None => Within::ROOT,
            Some(_) => scheduler.enter_nested(),
        };
        Some(Step { cell, scheduler, previous, within, outer })
    }

    /// Returns whether the task has ended: its outcome is stored.
    #[inline(always)]
    pub fn has_ended(&self) -> bool {
        self.cell.affine.flags.has(Flag::Ended)
    }

    /// Throws undelivered requests into the leaves that resume in this step. Returns an error if the
    /// task has to end with it immediately, because the task is suspended only in foreign futures, or
    /// has not begun yet.
    #[inline(always)]
    pub fn throw(&self) -> Option<CancelledError> {
        match self.cell.affine.stage.has(MUST | YIELDS | SCOPES) {
            true => self.cell.begin_round(self.scheduler),
            // A request that was only given to waits is picked up by their leaves.
            false => None,
        }
    }

    /// Ends a step in which the coroutine suspended: undelivered requests go to the wait in which
    /// it is suspended.
    #[inline(always)]
    pub fn suspend(&self) {
        if !self.cell.affine.stage.is_idle() {
            self.cell.settle(self.scheduler);
        }
    }
}

impl Drop for Step<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        let affine = &self.cell.affine;
        if self.previous.is_some() {
            self.scheduler.leave_nested(self.within);
        }
        self.scheduler.replace_current(self.previous);
        let ours = swap_values(std::mem::take(&mut self.outer));
        match affine.flags.has(Flag::Enters) {
            false => affine.values.set(ours),
            true => affine.leave(ours),
        }
        match affine.phase.get() {
            Phase::Running => affine.phase.set(Phase::Idle),
            Phase::Woken => {
                affine.phase.set(Phase::Ready);
                self.scheduler.ready.push(ReadyStep::Task(self.cell.into()));
            }
            _ => {}
        }
    }
}

impl Affine {
    #[cold]
    fn enter(&self) -> Values {
        if let Some(span) = self.span() {
            span.enter();
        }
        let shared = self.with_cold(|cold| {
            let context = cold.context.as_ref()?;
            let entered = context.enter();
            cold.entry = match &entered {
                Ok(_) => Entry::Alone,
                Err(_) if context.is_current() => Entry::Inside,
                Err(_) => Entry::Copy,
            };
            Some(entered.unwrap_or_else(|_| context.values()))
        });
        shared.flatten().unwrap_or_else(|| self.values.take())
    }

    #[cold]
    fn leave(&self, values: Values) {
        let shared = self.with_cold(|cold| Some((cold.context.clone()?, cold.entry))).flatten();
        match shared {
            None => self.values.set(values),
            Some((context, Entry::Alone)) => context.leave(values),
            Some((_, Entry::Inside)) => drop(swap_values(values)),
            Some((_, Entry::Copy)) => {}
        }
        if let Some(span) = self.span() {
            span.exit();
        }
    }
}
