//! The handling of a request at the end of a step, if no leaf has taken it.
//!
//! For each scope with a pending request, the innermost first, in this order:
//!
//! 1. Nothing, if the request was passed on to a target that has not answered; but a wait that was
//!    woken when the request came takes it in the next step.
//! 2. Waits inside that wait are cancelled: they were armed since the request. (A `select!` may have
//!    dropped a cancelled leaf, and wait for something new.) A wait that was woken when the request
//!    came, and was not polled since, takes it in the next step.
//! 3. If the task runs again at once, the next step throws: something inside is woken, or a combinator
//!    has not polled everything yet.
//! 4. A foreign wait inside makes its scope give way.
//! 5. The remaining waits were not polled in this step: they are set aside, and the task is suspended
//!    in something foreign beside them. The innermost scope that was polled in this step gives way.
//!    This is only known after a *round*, a whole step with the request pending.

use crate::{
    CancelledError,
    cancel::stage::{ANSWERED, MUST, ROUND, SCOPES, SENT, TAKEN, YIELDS},
    scheduler::Scheduler,
    slots::Key,
    task::{
        cell::{TaskCell, Which},
        flags::{Flag, Phase},
    },
    wait::state::{WAITING, WOKEN},
};

/// The number of consecutive steps for which a request may be deferred while its task is always
/// woken immediately. A combinator that polls its parts bit by bit reaches all of them, and one that
/// never waits cannot delay the request forever.
const MAY_PUT_OFF: u32 = 1000;

/// The outcome of a request in one scope.
#[must_use]
enum Settled {
    Done,
    /// Everything inside is set aside: the scope around decides.
    GoesOut,
}

impl TaskCell {
    /// Begins a step with a request pending. Returns an error if the task has to end with it
    /// immediately, because the task is suspended in nothing that could take the request, or has not
    /// begun yet.
    #[cold]
    pub(crate) fn begin_round(&self, scheduler: &Scheduler) -> Option<CancelledError> {
        let affine = &self.affine;
        let has_waits = || {
            let waits = self.waits_inside(scheduler, None);
            let counts = |which| {
                self.look_at(which)
                    .is_some_and(|(within, _)| !within.is_foreign() || !within.is_root())
            };
            waits.into_iter().any(counts)
        };
        if affine.stage.has(YIELDS) || affine.stage.has(MUST) && !has_waits() {
            affine.stage.clear(!0);
            return Some(affine.take_message());
        }
        scheduler.scopes.begin_round();
        affine.flags.clear(Flag::Fresh);
        affine.with_cold(|cold| cold.round_began_at = cold.last_other);
        affine.stage.begin_round();
        self.for_each_pending(scheduler, |key| {
            scheduler.scopes.with(key, |node| node.stage.begin_round());
            affine.stage.set(SCOPES);
        });
        None
    }

    /// Handles the pending requests at the end of a step that suspended.
    #[cold]
    pub(crate) fn settle(&self, scheduler: &Scheduler) {
        let told = self.affine.with_cold(|cold| std::mem::take(&mut cold.told)).unwrap_or_default();
        if told.is_empty() {
            return self.settle_scopes(scheduler);
        }
        scheduler.requests.replace_told(told);
        self.settle_scopes(scheduler);
        let told = scheduler.requests.replace_told(Vec::new());
        if self.affine.stage.has(MUST | SCOPES) {
            // The next step delivers it.
            self.affine.cold(|cold| cold.told = told);
        }
    }

    fn settle_scopes(&self, scheduler: &Scheduler) {
        let affine = &self.affine;
        self.for_each_pending(scheduler, |key| {
            scheduler.scopes.with(key, |node| node.stage.end_throw());
            if let Settled::GoesOut = self.settle_scope(scheduler, key) {
                self.settle_outside(scheduler, key);
            }
            scheduler.scopes.with(key, |node| {
                node.stage.end_round();
                if !node.stage.is_idle() {
                    affine.stage.set(SCOPES);
                }
            });
        });
        affine.stage.end_throw();
        if affine.stage.has(MUST | SENT) {
            let message = affine.message();
            let is_round = affine.stage.has(ROUND);
            let settled = self.settle_inside(scheduler, None, None, is_round, &message);
            if let Settled::GoesOut = settled {
                affine.stage.set(SENT | YIELDS);
                self.wake();
            }
        }
        affine.stage.end_round();
        if !affine.stage.has(MUST | SENT | SCOPES) {
            affine.with_cold(|cold| cold.put_off = 0);
        }
    }

