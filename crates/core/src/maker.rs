//! [`Maker`]: what only the crate that makes a task does with its cell: its handles, and the step that
//! ends it.

use crate::{
    CancelledError, Error,
    awaiting::{Awaiting, WaitKey},
    cell::{Keeper, TaskCell},
    flags::Flag,
    home::{HomeRef, Message},
    listeners::{CallbackRef, Listener},
    scheduler::State,
    stage::{MUST, SENT},
    sync::Ordering,
    task_ref::{HANDLE, HANDLES, REFERENCE, TaskRef, check_count},
    wait::{Waiter, Wakers},
};
use std::{fmt, ops::Deref};

/// The cell of a task, for the crate that made the task. What a stranger did here would not be undefined,
/// but could lose a result, or leave another task waiting for ever; so it takes an `unsafe` to come here.
#[derive(Clone, Copy)]
pub struct Maker<'a>(&'a TaskCell);

impl TaskCell {
    /// Returns the cell, for the crate that created the task.
    ///
    /// # Safety
    /// The caller is that crate, or keeps its rules: each handle that is counted is released once; a
    /// number that names a listener, and a wait that is kept, are used by those alone to whom this task
    /// gave them; listeners are told once, when the outcome is in its place.
    #[inline(always)]
    pub unsafe fn maker(&self) -> Maker<'_> {
        Maker(self)
    }
}

impl Deref for Maker<'_> {
    type Target = TaskCell;
    #[inline(always)]
    fn deref(&self) -> &TaskCell {
        self.0
    }
}

impl fmt::Debug for Maker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Handles.
impl Maker<'_> {
    /// Counts another handle, for a caller that has one.
    pub fn add_handle(self) {
        check_count(self.count.fetch_add(HANDLE + REFERENCE, Ordering::Relaxed));
    }

    /// Counts a handle, for a caller that has only a reference. False, and nothing is counted, if the
    /// task is done and no handle was left: then its result is gone, or another thread is dropping it.
    #[must_use]
    pub fn add_first_handle(self) -> bool {
        let before = self.count.fetch_add(HANDLE + REFERENCE, Ordering::Acquire);
        check_count(before);
        let is_gone = before & HANDLES == 0 && self.is_done();
        if is_gone {
            // Never the last reference: the caller has one.
            self.count.fetch_sub(HANDLE + REFERENCE, Ordering::Release);
        }
        !is_gone
    }

    /// Says whether a failure that is never retrieved is to be reported.
    pub fn set_unretrieved(self, unretrieved: bool) {
        self.unretrieved.store(unretrieved, Ordering::Relaxed);
    }
}

/// The wait of a handle that awaits.
impl Maker<'_> {
    /// Keeps the wait of a handle to this task. `None`, and the wait is over, if the loop is closed, or
    /// on another thread.
    pub fn keep_wait(self, awaiting: Awaiting) -> Option<WaitKey> {
        let scheduler = self.home.local().filter(|s| s.state() != State::Closed)?;
        Some(WaitKey(scheduler.waits.borrow_mut().insert(awaiting)))
    }

    /// Gives back what was kept, if this is the task's thread and its loop is open.
    pub fn take_wait(self, kept: WaitKey) -> Option<Awaiting> {
        self.home.local()?.waits.borrow_mut().remove(kept.0)
    }

    /// Ends the wait of a handle that is dropped, on any thread.
    #[cold]
    pub fn drop_wait(self, kept: WaitKey) {
        if let Some((wait, number)) = self.take_wait(kept) {
            drop(wait);
            self.unlisten(number);
        } else if !self.is_local() {
            let task = TaskRef::of(self.0);
            // A loop that is closed has dropped it.
            let _ = self.home.send(Message::Quiet(Box::new(move || Maker(&task).drop_wait(kept))));
        }
    }
}

