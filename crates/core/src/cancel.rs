//! The rules of a request to cancel, and its delivery. Those of a single wait are in [`crate::wait`].
//!
//! ```text
//!   task ──┬── leaf                  cancel(): from the root. Reaches everything.
//!          ├── timeout ──┬── leaf    the deadline: from this scope. Reaches what is inside.
//!          │             └── leaf
//!          └── wait_for ──── foreign future
//! ```
//!
//! 1. **Scopes form a tree.** The task is its root. `x.with(…)`, `timeout`, `wait_for`, `TaskGroup`,
//!    `cancellable` and each branch of `join!`, `try_join!` and `select!` are scopes, each inside the
//!    one in which it is polled. A wait belongs to the innermost scope in which it was last polled. A
//!    scope that is polled by another task moves there; its parts follow when they are polled there.
//! 2. **A request has an origin**, and reaches everything inside its origin that has started. A wait
//!    becomes CANCELLED, or passes the request on to its *target*, the task or future that it waits
//!    for. The outcome of the target is then the answer, in whichever task the wait is polled by then.
//!    A leaf that is already woken gets the error when it resumes. Running code gets it at its next
//!    suspension. A branch that loses gets no request while it answers one from around it.
//! 3. **A request counts on the paths through its origin.** `cancelling()` is the sum on the current
//!    path. At its end, a scope uses that sum to decide whether a cancellation was its own. The
//!    requests of a scope end with it.
//! 4. **A foreign wait is not a leaf**: it is a future of another library, or one of our waits that
//!    is polled through another library's trait, or by two tasks or scopes that both go on. If nothing
//!    else is suspended, the innermost scope *gives way* in its place: it drops its body and returns
//!    `Err(Cancelled)`. At the root, the task ends.
//! 5. **A request that no leaf takes is not lost.** `cancel/settle.rs` decides what happens to it at the
//!    end of the step. The progress of a request in each scope is its stage (`cancel/stage.rs`).
//!
//! With one await at a time, all of this is CPython's counting, down to the hop.

pub(crate) mod path;
pub(crate) mod requests;
pub(crate) mod scope_key;
pub(crate) mod scopes;
mod settle;
pub(crate) mod stage;

use self::requests::Work;
use crate::{
    CancelledError,
    cancel::{
        scope_key::ScopeKey,
        scopes::Within,
        stage::{ANSWERED, MUST, SCOPES, SENT, TAKEN, THROWS, YIELDS},
    },
    home::{Message, entered},
    scheduler::Scheduler,
    slots::Key,
    sync::Ordering,
    task::{
        cell::{TaskCell, Which},
        flags::{Flag, PassingOn},
        reference::TaskRef,
    },
    wait::{
        state::{CANCELLED, WAITING},
        target::Target,
        wake,
    },
};

impl TaskRef {
    /// Requests that the task be cancelled (`Task.cancel`): see the [rules](self). Returns false if
    /// the task is already done. On another thread, the request is sent to the task's thread.
    pub fn cancel(&self, error: CancelledError) -> bool {
        self.unretrieved.store(false, Ordering::Relaxed);
        if self.is_done() {
            return false;
        }
        let Some(affine) = self.affine() else {
            let (task, error) = (self.clone(), error.clone());
            let message = Message::Quiet(Box::new(move || _ = task.cancel(error)));
            return self.home().send(message).is_ok();
        };
        let Some(scheduler) = self.home().local() else { return false };
        // The request comes from the object that it waits for: it is the same request, and counts
        // once.
        if affine.passing_on.get() != PassingOn::No {
            affine.passing_on.set(PassingOn::Circular);
            return true;
        }
        if scheduler.requests.sweeps.get() {
            if affine.flags.has(Flag::Swept) {
                return true;
            }
            affine.flags.set(Flag::Swept);
        }
        self.requests.set(self.requests.get() + 1);
        if !self.cancel_only_wait(scheduler, &error) {
            scheduler.deliver_request(self, None, error);
        }
        true
    }