    /// Calls `f` with each scope of the task in which a request may be pending and something waits, the
    /// innermost first. SCOPES is cleared first, so that `f` can set it again.
    fn for_each_pending(&self, scheduler: &Scheduler, mut f: impl FnMut(Key)) {
        if !self.affine.stage.take(SCOPES) {
            return;
        }
        let mut scopes = scheduler.scopes.scratch.take();
        scopes.clear();
        let mut add = |from: Option<Key>| {
            let mut at = from;
            while let Some(key) = at {
                if scopes.contains(&key) {
                    return;
                }
                let parent = scheduler.scopes.with(key, |node| {
                    if !node.stage.is_idle() {
                        scopes.push(key);
                    }
                    node.parent
                });
                at = parent.flatten();
            }
        };
        if !self.may_arm_first() {
            add(scheduler.scopes.scope(self.affine.within.get()));
        }
        self.affine.with_cold(|cold| {
            cold.others.values().for_each(|other| add(scheduler.scopes.scope(other.within)));
        });
        if scopes.len() > 1 {
            scopes.sort_by_cached_key(|key| std::cmp::Reverse(scheduler.scopes.depth(Some(*key))));
        }
        scopes.iter().for_each(|key| f(*key));
        scheduler.scopes.scratch.set(scopes);
    }

    fn settle_scope(&self, scheduler: &Scheduler, key: Key) -> Settled {
        let seen = scheduler.scopes.with(key, |node| {
            let stage = &node.stage;
            let undelivered = stage.has(MUST | SENT);
            undelivered.then(|| (stage.has(ROUND), node.origin, node.message()))
        });
        match seen.flatten() {
            Some((is_round, origin, message)) => {
                self.settle_inside(scheduler, Some(key), origin, is_round, &message)
            }
            None => Settled::Done,
        }
    }

    /// Handles a scope in which nothing took the request and nothing was polled. If the request came
    /// from around the scope, the task is suspended elsewhere inside its origin.
    fn settle_outside(&self, scheduler: &Scheduler, key: Key) {
        let Some((origin, parent, message)) =
            scheduler.scopes.with(key, |node| (node.origin, node.parent, node.message()))
        else {
            return;
        };
        if origin == Some(key) {
            // A cancelled wait inside takes it when it is polled again.
            scheduler.scopes.with(key, |node| node.stage.clear(SENT));
            return;
        }
        scheduler.scopes.with(key, |node| node.stage.clear(SENT | MUST));
        match parent {
            Some(parent) => {
                let was_taken =
                    scheduler.scopes.with(parent, |node| node.stage.has(TAKEN | ANSWERED));
                if was_taken == Some(false) {
                    self.mark(scheduler, Some(parent), SENT | ROUND, origin, &message);
                    if let Settled::GoesOut = self.settle_scope(scheduler, parent) {
                        self.settle_outside(scheduler, parent);
                    }
                }
            }
            None if !self.affine.stage.has(TAKEN | ANSWERED) => self.affine.stage.set(SENT | ROUND),
            None => {}
        }
    }

