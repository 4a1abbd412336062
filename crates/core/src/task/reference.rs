//! [`TaskRef`]: a counted reference to a task's cell, its waker, and its scheduling.
//!
//! One word holds two counts. *References* keep a task's allocation: the registry has one, and so have
//! each waiter, the first wait, and each handle. *Handles* are counted separately, because only they
//! can ask for the result. Another word records whether the task is *done*. The result belongs to the
//! last user: the task at its end, if no handle is left; otherwise the last handle, together with the
//! registry's reference. A waker is a reference.
//!
//! # Why not async-task
//! Its state is one atomic, changed by read-modify-write at each wake-up and twice at each step, so
//! that any thread may run the task. Here one thread runs it, and waking and running on that thread
//! are plain loads and stores; only another thread's wake-up is atomic, and goes through the loop's
//! message. That halves the cost of a yield, and a task whose loop is closed leaves nothing behind.

#[cfg(all(test, not(loom)))]
mod tests;

use crate::{
    home::Message,
    scheduler::{Scheduler, ready::ReadyStep},
    sync::{Ordering, mutant},
    task::{
        cell::TaskCell,
        flags::{Flag, Phase},
    },
    wait::state::IDLE,
    wait_site::WaitSite,
};
use std::{
    fmt,
    mem::ManuallyDrop,
    ops::Deref,
    ptr::NonNull,
    task::{RawWaker, RawWakerVTable, Waker},
};

pub(crate) const REFERENCE: u64 = 1;
pub(crate) const HANDLE: u64 = 1 << 32;
const REFERENCES: u64 = HANDLE - 1;
pub(crate) const HANDLES: u64 = !REFERENCES;

/// The task has not ended.
pub(crate) const PENDING: u8 = 0;
/// The task has ended, and the last handle releases one reference, its own. If it must release more,
/// the number is greater.
const DONE: u8 = 1;

/// A limit that no count may reach: beyond it, deliberately leaked references would overflow into
/// the handles.
const TOO_MANY: u64 = 1 << 30;

/// A thousand million references cannot exist; the references are being leaked.
#[inline(always)]
pub(crate) fn check_count(before: u64) {
    if before & REFERENCES >= TOO_MANY {
        std::process::abort();
    }
}

/// The count of a new task: a reference for the registry, one for the [first wait](FirstWait), and a
/// handle with its own.
pub(crate) const NEW: u64 = 3 * REFERENCE + HANDLE;

/// A counted reference to a task of any result type. It can be kept and sent anywhere.
#[repr(transparent)]
pub struct TaskRef(NonNull<TaskCell>);

// SAFETY: the count is atomic, and `TaskCell` is `Send + Sync`.
unsafe impl Send for TaskRef {}
// SAFETY: as above.
unsafe impl Sync for TaskRef {}

impl TaskRef {
    /// Takes over one reference that `cell` already counts.
    ///
    /// # Safety
    /// `cell` is alive, and the caller owns the reference.
    pub unsafe fn from_raw(cell: NonNull<TaskCell>) -> TaskRef {
        TaskRef(cell)
    }

    /// Returns the address of the cell.
    #[inline]
    pub fn as_ptr(&self) -> NonNull<TaskCell> {
        self.0
    }

    /// Creates another reference to the task of a cell.
    pub fn of(cell: &TaskCell) -> TaskRef {
        check_count(cell.count.fetch_add(REFERENCE, Ordering::Relaxed));
        TaskRef(cell.into())
    }

    /// Marks the task as done, after its result was stored, and releases this reference. This is
    /// the last use of the task.
    ///
    /// # Safety
    /// This is the registry's reference, which [`retire`](crate::scheduler::Tasks::retire) returned, or
    /// would have returned. The coroutine has been dropped, and from now on only the last handle changes
    /// the result.
    pub unsafe fn finish(self) {
        let this = ManuallyDrop::new(self);
        this.done.store(DONE, Ordering::Release);
        let left = REFERENCE + u64::from(this.take_kept()) * REFERENCE;
        // SAFETY: they are counted, and released here.
        unsafe { release(this.0, left) }
    }

