//! [`ScopeKey`]: the name of a scope, for deadlines, groups and the futures that are scopes.

use crate::{
    CancelledError, Result,
    home::{HomeRef, Message, entered},
    scheduler::Scheduler,
    slots::Key,
    wait_site::WaitSite,
};
use std::time::Duration;

/// Names a scope of a task. A key can be kept and sent anywhere; its methods work on the thread of
/// its loop, while the scope exists.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScopeKey {
    place: HomeRef,
    pub(crate) key: Key,
}

impl ScopeKey {
    /// Opens a scope inside the one that is being polled. Call graphs show it as `site`. Returns `None`
    /// outside a task. The scope lasts until it is [closed](ScopeKey::close).
    #[inline]
    pub fn open(site: WaitSite) -> Option<ScopeKey> {
        let scheduler = entered()?;
        let place = scheduler.home()?.place();
        let task = scheduler.with_current(|cell| cell?.current_key())?;
        let key = scheduler.scopes.open(site, scheduler.scope(), Some(task));
        Some(ScopeKey { place, key })
    }

    /// Returns the number of outstanding requests to cancel on the current path, in the task that
    /// runs now.
    #[inline]
    pub fn cancelling_here() -> u32 {
        let Some(scheduler) = entered() else { return 0 };
        scheduler.with_current(|cell| match (cell, scheduler.within().is_root()) {
            (None, _) => 0,
            (Some(cell), true) => cell.requests.get(),
            (Some(cell), false) => cell.requests_within(scheduler.scope()),
        })
    }

    /// Returns the scope that is being polled; `None` at the root of a task, and outside tasks.
    pub fn current() -> Option<ScopeKey> {
        let scheduler = entered()?;
        let key = scheduler.scope()?;
        Some(ScopeKey { place: scheduler.home()?.place(), key })
    }

    /// The scheduler of the loop, on the loop's thread.
    #[inline]
    pub(crate) fn scheduler(self) -> Option<&'static Scheduler> {
        self.place.local()
    }

    /// Whether the scope belongs to the loop that runs here.
    #[inline]
    pub(crate) fn is_of(self, scheduler: &Scheduler) -> bool {
        scheduler.home().is_some_and(|home| home.place() == self.place)
    }

    /// [`LoopRef::check_awaited_here`](crate::home::LoopRef::check_awaited_here), of the scope's loop.
    #[inline]
    pub(crate) fn check_awaited_here(self, what: &str) -> Result<()> {
        let is_elsewhere = entered().is_some_and(|running| !self.is_of(running));
        match self.scheduler().filter(|_| is_elsewhere).and_then(Scheduler::home) {
            Some(home) => home.check_awaited_here(what),
            None => Ok(()),
        }
    }

    /// Requests the cancellation of everything inside the scope. The request counts on the paths
    /// through this scope.
    pub fn request(self, error: CancelledError) {
        if let Some(scheduler) = self.scheduler() {
            scheduler.request(self.key, error);
        }
    }

    /// Sets or replaces the deadline, in loop time, at which everything inside the scope is
    /// cancelled. A deadline in the past takes effect in the next iteration. Does nothing on any
    /// thread other than the loop's.
    ///
    /// # Errors
    /// `Runtime` if the loop is closed.
    #[inline]
    pub fn set_deadline(self, when: Option<Duration>) -> Result<()> {
        let Some(scheduler) = self.scheduler() else { return Ok(()) };
        scheduler.check_open()?;
        let deadline = when.map(|when| scheduler.expire_at(when, self.key));
        let former =
            scheduler.scopes.with(self.key, |node| std::mem::replace(&mut node.deadline, deadline));
        // If the scope no longer exists, the new deadline is removed immediately.
        scheduler.lift_deadline(former.unwrap_or(deadline));
        Ok(())
    }

    /// Returns whether its deadline has passed.
    #[inline]
    pub fn is_expired(self) -> bool {
        let is_expired = |scheduler: &Scheduler| scheduler.scopes.with(self.key, |n| n.is_expired);
        self.scheduler().and_then(is_expired) == Some(true)
    }

    /// Requests the cancellation of everything inside the scope, for a caller that polls it immediately
    /// afterwards. Returns true if a future of this library is suspended inside and will take the
    /// request; otherwise there is nothing to wait for. A scope that answers a request from around it
    /// already, perhaps with a clean-up that awaits, gets no second one, and true is returned.
    pub fn request_here(self, error: CancelledError) -> bool {
        let Some(scheduler) = self.scheduler() else { return false };
        let seen = scheduler.scopes.with(self.key, |node| (node.is_foreign(), node.parent));
        let Some((is_foreign, parent)) = seen else { return false };
        if scheduler.is_asked_within(parent) && scheduler.is_answering(self.key) {
            return true;
        }
        if is_foreign {
            return false;
        }
        scheduler.request_now(self.key, &error);
        true
    }

    /// Returns the scope around this one; `None` at the root.
    pub fn parent(self) -> Option<ScopeKey> {
        let key = self.scheduler()?.scopes.parent(self.key)?;
        Some(ScopeKey { place: self.place, key })
    }

    /// Withdraws the innermost request that came from this scope or from one around it. Returns the
    /// number of requests left between here and the root.
    pub fn uncancel(self) -> Option<u32> {
        let scheduler = self.scheduler()?;
        match scheduler.scopes.with(self.key, |node| node.task)? {
            Some(task) => scheduler.with_task(task, |cell| cell.uncancel_within(Some(self.key))),
            // It continues outside any task.
            None => {
                scheduler.scopes.take_request(Some(self.key));
                Some(scheduler.scopes.requests(Some(self.key)))
            }
        }
    }

    /// Closes the scope. Its own requests end with it, even in futures that it only borrowed. A
    /// request from further out that nothing inside took moves to the scope around it.
    #[inline]
    pub fn close(self) {
        match self.scheduler() {
            Some(scheduler) => scheduler.close_scope(self.key),
            None => self.close_from_afar(),
        }
    }

    #[cold]
    fn close_from_afar(self) {
        let there = move || {
            if let Some(scheduler) = self.scheduler() {
                scheduler.close_scope(self.key);
            }
        };
        // A closed loop has no scopes.
        let _ = self.place.send(Message::Quiet(Box::new(there)));
    }
}
