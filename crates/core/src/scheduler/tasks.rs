//! The tasks of a loop, and the one that runs now.

use super::Scheduler;
use crate::{cell::TaskCell, flags::Phase, scopes::Within, slots::Key, task_ref::TaskRef};
use std::ptr::NonNull;

/// Tasks.
impl Scheduler {
    /// The number of a new task, in the order of creation.
    #[inline]
    pub fn next_sequence(&self) -> u64 {
        let sequence = self.sequence.get();
        self.sequence.set(sequence + 1);
        sequence
    }

    /// Whether new tasks are started eagerly unless they say otherwise (`eager_task_factory`).
    #[inline]
    pub fn eager_tasks(&self) -> bool {
        self.eager_tasks.get()
    }

    /// Sets [`eager_tasks`](Scheduler::eager_tasks).
    pub fn set_eager_tasks(&self, eager: bool) {
        self.eager_tasks.set(eager);
    }

    /// Takes a new task in; the loop owns it until it is [retired](Scheduler::retire).
    ///
    /// # Safety
    /// The task is new, and of this loop.
    pub unsafe fn adopt(&self, task: TaskRef) {
        self.tasks.borrow_mut().insert(task);
    }

    /// Lets a task go that has ended; gives the registry's reference to it, which the caller
    /// [finishes](TaskRef::finish).
    ///
    /// # Safety
    /// The task is of this loop, and its coroutine is gone.
    pub unsafe fn retire(&self, task: &TaskCell) -> Option<TaskRef> {
        task.affine()?.phase.set(Phase::Ended);
        self.tasks.borrow_mut().remove(task)
    }

    /// Calls `f` with an unfinished task.
    #[inline]
    pub(crate) fn with_task<R>(&self, key: Key, f: impl FnOnce(&TaskCell) -> R) -> Option<R> {
        if let Some(current) = self.now.task.get() {
            // SAFETY: a step keeps its cell alive, and takes it out of `current` when it ends.
            let cell = unsafe { current.as_ref() };
            if cell.key() == Some(key) {
                return Some(f(cell));
            }
        }
        let task = self.tasks.borrow().get(key)?.clone();
        Some(f(&task))
    }

    /// An unfinished task.
    pub(crate) fn task(&self, key: Key) -> Option<TaskRef> {
        self.tasks.borrow().get(key).cloned()
    }

    /// Every unfinished task, in the order of creation (`all_tasks`).
    pub fn all_tasks(&self) -> Vec<TaskRef> {
        let mut tasks: Vec<TaskRef> = self.tasks.borrow().iter().cloned().collect();
        tasks.sort_by_key(|task| task.sequence());
        tasks
    }

    /// The task that runs now.
    pub fn current_task(&self) -> Option<TaskRef> {
        self.with_current(|cell| cell.map(TaskRef::of))
    }

    /// The cell of the task that runs now: for a signal handler.
    pub(crate) fn running_cell(&self) -> Option<NonNull<TaskCell>> {
        self.now.task.get()
    }

    #[inline]
    pub(crate) fn with_current<R>(&self, f: impl FnOnce(Option<&TaskCell>) -> R) -> R {
        // SAFETY: as in `with_task`.
        f(self.now.task.get().map(|cell| unsafe { cell.as_ref() }))
    }

    /// Where in the task that runs now something is polled.
    #[inline(always)]
    pub(crate) fn within(&self) -> Within {
        self.now.within.get()
    }

    #[inline(always)]
    pub(crate) fn replace_within(&self, within: Within) -> Within {
        self.now.within.replace(within)
    }

    #[inline]
    pub(crate) fn replace_current(
        &self,
        cell: Option<NonNull<TaskCell>>,
    ) -> Option<NonNull<TaskCell>> {
        self.now.task.replace(cell)
    }
}
