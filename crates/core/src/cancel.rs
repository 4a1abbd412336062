//! [`TaskCell`]: what every task has, whatever it computes. Above all its cancellation.
//!
//! # The law of a wait
//!
//! A leaf future that is about to suspend *arms* a wait in its task's cell: the wait gets a number,
//! which no wait of the task had before, and goes through these states:
//!
//! ```text
//!          arm (1)                    wake (2)
//!   IDLE ───────────► WAITING ──────────────────────► WOKEN
//!    ▲                   │ cancel (3)                   │
//!    │                   ▼                              │
//!    │ disarm (4)    CANCELLED                          │
//!    └───────────────────┴──────────────────────────────┘
//! ```
//!
//! 1. by the leaf, on its task's thread;
//! 2. by what it waits for, on any thread ([`Waiter::wake`](crate::wait::Waiter::wake)), one winner;
//! 3. by `cancel()`, at the call: from then on nobody takes the waiter for one who waits;
//! 4. by the leaf, when it resumes or is dropped. It then knows whether it was woken, and if it does
//!    not use the wake-up it passes it on.
//!
//! # The law of a cancellation
//!
//! `cancel()` counts a request. If the task waits on a task or future, the request goes to that, and
//! comes back through its result; if what it waits for waits for the task itself, the request comes
//! back at once, and cancels the wait. Else it takes every wait from WAITING to CANCELLED. If there was
//! nothing to take (the task runs, or is woken already), *must-cancel* is set. A step that begins
//! with must-cancel turns it into a *throw*, which every leaf resumed in that step takes if it was
//! armed before; one whose own result is a cancellation keeps that one. If a step ends with
//! must-cancel set, or with a throw that no leaf took, the wait it ended in is cancelled at once.
//! A task that is suspended in no wait of ours ends at a throw.

use crate::{
    CancelledError,
    cell::{Affine, Other, TaskCell},
    flags::{Flag, PassingOn},
    home::Mail,
    sync::{self, Ordering},
    task_ref::TaskRef,
    wait::{Aim, OtherWait, Target},
    wait_site::WaitSite,
};
use std::sync::Arc;

pub(crate) const IDLE: u64 = 0;
pub(crate) const WAITING: u64 = 1;
pub(crate) const WOKEN: u64 = 2;
pub(crate) const CANCELLED: u64 = 3;
pub(crate) const STATE: u64 = 3;

/// Cancelling.
impl TaskRef {
    /// Requests that the task be cancelled (`Task.cancel`): see the [law](self). False if it is done
    /// already. Off the task's thread the request is sent there.
    pub fn cancel(&self, error: CancelledError) -> bool {
        match self.begin_cancel(&error) {
            Ok(accepted) => accepted,
            Err(target) => {
                self.cancel_chain(target, &error);
                true
            }
        }
    }

    /// Passes a request on along tasks that await each other. Not by recursion: there may be more of
    /// them than the stack has room for.
    #[cold]
    fn cancel_chain(&self, mut task: TaskRef, error: &CancelledError) {
        let mut above = Vec::new();
        let mut accepted = loop {
            match task.begin_cancel(error) {
                Ok(accepted) => break accepted,
                Err(target) => above.push(std::mem::replace(&mut task, target)),
            }
        };
        for task in above.iter().rev().chain([self]) {
            task.end_cancel(accepted, error);
            accepted = true;
        }
    }

    /// `Err` with the task that the request goes to first; its answer brings this to its
    /// [end](TaskCell::end_cancel).
    fn begin_cancel(&self, error: &CancelledError) -> Result<bool, TaskRef> {
        self.unretrieved.store(false, Ordering::Relaxed);
        if self.is_done() {
            return Ok(false);
        }
        let Some(affine) = self.affine() else {
            let (task, error) = (self.clone(), error.clone());
            let mail = Mail::Quiet(Box::new(move || _ = task.cancel(error)));
            return Ok(self.home.send(mail).is_ok());
        };
        // Asked by what it waits for: this is the same request, and counts once.
        if affine.passing_on.get() != PassingOn::No {
            affine.passing_on.set(PassingOn::Circular);
            return Ok(true);
        }
        affine.requests.set(affine.requests.get() + 1);
        let delivered = match self.target_of_first(affine) {
            Some(Target::Task(task)) => {
                affine.passing_on.set(PassingOn::Yes);
                return Err(task);
            }
            Some(target @ Target::Future(_)) => affine.pass_on(&target, error),
            None => None,
        };
        self.take_request(affine, delivered, error);
        Ok(true)
    }
}

