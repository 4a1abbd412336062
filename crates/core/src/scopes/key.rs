//! [`ScopeKey`]: the name of a scope, for deadlines, groups and the futures that are scopes.

use crate::{
    CancelledError, Result,
    home::{HomeRef, Message, entered},
    scheduler::Scheduler,
    slots::Key,
    wait_site::WaitSite,
};
use std::time::Duration;

/// Names a scope of a task. It can be kept, and sent anywhere; what it can do works on the thread of
/// its loop, while the scope lasts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScopeKey {
    place: HomeRef,
    pub(crate) key: Key,
}

impl ScopeKey {
    /// Begins a scope inside the one that is polled now, which call graphs show as `site`. `None` outside of
    /// a task. It lasts until it is [closed](ScopeKey::close).
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

    /// Returns the scope that is being polled; `None` at the root of a task, and outside of tasks.
    pub fn current() -> Option<ScopeKey> {
        let scheduler = entered()?;
        let key = scheduler.scope()?;
        Some(ScopeKey { place: scheduler.home()?.place(), key })
    }

    /// The loop's data, if this is its thread.
    #[inline]
    pub(crate) fn scheduler(self) -> Option<&'static Scheduler> {
        self.place.local()
    }

    /// Whether the scope is one of the loop that runs here.
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

    /// Requests that what is inside be cancelled. The request counts on the paths through this scope.
    pub fn request(self, error: CancelledError) {
        if let Some(scheduler) = self.scheduler() {
            scheduler.request(self.key, error);
        }
    }

    /// Sets the deadline, in loop time, in place of the one that there was: then what is inside is
    /// cancelled. One that lies in the past takes effect in the next iteration. Does nothing off the
    /// loop's thread.
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
        // Its own goes at once if there is no such scope any more.
        scheduler.lift_deadline(former.unwrap_or(deadline));
        Ok(())
    }

    /// Returns whether its deadline has passed.
    #[inline]
    pub fn is_expired(self) -> bool {
        let is_expired = |scheduler: &Scheduler| scheduler.scopes.with(self.key, |n| n.is_expired);
        self.scheduler().and_then(is_expired) == Some(true)
    }

    /// Requests that what is inside be cancelled, for a caller that polls it at once. True if something
    /// of ours is suspended inside, and will take it; else there is nothing to wait for.
    pub fn request_here(self, error: CancelledError) -> bool {
        let Some(scheduler) = self.scheduler() else { return false };
        let is_foreign = scheduler.scopes.with(self.key, |node| node.is_foreign());
        if is_foreign != Some(false) {
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

    /// Takes one request back, the innermost that came from here or from further out, and returns
    /// how many are left on the way from here to the root.
    pub fn uncancel(self) -> Option<u32> {
        let scheduler = self.scheduler()?;
        match scheduler.scopes.with(self.key, |node| node.task)? {
            Some(task) => scheduler.with_task(task, |cell| cell.uncancel_within(Some(self.key))),
            // It goes on under no task.
            None => {
                scheduler.scopes.take_request(Some(self.key));
                Some(scheduler.scopes.requests(Some(self.key)))
            }
        }
    }

    /// Ends the scope. Its own requests go with it, also from what it only borrowed; one from further
    /// out that nothing inside took goes on to the scope around it.
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
        // A loop that is closed has none.
        let _ = self.place.send(Message::Quiet(Box::new(there)));
    }
}