    /// Delivers outstanding requests of `scope` and of the scopes around it again, except those that were
    /// `known`: they count as before, and are delivered at the next suspension. For the task that runs now.
    pub fn deliver_again(
        &self,
        scope: Option<ScopeKey>,
        known: &RequestCounts,
        error: &CancelledError,
    ) {
        let Some(scheduler) = self.home().local() else { return };
        let here = self.innermost();
        let mut at = scope.map(|scope| scope.key);
        while let Some(scope) = at {
            let requests = scheduler.scopes.with(scope, |node| node.requests).unwrap_or(0);
            if requests > known.of(scope) {
                self.forget_stages(scheduler, here, Some(scope), TAKEN | ANSWERED);
                self.mark(scheduler, here, MUST, Some(scope), error);
            }
            at = scheduler.scopes.parent(scope);
        }
        if self.requests.get() > known.root {
            self.forget_stages(scheduler, here, None, TAKEN | ANSWERED);
            self.mark(scheduler, here, MUST, None, error);
        }
    }
}

/// The requests to cancel that were outstanding at some moment, by origin.
#[derive(Debug, Default)]
pub struct RequestCounts {
    root: u32,
    /// The surrounding scopes with requests.
    scopes: Vec<(Key, u32)>,
}

impl RequestCounts {
    /// Returns the requests on the current path, in the task that runs now.
    pub fn here() -> RequestCounts {
        let Some(scheduler) = entered() else { return RequestCounts::default() };
        let root = scheduler.with_current(|cell| cell.map_or(0, |cell| cell.requests.get()));
        let innermost = scheduler.scope();
        let path = std::iter::successors(innermost, |scope| scheduler.scopes.parent(*scope));
        let requests = |scope| {
            let requests = scheduler.scopes.with(scope, |node| node.requests)?;
            (requests > 0).then_some((scope, requests))
        };
        RequestCounts { root, scopes: path.filter_map(requests).collect() }
    }

    fn of(&self, scope: Key) -> u32 {
        let known = self.scopes.iter().find(|(known, _)| *known == scope);
        known.map_or(0, |(_, requests)| *requests)
    }
}

