//! [`TaskRef`]: a counted reference to a task's cell; and the tasks of the ready queue.
//!
//! One word counts what keeps a task's allocation: *references* (the registry's, one for each waiter,
//! and one for each handle), among them *handles*, which alone can ask for the result; and whether
//! the task is *done*. The result belongs to whoever is last: the task at its end, if no handle is
//! left; else the last handle. Wakers have async-task's own count.

use crate::{
    cancel::TaskCell,
    home::Mail,
    sync::{Ordering, atomic::fence},
};
use std::{fmt, ops::Deref, ptr::NonNull};

const REFERENCE: u64 = 1;
const HANDLE: u64 = 1 << 32;
const DONE: u64 = 1 << 63;
const REFERENCES: u64 = HANDLE - 1;
const HANDLES: u64 = DONE - HANDLE;

/// The count of a new task: a reference for the registry, and a handle with its own.
pub(crate) const NEW: u64 = 2 * REFERENCE + HANDLE;

/// A counted reference to a task, whatever it computes. It can be kept and sent anywhere.
pub struct TaskRef(NonNull<TaskCell>);

// SAFETY: the count is atomic, and `TaskCell` is `Send + Sync`.
unsafe impl Send for TaskRef {}
// SAFETY: as above.
unsafe impl Sync for TaskRef {}

impl TaskRef {
    /// Takes over one reference that `cell` counts already.
    ///
    /// # Safety
    /// `cell` is alive, and the reference is the caller's to give.
    pub unsafe fn from_raw(cell: NonNull<TaskCell>) -> TaskRef {
        TaskRef(cell)
    }

    /// Another reference to the task of a cell.
    pub fn of(cell: &TaskCell) -> TaskRef {
        cell.count.fetch_add(REFERENCE, Ordering::Relaxed);
        TaskRef(cell.into())
    }

    /// Whether both are the same task.
    pub fn is(&self, other: &TaskCell) -> bool {
        std::ptr::eq(self.0.as_ptr(), other)
    }
}

impl Deref for TaskRef {
    type Target = TaskCell;
    fn deref(&self) -> &TaskCell {
        // SAFETY: the reference keeps the cell alive.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for TaskRef {
    fn clone(&self) -> TaskRef {
        TaskRef::of(self)
    }
}

impl Drop for TaskRef {
    fn drop(&mut self) {
        // SAFETY: this reference was counted and is given up here.
        unsafe { release(self.0, REFERENCE) }
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Gives up what `amount` counts, and frees the cell if no reference is left.
unsafe fn release(cell: NonNull<TaskCell>, amount: u64) {
    // SAFETY: the caller's reference keeps the cell alive until the subtraction.
    let before = unsafe { cell.as_ref() }.count.fetch_sub(amount, Ordering::Release);
    if before & REFERENCES == amount & REFERENCES {
        fence(Ordering::Acquire);
        // SAFETY: that was the last reference.
        unsafe { TaskCell::free(cell) }
    }
}

/// Handles and the end of a task.
impl TaskCell {
    /// Whether the task has ended. True on any thread once it is.
    pub fn is_done(&self) -> bool {
        self.count.load(Ordering::Acquire) & DONE != 0
    }

    /// Marks the task as done, when its result is in place. False if no handle is left to ask for
    /// it: then the caller drops it.
    #[must_use]
    pub fn finish(&self) -> bool {
        self.count.fetch_or(DONE, Ordering::AcqRel) & HANDLES != 0
    }

    /// Counts another handle.
    pub fn add_handle(&self) {
        self.count.fetch_add(HANDLE + REFERENCE, Ordering::Relaxed);
    }

    /// Gives up a handle; `last` is called if it was the last one of a task that is done, and drops
    /// the result. On another thread than the task's all of this happens there, while its loop is
    /// open.
    ///
    /// # Safety
    /// The handle is the caller's to give, and `last` may run on any thread that the handle may be
    /// on. `cell` may be gone on return.
    pub unsafe fn release_handle(cell: NonNull<TaskCell>, last: unsafe fn(NonNull<TaskCell>)) {
        // SAFETY: the handle keeps the cell alive.
        let this = unsafe { cell.as_ref() };
        if this.is_local() {
            // SAFETY: as the caller promised.
            return unsafe { release_handle_here(cell, last) };
        }
        struct There(NonNull<TaskCell>, unsafe fn(NonNull<TaskCell>));
        // SAFETY: the handle was on this thread, and goes back to its own.
        unsafe impl Send for There {}
        impl There {
            fn release(self) {
                // SAFETY: as the caller promised.
                unsafe { release_handle_here(self.0, self.1) }
            }
        }
        let there = There(cell, last);
        if let Err(Mail::Quiet(here)) = this.home().send(Mail::Quiet(Box::new(|| there.release())))
        {
            here();
        }
    }
}

unsafe fn release_handle_here(cell: NonNull<TaskCell>, last: unsafe fn(NonNull<TaskCell>)) {
    // SAFETY: the handle keeps the cell alive.
    let this = unsafe { cell.as_ref() };
    const SOLE: u64 = DONE + HANDLE + REFERENCE;
    if this.count.load(Ordering::Acquire) == SOLE {
        // SAFETY: this is the last handle of a task that is done.
        unsafe { last(cell) }
        // A report may have taken a reference; if not, nobody can come, and nothing needs counting.
        if this.count.load(Ordering::Acquire) == SOLE {
            // SAFETY: this is the last reference.
            unsafe { TaskCell::free(cell) }
        } else {
            // SAFETY: both are this handle's, and given up together.
            unsafe { release(cell, HANDLE + REFERENCE) }
        }
        return;
    }
    let before = this.count.fetch_sub(HANDLE, Ordering::AcqRel);
    if before & HANDLES == HANDLE && before & DONE != 0 {
        // SAFETY: this was the last handle of a task that is done.
        unsafe { last(cell) }
    }
    // SAFETY: the handle's own reference is given up last.
    unsafe { release(cell, REFERENCE) }
}

/// A task that is ready to run: async-task's `Runnable`, without its type, in two words.
///
/// It has no `Drop`: one that is forgotten leaks its task, which is what has to happen to a task
/// that a late wake-up on another thread would otherwise drop there.
#[derive(Debug)]
#[must_use]
pub struct TaskRunnable {
    task: NonNull<()>,
    act: unsafe fn(NonNull<()>, Act),
}

#[derive(Debug)]
enum Act {
    Run,
    Discard,
}

// SAFETY: it is only a token until it is run or discarded, which the loop does on the task's thread.
unsafe impl Send for TaskRunnable {}

impl TaskRunnable {
    /// Takes the type off.
    pub fn new<M>(runnable: async_task::Runnable<M>) -> TaskRunnable {
        unsafe fn act<M>(task: NonNull<()>, act: Act) {
            // SAFETY: `task` came from `into_raw` of a `Runnable<M>`, and is used once.
            let runnable = unsafe { async_task::Runnable::<M>::from_raw(task) };
            match act {
                Act::Run => drop(runnable.run()),
                Act::Discard => drop(runnable),
            }
        }
        TaskRunnable { task: runnable.into_raw(), act: act::<M> }
    }

    /// Runs one step of the task. Only the loop's thread may call it: see `Scheduler::run_ready`.
    pub fn run(self) {
        // SAFETY: `task` is used once, because `self` is taken.
        unsafe { (self.act)(self.task, Act::Run) }
    }

    /// Drops the task's coroutine instead of running it. Only the loop's thread may call it.
    pub(crate) fn discard(self) {
        // SAFETY: as in `run`.
        unsafe { (self.act)(self.task, Act::Discard) }
    }
}
