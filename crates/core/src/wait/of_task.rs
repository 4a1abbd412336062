//! The waits of a task, as its cell stores them: the task's side of [`Wait`](crate::wait::Wait).
//!
//! The first wait is stored in the cell itself. Waits that are armed beside it, for example by the
//! leaves of a `join!`, have entries in a separate table.

use crate::{
    CancelledError,
    cancel::{
        scopes::Within,
        stage::{SCOPES, THROWS},
    },
    scheduler::Scheduler,
    slots::Key,
    sync::{self, Ordering},
    task::{
        cell::{Affine, Other, TaskCell, Which},
        flags::Flag,
    },
    wait::{
        Look,
        other::OtherWait,
        state::{CANCELLED, IDLE, STATE, WAITING, WOKEN},
        target::{Aim, Target},
    },
    wait_site::WaitSite,
};
use std::{sync::Arc, task::Waker};

/// The first wait.
impl TaskCell {
    /// Whether it is free. Like the following methods, this is for the current task.
    #[inline]
    pub(crate) fn may_arm_first(&self) -> bool {
        self.first.load(Ordering::Relaxed) & STATE == IDLE
    }

    /// Arms the first wait, which is free. `state` is WAITING, or WOKEN for a bare yield.
    #[inline(always)]
    pub(crate) fn arm_first(&self, scheduler: &Scheduler, site: WaitSite, state: u64) -> u32 {
        let affine = &self.affine;
        // The number wraps around after 2^32 waits; a waiter that is kept for so long wakes
        // nothing.
        let number = ((self.first.load(Ordering::Relaxed) >> 2) as u32).wrapping_add(1);
        affine.flags.set_and_clear(Flag::Fresh, Flag::Revoked);
        affine.site_what.set(site.what);
        affine.site_location.set(site.location);
        let within = scheduler.within();
        affine.within.set(within);
        if within != Within::ROOT {
            scheduler.scopes.enter_wait(within);
        }
        self.first.store(u64::from(number) << 2 | state, Ordering::Release);
        number
    }

    fn leave_its_scope(&self, within: Within) {
        if let Some(scheduler) = self.home().local() {
            scheduler.scopes.leave_wait(within);
        }
    }

    /// Sets the target of a request to cancel while the first wait lasts.
    pub(crate) fn set_target(&self, target: Target) {
        self.affine.aim.set(target.into());
        self.affine.flags.set(Flag::Target);
    }

    /// The site of the first wait.
    #[inline]
    pub(crate) fn first_site(&self) -> Option<WaitSite> {
        let affine = self.affine()?;
        Some(WaitSite::new(affine.site_what.get(), affine.site_location.get()))
    }

    /// The number of the armed first wait.
    #[inline]
    pub(crate) fn first_number(&self) -> u32 {
        (self.first.load(Ordering::Relaxed) >> 2) as u32
    }

    /// The state of the first wait, if its number still is `number`.
    #[inline]
    pub(crate) fn first_state(&self, number: u32) -> Option<u64> {
        let wait = self.first.load(Ordering::Acquire);
        (wait >> 2 == u64::from(number)).then_some(wait & STATE)
    }

    pub(crate) fn first_within(&self) -> Within {
        self.affine.within.get()
    }

    /// Marks wait `number` as woken if it is waiting; does not wake the task.
    ///
    /// On the task's thread, this needs no read-modify-write operation: cancelling, arming and
    /// disarming happen there too, and a waiter is woken under the lock of the awaited object, by
    /// one thread at a time.
    #[inline]
    pub(crate) fn wake_first(&self, number: u32) -> bool {
        let waiting = u64::from(number) << 2 | WAITING;
        let woken = u64::from(number) << 2 | WOKEN;
        if !self.is_local() {
            return sync::change("wake_overwrites_cancel", &self.first, waiting, woken);
        }
        let is_waiting = self.first.load(Ordering::Acquire) == waiting;
        if is_waiting {
            self.first.store(woken, Ordering::Release);
        }
        is_waiting
    }

    /// Wakes wait `number`, and the task with it, if it is waiting.
    #[inline]
    pub(crate) fn wake_first_wait(&self, number: u32) -> bool {
        let woken = self.wake_first(number);
        if woken {
            self.wake();
        }
        woken
    }

    /// Cancels the first wait, if it is waiting. The task is woken by the caller.
    pub(crate) fn cancel_first(&self, error: &CancelledError) -> bool {
        let wait = self.first.load(Ordering::Acquire);
        let cancelled = wait & !STATE | CANCELLED;
        if wait & STATE != WAITING
            || !sync::change("cancel_overwrites_wake", &self.first, wait, cancelled)
        {
            return false;
        }
        self.affine.set_wait_message(error.clone());
        true
    }