impl Scheduler {
    /// Requests that each of `tasks` be cancelled, in this order. A task that already got the request,
    /// because another one waits for it, gets no second one: a chain of tasks that wait for each other
    /// takes as many requests as it has tasks.
    pub fn cancel_all<'a>(&self, tasks: impl Iterator<Item = &'a TaskRef> + Clone) {
        self.requests.sweeps.set(true);
        tasks.clone().for_each(|task| _ = task.cancel(CancelledError::default()));
        self.requests.sweeps.set(false);
        tasks.for_each(|task| task.affine.flags.clear(Flag::Swept));
    }

    /// Makes a request that comes from a scope. A scope that no task polls gives way by itself.
    pub(crate) fn request(&self, scope: Key, error: CancelledError) {
        let task = self.scopes.with(scope, |node| {
            node.requests += 1;
            node.task
        });
        let Some(task) = task else { return };
        let task = task.and_then(|task| self.task(task));
        match task {
            Some(task) => self.deliver_request(&task, Some(scope), error),
            None => self.yield_astray(scope, error),
        }
    }

    /// Makes a request that comes from a scope of the task that runs now, which polls the scope next:
    /// woken waits inside take it in the same step.
    pub(crate) fn request_now(&self, scope: Key, error: &CancelledError) {
        self.with_current(|cell| {
            let Some(cell) = cell else { return };
            self.scopes.with(scope, |node| node.requests += 1);
            cell.forget_answers(self, Some(scope), Some(scope));
            let give_now = |which: Which| {
                // It was armed before the request.
                cell.set_stale(which);
                cell.give_now(self, which, scope, error)
            };
            let rest = match cell.only_wait_inside(self, scope) {
                Some(which) if give_now(which) => return,
                Some(which) => vec![which],
                None => {
                    let waits = cell.waits_inside(self, Some(scope));
                    cell.forget_answers_of(self, &waits, Some(scope));
                    waits.into_iter().filter(|which| !give_now(*which)).collect()
                }
            };
            if !rest.is_empty() {
                self.give_to(cell, rest, Some(scope), error);
            }
        });
    }

    fn yield_astray(&self, scope: Key, error: CancelledError) {
        let waker = self.scopes.with(scope, |node| {
            node.stage.set(YIELDS);
            (node.set_message(error), node.waker.clone())
        });
        if let Some((_former, Some(waker))) = waker {
            wake(waker);
        }
    }

    fn deliver_request(&self, task: &TaskRef, origin: Option<Key>, error: CancelledError) {
        let is_alone = !task.affine.flags.has(Flag::Target) && task.others() == 0;
        if self.requests.under_way.get() {
            self.requests.added.borrow_mut().push(Work::Deliver(task.clone(), origin, error));
            return;
        }
        if is_alone {
            return task.deliver_alone(self, origin, &error);
        }
        self.requests.added.borrow_mut().push(Work::Deliver(task.clone(), origin, error));
        self.deliver_what_was_added();
    }

    fn deliver_what_was_added(&self) {
        if self.requests.under_way.replace(true) {
            return;
        }
        while let Some(work) = self.requests.next() {
            match work {
                Work::Deliver(task, origin, error) => task.deliver(self, origin, error),
                Work::Give(task, which, origin, error) => {
                    let target = task.target_of(which);
                    task.give(self, which, target, origin, &error);
                }
                Work::End(task, origin, error) => task.end_delivery(self, origin, &error),
            }
        }
        self.requests.under_way.set(false);
    }

    /// Gives a request to waits that were armed since it was made.
    pub(crate) fn give_to(
        &self,
        task: &TaskCell,
        waits: Vec<Which>,
        origin: Option<Key>,
        error: &CancelledError,
    ) {
        if waits.iter().all(|which| task.target_of(*which).is_none()) {
            return waits.into_iter().for_each(|which| task.give(self, which, None, origin, error));
        }
        task.affine.passing_on.set(PassingOn::Yes);
        task.add_gifts(self, waits, origin, error.clone());
        self.deliver_what_was_added();
    }
}

/// Delivery.
impl TaskCell {
    /// Delivers a request to the whole task, if it is suspended in a single wait of its own without a
    /// target, as nearly all tasks are.
    #[inline]
    fn cancel_only_wait(&self, scheduler: &Scheduler, error: &CancelledError) -> bool {
        let affine = &self.affine;
        let is_alone = affine.within.get() == Within::ROOT
            && !affine.flags.has(Flag::Target)
            && self.others() == 0
            && !affine.phase.get().is_running()
            && !scheduler.requests.under_way.get();
        if !is_alone || !self.cancel_first(error) {
            return false;
        }
        affine.stage.clear(ANSWERED);
        affine.stage.set(SENT);
        affine.set_message(error.clone());
        self.wake();
        true
    }

    /// Delivers a request to a task that has at most one wait, which has no target.
    fn deliver_alone(&self, scheduler: &Scheduler, origin: Option<Key>, error: &CancelledError) {
        let within = self.affine.within.get();
        let is_inside = !self.may_arm_first() && scheduler.is_within(within, origin);
        if is_inside {
            self.forget_answers(scheduler, scheduler.scopes.scope(within), origin);
            self.give(scheduler, Which::First, None, origin, error);
        }
        self.reach_what_runs(scheduler, origin, is_inside, error);
    }

    /// Delivers a request to every wait inside its origin.
    fn deliver(&self, scheduler: &Scheduler, origin: Option<Key>, error: CancelledError) {
        if self.is_done() {
            return;
        }
        let waits = self.waits_inside(scheduler, origin);
        self.forget_answers_of(scheduler, &waits, origin);
        self.affine.passing_on.set(PassingOn::Yes);
        self.reach_what_runs(scheduler, origin, !waits.is_empty(), &error);
        self.add_gifts(scheduler, waits, origin, error);
    }

