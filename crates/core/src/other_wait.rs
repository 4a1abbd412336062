//! [`OtherWait`]: a wait that does not stand in a task's cell.

use crate::{
    CancelledError,
    cancel::{CANCELLED, IDLE, WAITING, WOKEN},
    cell::TaskCell,
    home::{LoopRef, Mail, Place, entered},
    scheduler::Scheduler,
    slots::Key,
    sync::{AtomicU64, Mutex, Ordering},
    wait::wake_by_ref,
    wait_site::WaitSite,
};
use std::{
    sync::{Arc, OnceLock},
    task::Waker,
};

/// A wait beside the first of its task, or one outside of our tasks.
#[derive(Debug)]
pub(crate) struct OtherWait {
    /// In which loop, if in one.
    pub(crate) place: Option<Place>,
    /// In which task, if in one of ours, and where its entry is there.
    pub(crate) armed: OnceLock<(Key, Key)>,
    pub(crate) site: WaitSite,
    pub(crate) state: AtomicU64,
    pub(crate) waker: Waker,
    pub(crate) message: Mutex<CancelledError>,
}

impl OtherWait {
    pub(crate) fn new(waker: &Waker, site: WaitSite, state: u64) -> Arc<OtherWait> {
        Arc::new(OtherWait {
            place: entered().and_then(Scheduler::home).map(LoopRef::place),
            armed: OnceLock::new(),
            site,
            state: AtomicU64::new(state),
            waker: waker.clone(),
            message: Mutex::new(CancelledError::default()),
        })
    }

    pub(crate) fn state(&self) -> u64 {
        self.state.load(Ordering::Acquire)
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.state() == WAITING
    }

    /// Its entry, if it is a wait of `cell`, the task that runs now.
    pub(crate) fn entry_in(&self, cell: &TaskCell) -> Option<Key> {
        let (task, entry) = *self.armed.get()?;
        let is_of = cell.current_key() == Some(task) && Some(cell.home().place()) == self.place;
        is_of.then_some(entry)
    }

    /// Whether it is a wait of a task that has not ended, other than `cell`.
    pub(crate) fn is_of_another(&self, cell: &TaskCell) -> bool {
        let (Some(place), Some(&(task, _))) = (self.place, self.armed.get()) else { return false };
        self.entry_in(cell).is_none()
            && place.local().is_some_and(|scheduler| scheduler.with_task(task, |_| ()).is_some())
    }

    /// Takes it out of its task.
    fn leave_task(&self) {
        let (Some(place), Some(&(task, entry))) = (self.place, self.armed.get()) else { return };
        let here = move || _ = place.local().map(|s| s.with_task(task, |c| c.disarm_other(entry)));
        match place.local() {
            Some(_) => here(),
            // The leaf was moved to another thread: its task learns of it there.
            None => drop(place.send(Mail::Quiet(Box::new(here)))),
        }
    }

    pub(crate) fn leave_waiting(&self, state: u64) -> bool {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        self.state.compare_exchange(WAITING, state, success, failure).is_ok()
    }

    /// Cancels it, if it waits. The task is woken by the caller too: it may be polled by another waker.
    pub(crate) fn cancel(&self, error: CancelledError) -> bool {
        *self.message.lock() = error;
        let cancelled = self.leave_waiting(CANCELLED);
        if cancelled {
            wake_by_ref(&self.waker);
        }
        cancelled
    }

    /// Cancels it, if it waits, and wakes nothing.
    pub(crate) fn cancel_quietly(&self, error: &CancelledError) -> bool {
        if error.message().is_some() {
            *self.message.lock() = error.clone();
        }
        self.leave_waiting(CANCELLED)
    }

    /// Takes a cancellation back that the leaf has not seen.
    pub(crate) fn revoke(&self) -> bool {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        self.state.compare_exchange(CANCELLED, WAITING, success, failure).is_ok()
    }

    /// Ends it; true if it had been given a wake-up that was not used.
    pub(crate) fn end(&self) -> bool {
        self.leave_task();
        self.state.swap(IDLE, Ordering::AcqRel) == WOKEN
    }
}
