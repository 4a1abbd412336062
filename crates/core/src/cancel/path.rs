//! Paths through the tree: the scope being polled, the requests on the way to it, and their fate
//! when a scope ends.

use crate::{
    CancelledError,
    cancel::{
        scopes::{Node, Within},
        stage::{ANSWERED, MUST, SENT, TAKEN, THROWS},
    },
    scheduler::Scheduler,
    slots::Key,
    task::cell::{TaskCell, Which},
    wait::state::WAITING,
};

impl Scheduler {
    /// The innermost scope being polled; `None` at the root.
    #[inline]
    pub(crate) fn scope(&self) -> Option<Key> {
        self.scopes.scope(self.within())
    }

    /// Whether a future polled `within` a scope is inside `outer`; `None` is the root.
    #[inline]
    pub(crate) fn is_within(&self, within: Within, outer: Option<Key>) -> bool {
        outer.is_none() || self.scopes.is_inside(self.scopes.scope(within), outer)
    }

    /// Whether the request that has reached a scope also concerns what is polled now.
    pub(crate) fn is_meant_here(&self, within: Within) -> bool {
        let scope = self.scopes.scope(within);
        let origin = scope.and_then(|scope| self.scopes.with(scope, |node| node.origin)).flatten();
        self.scopes.is_inside(self.scope(), origin)
    }

    /// Moves a wait that was armed `within` a scope to the scope that polls it now. A foreign wait
    /// remains foreign.
    pub(crate) fn move_wait(&self, within: Within, here: Within) -> Within {
        let here = if within.is_foreign() { here.foreign() } else { here };
        if within != here {
            self.scopes.leave_wait(within);
            self.scopes.enter_wait(here);
        }
        here
    }

    /// Begins the step of a task that another task starts in the middle of its own step.
    #[cold]
    pub(crate) fn enter_nested(&self) -> Within {
        self.replace_within(Within::ROOT)
    }

    /// Ends that step.
    #[cold]
    pub(crate) fn leave_nested(&self, within: Within) {
        self.replace_within(within);
    }

    /// Polls `within` a scope, until the guard is dropped.
    #[inline]
    pub(crate) fn enter_within(&self, within: Within) -> EnteredScope<'_> {
        EnteredScope { scheduler: self, previous: self.replace_within(within) }
    }

    /// Makes every wait foreign that is armed until the guard is dropped.
    pub(crate) fn enter_foreign(&self) -> EnteredScope<'_> {
        self.enter_within(self.within().foreign())
    }

    /// Handles the passed deadline of a scope.
    pub(crate) fn expire(&self, scope: Key) {
        self.scopes.with(scope, |node| {
            node.deadline = None;
            node.is_expired = true;
        });
        self.request(scope, CancelledError::default());
    }

    /// Whether requests from around a scope, which is inside `parent`, are outstanding in the current
    /// task.
    pub(super) fn is_asked_within(&self, parent: Option<Key>) -> bool {
        self.with_current(|cell| cell.is_some_and(|cell| cell.requests.get() > 0))
            || parent.is_some() && self.scopes.requests(parent) > 0
    }

    /// Whether a scope answers such a request: futures inside took it and have not ended the scope, or
    /// passed it on to targets that have not answered.
    #[cold]
    pub(super) fn is_answering(&self, scope: Key) -> bool {
        let has_taken = self.scopes.with(scope, |node| node.stage.has(TAKEN | ANSWERED));
        let is_passed = |cell: &TaskCell, which: Which| {
            let is_waiting = matches!(cell.look_at(which), Some((_, WAITING)));
            is_waiting && cell.has_passed_on(which)
        };
        let has_passed_on = |cell: Option<&TaskCell>| {
            cell.is_some_and(|cell| {
                let waits = cell.waits_inside(self, Some(scope));
                waits.into_iter().any(|which| is_passed(cell, which))
            })
        };
        has_taken == Some(true) || self.with_current(has_passed_on)
    }

    /// Removes a deadline that has not passed yet.
    #[inline]
    pub(super) fn lift_deadline(&self, deadline: Option<Key>) {
        if let Some(deadline) = deadline {
            self.timers.callbacks().take(deadline);
        }
    }

    #[inline]
    pub(super) fn close_scope(&self, key: Key) {
        match self.scopes.remove_empty(key) {
            Some((deadline, _waker)) => self.lift_deadline(deadline),
            None => self.close_other_scope(key),
        }
    }

    #[cold]
    fn close_other_scope(&self, key: Key) {
        let Some(node) = self.scopes.remove(key) else { return };
        self.lift_deadline(node.deadline);
        if !(node.is_empty() && node.stage.is_idle()) {
            self.hand_out(key, &node);
        }
    }

    /// Moves the contents of a closed scope to the scope around it, and so a request that nothing
    /// took.
    fn hand_out(&self, key: Key, node: &Node) {
        let around = node.parent.map(|parent| self.scopes.with(parent, |node| node.task));
        // Where the scope around it went, even if it was not polled there.
        let Some(task) = around.flatten().flatten().or(node.task) else { return };
        let undelivered = self.undelivered(key, node, task);
        let children = if node.children > 0 { self.scopes.children(key) } else { Vec::new() };
        for child in &children {
            // Its count ended with the scope.
            self.scopes.move_to(*child, node.parent, Some(task));
        }
        self.with_task(task, |cell| {
            cell.leave_scope(self, key, node);
            if undelivered != 0 {
                cell.mark(self, node.parent, undelivered, node.origin, &node.message());
                if let Some(parent) = node.parent {
                    let others = node.other_origins();
                    let around =
                        others.filter(|from| self.scopes.is_inside(Some(parent), Some(*from)));
                    around.for_each(|from| self.scopes.add_origin(parent, Some(from)));
                }
            }
        });
    }

    /// The stages that remain, in `task`, for a request from around a scope that has ended.
    fn undelivered(&self, key: Key, node: &Node, task: Key) -> u8 {
        let came_from_outside =
            node.origin != Some(key) && self.scopes.is_inside(node.parent, node.origin);
        let outstanding = self.with_task(task, |cell| cell.requests_within(node.parent));
        if !came_from_outside || outstanding == Some(0) {
            return 0;
        }
        let was = |bits| match node.parent {
            Some(parent) => self.scopes.with(parent, |node| node.stage.has(bits)) == Some(true),
            None => self.with_task(task, |cell| cell.affine.stage.has(bits)) == Some(true),
        };
        let stage = &node.stage;
        let mut left = 0;
        // A woken future that the scope only borrowed takes the request when it resumes in this
        // step.
        let throws = stage.has(THROWS) && !stage.has(TAKEN);
        if throws && (node.waits > 0 || !was(TAKEN | ANSWERED)) {
            left |= THROWS;
        }
        // It was created in this step, unless the scope was not polled since its task continued without it.
        let is_new = stage.has(MUST) && node.task == Some(task);
        if is_new && !was(ANSWERED) && !(node.came_from(key) && was(TAKEN)) {
            left |= MUST;
        }
        // A leaf beside it may have taken the request in this step, or may still do so.
        if left == 0 && stage.is_undelivered() && !was(TAKEN | ANSWERED) {
            left |= SENT;
        }
        left
    }
}