    /// The state of the first wait, which is armed and polled where it was before; a woken wait has
    /// ended. `None` if anything else must be checked. For the current task.
    #[inline]
    pub(crate) fn resume_first(&self, scheduler: &Scheduler) -> Option<u64> {
        let affine = &self.affine;
        let state = self.first.load(Ordering::Acquire) & STATE;
        let is_plain = !affine.stage.has(THROWS | SCOPES) && !affine.flags.has(Flag::Revoked);
        if !is_plain || state != WOKEN && affine.within.get() != scheduler.within() {
            return None;
        }
        if state == WOKEN {
            self.first.store(self.first.load(Ordering::Relaxed) & !STATE | IDLE, Ordering::Release);
            let within = affine.within.get();
            if within != Within::ROOT {
                scheduler.scopes.leave_wait(within);
            }
            drop(self.take_target());
        }
        Some(state)
    }

    /// The state of the first wait, which is armed and polled by its task. If it is cancelled, or this
    /// step throws, its leaf takes the request.
    #[cold]
    pub(crate) fn look_first(&self, scheduler: &Scheduler) -> Look {
        let affine = &self.affine;
        let state = self.first.load(Ordering::Acquire) & STATE;
        if state == CANCELLED {
            self.first_picked_up(scheduler);
            return Look::State(state);
        }
        if affine.flags.has(Flag::Revoked) {
            return Look::Anew { shared: None };
        }
        if let Some(error) = self.thrown_at_first(scheduler, state) {
            self.first_picked_up(scheduler);
            return Look::Throws(error);
        }
        if state == WAITING {
            let within = affine.within.get();
            affine.within.set(scheduler.move_wait(within, scheduler.within()));
        }
        Look::State(state)
    }

    /// The error that this step throws into the leaf of the first wait, if any.
    fn thrown_at_first(&self, scheduler: &Scheduler, state: u64) -> Option<CancelledError> {
        let affine = &self.affine;
        let waits_for_its_target = affine.flags.has(Flag::Passed) && state == WAITING;
        if affine.flags.has(Flag::Fresh) || waits_for_its_target {
            return None;
        }
        self.thrown_within(scheduler, affine.within.get())
    }

    /// The error that this step throws into the leaves of a scope.
    fn thrown_within(&self, scheduler: &Scheduler, within: Within) -> Option<CancelledError> {
        if within.is_foreign() {
            return None;
        }
        match scheduler.scopes.scope(within) {
            None => self.affine.stage.has(THROWS).then(|| self.affine.message()),
            Some(scope) => {
                let thrown = |node: &mut crate::cancel::scopes::Node| {
                    node.stage.has(THROWS).then(|| node.message())
                };
                scheduler.scopes.with(scope, thrown)?
            }
        }
    }

    /// Ends the first wait, on the task's thread, and returns its state. Its target is to be taken
    /// next. This needs no atomic swap, because the waking side holds the lock under which the leaf
    /// ends its wait.
    #[inline]
    pub(crate) fn end_first(&self) -> u64 {
        let wait = self.first.load(Ordering::Acquire);
        self.first.store(wait & !STATE | IDLE, Ordering::Release);
        let within = self.affine.within.get();
        if within != Within::ROOT {
            self.leave_its_scope(within);
        }
        wait & STATE
    }

    /// Takes the target of the first wait, which has ended.
    #[inline]
    pub(crate) fn take_target(&self) -> Option<Aim> {
        self.affine.flags.take(Flag::Target).then(|| {
            self.affine.flags.clear(Flag::Passed);
            self.affine.aim.take()
        })
    }

    /// The cancellation that this step throws at the first wait, whose target is done.
    #[inline]
    pub(crate) fn finish_first(&self, scheduler: &Scheduler) -> Option<CancelledError> {
        let affine = &self.affine;
        if affine.stage.is_idle() {
            return None;
        }
        let thrown = self.thrown_at_first(scheduler, WOKEN);
        if thrown.is_some() || affine.flags.has(Flag::Passed) {
            self.first_picked_up(scheduler);
        }
        thrown
    }

    fn first_picked_up(&self, scheduler: &Scheduler) {
        let affine = &self.affine;
        self.picked_up(scheduler, affine.within.get(), affine.flags.has(Flag::Fresh));
    }

    pub(crate) fn take_wait_message(&self) -> CancelledError {
        self.affine().map(Affine::take_wait_message).unwrap_or_default()
    }
}

/// The waits beside the first.
impl TaskCell {
    /// Arms one, for the current task, whose key is `task`.
    pub(crate) fn arm_other(
        &self,
        scheduler: &Scheduler,
        task: Key,
        (waker, site, state): (Waker, WaitSite, u64),
        target: Option<Target>,
    ) -> Arc<OtherWait> {
        let within = scheduler.within();
        scheduler.scopes.enter_wait(within);
        self.affine.cold(|cold| {
            cold.last_other = cold.last_other.wrapping_add(1);
            cold.others_len += 1;
            let entry = cold.others.vacancy();
            let wait = OtherWait::of_task(self.home(), (task, entry.key()), waker, site, state);
            entry.fill(Other {
                wait: wait.clone(),
                number: cold.last_other,
                within,
                target,
                message: CancelledError::default(),
                revoked: false,
            });
            wait
        })
    }