    fn forget_answers_of(&self, scheduler: &Scheduler, waits: &[Which], origin: Option<Key>) {
        for which in waits {
            let Some((within, _)) = self.look_at(*which) else { continue };
            self.forget_answers(scheduler, scheduler.scopes.scope(within), origin);
        }
    }

    fn add_gifts(
        &self,
        scheduler: &Scheduler,
        waits: Vec<Which>,
        origin: Option<Key>,
        error: CancelledError,
    ) {
        let task = || TaskRef::of(self);
        let mut added = scheduler.requests.added.borrow_mut();
        for which in waits {
            added.push(Work::Give(task(), which, origin, error.clone()));
        }
        added.push(Work::End(task(), origin, error));
    }

    /// The end of [`deliver`](TaskCell::deliver). If the request has come back through a wait for
    /// this task, the waits themselves are cancelled, because nothing else would end the cycle.
    fn end_delivery(&self, scheduler: &Scheduler, origin: Option<Key>, error: &CancelledError) {
        let affine = &self.affine;
        if affine.passing_on.replace(PassingOn::No) != PassingOn::Circular || self.is_done() {
            return;
        }
        for which in self.waits_inside(scheduler, origin) {
            if self.has_passed_on(which) {
                self.set_passed(which, false);
                self.give(scheduler, which, None, origin, error);
            }
        }
    }

    /// Gives a request to one wait, whose target is `target`.
    fn give(
        &self,
        scheduler: &Scheduler,
        which: Which,
        target: Option<Target>,
        origin: Option<Key>,
        error: &CancelledError,
    ) {
        let Some((within, state)) = self.look_at(which) else { return };
        let scope = scheduler.scopes.scope(within);
        if within.is_foreign() {
            return self.give_way(scheduler, scope, origin, error);
        }
        let is_taken = state == WAITING
            && match target {
                Some(target) => {
                    let accepted = self.has_passed_on(which)
                        && scheduler.requests.has_told(&target)
                        || target.cancel(error.clone());
                    if accepted {
                        self.set_passed(which, true);
                    }
                    accepted
                }
                None => self.cancel_wait(which, error),
            };
        if is_taken {
            self.mark(scheduler, scope, SENT, origin, error);
            if let Which::Other(_) = which {
                self.wake_scopes(scheduler, scope, origin);
            }
            return;
        }
        self.mark(scheduler, scope, MUST, origin, error);
        if state != WAITING {
            // A woken wait that is no longer polled would keep the task from being woken; and a
            // combinator around it that is no longer polled would keep a scope from being polled.
            self.wake_wait(which);
            if !self.affine.phase.get().is_running() {
                self.wake_scopes(scheduler, scope, origin);
            }
        }
    }

    /// Gives a request to a wait that is polled next. Returns false if that is not enough, because the
    /// wait has a target or is foreign.
    fn give_now(
        &self,
        scheduler: &Scheduler,
        which: Which,
        origin: Key,
        error: &CancelledError,
    ) -> bool {
        let Some((within, state)) = self.look_at(which) else { return true };
        if within.is_foreign() || state == WAITING && self.target_of(which).is_some() {
            return false;
        }
        let scope = scheduler.scopes.scope(within);
        match (state, which) {
            (WAITING, Which::First) if self.cancel_first(error) => {
                self.mark(scheduler, scope, SENT, Some(origin), error);
            }
            (WAITING, Which::Other(_)) if self.cancel_wait_now(which, error) => {
                self.mark(scheduler, scope, SENT, Some(origin), error);
            }
            // It takes the cancellation that it has.
            (CANCELLED, _) => self.mark(scheduler, scope, SENT, Some(origin), error),
            // It was already woken, or has just been woken by another thread.
            _ => {
                self.mark(scheduler, scope, THROWS, Some(origin), error);
                if let Which::Other(_) = which {
                    self.wake_wait(which);
                }
            }
        }
        true
    }