    /// Does the same as [`finish`](TaskRef::finish) at the end of a step, but leaves the release to
    /// the last handle, if there is one. This needs no read-modify-write operation, which would wait
    /// for all stores of the step.
    ///
    /// # Safety
    /// As for `finish`. The loop must be open, so that no handle is released on another thread.
    #[inline(always)]
    pub unsafe fn finish_step(self) {
        if self.has_handles() {
            let this = ManuallyDrop::new(self);
            this.done.store(DONE + 1 + this.take_kept(), Ordering::Release);
        } else {
            // SAFETY: as the caller promised.
            unsafe { self.finish() }
        }
    }

    /// Returns whether both are the same task.
    pub fn is(&self, other: &TaskCell) -> bool {
        std::ptr::eq(self.0.as_ptr(), other)
    }
}

impl TaskRef {
    /// Calls [`wake`](TaskCell::wake), and releases the reference.
    #[inline]
    fn wake_and_drop(self) {
        if self.is_local() { self.wake() } else { self.message() }
    }

    /// Sends one message, even if it is called repeatedly before that is handled. The step that
    /// follows sees everything that happened before the call.
    fn message(self) {
        if !self.is_done() {
            // A closed loop has ended the task.
            let _ = self.home().send(Message::Task(self));
        }
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
        // SAFETY: this reference was counted and is released here.
        unsafe { release(self.0, REFERENCE) }
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Subtracts `amount` from the counts, and frees the cell if no reference is left.
unsafe fn release(cell: NonNull<TaskCell>, amount: u64) {
    // SAFETY: the caller's reference keeps the cell alive until the subtraction.
    let before = unsafe { cell.as_ref() }.count.fetch_sub(amount, Ordering::Release);
    if before & REFERENCES == amount & REFERENCES {
        // Everything that other threads did before releasing their references happened before this.
        // A load is used instead of a fence: it costs as little here, and race detectors understand
        // it.
        let order = if mutant("task_freed_unseen") { Ordering::Relaxed } else { Ordering::Acquire };
        // SAFETY: that was the last reference, and the cell has not been freed.
        unsafe { cell.as_ref() }.count.load(order);
        // SAFETY: that was the last reference.
        unsafe { TaskCell::free(cell) }
    }
}

/// A reference for a waiter. If it is released on the task's own thread, it is kept for the task's
/// next waiter: a task waits repeatedly, and counting would need two read-modify-write operations for
/// each wait.
pub(crate) struct Lent(ManuallyDrop<TaskRef>);

impl Lent {
    #[inline(always)]
    pub(crate) fn new(cell: &TaskCell) -> Lent {
        let has_spare = cell.affine().is_some_and(|affine| affine.flags.take(Flag::Spare));
        let task = if has_spare { TaskRef(cell.into()) } else { TaskRef::of(cell) };
        Lent(ManuallyDrop::new(task))
    }
}

impl Deref for Lent {
    type Target = TaskCell;
    #[inline]
    fn deref(&self) -> &TaskCell {
        &self.0
    }
}

impl Drop for Lent {
    #[inline]
    fn drop(&mut self) {
        let affine =
            self.affine().filter(|affine| !affine.flags.has(Flag::Spare) && !self.is_done());
        match affine {
            Some(affine) => affine.flags.set(Flag::Spare),
            // SAFETY: it is no longer used.
            None => unsafe { ManuallyDrop::drop(&mut self.0) },
        }
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The first wait of a task, for the leaf that armed it, with a reference that the task counts from the
/// beginning. There is only one at a time, so arming and ending it on the task's thread changes no
/// count. While it is armed, the reference belongs to the leaf; otherwise it belongs to the cell, which
/// releases it when the task is done. Dropping it does not end the wait: call [`end`](FirstWait::end).
pub(crate) struct FirstWait(ManuallyDrop<TaskRef>);

impl FirstWait {
    /// Arms the first wait of the current task, which is free. Also returns its number.
    #[inline(always)]
    pub(crate) fn arm(
        cell: &TaskCell,
        scheduler: &Scheduler,
        site: WaitSite,
        state: u64,
    ) -> (FirstWait, u32) {
        let number = cell.arm_first(scheduler, site, state);
        // SAFETY: the reference is counted, because the task is not done; and the cell had it until
        // now.
        let task = unsafe { TaskRef::from_raw(cell.into()) };
        (FirstWait(ManuallyDrop::new(task)), number)
    }

    /// Whether it is the first wait of `cell`.
    #[inline]
    pub(crate) fn is_of(&self, cell: &TaskCell) -> bool {
        self.0.is(cell)
    }

    /// Ends it, and returns its state, which is not known on a thread other than the task's.
    #[inline]
    pub(crate) fn end(self) -> u64 {
        if !self.is_local() {
            self.end_elsewhere();
            return IDLE;
        }
        let outlives = self.is_done();
        let state = self.end_first();
        let target = self.take_target();
        if outlives {
            drop(ManuallyDrop::into_inner(self.0));
        }
        // This comes last, because it may run any code, and even end the task.
        drop(target);
        state
    }

    /// Ends the wait of a leaf that was moved to another thread: the task's own thread gets a
    /// message.
    #[cold]
    fn end_elsewhere(self) {
        let home = self.home();
        let there = move || match self.is_local() {
            true => _ = self.end(),
            // The loop is closed, or about to be. The wait stays as it is, so the task does not take the
            // reference for its own.
            false => drop(ManuallyDrop::into_inner(self.0)),
        };
        if let Err(Message::Quiet(here)) = home.send(Message::Quiet(Box::new(there))) {
            here();
        }
    }
}

impl Deref for FirstWait {
    type Target = TaskCell;
    #[inline]
    fn deref(&self) -> &TaskCell {
        &self.0
    }
}

impl fmt::Debug for FirstWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl TaskCell {
    /// The number of references that the cell itself has to release when the task is done: the spare
    /// one, and that of the first wait unless a leaf has it. The caller must have a reference, and be on
    /// the task's own thread.
    #[inline]
    fn take_kept(&self) -> u8 {
        u8::from(self.affine.flags.take(Flag::Spare)) + u8::from(self.may_arm_first())
    }
}

/// Handles and the end of a task.
impl TaskCell {
    /// Returns whether the task has ended, on any thread.
    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire) != PENDING
    }

    /// Returns whether a handle is left that may ask for the result. Must be called on the task's
    /// own thread while its loop is open, so that no handle is dropped meanwhile.
    pub fn has_handles(&self) -> bool {
        self.count.load(Ordering::Acquire) & HANDLES != 0
    }

    /// Releases a handle. If it was the last handle of a task that is done, calls `last`, which
    /// drops the result. If the caller is on another thread and the loop is open, all of this
    /// happens on the task's thread.
    ///
    /// # Safety
    /// The caller owns the handle, and `last` may run on any thread on which the handle may be.
    /// `cell` may have been freed on return.
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
        if let Err(Message::Quiet(here)) =
            this.home().send(Message::Quiet(Box::new(|| there.release())))
        {
            here();
        }
    }
}

impl TaskCell {
    /// Does the same as [`release_handle`](TaskCell::release_handle), for a caller that does not know
    /// the type of the result.
    ///
    /// # Safety
    /// As there.
    pub unsafe fn release_any_handle(cell: NonNull<TaskCell>) {
        // SAFETY: the handle keeps the cell alive; the rest is as the caller promised.
        unsafe { TaskCell::release_handle(cell, cell.as_ref().vtable().last_handle) }
    }
}

unsafe fn release_handle_here(cell: NonNull<TaskCell>, last: unsafe fn(NonNull<TaskCell>)) {
    // SAFETY: the handle keeps the cell alive.
    let this = unsafe { cell.as_ref() };
    // The references that the last handle of a finished task releases.
    let sole = |done| HANDLE + u64::from(done) * REFERENCE;
    let done = this.done.load(Ordering::Acquire);
    if done != PENDING && this.count.load(Ordering::Acquire) == sole(done) {
        // SAFETY: this is the last handle of a task that is done.
        unsafe { last(cell) }
        // A report may have taken a reference; if not, no other reference can appear, and nothing needs counting.
        if this.count.load(Ordering::Acquire) == sole(done) {
            // SAFETY: this is the last reference.
            unsafe { TaskCell::free(cell) }
        } else {
            // SAFETY: all belong to this handle, and are released together.
            unsafe { release(cell, sole(done)) }
        }
        return;
    }
    let before = this.count.fetch_sub(HANDLE, Ordering::AcqRel);
    // While the loop closes, the task may end on its own thread while the handle is released on
    // another.
    let done = this.done.load(Ordering::Acquire);
    if before & HANDLES == HANDLE && done != PENDING {
        // SAFETY: this was the last handle of a task that is done.
        unsafe {
            last(cell);
            release(cell, sole(done) - HANDLE);
        }
    } else {
        // SAFETY: the handle's own reference is released last.
        unsafe { release(cell, REFERENCE) }
    }
}

/// Waking and running.
impl TaskCell {
    /// Puts the task into the ready queue, unless it is there already or done. A running task is
    /// put there when its step ends. May be called on any thread.
    #[inline]
    pub fn wake(&self) {
        let Some(affine) = self.affine() else { return self.wake_from_afar() };
        match affine.phase.get() {
            Phase::Idle => {
                affine.phase.set(Phase::Ready);
                self.schedule();
            }
            Phase::Running => affine.phase.set(Phase::Woken),
            Phase::Ready | Phase::Woken | Phase::Ended => {}
        }
    }