/// The listeners for the end of the task.
impl Maker<'_> {
    /// Adds one; `None` if the task is done, or on another thread than the task's.
    pub fn listen(self, listener: Listener) -> Option<u32> {
        let affine = self.0.affine().filter(|_| !self.is_done())?;
        Some(affine.listeners.push(listener, self.place()))
    }

    /// Puts another waiter in the place of one.
    pub fn replace_listener(self, number: u32, waiter: Waiter) {
        if let Some(affine) = self.affine() {
            let replaced = affine.listeners.replace(number, waiter, self.place());
            drop(replaced);
        }
    }

    /// Takes one out. On another thread than the task's it stays, and is told in vain.
    pub fn unlisten(self, number: u32) -> Option<Listener> {
        self.affine()?.listeners.remove(number, self.place())
    }

    /// Makes listener `number` the one that reports a failure for which no task waits any more, and removes
    /// the former one.
    pub fn replace_late_report(self, number: u32, callback: CallbackRef) {
        let Some(affine) = self.affine() else { return };
        let previous = affine.cold(|cold| cold.late_report.replace((number, callback)));
        if let Some((number, callback)) = previous {
            self.unlisten(number);
            callback.cancel();
        }
    }

    /// Notifies all, in order.
    pub fn notify_listeners(self) {
        let mut wakers = Wakers::new();
        if let Some(affine) = self.affine() {
            affine.listeners.notify(self.place(), &mut wakers);
        }
    }

    /// Where the callbacks in its list are parked, as a rule.
    fn place(self) -> Option<HomeRef> {
        Some(self.home.place())
    }
}

/// The end.
impl Maker<'_> {
    /// Says that the outcome stands in the place of the coroutine.
    ///
    /// # Safety
    /// It does: the coroutine is gone. This is the task's own thread.
    #[inline]
    pub unsafe fn set_ended(self) {
        self.affine.flags.set(Flag::Ended);
    }

    /// Takes the message of the cancellation that ends the task without having been delivered.
    pub fn take_undelivered(self) -> Option<CancelledError> {
        let affine = self.affine()?;
        affine.stage.take(MUST | SENT).then(|| affine.take_message())
    }

    /// Keeps the error with which the task ends, if that was asked for.
    pub fn keep_failure(self, error: &Error) -> bool {
        let Some(affine) = self.affine() else { return false };
        let kept = affine.with_cold(|cold| {
            cold.failure.as_mut().map(|room| *room = Some(error.clone())).is_some()
        });
        kept.unwrap_or(false)
    }

    /// Asks for `keeper` to be called with this cell, by who next [takes](Maker::take_keeper) it. From any
    /// thread.
    ///
    /// # Safety
    /// It may be called with this cell on the task's thread, as soon as the outcome is there.
    pub unsafe fn set_keeper(self, keeper: Keeper) {
        match self.affine() {
            Some(affine) => affine.cold(|cold| cold.keeper = Some(keeper)),
            None => self.home.keepers(|keepers| {
                if !self.keeper_elsewhere.swap(true, Ordering::Release) {
                    keepers.push((TaskRef::of(self.0), keeper));
                }
            }),
        }
    }

    /// Returns whether another thread asked for a keeper to be called.
    #[inline(always)]
    pub fn has_keeper_elsewhere(self) -> bool {
        self.keeper_elsewhere.load(Ordering::Acquire)
    }

    /// Takes the function out that was asked for, to call it.
    #[inline]
    pub fn take_keeper(self) -> Option<Keeper> {
        if self.has_keeper_elsewhere() {
            return self.take_keeper_elsewhere();
        }
        self.affine()?.with_cold(|cold| cold.keeper.take())?
    }

    /// What one thread asks for is what all do.
    #[cold]
    fn take_keeper_elsewhere(self) -> Option<Keeper> {
        let (_reference, keeper) = self.home.keepers(|keepers| {
            self.keeper_elsewhere.store(false, Ordering::Relaxed);
            let number = keepers.iter().position(|(task, _)| task.is(self.0))?;
            Some(keepers.swap_remove(number))
        })?;
        Some(keeper)
    }
}
