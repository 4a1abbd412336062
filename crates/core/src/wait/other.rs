//! [`OtherWait`]: a wait that is not stored in a task's cell.

use crate::{
    home::{HomeRef, LoopRef, Message, entered},
    scheduler::Scheduler,
    slots::Key,
    sync::{self, AtomicBool, AtomicU64, Ordering},
    task::cell::{Other, TaskCell, Which},
    wait::{
        Look,
        state::{CANCELLED, IDLE, WAITING, WOKEN},
    },
    wait_site::WaitSite,
};
use std::{sync::Arc, task::Waker};

/// A wait beside the first of its task, or one outside our tasks.
#[derive(Debug)]
pub(crate) struct OtherWait {
    /// In which loop, if in one.
    pub(crate) place: Option<HomeRef>,
    /// In which task, if in one of ours, and where its entry is there.
    pub(crate) armed: Option<(Key, Key)>,
    pub(crate) site: WaitSite,
    pub(crate) state: AtomicU64,
    pub(crate) waker: Waker,
    /// Whether a request was passed on to its target, which has accepted it.
    passed: AtomicBool,
}

impl OtherWait {
    fn new(
        place: Option<HomeRef>,
        armed: Option<(Key, Key)>,
        waker: Waker,
        site: WaitSite,
        state: u64,
    ) -> Arc<OtherWait> {
        let (state, passed) = (AtomicU64::new(state), AtomicBool::new(false));
        Arc::new(OtherWait { place, armed, site, state, waker, passed })
    }

    /// Creates a wait of `task`, with the entry `entry` there.
    pub(crate) fn of_task(
        home: LoopRef,
        (task, entry): (Key, Key),
        waker: Waker,
        site: WaitSite,
        state: u64,
    ) -> Arc<OtherWait> {
        let (place, armed) = (Some(home.place()), Some((task, entry)));
        OtherWait::new(place, armed, waker, site, state)
    }

    /// Creates a wait that no request reaches.
    pub(crate) fn outside(waker: Waker, site: WaitSite, state: u64) -> Arc<OtherWait> {
        let place = entered().and_then(Scheduler::home).map(LoopRef::place);
        OtherWait::new(place, None, waker, site, state)
    }

    pub(crate) fn state(&self) -> u64 {
        self.state.load(Ordering::Acquire)
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.state() == WAITING
    }

    /// Its entry, if it is a wait of `cell`, the task that runs now.
    pub(crate) fn entry_in(&self, cell: &TaskCell) -> Option<Key> {
        let (task, entry) = self.armed?;
        let is_of = cell.current_key() == Some(task) && Some(cell.home().place()) == self.place;
        is_of.then_some(entry)
    }

    /// Whether it is a wait of a task that has not ended, other than `cell`.
    pub(crate) fn is_of_another(&self, cell: &TaskCell) -> bool {
        let (Some(place), Some((task, _))) = (self.place, self.armed) else { return false };
        self.entry_in(cell).is_none()
            && place.local().is_some_and(|scheduler| scheduler.with_task(task, |_| ()).is_some())
    }

    /// Whether a request was passed on to its target, which has accepted it.
    pub(crate) fn has_passed_on(&self) -> bool {
        self.passed.load(Ordering::Relaxed)
    }

    pub(crate) fn set_passed(&self, passed: bool) {
        self.passed.store(passed, Ordering::Relaxed);
    }

    /// Calls `f` with its task, immediately or, from another thread, soon.
    fn with_task_soon(&self, f: impl FnOnce(&Scheduler, &TaskCell) + Copy + Send + 'static) {
        let (Some(place), Some((task, _))) = (self.place, self.armed) else { return };
        let call = move |scheduler: &Scheduler| {
            scheduler.with_task(task, |cell| f(scheduler, cell));
        };
        match place.local() {
            Some(scheduler) => call(scheduler),
            None => {
                let there = move || place.local().into_iter().for_each(call);
                // A loop that is closed has no such task.
                let _ = place.send(Message::Quiet(Box::new(there)));
            }
        }
    }

    /// Its state for a poll by another task than its own. If both tasks go on polling its future, it
    /// becomes a foreign wait of its own task, and stays there if it can, so that no scope there is left
    /// without a wait.
    #[cold]
    pub(crate) fn look_from(&self, scheduler: &Scheduler, cell: &TaskCell, waker: &Waker) -> Look {
        if cell.is_own(waker) || !self.is_of_another(cell) {
            return Look::Anew { shared: None };
        }
        match self.share(waker) {
            Some(()) => Look::State(WAITING),
            None => Look::Anew { shared: Some(scheduler.within().foreign()) },
        }
    }

    fn share(&self, waker: &Waker) -> Option<()> {
        let (scheduler, (task, entry)) = (self.place.and_then(HomeRef::local)?, self.armed?);
        if self.state() != WAITING || self.has_passed_on() || !self.waker.will_wake(waker) {
            return None;
        }
        let share = |other: &mut Other| {
            let within = other.within;
            other.within = scheduler.move_wait(within, within.foreign());
        };
        scheduler.with_task(task, |cell| {
            let revoked = cell.with_other(entry, |other| other.revoked)?;
            if revoked { None } else { cell.with_other(entry, share) }
        })?
    }

    /// A request that was passed on is answered elsewhere: in this task it counts as taken.
    pub(crate) fn leave_answer(&self) {
        let scheduler = self.place.and_then(HomeRef::local);
        let (Some(scheduler), Some((task, entry))) = (scheduler, self.armed) else { return };
        scheduler.with_task(task, |cell| cell.leave_answer(scheduler, Which::Other(entry)));
    }

    /// Removes it from its task. If the leaf was moved to another thread, the task's thread does this.
    fn leave_task(&self) {
        if let Some((_, entry)) = self.armed {
            self.with_task_soon(move |scheduler, cell| cell.disarm_other(scheduler, entry));
        }
    }

    /// Wakes it, if it is waiting; the caller calls its waker. If a request was passed on, the task
    /// itself has to check its result, because a combinator that is no longer polled does not pass on the
    /// wake-up.
    pub(crate) fn wake(&self) -> bool {
        let woken = sync::change("other_wake_overwrites_cancel", &self.state, WAITING, WOKEN);
        if woken && self.has_passed_on() {
            self.with_task_soon(|_, cell| cell.wake());
        }
        woken
    }

    /// Cancels it, if it waits, and wakes nothing.
    pub(crate) fn cancel(&self) -> bool {
        sync::change("other_cancel_overwrites_wake", &self.state, WAITING, CANCELLED)
    }

    /// Withdraws a cancellation that the leaf has not seen.
    pub(crate) fn revoke(&self) -> bool {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        self.state.compare_exchange(CANCELLED, WAITING, success, failure).is_ok()
    }

    /// Ends it; returns true if it had received a wake-up that was not used. A swap is not needed,
    /// because the waking side acts under the lock under which the leaf ends its wait.
    pub(crate) fn end(&self) -> bool {
        self.leave_task();
        let state = self.state.load(Ordering::Acquire);
        self.state.store(IDLE, Ordering::Release);
        state == WOKEN
    }
}