    /// Ends one, on the task's thread.
    pub(crate) fn disarm_other(&self, scheduler: &Scheduler, entry: Key) {
        let other = self.affine.with_cold(|cold| {
            let other = cold.others.remove(entry)?;
            cold.others_len -= 1;
            Some(other)
        });
        if let Some(Some(other)) = other {
            scheduler.scopes.leave_wait(other.within);
        }
    }

    pub(crate) fn with_other<R>(&self, entry: Key, f: impl FnOnce(&mut Other) -> R) -> Option<R> {
        self.affine.with_cold(|cold| cold.others.get_mut(entry).map(f))?
    }

    /// Ends one that is polled by its task, if it was woken and no request is pending.
    #[inline]
    pub(crate) fn resume_other(&self, scheduler: &Scheduler, entry: Key, wait: &OtherWait) -> bool {
        let is_woken = !self.affine.stage.has(THROWS | SCOPES) && wait.state() == WOKEN;
        if is_woken {
            self.disarm_other(scheduler, entry);
            wait.state.store(IDLE, Ordering::Release);
        }
        is_woken
    }

    /// The state of one that is polled by its task, as for [`look_first`](TaskCell::look_first).
    pub(crate) fn look_other(
        &self,
        scheduler: &Scheduler,
        entry: Key,
        wait: &OtherWait,
        waker: &Waker,
    ) -> Look {
        let state = wait.state();
        let seen = self.with_other(entry, |other| (other.revoked, other.within));
        let Some((revoked, within)) = seen else { return Look::Anew { shared: None } };
        let here = scheduler.within();
        let is_shared = within != here && self.is_shared(scheduler, within, waker);
        if state == CANCELLED && is_shared && !scheduler.is_meant_here(within) {
            // The scope that is cancelled gives way, and its other pollers go on.
            wait.revoke();
            return Look::Anew { shared: Some(within.foreign()) };
        }
        if state == CANCELLED {
            self.picked_up(scheduler, within, self.is_fresh(Which::Other(entry)));
            return Look::State(state);
        }
        if revoked {
            return Look::Anew { shared: None };
        }
        if let Some(error) = self.thrown_at_other(scheduler, entry, state) {
            self.picked_up(scheduler, within, self.is_fresh(Which::Other(entry)));
            return Look::Throws(error);
        }
        if state == WAITING {
            if !wait.waker.will_wake(waker) {
                return Look::Anew { shared: None };
            }
            if within != here {
                let here = if is_shared { within.foreign() } else { here };
                let here = scheduler.move_wait(within, here);
                self.with_other(entry, |other| other.within = here);
            }
        }
        Look::State(state)
    }

    /// Whether a wait is inside a future that polls it with a waker of its own, and is polled outside the
    /// scope in which it was last polled, which has not ended. Then both places poll the future, such as
    /// a `Shared`.
    #[cold]
    fn is_shared(&self, scheduler: &Scheduler, within: Within, waker: &Waker) -> bool {
        !self.is_own(waker)
            && !scheduler.is_within(scheduler.within(), scheduler.scopes.scope(within))
    }

    fn thrown_at_other(
        &self,
        scheduler: &Scheduler,
        entry: Key,
        state: u64,
    ) -> Option<CancelledError> {
        if !self.affine.stage.has(THROWS | SCOPES) {
            return None;
        }
        let within = self.affine.with_cold(|cold| {
            let other = cold.others.get(entry)?;
            let is_meant = other.number <= cold.round_began_at;
            (is_meant && !(other.wait.has_passed_on() && state == WAITING)).then_some(other.within)
        });
        let within = within.flatten().filter(|within| scheduler.is_meant_here(*within))?;
        self.thrown_within(scheduler, within)
    }

    /// The cancellation that this step throws at one whose target is done.
    pub(crate) fn finish_other(&self, scheduler: &Scheduler, entry: Key) -> Option<CancelledError> {
        let thrown = self.thrown_at_other(scheduler, entry, WOKEN);
        let within = self.with_other(entry, |other| other.within)?;
        if thrown.is_some() || self.has_passed_on(Which::Other(entry)) {
            self.picked_up(scheduler, within, self.is_fresh(Which::Other(entry)));
        }
        thrown
    }

    /// The number of waits beside the first.
    #[inline]
    pub(crate) fn others(&self) -> u32 {
        self.affine.with_cold(|cold| cold.others_len).unwrap_or(0)
    }
}
