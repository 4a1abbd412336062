//! Access to the single waits of a task, as a request to cancel visits them.

use crate::{
    CancelledError,
    cancel::scopes::{Node, Within},
    scheduler::Scheduler,
    slots::Key,
    sync::{Ordering, mutant},
    task::{
        cell::{Cold, Other, TaskCell, Which},
        flags::Flag,
    },
    wait::{
        state::{CANCELLED, IDLE, STATE, WAITING},
        target::Target,
        wake, wake_by_ref,
    },
};

/// Access to the waits of a task, on its thread.
impl TaskCell {
    /// The number of suspended leaves, including woken ones but without foreign ones.
    pub(crate) fn armed(&self) -> u32 {
        let is_leaf = !self.may_arm_first() && !self.affine.within.get().is_foreign();
        let others = self.affine.with_cold(|cold| {
            cold.others.values().filter(|other| !other.within.is_foreign()).count() as u32
        });
        u32::from(is_leaf) + others.unwrap_or(0)
    }

    /// Whether anything is suspended in a scope of the task.
    pub(crate) fn is_in_a_scope(&self) -> bool {
        let is_first = !self.may_arm_first() && !self.affine.within.get().is_root();
        let is_other = |cold: &mut Cold| cold.others.values().any(|other| !other.within.is_root());
        is_first || self.affine.with_cold(is_other) == Some(true)
    }

    /// The waits inside a scope, in the order in which they were armed; the first wait comes before the
    /// others.
    pub(crate) fn waits_inside(&self, scheduler: &Scheduler, scope: Option<Key>) -> Vec<Which> {
        let is_inside = |within: Within| scheduler.is_within(within, scope);
        let mut waits = Vec::new();
        if !self.may_arm_first() && is_inside(self.affine.within.get()) {
            waits.push((0, Which::First));
        }
        self.affine.with_cold(|cold| {
            let inside = cold.others.iter().filter(|(_, other)| is_inside(other.within));
            waits.extend(inside.map(|(key, other)| (other.number, Which::Other(key))));
        });
        waits.sort_by_key(|(number, _)| *number);
        waits.into_iter().map(|(_, which)| which).collect()
    }

    /// The scope in which a wait was last polled, and its state.
    pub(crate) fn look_at(&self, which: Which) -> Option<(Within, u64)> {
        match which {
            Which::First => {
                let state = self.first.load(Ordering::Acquire) & STATE;
                (state != IDLE).then(|| (self.affine.within.get(), state))
            }
            Which::Other(key) => self.with_other(key, |other| (other.within, other.wait.state())),
        }
    }

    pub(crate) fn target_of(&self, which: Which) -> Option<Target> {
        match which {
            Which::First if !self.affine.flags.has(Flag::Target) => None,
            Which::First => {
                let aim = self.affine.aim.take();
                let target = aim.target();
                self.affine.aim.set(aim);
                target
            }
            Which::Other(key) => self.with_other(key, |other| other.target.clone())?,
        }
    }

    /// Whether a wait has passed the request on, and its target has accepted it.
    pub(crate) fn has_passed_on(&self, which: Which) -> bool {
        match which {
            Which::First => self.affine.flags.has(Flag::Passed),
            Which::Other(key) => {
                self.with_other(key, |other| other.wait.has_passed_on()) == Some(true)
            }
        }
    }

    pub(crate) fn set_passed(&self, which: Which, passed: bool) {
        match which {
            Which::First if passed => self.affine.flags.set(Flag::Passed),
            Which::First => self.affine.flags.clear(Flag::Passed),
            Which::Other(key) => _ = self.with_other(key, |other| other.wait.set_passed(passed)),
        }
    }

    /// Whether a wait was armed in this step, which began with a request pending.
    pub(crate) fn is_fresh(&self, which: Which) -> bool {
        match which {
            Which::First => self.affine.flags.has(Flag::Fresh),
            Which::Other(key) => {
                let began_at = self.affine.with_cold(|cold| cold.round_began_at).unwrap_or(0);
                self.with_other(key, |other| other.number > began_at) == Some(true)
            }
        }
    }

    /// Marks a wait as armed before this step.
    pub(crate) fn set_stale(&self, which: Which) {
        match which {
            Which::First => self.affine.flags.clear(Flag::Fresh),
            Which::Other(key) => {
                let began_at = self.affine.with_cold(|cold| cold.round_began_at).unwrap_or(0);
                self.with_other(key, |other| other.number = other.number.min(began_at));
            }
        }
    }

    /// Cancels a wait, and wakes the task with it; false if it is not waiting.
    pub(crate) fn cancel_wait(&self, which: Which, error: &CancelledError) -> bool {
        match which {
            Which::First => {
                let cancelled = self.cancel_first(error);
                if cancelled {
                    self.wake();
                }
                cancelled
            }
            Which::Other(key) => {
                let cancelled = self.with_other(key, |other| other.cancel(error)) == Some(true);
                if cancelled {
                    self.wake_wait(which);
                    // A combinator that was set aside does not pass the wake-up on.
                    self.wake();
                }
                cancelled
            }
        }
    }

