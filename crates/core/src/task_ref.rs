//! [`TaskRef`]: a counted reference to a task's cell; its waker, and its way into the ready queue.
//!
//! One word counts what keeps a task's allocation: *references* (the registry's, one for each waiter,
//! one for the first wait, and one for each handle), among them *handles*, which alone can ask for the
//! result. Another says whether the task is *done*. The result belongs to the last user: the task at
//! its end, if no handle is left; else the last handle, and the registry's reference with it. A waker
//! is a reference.
//!
//! # Why not async-task
//! Its state is one atomic, changed by read-modify-write at each wake-up and twice at each step, so
//! that any thread may run the task. Here one thread runs it, and waking and running on that thread
//! are plain loads and stores; only another thread's wake-up is atomic, and goes through the loop's
//! message. That halves the cost of a yield, and a task whose loop is closed leaves nothing behind.

#[cfg(all(test, not(loom)))]
mod tests;

use crate::{
    cancel::IDLE,
    cell::TaskCell,
    flags::{Flag, Phase},
    home::Message,
    ready::ReadyStep,
    scheduler::Scheduler,
    sync::{Ordering, mutant},
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
/// It has, and the last handle gives one reference up: its own. If more were left to it, the number is
/// greater.
const DONE: u8 = 1;

/// Where a count must never come: beyond it, references that were leaked on purpose would run into
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

/// A counted reference to a task, whatever it computes. It can be kept and sent anywhere.
#[repr(transparent)]
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

    /// Marks the task as done, when its result is in place, and gives this reference up: the last
    /// thing that is done with the task.
    ///
    /// # Safety
    /// This is the registry's reference, which [`retire`](crate::scheduler::Tasks::retire) gave,
    /// or would have been. The coroutine is gone, and nothing changes the result any more except the last
    /// handle.
    pub unsafe fn finish(self) {
        let this = ManuallyDrop::new(self);
        this.done.store(DONE, Ordering::Release);
        let left = REFERENCE + u64::from(this.take_kept()) * REFERENCE;
        // SAFETY: they are counted, and given up here.
        unsafe { release(this.0, left) }
    }

    /// Does what [`finish`](TaskRef::finish) does, at the end of a step: releasing is left to the last
    /// handle, if there is one. This needs no read-modify-write, which would wait for all stores of
    /// the step.
    ///
    /// # Safety
    /// As there. The loop is open, so that no handle is given up on another thread.
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
    /// [`wake`](TaskCell::wake), with the reference that is given up.
    #[inline]
    fn wake_and_drop(self) {
        if self.is_local() { self.wake() } else { self.message() }
    }

    /// Sends one message, however often it is called before that is handled. What happened before the
    /// call is seen by the step that follows.
    fn message(self) {
        if !self.is_done() {
            // A loop that is closed has ended the task.
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
        // What the others did before they gave theirs up happened before. A load instead of a fence,
        // which costs as little here, and which race detectors understand.
        let order = if mutant("task_freed_unseen") { Ordering::Relaxed } else { Ordering::Acquire };
        // SAFETY: that was the last reference, and the cell has not been freed.
        unsafe { cell.as_ref() }.count.load(order);
        // SAFETY: that was the last reference.
        unsafe { TaskCell::free(cell) }
    }
}

/// A reference for a waiter. Given up on the task's own thread, it is kept for the task's next waiter:
/// a task waits again and again, and counting would be a read-modify-write each time, twice.
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
            // SAFETY: it is not used any more.
            None => unsafe { ManuallyDrop::drop(&mut self.0) },
        }
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The first wait of a task, for the leaf that armed it, with a reference that the task counts for it
/// from the beginning. There is one at a time, so arming it and ending it on the task's thread count
/// nothing. While it is armed the reference is the leaf's; else it is the cell's, which gives it up when
/// the task is done. One that is dropped has not ended: [`end`](FirstWait::end) it.
pub(crate) struct FirstWait(ManuallyDrop<TaskRef>);

impl FirstWait {
    /// Arms the first wait of the task that runs now, which is free. Gives its number too.
    #[inline(always)]
    pub(crate) fn arm(
        cell: &TaskCell,
        scheduler: &Scheduler,
        site: WaitSite,
        state: u64,
    ) -> (FirstWait, u32) {
        let number = cell.arm_first(scheduler, site, state);
        // SAFETY: the reference is counted, for the task is not done; and the cell had it until now.
        let task = unsafe { TaskRef::from_raw(cell.into()) };
        (FirstWait(ManuallyDrop::new(task)), number)
    }