    fn settle_inside(
        &self,
        scheduler: &Scheduler,
        scope: Option<Key>,
        origin: Option<Key>,
        is_round: bool,
        error: &CancelledError,
    ) -> Settled {
        let waits = self.waits_inside(scheduler, scope);
        let state_of = |which| self.look_at(which);
        let unanswered = |which: &Which| {
            self.has_passed_on(*which) && matches!(state_of(*which), Some((_, WAITING)))
        };
        // 1.
        let is_answered = !waits.iter().any(unanswered);
        if !is_answered && !self.has_stage(scheduler, scope, MUST) {
            return Settled::Done;
        }
        // 2.
        let waiting = |which: &Which| {
            matches!(state_of(*which), Some((within, WAITING)) if !within.is_foreign())
                && !unanswered(which)
        };
        // Waits that were woken when the request came, and were not polled since.
        let is_due = self.has_stage(scheduler, scope, MUST);
        let woken = |which: &Which| {
            is_due && matches!(state_of(*which), Some((within, WOKEN)) if !within.is_foreign())
        };
        if waits.iter().any(waiting) {
            let meant = waits.iter().copied().filter(|which| waiting(which) || woken(which));
            let meant = meant.collect();
            self.clear_stage(scheduler, scope, MUST | SENT);
            scheduler.give_to(self, meant, origin, error);
            return Settled::Done;
        }
        if !is_answered {
            if !waits.iter().any(woken) {
                self.clear_stage(scheduler, scope, MUST);
            }
            self.mark(scheduler, scope, SENT, origin, error);
            return Settled::Done;
        }
        // 3.
        let is_woken_since = |which: &Which| {
            matches!(state_of(*which), Some((within, WOKEN)) if !within.is_foreign())
                && (!is_round || self.is_fresh(*which))
        };
        let woken_since: Vec<Which> = waits.iter().copied().filter(is_woken_since).collect();
        if !woken_since.is_empty() {
            self.clear_stage(scheduler, scope, MUST | SENT);
            scheduler.give_to(self, woken_since, origin, error);
            // A combinator that was set aside has consumed their wake-ups.
            self.wake_scopes(scheduler, scope, origin);
            return Settled::Done;
        }
        if self.affine.phase.get() == Phase::Woken && self.may_put_off() {
            self.clear_stage(scheduler, scope, SENT);
            self.mark(scheduler, scope, MUST, origin, error);
            self.wake_scopes(scheduler, scope, origin);
            return Settled::Done;
        }
        // 4.
        let mut gave_way = false;
        for which in &waits {
            let Some((within, _)) = state_of(*which) else { continue };
            let here = scheduler.scopes.scope(within);
            let is_polled = !is_round || self.is_polled(scheduler, here);
            if within.is_foreign() && is_polled && (here.is_some() || scope.is_none()) {
                self.give_way(scheduler, here, origin, error);
                gave_way |= self.has_stage(scheduler, here, YIELDS);
            }
        }
        if gave_way {
            self.clear_stage(scheduler, scope, MUST);
            return Settled::Done;
        }
        // 5.
        if !is_round {
            self.clear_stage(scheduler, scope, SENT);
            self.mark(scheduler, scope, MUST, origin, error);
            self.wake_scopes(scheduler, scope, origin);
            return Settled::Done;
        }
        let innermost = |which: &Which| {
            let mut at = scheduler.scopes.scope(state_of(*which)?.0);
            while at.is_some() && !self.is_polled(scheduler, at) && at != scope {
                at = scheduler.scopes.parent(at?);
            }
            at
        };
        let polled = waits.iter().map(innermost).chain([scope]);
        let polled = polled.max_by_key(|scope| scheduler.scopes.depth(*scope)).flatten();
        if !self.is_polled(scheduler, polled) {
            return Settled::GoesOut;
        }
        if polled.is_none() {
            return Settled::GoesOut;
        }
        self.mark(scheduler, polled, SENT | YIELDS, origin, error);
        self.wake_scopes(scheduler, polled, origin);
        Settled::Done
    }

    fn may_put_off(&self) -> bool {
        self.affine.cold(|cold| {
            cold.put_off += 1;
            cold.put_off <= MAY_PUT_OFF
        })
    }

    /// Whether a scope was polled in this step; the root always was.
    fn is_polled(&self, scheduler: &Scheduler, scope: Option<Key>) -> bool {
        scope.is_none_or(|key| {
            let round = scheduler.scopes.round();
            scheduler.scopes.with(key, |node| node.round == round) == Some(true)
        })
    }

    fn has_stage(&self, scheduler: &Scheduler, scope: Option<Key>, bits: u8) -> bool {
        match scope {
            None => self.affine.stage.has(bits),
            Some(key) => scheduler.scopes.with(key, |node| node.stage.has(bits)) == Some(true),
        }
    }

    fn clear_stage(&self, scheduler: &Scheduler, scope: Option<Key>, bits: u8) {
        match scope {
            None => self.affine.stage.clear(bits),
            Some(key) => _ = scheduler.scopes.with(key, |node| node.stage.clear(bits)),
        }
    }
}