/// Restores the previously polled scope when dropped.
#[must_use]
pub(crate) struct EnteredScope<'a> {
    scheduler: &'a Scheduler,
    previous: Within,
}

impl Drop for EnteredScope<'_> {
    #[inline]
    fn drop(&mut self) {
        self.scheduler.replace_within(self.previous);
    }
}

impl TaskCell {
    /// A request comes from `origin`: clears the answers to earlier requests between there and `scope`.
    pub(crate) fn forget_answers(
        &self,
        scheduler: &Scheduler,
        scope: Option<Key>,
        origin: Option<Key>,
    ) {
        self.forget_stages(scheduler, scope, origin, ANSWERED);
    }

    /// Clears stages of the scopes on the way from `origin` to `scope`.
    pub(crate) fn forget_stages(
        &self,
        scheduler: &Scheduler,
        scope: Option<Key>,
        origin: Option<Key>,
        stages: u8,
    ) {
        let mut at = scope;
        while let Some(key) = at {
            let parent = scheduler.scopes.with(key, |node| {
                node.stage.clear(stages);
                node.parent
            });
            at = parent.flatten().filter(|_| origin != Some(key));
        }
        if origin.is_none() {
            self.affine.stage.clear(stages);
        }
    }

    /// The number of outstanding requests to cancel between `scope` and the root.
    pub(crate) fn requests_within(&self, scope: Option<Key>) -> u32 {
        if !self.is_local() {
            return 0;
        }
        let from_scopes = match scope {
            None => 0,
            Some(_) => self.home().local().map_or(0, |s| s.scopes.requests(scope)),
        };
        self.requests.get() + from_scopes
    }

    /// Withdraws the innermost of them, and returns the number left. At zero, a cancellation that
    /// has not been delivered yet is withdrawn too.
    pub(crate) fn uncancel_within(&self, scope: Option<Key>) -> u32 {
        let (Some(affine), Some(scheduler)) = (self.affine(), self.home().local()) else {
            return 0;
        };
        if !scheduler.scopes.take_request(scope) {
            self.requests.set(self.requests.get().saturating_sub(1));
        }
        let left = self.requests_within(scope);
        if left == 0 {
            affine.stage.clear(MUST | SENT);
            let mut at = scope;
            while let Some(key) = at {
                scheduler.scopes.with(key, |node| node.stage.clear(MUST | SENT));
                at = scheduler.scopes.parent(key);
            }
        }
        left
    }

    /// The innermost scope in which the task runs, or was last suspended.
    pub(crate) fn innermost(&self) -> Option<Key> {
        let (affine, scheduler) = (self.affine()?, self.home().local()?);
        if affine.phase.get().is_running() {
            // The current task may be one that this task started eagerly.
            return if self.is_current() { scheduler.scope() } else { None };
        }
        match self.may_arm_first() {
            false => scheduler.scopes.scope(affine.within.get()),
            true => scheduler.scopes.scope(affine.with_cold(|cold| cold.last_within())?),
        }
    }
}