    /// Makes the scope give way in which only a foreign future is suspended.
    pub(crate) fn give_way(
        &self,
        scheduler: &Scheduler,
        scope: Option<Key>,
        origin: Option<Key>,
        error: &CancelledError,
    ) {
        let gives_way = match scope {
            // Of the scopes in which the task is suspended, the innermost gives way.
            None => self.armed() == 0 && !self.is_in_a_scope(),
            Some(key) => scheduler.scopes.with(key, |node| node.is_foreign()) == Some(true),
        };
        if gives_way {
            self.mark(scheduler, scope, SENT | YIELDS, origin, error);
            self.wake_scopes(scheduler, scope, origin);
        }
    }

    /// Lets a request reach running code, at its next suspension, and a scope in which nothing
    /// waits, when it is polled.
    fn reach_what_runs(
        &self,
        scheduler: &Scheduler,
        origin: Option<Key>,
        reaches_waits: bool,
        error: &CancelledError,
    ) {
        let is_running = self.affine.phase.get().is_running();
        let here = if is_running { self.innermost() } else { None };
        self.forget_answers(scheduler, here.or(origin), origin);
        if is_running && scheduler.scopes.is_inside(here, origin) {
            self.mark(scheduler, here, MUST, origin, error);
        } else if !reaches_waits {
            self.mark(scheduler, origin, MUST, origin, error);
            if !is_running {
                // It is suspended in a foreign future: the step that this wakes ends the task.
                self.wake_scopes(scheduler, origin, origin);
            }
        }
    }

    /// Records the progress of a request in a scope.
    pub(crate) fn mark(
        &self,
        scheduler: &Scheduler,
        scope: Option<Key>,
        bits: u8,
        origin: Option<Key>,
        error: &CancelledError,
    ) {
        let affine = &self.affine;
        let Some(key) = scope else {
            affine.stage.set(bits);
            return affine.set_message(error.clone());
        };
        affine.stage.set(SCOPES);
        scheduler.scopes.add_origin(key, origin);
        let former = scheduler.scopes.with(key, |node| {
            node.stage.set(bits);
            node.set_message(error.clone())
        });
        drop(former);
    }

    /// Handles a wait that has passed a request on and is polled by another task now, where the answer
    /// comes out: here the request counts as taken.
    #[cold]
    pub(crate) fn leave_answer(&self, scheduler: &Scheduler, which: Which) {
        let Some((within, _)) = self.look_at(which) else { return };
        let affine = &self.affine;
        // This task has started the other one eagerly. At the end of its step it delivers the request
        // to what it awaits then, which may be that task.
        if affine.phase.get().is_running() && affine.stage.has(MUST | SCOPES) {
            self.target_of(which)
                .into_iter()
                .for_each(|target| affine.cold(|cold| cold.told.push(target)));
        }
        self.picked_up(scheduler, within, false);
    }

    /// Records that a leaf, or a scope that gave way, took the request that reached it; unless it
    /// `is_fresh`, also the requests that this step delivers around that origin.
    pub(crate) fn picked_up(&self, scheduler: &Scheduler, within: Within, is_fresh: bool) {
        let mut at = scheduler.scopes.scope(within);
        let origin = at.and_then(|key| scheduler.scopes.with(key, |node| node.origin)).flatten();
        if at.is_some() {
            self.affine.stage.set(SCOPES);
        }
        let mut is_inside = true;
        while let Some(key) = at {
            let parent = scheduler.scopes.with(key, |node| {
                if is_inside || !is_fresh && node.stage.has(THROWS) {
                    node.stage.pick_up();
                }
                node.parent
            });
            is_inside &= origin != Some(key);
            at = parent.flatten();
        }
        if is_inside || !is_fresh && self.affine.stage.has(THROWS) {
            self.affine.stage.pick_up();
        }
    }
}