    /// Whether it is a wait of `cell`.
    #[inline]
    pub(crate) fn is_of(&self, cell: &TaskCell) -> bool {
        self.0.is(cell)
    }

    /// Ends it, and tells in which state it was. On another thread than the task's that is not known.
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
        // Last, for that may run any code, and even end the task.
        drop(target);
        state
    }

    /// The leaf was moved to another thread: its task learns of it there.
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
    /// How many references the cell itself has to give up, when the task is done: the spare one, and
    /// that of the first wait unless a leaf has it. For a caller that has a reference, on the task's own
    /// thread.
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

    /// Returns whether a handle is left that may ask for the result. Called on the task's own thread
    /// while its loop is open, so no handle is dropped meanwhile.
    pub fn has_handles(&self) -> bool {
        self.count.load(Ordering::Acquire) & HANDLES != 0
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
        if let Err(Message::Quiet(here)) =
            this.home().send(Message::Quiet(Box::new(|| there.release())))
        {
            here();
        }
    }
}

impl TaskCell {
    /// Does what [`release_handle`](TaskCell::release_handle) does, for a caller that does not know the
    /// type of the result.
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
    // What the last handle gives up of a task that is done.
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
            // SAFETY: all are this handle's, and given up together.
            unsafe { release(cell, sole(done)) }
        }
        return;
    }
    let before = this.count.fetch_sub(HANDLE, Ordering::AcqRel);
    // While the loop closes the task may end on its own thread, and the handle be given up on another.
    let done = this.done.load(Ordering::Acquire);
    if before & HANDLES == HANDLE && done != PENDING {
        // SAFETY: this was the last handle of a task that is done.
        unsafe {
            last(cell);
            release(cell, sole(done) - HANDLE);
        }
    } else {
        // SAFETY: the handle's own reference is given up last.
        unsafe { release(cell, REFERENCE) }
    }
}

/// Waking and running.
impl TaskCell {
    /// Puts the task into the ready queue, unless it is there already or done. A task that runs is
    /// put there when its step ends. From any thread.
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

    /// Appends the task to the ready queue, as one that is marked as ready.
    #[inline]
    pub(crate) fn schedule(&self) {
        if let Some(scheduler) = self.home().local() {
            scheduler.ready.push(ReadyStep::Task(self.into()));
        }
    }

    /// Sends one message, however often it is called before that is handled. What happened before the
    /// call is seen by the step that follows.
    #[cold]
    fn wake_from_afar(&self) {
        TaskRef::of(self).message();
    }

    /// Runs one step.
    ///
    /// # Safety
    /// `cell` is alive and not done, on its own thread, and does not run.
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
        // SAFETY: the waker that is used up gives its reference.
        unsafe { TaskRef(NonNull::new_unchecked(cell.cast_mut().cast())) }.wake_and_drop();
    },
    |cell| {
        // SAFETY: the waker keeps the cell alive.
        unsafe { &*cell.cast::<TaskCell>() }.wake();
    },
    |cell| {
        // SAFETY: the waker that is dropped gives its reference.
        drop(unsafe { TaskRef(NonNull::new_unchecked(cell.cast_mut().cast())) });
    },
);

impl TaskCell {
    /// Calls `f` with a waker of the task that counts nothing, for the time of a step.
    #[inline]
    pub fn with_waker<R>(&self, f: impl FnOnce(&Waker) -> R) -> R {
        let raw = RawWaker::new((&raw const *self).cast(), &WAKER);
        // SAFETY: the functions of `WAKER` fit. It is never dropped, so it need not be counted, and
        // the cell outlives the call.
        let waker = ManuallyDrop::new(unsafe { Waker::from_raw(raw) });
        f(&waker)
    }

    /// Whether `waker` is the task's own, and not one of a combinator inside of it.
    #[inline]
    pub(crate) fn is_own(&self, waker: &Waker) -> bool {
        waker.data() == (&raw const *self).cast() && std::ptr::eq(waker.vtable(), &WAKER)
    }
}