    /// Does the same as [`cancel_wait`](TaskCell::cancel_wait) for a wait that is polled next: if its task
    /// polls it directly, it need not be woken.
    pub(crate) fn cancel_wait_now(&self, which: Which, error: &CancelledError) -> bool {
        if let Which::Other(key) = which {
            let cancelled = self.with_other(key, |other| {
                self.is_own(&other.wait.waker).then(|| other.cancel(error))
            });
            if let Some(Some(cancelled)) = cancelled {
                return cancelled;
            }
        }
        self.cancel_wait(which, error)
    }

    /// The wait of a scope that contains exactly one wait and no scope.
    pub(crate) fn only_wait_inside(&self, scheduler: &Scheduler, scope: Key) -> Option<Which> {
        let is_alone = scheduler
            .scopes
            .with(scope, |node| node.waits == 1 && node.foreign == 0 && node.children == 0);
        if is_alone != Some(true) {
            return None;
        }
        let here = Within::of(scope);
        if !self.may_arm_first() && self.affine.within.get() == here {
            return Some(Which::First);
        }
        self.affine.with_cold(|cold| {
            let found = cold.others.iter().find(|(_, other)| other.within == here);
            found.map(|(key, _)| Which::Other(key))
        })?
    }

    /// Wakes the poller of a wait, unless it is in the ready queue.
    pub(crate) fn wake_wait(&self, which: Which) {
        match which {
            Which::First => self.wake(),
            Which::Other(key) => {
                let wait = self.with_other(key, |other| other.wait.clone());
                wait.into_iter().for_each(|other| wake_by_ref(&other.waker));
            }
        }
    }

    /// Wakes the pollers of a scope and of those around it, up to `outer`: a combinator that was set aside
    /// does not pass a wake-up on.
    pub(crate) fn wake_scopes(
        &self,
        scheduler: &Scheduler,
        scope: Option<Key>,
        outer: Option<Key>,
    ) {
        let mut at = scope;
        while let Some(key) = at {
            let waker = scheduler.scopes.with(key, |node| node.waker.clone());
            waker.flatten().into_iter().for_each(wake);
            at = if at == outer { None } else { scheduler.scopes.parent(key) };
        }
        self.wake();
    }

    /// Handles the waits of a scope that has ended: they move to the scope around it, and those that
    /// were cancelled only by the scope's own request wait again.
    #[cold]
    pub(crate) fn leave_scope(&self, scheduler: &Scheduler, gone: Key, node: &Node) {
        let waits = self.waits_inside(scheduler, None);
        for which in waits.iter().copied() {
            let Some((within, state)) = self.look_at(which) else { continue };
            let is_direct = within == Within::of(gone) || within == Within::of(gone).foreign();
            let is_taken_back = match scheduler.scopes.scope(within) {
                _ if is_direct => node.came_only_from(gone),
                Some(scope) => {
                    scheduler.scopes.with(scope, |node| node.came_only_from(gone)) == Some(true)
                }
                None => false,
            };
            if is_direct {
                let here = node.parent.map_or(Within::ROOT, Within::of);
                let here = if within.is_foreign() { here.foreign() } else { here };
                scheduler.scopes.enter_wait(here);
                match which {
                    Which::First => self.affine.within.set(here),
                    Which::Other(key) => _ = self.with_other(key, |other| other.within = here),
                }
            }
            if is_taken_back && state == CANCELLED {
                self.revoke(which);
            }
        }
        for which in waits {
            let within = self.look_at(which).map(|(within, _)| within);
            let mut at = within.and_then(|within| scheduler.scopes.scope(within));
            while let Some(scope) = at {
                scheduler.scopes.take_origin_back(scope, gone);
                at = scheduler.scopes.parent(scope);
            }
        }
    }

    /// Handles the waits in a scope that has moved to another task, or in all scopes of a task that has
    /// ended. They belong to the task that polls them next; until then, no request reaches them.
    #[cold]
    pub(crate) fn give_waits_away(&self, scheduler: &Scheduler, scope: Option<Key>) {
        for which in self.waits_inside(scheduler, scope) {
            let Some((within, _)) = self.look_at(which) else { continue };
            scheduler.scopes.leave_wait(within);
            let nowhere = Within::ROOT.foreign();
            match which {
                Which::First => self.affine.within.set(nowhere),
                Which::Other(key) => _ = self.with_other(key, |other| other.within = nowhere),
            }
        }
    }

    /// Withdraws the cancellation of a wait.
    fn revoke(&self, which: Which) {
        match which {
            Which::First => {
                let wait = self.first.load(Ordering::Acquire);
                let waiting = wait & !STATE | WAITING;
                if wait & STATE == CANCELLED {
                    // Other threads change only a wait that is waiting.
                    self.first.store(waiting, Ordering::Release);
                    if !mutant("revoked_without_a_look") {
                        self.affine.flags.set(Flag::Revoked);
                    }
                }
            }
            Which::Other(key) => {
                let revoked = |other: &mut Other| other.revoked |= other.wait.revoke();
                self.with_other(key, revoked);
            }
        }
    }
}
