//! [`Tasks`]: the tasks of a loop, and the current task.

use super::Scheduler;
use crate::{
    cancel::scopes::Within,
    slots::Key,
    task::{cell::TaskCell, flags::Phase, reference::TaskRef, registry::Registry},
};
use std::{
    cell::{Cell, RefCell},
    fmt,
    mem::offset_of,
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

/// The process-wide number of the next task, updated when a loop closes.
static NEXT_TASK: AtomicU64 = AtomicU64::new(1);

/// The unfinished tasks of a loop, and the task and scope being polled.
pub struct Tasks {
    registry: RefCell<Registry>,
    /// The number of the next task.
    sequence: Cell<u64>,
    now: Now,
    eager: Cell<bool>,
    /// The numbers of the tasks whose destruction is not reported: see [`forgive`](Tasks::forgive).
    forgiven: RefCell<Vec<u64>>,
}

/// The task and scope being polled: each wait reads both.
struct Now {
    task: Cell<Option<NonNull<TaskCell>>>,
    /// The scope in that task.
    within: Cell<Within>,
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all()).finish()
    }
}

impl Tasks {
    /// The current task, for readers outside the process.
    pub(super) const CURRENT: usize = offset_of!(Tasks, now) + offset_of!(Now, task);

    pub(super) const fn new() -> Tasks {
        Tasks {
            registry: RefCell::new(Registry::new()),
            sequence: Cell::new(1),
            now: Now { task: Cell::new(None), within: Cell::new(Within::ROOT) },
            eager: Cell::new(false),
            forgiven: RefCell::new(Vec::new()),
        }
    }

    pub(super) fn open(&self) {
        self.sequence.set(NEXT_TASK.load(Ordering::Relaxed));
        self.eager.set(false);
    }

    /// The next loop continues the numbering.
    pub(super) fn close(&self) {
        NEXT_TASK.fetch_max(self.sequence.get(), Ordering::Relaxed);
        self.forgiven.take();
    }

    /// The table, for readers outside the process.
    pub(crate) fn table(&self) -> *const () {
        self.registry.borrow().table().cast()
    }

    /// The number of tasks.
    pub(crate) fn len(&self) -> usize {
        self.registry.borrow().len()
    }

    /// Returns the number of a new task, in the order of creation.
    #[inline]
    pub fn next_sequence(&self) -> u64 {
        let sequence = self.sequence.get();
        self.sequence.set(sequence + 1);
        sequence
    }

    /// Returns whether new tasks are started eagerly unless they say otherwise
    /// (`eager_task_factory`).
    #[inline]
    pub fn are_eager(&self) -> bool {
        self.eager.get()
    }

    /// Sets [`are_eager`](Tasks::are_eager).
    pub fn set_eager(&self, eager: bool) {
        self.eager.set(eager);
    }

    /// Does not report a task that is destroyed unfinished, because its caller has got an error already.
    pub fn forgive(&self, task: &TaskRef) {
        self.forgiven.borrow_mut().push(task.sequence());
    }

    /// Returns whether the task was [forgiven](Tasks::forgive).
    pub(super) fn is_forgiven(&self, task: &TaskRef) -> bool {
        self.forgiven.borrow().contains(&task.sequence())
    }

    /// Adds a new task; the loop owns it until it is [retired](Tasks::retire).
    ///
    /// # Safety
    /// The task is new, and belongs to this loop.
    pub unsafe fn adopt(&self, task: TaskRef) {
        self.registry.borrow_mut().insert(task);
    }

    /// Removes a task that has ended, and returns the registry's reference to it, which the caller
    /// must [finish](TaskRef::finish).
    ///
    /// # Safety
    /// The task belongs to this loop, and its coroutine has been dropped.
    pub unsafe fn retire(&self, task: &TaskCell) -> Option<TaskRef> {
        task.affine()?.phase.set(Phase::Ended);
        if !task.may_arm_first() || task.others() > 0 {
            task.give_waits_away(task.home().local()?, None);
        }
        self.registry.borrow_mut().remove(task)
    }

    /// Wakes the first wait of a task, if it has this number.
    pub(super) fn wake_first_wait(&self, task: Key, number: u32) {
        if let Some(task) = self.registry.borrow().get(task) {
            task.wake_first_wait(number);
        }
    }

    /// Returns every unfinished task, in the order of creation (`all_tasks`).
    pub fn all(&self) -> Vec<TaskRef> {
        let mut tasks: Vec<TaskRef> = self.registry.borrow().iter().cloned().collect();
        tasks.sort_by_key(|task| task.sequence());
        tasks
    }
}

/// The current task, and the scope being polled.
impl Scheduler {
    /// Calls `f` with an unfinished task.
    #[inline]
    pub(crate) fn with_task<R>(&self, key: Key, f: impl FnOnce(&TaskCell) -> R) -> Option<R> {
        if let Some(current) = self.tasks.now.task.get() {
            // SAFETY: a step keeps its cell alive, and removes it from `current` when it ends.
            let cell = unsafe { current.as_ref() };
            if cell.key() == Some(key) {
                return Some(f(cell));
            }
        }
        let task = self.tasks.registry.borrow().get(key)?.clone();
        Some(f(&task))
    }

    /// An unfinished task.
    pub(crate) fn task(&self, key: Key) -> Option<TaskRef> {
        self.tasks.registry.borrow().get(key).cloned()
    }

    /// Returns the task that runs now.
    pub fn current_task(&self) -> Option<TaskRef> {
        self.with_current(|cell| cell.map(TaskRef::of))
    }

    /// The cell of the current task, for a signal handler.
    pub(crate) fn running_cell(&self) -> Option<NonNull<TaskCell>> {
        self.tasks.now.task.get()
    }

    #[inline]
    pub(crate) fn with_current<R>(&self, f: impl FnOnce(Option<&TaskCell>) -> R) -> R {
        // SAFETY: as in `with_task`.
        f(self.tasks.now.task.get().map(|cell| unsafe { cell.as_ref() }))
    }

    /// The scope of the current task that is being polled.
    #[inline(always)]
    pub(crate) fn within(&self) -> Within {
        self.tasks.now.within.get()
    }

    #[inline(always)]
    pub(crate) fn replace_within(&self, within: Within) -> Within {
        self.tasks.now.within.replace(within)
    }

    #[inline]
    pub(crate) fn replace_current(
        &self,
        cell: Option<NonNull<TaskCell>>,
    ) -> Option<NonNull<TaskCell>> {
        self.tasks.now.task.replace(cell)
    }
}