impl TaskCell {
    /// Goes on when the task it waits for has answered the request.
    fn end_cancel(&self, accepted: bool, error: &CancelledError) {
        let accepted = self.affine.passed_on(accepted);
        self.take_request(&self.affine, accepted, error);
    }

    /// Cancels the rest of what the task waits for. If nothing takes the request, the task has to.
    fn take_request(&self, affine: &Affine, first: Option<bool>, error: &CancelledError) {
        if !self.cancel_rest(affine, first, error) {
            affine.flags.set(Flag::MustCancel);
            affine.set_message(error.clone());
            if self.armed() == 0 && !affine.phase.get().is_running() {
                // Suspended in a future that is not ours: the step that this wakes ends the task.
                self.wake();
            }
        }
    }

    /// Cancels what the task waits for; false if there was nothing to cancel.
    pub(crate) fn cancel_waits(&self, affine: &Affine, error: &CancelledError) -> bool {
        let target = self.target_of_first(affine);
        let delivered = target.and_then(|target| affine.pass_on(&target, error));
        self.cancel_rest(affine, delivered, error)
    }

    /// What a request goes to before the first wait itself.
    fn target_of_first(&self, affine: &Affine) -> Option<Target> {
        let is_waiting = self.first.load(Ordering::Acquire) & STATE == WAITING;
        if !is_waiting || !affine.flags.has(Flag::Target) {
            return None;
        }
        let aim = affine.aim.take();
        let target = aim.target();
        affine.aim.set(aim);
        target
    }

    /// Cancels what the task waits for, but for the target of the first wait: `first` is its answer.
    fn cancel_rest(&self, affine: &Affine, first: Option<bool>, error: &CancelledError) -> bool {
        let mut delivered = first.unwrap_or_else(|| self.cancel_first(affine, error));
        let others = affine.with_cold(|cold| {
            cold.others.values().map(|o| (o.wait.clone(), o.target.clone())).collect::<Vec<_>>()
        });
        for (wait, target) in others.unwrap_or_default() {
            let passed_on = target.and_then(|target| affine.pass_on(&target, error));
            delivered |= passed_on.unwrap_or_else(|| wait.cancel(error.clone()));
        }
        delivered
    }

    fn cancel_first(&self, affine: &Affine, error: &CancelledError) -> bool {
        let wait = self.first.load(Ordering::Acquire);
        let cancelled = wait & !STATE | CANCELLED;
        if wait & STATE != WAITING
            || !sync::change("cancel_overwrites_wake", &self.first, wait, cancelled)
        {
            return false;
        }
        affine.set_wait_message(error.clone());
        self.wake();
        true
    }
}

impl Affine {
    fn take_throw(&self) -> CancelledError {
        self.flags.set(Flag::Taken);
        self.message()
    }

    /// Passes a request on, and tells whether it was accepted. `None` if it came back here: then the
    /// wait itself is to be cancelled, or nobody in the circle would ever learn of it.
    fn pass_on(&self, target: &Target, error: &CancelledError) -> Option<bool> {
        self.passing_on.set(PassingOn::Yes);
        let accepted = target.cancel(error.clone());
        self.passed_on(accepted)
    }

    /// What came of passing it on.
    fn passed_on(&self, accepted: bool) -> Option<bool> {
        let circular = self.passing_on.replace(PassingOn::No) == PassingOn::Circular;
        (!circular).then_some(accepted)
    }
}

/// Waits: the task's side of [`Wait`](crate::wait::Wait).
impl TaskCell {
    /// Whether the first wait is free. For the task that runs now, as the three that follow.
    #[inline]
    pub(crate) fn may_arm_first(&self) -> bool {
        self.first.load(Ordering::Relaxed) & STATE == IDLE
    }

    /// Arms the first wait, which is free. `state` is WAITING, or WOKEN for a bare yield.
    #[inline(always)]
    pub(crate) fn arm_first(&self, site: WaitSite, state: u64) -> u32 {
        let affine = &self.affine;
        // Around after 2^32 waits: whoever still has one of then is told nothing.
        let number = ((self.first.load(Ordering::Relaxed) >> 2) as u32).wrapping_add(1);
        affine.flags.set(Flag::Fresh);
        affine.site_what.set(site.what);
        affine.site_location.set(site.location);
        self.first.store(u64::from(number) << 2 | state, Ordering::Release);
        number
    }

