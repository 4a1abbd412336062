//! [`Scope`]: a future that is a scope of its task, and gives way where a cancellation cannot reach
//! what it awaits.
//!
//! Our own leaves return the cancellation themselves. A foreign future knows nothing of it: so the
//! innermost scope around it drops it. See the law in [`crate::cancel`].

use crate::{
    CancelledError, Error, Result,
    cell::TaskCell,
    home::entered,
    scheduler::Scheduler,
    scopes::{ScopeKey, Within},
    stage::{SCOPES, YIELDS},
    wait::Wait,
    wait_site::WaitSite,
};
use pin_project_lite::pin_project;
use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    task::{Context, Poll},
};

pin_project! {
    /// A future in which a cancellation also reaches what is not ours; see [`cancellable`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Scope<F> {
        #[pin]
        body: Option<F>,
        place: ScopePlace,
    }
}

/// A place in the tree of scopes, for a future that is a scope: each poll of its body goes through here.
#[derive(Debug)]
pub struct ScopePlace {
    at: At,
    site: WaitSite,
    /// Armed while nothing but something foreign is suspended inside.
    wait: Wait,
}

#[derive(Debug)]
enum At {
    /// It was not polled in a task yet.
    Nowhere,
    /// Its own.
    Own(ScopeKey),
    /// That of a deadline, which ends it.
    Lent(ScopeKey),
}

/// What a poll of a scope came to.
#[derive(Debug)]
#[must_use]
pub enum ScopePoll<R> {
    /// The body has ended. The scope is to be [left](ScopePlace::leave) when the body is dropped.
    Ready(R),
    /// The body is suspended.
    Pending,
    /// The scope has to give way: its body is to be dropped, and then the scope to be left.
    GivesWay(CancelledError),
}

impl ScopePlace {
    /// A place below the scope in which it is first polled. Foreign waits inside are reported as `site`.
    pub const fn new(site: WaitSite) -> ScopePlace {
        ScopePlace { at: At::Nowhere, site, wait: Wait::new() }
    }

    /// A place that is there already, and that its deadline ends.
    pub const fn at(key: ScopeKey, site: WaitSite) -> ScopePlace {
        ScopePlace { at: At::Lent(key), site, wait: Wait::new() }
    }

    /// Its name in the tree, if it is there.
    pub fn key(&self) -> Option<ScopeKey> {
        match self.at {
            At::Nowhere => None,
            At::Own(key) | At::Lent(key) => Some(key),
        }
    }

    /// Polls the body inside of the scope.
    #[inline]
    pub fn poll<R>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> ScopePoll<R> {
        if let At::Nowhere = self.at {
            if let Some(key) = ScopeKey::open() {
                self.at = At::Own(key);
            }
        }
        if self.wait.is_armed() {
            self.wait.disarm();
        }
        let outcome = match self.key().and_then(|key| EnteredHere::enter(key, cx)) {
            Some(Err(cancelled)) => return ScopePoll::GivesWay(cancelled),
            None => poll(cx),
            Some(Ok(entered)) => {
                let outcome = entered.poll(|| poll(cx));
                if outcome.is_pending() {
                    entered.suspend(&mut self.wait, cx, self.site);
                }
                outcome
            }
        };
        match outcome {
            Poll::Ready(outcome) => ScopePoll::Ready(outcome),
            Poll::Pending => ScopePoll::Pending,
        }
    }

    /// Leaves the tree, unless a deadline ends the place. The body is gone.
    #[inline]
    pub fn leave(&mut self) {
        if self.wait.is_armed() {
            self.wait.disarm();
        }
        if let At::Own(key) = self.at {
            self.at = At::Nowhere;
            key.close();
        }
    }
}

impl Drop for ScopePlace {
    #[inline]
    fn drop(&mut self) {
        self.leave();
    }
}

/// Makes a future that is not ours give way to a cancellation.
///
/// In a task of ours, a cancellation that arrives while `body` is suspended in something that is not
/// ours drops `body` and returns `Err(Cancelled)`; the task can handle that and go on. Without a
/// scope the task itself would end. Every `x.with(…)`, `wait_for` and `timeout` is such a scope
/// already; of nested ones the innermost gives way. Under another executor nothing is ever cancelled.
///
/// # Cancellation
/// As told. If something of ours is suspended inside, the cancellation goes to that instead.
///
/// ```
/// # async fn foreign() -> std::io::Result<u32> { Ok(7) }
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let answer = asyncio::cancellable(async { Ok(foreign().await?) }).await?;
///     assert_eq!(answer, 7);
///     Ok(())
/// }
/// ```
#[track_caller]
pub fn cancellable<F, T>(body: F) -> Scope<F::IntoFuture>
where
    F: IntoFuture<Output = Result<T>>,
{
    Scope::new(body.into_future(), WaitSite::here(&"cancellable"))
}