    /// Appends the task, which is marked as ready, to the ready queue.
    #[inline]
    pub(crate) fn schedule(&self) {
        if let Some(scheduler) = self.home().local() {
            scheduler.ready.push(ReadyStep::Task(self.into()));
        }
    }

    /// Sends one message, even if it is called repeatedly before that is handled. The step that
    /// follows sees everything that happened before the call.
    #[cold]
    fn wake_from_afar(&self) {
        TaskRef::of(self).message();
    }

    /// Runs one step.
    ///
    /// # Safety
    /// `cell` is alive, not done, on its own thread, and not running.
    #[inline]
    pub unsafe fn run(cell: NonNull<TaskCell>) {
        // SAFETY: as the caller promised.
        let this = unsafe { cell.as_ref() };
        this.affine.phase.set(Phase::Idle);
        // SAFETY: as the caller promised.
        unsafe { (this.vtable().step)(cell) }
    }

    /// Drops the coroutine, and ends the task as cancelled: its loop is closing.
    pub(crate) fn discard(task: &TaskRef) {
        if !task.is_done() {
            // SAFETY: the task is alive, not done, and does not run: its loop does not.
            unsafe { (task.vtable().discard)(task.0) }
        }
    }
}

/// The waker of tasks: a counted reference.
static WAKER: RawWakerVTable = RawWakerVTable::new(
    |cell| {
        // SAFETY: the waker being cloned keeps the cell alive.
        let task = ManuallyDrop::new(TaskRef::of(unsafe { &*cell.cast::<TaskCell>() }));
        RawWaker::new(task.0.as_ptr().cast(), &WAKER)
    },
    |cell| {
        // SAFETY: the consumed waker hands over its reference.
        unsafe { TaskRef(NonNull::new_unchecked(cell.cast_mut().cast())) }.wake_and_drop();
    },
    |cell| {
        // SAFETY: the waker keeps the cell alive.
        unsafe { &*cell.cast::<TaskCell>() }.wake();
    },
    |cell| {
        // SAFETY: the dropped waker hands over its reference.
        drop(unsafe { TaskRef(NonNull::new_unchecked(cell.cast_mut().cast())) });
    },
);

impl TaskCell {
    /// Calls `f` with a waker of the task that holds no reference, valid during one step.
    #[inline]
    pub fn with_waker<R>(&self, f: impl FnOnce(&Waker) -> R) -> R {
        let raw = RawWaker::new((&raw const *self).cast(), &WAKER);
        // SAFETY: the functions of `WAKER` match the pointer. The waker is never dropped, so it
        // need not be counted, and the cell outlives the call.
        let waker = ManuallyDrop::new(unsafe { Waker::from_raw(raw) });
        f(&waker)
    }

    /// Whether `waker` is the task's own, and not that of a combinator inside it.
    #[inline]
    pub(crate) fn is_own(&self, waker: &Waker) -> bool {
        waker.data() == (&raw const *self).cast() && std::ptr::eq(waker.vtable(), &WAKER)
    }
}