    /// What a request to cancel goes to while the first wait lasts.
    pub(crate) fn set_target(&self, target: Target) {
        self.affine.aim.set(target.into());
        self.affine.flags.set(Flag::Target);
    }

    /// Arms a wait beside the first.
    pub(crate) fn arm_other(&self, wait: Arc<OtherWait>, target: Option<Target>) -> u32 {
        self.affine.cold(|cold| {
            cold.last_other = cold.last_other.wrapping_add(1);
            cold.others.insert(cold.last_other, Other { wait, target });
            cold.last_other
        })
    }

    /// Where the first wait was armed.
    #[inline]
    pub(crate) fn first_site(&self) -> Option<WaitSite> {
        let affine = self.affine()?;
        Some(WaitSite::new(affine.site_what.get(), affine.site_location.get()))
    }

    /// The number of the first wait, which is armed.
    #[inline]
    pub(crate) fn first_number(&self) -> u32 {
        (self.first.load(Ordering::Relaxed) >> 2) as u32
    }

    /// The state of the first wait, if it is still number `number`.
    #[inline]
    pub(crate) fn first_state(&self, number: u32) -> Option<u64> {
        let wait = self.first.load(Ordering::Acquire);
        (wait >> 2 == u64::from(number)).then_some(wait & STATE)
    }

    /// Wakes wait `number` if it is waiting: the state alone, not the task.
    ///
    /// On the task's thread without a read-modify-write: cancelling, arming and disarming happen
    /// there too, and a waiter is woken under the lock of what it waits for, by one at a time.
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

    /// The state of the first wait, which is armed, and over if it is woken; `None` if this step
    /// throws. For the task that runs now.
    #[inline]
    pub(crate) fn resume_first(&self) -> Option<u64> {
        let state = self.first.load(Ordering::Acquire) & STATE;
        if self.affine.flags.has(Flag::Throws) {
            return None;
        }
        if state == WOKEN {
            self.end_first();
            drop(self.take_target());
        }
        Some(state)
    }

    /// Ends the first wait, on the task's thread, and tells in which state it was. Its target is to be
    /// taken next. Not with a swap: whoever wakes does so under the lock under which the leaf ends its
    /// wait.
    #[inline]
    pub(crate) fn end_first(&self) -> u64 {
        let wait = self.first.load(Ordering::Acquire);
        self.first.store(wait & !STATE | IDLE, Ordering::Release);
        wait & STATE
    }

    /// Takes the target of the first wait, which has ended.
    #[inline]
    pub(crate) fn take_target(&self) -> Option<Aim> {
        self.affine.flags.take(Flag::Target).then(|| self.affine.aim.take())
    }

    /// Ends another wait, on the task's thread.
    pub(crate) fn disarm_other(&self, number: u32) {
        let other =
            self.affine().and_then(|affine| affine.with_cold(|cold| cold.others.remove(&number)));
        drop(other);
    }

    pub(crate) fn take_wait_message(&self) -> CancelledError {
        self.affine().map(Affine::take_wait_message).unwrap_or_default()
    }

    /// The error that the leaf of the first wait, which is armed, has to return in this step, if the
    /// step throws. For the task that runs now.
    #[inline]
    pub(crate) fn take_throw(&self) -> Option<CancelledError> {
        let affine = &self.affine;
        let is_meant = affine.flags.has(Flag::Throws) && !affine.flags.has(Flag::Fresh);
        is_meant.then(|| affine.take_throw())
    }

    /// The same for the leaf of another wait.
    pub(crate) fn take_throw_of_other(&self, number: u32) -> Option<CancelledError> {
        let affine = &self.affine;
        if !affine.flags.has(Flag::Throws) {
            return None;
        }
        let is_meant = affine.with_cold(|cold| number <= cold.thrown_to);
        (is_meant == Some(true)).then(|| affine.take_throw())
    }

    /// How many leaves of the task are suspended, also those that are woken already.
    #[inline]
    pub(crate) fn armed(&self) -> u32 {
        let is_first_armed = self.first.load(Ordering::Relaxed) & STATE != IDLE;
        let others = self.affine.with_cold(|cold| cold.others.len() as u32);
        u32::from(is_first_armed) + others.unwrap_or(0)
    }
}
