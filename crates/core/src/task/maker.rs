//! [`Maker`]: the operations on a task's cell that are reserved for the crate that creates the task:
//! its handles, and the step that ends it.

use crate::{
    CancelledError, Error,
    cancel::stage::{MUST, SENT},
    home::{HomeRef, Message},
    scheduler::State,
    sync::Ordering,
    task::{
        cell::{Keeper, TaskCell},
        flags::Flag,
        listeners::{CallbackRef, Listener},
        reference::{HANDLE, HANDLES, REFERENCE, TaskRef, check_count},
    },
    wait::{
        Waiter, Wakers,
        awaiting::{Awaiting, WaitKey},
    },
};
use std::{fmt, ops::Deref};

/// The cell of a task, for the crate that created the task. Misuse would not be undefined behaviour, but
/// could lose a result, or leave another task waiting forever, so access needs `unsafe`.
#[derive(Clone, Copy)]
pub struct Maker<'a>(&'a TaskCell);

impl TaskCell {
    /// Returns the cell, for the crate that created the task.
    ///
    /// # Safety
    /// The caller must be that crate, or follow its rules: each counted handle is released once; the
    /// number of a listener and a stored wait are used only by their owners; listeners are notified
    /// once, when the outcome is stored.
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

    /// Counts a handle, for a caller that has only a reference. Returns false, and counts nothing, if
    /// the task is done and no handle was left: then its result is gone, or another thread is dropping
    /// it.
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

    /// Sets whether a failure that is never retrieved is reported.
    pub fn set_unretrieved(self, unretrieved: bool) {
        self.unretrieved.store(unretrieved, Ordering::Relaxed);
    }
}

/// The wait of a handle that awaits.
impl Maker<'_> {
    /// Stores the wait of a handle to this task. Returns `None`, and ends the wait, if the loop is
    /// closed, or on another thread.
    pub fn keep_wait(self, awaiting: Awaiting) -> Option<WaitKey> {
        let scheduler = self.home.local().filter(|s| s.state() != State::Closed)?;
        Some(WaitKey(scheduler.waits.borrow_mut().insert(awaiting)))
    }

    /// Returns the stored wait, if this is the task's thread and its loop is open.
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
            // A closed loop has already dropped it.
            let _ = self.home.send(Message::Quiet(Box::new(move || Maker(&task).drop_wait(kept))));
        }
    }
}

/// The listeners for the end of the task.
impl Maker<'_> {
    /// Adds a listener; `None` if the task is done, or on another thread than the task's.
    pub fn listen(self, listener: Listener) -> Option<u32> {
        let affine = self.0.affine().filter(|_| !self.is_done())?;
        Some(affine.listeners.push(listener, self.place()))
    }

    /// Replaces a waiter by another one.
    pub fn replace_listener(self, number: u32, waiter: Waiter) {
        if let Some(affine) = self.affine() {
            let replaced = affine.listeners.replace(number, waiter, self.place());
            drop(replaced);
        }
    }

    /// Takes a listener out. On another thread than the task's, it stays, and is notified in vain.
    pub fn unlisten(self, number: u32) -> Option<Listener> {
        self.affine()?.listeners.remove(number, self.place())
    }

    /// Makes listener `number` the one that reports a failure for which no task waits any more, and removes
    /// the previous one.
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
    /// Records that the outcome is stored in the place of the coroutine.
    ///
    /// # Safety
    /// The outcome must be stored there, and the coroutine dropped. This must be the task's own
    /// thread.
    #[inline]
    pub unsafe fn set_ended(self) {
        self.affine.flags.set(Flag::Ended);
    }

    /// Takes the message of the cancellation that ends the task without having been delivered.
    pub fn take_undelivered(self) -> Option<CancelledError> {
        let affine = self.affine()?;
        affine.stage.take(MUST | SENT).then(|| affine.take_message())
    }

    /// Keeps the error with which the task ends, if that was requested.
    pub fn keep_failure(self, error: &Error) -> bool {
        let Some(affine) = self.affine() else { return false };
        let kept = affine.with_cold(|cold| {
            cold.failure.as_mut().map(|room| *room = Some(error.clone())).is_some()
        });
        kept.unwrap_or(false)
    }

    /// Requests that `keeper` be called with this cell by the next caller that [takes](Maker::take_keeper)
    /// it, on any thread.
    ///
    /// # Safety
    /// It must be sound to call `keeper` with this cell on the task's thread, as soon as the
    /// outcome is stored.
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

    /// Takes out the requested function, to call it.
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