/// Polls through a trait of another library. A wait that is armed in `poll` is foreign: no
/// cancellation comes out of it, and the innermost scope of ours gives way instead.
pub fn foreign<R>(poll: impl FnOnce() -> R) -> R {
    let guard = entered().map(Scheduler::enter_foreign);
    let outcome = poll();
    drop(guard);
    outcome
}

impl<F> Scope<F> {
    /// The scope of `body`, whose foreign waits are reported as `site`.
    pub fn new(body: F, site: WaitSite) -> Scope<F> {
        Scope { body: Some(body), place: ScopePlace::new(site) }
    }

    /// The scope of `body` with a place in the tree that its deadline ends.
    pub fn at(key: ScopeKey, body: F, site: WaitSite) -> Scope<F> {
        Scope { body: Some(body), place: ScopePlace::at(key, site) }
    }
}

impl<F: Future<Output = Result<T>>, T> Future for Scope<F> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let mut this = self.project();
        let Some(body) = this.body.as_mut().as_pin_mut() else {
            return Poll::Ready(Err(Error::runtime("a scope was polled after its end")));
        };
        let outcome = match this.place.poll(cx, |cx| body.poll(cx)) {
            ScopePoll::Pending => return Poll::Pending,
            ScopePoll::Ready(outcome) => outcome,
            ScopePoll::GivesWay(cancelled) => Err(Error::Cancelled(cancelled)),
        };
        this.body.set(None);
        this.place.leave();
        Poll::Ready(outcome)
    }
}

/// A scope that is being polled.
struct EnteredHere {
    scheduler: &'static Scheduler,
    key: ScopeKey,
}

impl EnteredHere {
    /// Puts the scope where it is polled. `Err` if it has to give way. `None` in another loop than its
    /// own.
    fn enter(
        key: ScopeKey,
        cx: &Context<'_>,
    ) -> Option<std::result::Result<EnteredHere, CancelledError>> {
        let scheduler = entered().filter(|scheduler| key.is_of(scheduler))?;
        scheduler.with_current(|cell| {
            let scopes = &scheduler.scopes;
            let task = cell.and_then(TaskCell::current_key);
            let parent = scheduler.scope();
            let own = cell.is_some_and(|cell| cell.is_own(cx.waker()));
            let is_plain = scopes.with(key.key, |node| {
                node.round = scopes.round();
                let is_known = match &node.waker {
                    None => own,
                    Some(waker) => !own && waker.will_wake(cx.waker()),
                };
                is_known
                    && node.task == task
                    && node.parent == parent
                    && node.rare.is_none()
                    && node.stage.is_idle()
            })?;
            if is_plain {
                return Some(Ok(EnteredHere { scheduler, key }));
            }
            let (moved, is_pending, gives_way) = scopes.with(key.key, |node| {
                let known = node.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
                let spent = match own {
                    true => node.waker.take(),
                    false if known => None,
                    false => node.waker.replace(cx.waker().clone()),
                };
                let moved = node.task != task || node.parent != parent;
                let former = node.task.filter(|former| Some(*former) != task);
                (moved.then_some((former, spent)), !node.stage.is_idle(), node.stage.has(YIELDS))
            })?;
            if let Some((former, _spent)) = &moved {
                if let Some(former) = former.and_then(|former| scheduler.task(former)) {
                    former.give_scope_away(scheduler, key.key);
                }
                scopes.move_to(key.key, parent, task);
            }
            if let (true, Some(cell)) = (is_pending, cell) {
                cell.affine.stage.set(SCOPES);
            }
            if gives_way {
                if let Some(cell) = cell {
                    cell.picked_up(scheduler, Within::of(key.key));
                }
                let message = scopes.with(key.key, |node| {
                    node.stage.clear(!0);
                    node.message()
                });
                return Some(Err(message.unwrap_or_default()));
            }
            Some(Ok(EnteredHere { scheduler, key }))
        })
    }

    #[inline]
    fn poll<R>(&self, poll: impl FnOnce() -> R) -> R {
        let guard = self.scheduler.enter_within(Within::of(self.key.key));
        let outcome = poll();
        drop(guard);
        outcome
    }

    /// The body is suspended: in something of ours, or in something foreign.
    #[inline]
    fn suspend(&self, wait: &mut Wait, cx: &Context<'_>, site: WaitSite) {
        let within = Within::of(self.key.key);
        let is_first_inside = |cell: Option<&TaskCell>| {
            cell.is_some_and(|cell| !cell.may_arm_first() && cell.first_within() == within)
        };
        if !self.scheduler.with_current(is_first_inside) {
            self.suspend_otherwise(wait, cx, site);
        }
    }

    fn suspend_otherwise(&self, wait: &mut Wait, cx: &Context<'_>, site: WaitSite) {
        let node = |node: &mut crate::scopes::Node| {
            node.is_foreign() && node.foreign == 0 && node.task.is_some()
        };
        if self.scheduler.scopes.with(self.key.key, node) == Some(true) {
            let guard = self.scheduler.enter_within(Within::of(self.key.key).foreign());
            wait.arm(cx, site, None);
            drop(guard);
        }
    }
}
