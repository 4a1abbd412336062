//! [`Scope`]: a future that is a scope of its task. It gives way if a cancellation cannot reach the
//! future that it awaits.
//!
//! The leaf futures of this library return the cancellation themselves. A foreign future knows
//! nothing of cancellation, so the innermost scope around it drops it. See the rules in
//! [`crate::cancel`].

use crate::{
    CancelledError, Error, Result,
    cancel::{
        path::EnteredScope,
        scope_key::ScopeKey,
        scopes::Within,
        stage::{SCOPES, YIELDS},
    },
    home::entered,
    scheduler::Scheduler,
    slots::Key,
    task::cell::TaskCell,
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
    /// A future whose cancellation also reaches foreign futures; see [`cancellable`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Scope<F> {
        #[pin]
        body: Option<F>,
        place: ScopePlace,
    }
}

/// The place of a future in the tree of scopes. Each poll of the future's body goes through it.
#[derive(Debug)]
pub struct ScopePlace {
    at: At,
    site: WaitSite,
    /// Armed while only foreign futures are suspended inside.
    wait: Wait,
}

#[derive(Debug)]
enum At {
    /// Not yet polled in a task.
    Nowhere,
    /// A scope that this place opened and closes.
    Own(ScopeKey),
    /// The scope of a deadline, which closes it.
    Lent(ScopeKey),
}

/// The result of polling a scope.
#[derive(Debug)]
#[must_use]
pub enum ScopePoll<R> {
    /// The body has ended. The caller must [leave](ScopePlace::leave) the scope after dropping the
    /// body.
    Ready(R),
    /// The body is suspended.
    Pending,
    /// The scope has to give way: the caller must drop the body, and then leave the scope.
    GivesWay(CancelledError),
}

impl ScopePlace {
    /// Creates a place below the scope in which it is first polled. Foreign waits inside are reported as
    /// `site`.
    pub const fn new(site: WaitSite) -> ScopePlace {
        ScopePlace { at: At::Nowhere, site, wait: Wait::new() }
    }

    /// The key of the scope, if it is in the tree.
    #[doc(hidden)] // For the siblings.
    pub fn key(&self) -> Option<ScopeKey> {
        match self.at {
            At::Nowhere => None,
            At::Own(key) | At::Lent(key) => Some(key),
        }
    }

    /// Checks that the running loop is the one in which the scope began. In any other loop, its
    /// deadline would never expire.
    #[inline]
    fn check_awaited_here(&self) -> Result<()> {
        match self.key() {
            Some(key) => key.check_awaited_here(self.site.what()),
            None => Ok(()),
        }
    }

    /// Polls the body inside the scope.
    #[inline]
    pub fn poll<R>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> ScopePoll<R> {
        if let At::Nowhere = self.at {
            if let Some(key) = ScopeKey::open(self.site) {
                self.at = At::Own(key);
            }
        }
        if self.wait.is_armed() {
            self.wait.disarm();
        }
        let mut here = self.key().and_then(Here::of);
        if here.as_ref().is_some_and(|here| !here.is_plain(cx)) {
            here = match here.map(|here| here.enter_anew(cx)) {
                Some(Err(cancelled)) => return ScopePoll::GivesWay(cancelled),
                Some(Ok(here)) => here,
                None => None,
            };
        }
        let inside = here.as_ref().map(Here::enter);
        let outcome = poll(cx);
        drop(inside);
        match (outcome, here) {
            (Poll::Ready(outcome), _) => ScopePoll::Ready(outcome),
            (Poll::Pending, None) => ScopePoll::Pending,
            (Poll::Pending, Some(here)) => {
                here.suspend(&mut self.wait, cx, self.site);
                ScopePoll::Pending
            }
        }
    }

    /// Leaves the tree, unless the scope belongs to a deadline. The body has been dropped.
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

/// Makes a foreign future give way to a cancellation.
///
/// In a task of this library, a cancellation that arrives while `body` is suspended in a foreign
/// future drops `body` and returns `Err(Cancelled)`. The task can handle this error and continue.
/// Without a scope, the task itself would end. Every `x.with(…)`, `wait_for` and `timeout` already is
/// such a scope; if scopes are nested, the innermost gives way. Under another executor, nothing is
/// ever cancelled.
///
/// # Cancellation
/// See above. If a future of this library is suspended inside, the cancellation goes to that future
/// instead.
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
#[doc(alias = "CancelScope")]
pub fn cancellable<F, T>(body: F) -> Scope<F::IntoFuture>
where
    F: IntoFuture<Output = Result<T>>,
{
    Scope::new(body.into_future(), WaitSite::here(&"cancellable"))
}

/// Polls through a trait of another library. A wait that is armed in `poll` is foreign: it never
/// returns a cancellation, and the innermost scope gives way instead.
pub fn foreign<R>(poll: impl FnOnce() -> R) -> R {
    let guard = entered().map(Scheduler::enter_foreign);
    let outcome = poll();
    drop(guard);
    outcome
}

impl<F> Scope<F> {
    /// Creates the scope of `body`, whose foreign waits are reported as `site`.
    pub fn new(body: F, site: WaitSite) -> Scope<F> {
        Scope { body: Some(body), place: ScopePlace::new(site) }
    }

    /// Sets the scope of its deadline, which closes it. Must be called before the first poll.
    #[doc(hidden)] // For the siblings.
    #[inline]
    pub fn set_place(self: Pin<&mut Self>, key: Option<ScopeKey>) {
        if let Some(key) = key {
            self.project().place.at = At::Lent(key);
        }
    }
}

impl<F: Future<Output = Result<T>>, T> Future for Scope<F> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let mut this = self.project();
        let Some(body) = this.body.as_mut().as_pin_mut() else {
            let what = this.place.site.what();
            return Poll::Ready(Err(Error::runtime(format!("{what}: polled after its end"))));
        };
        let outcome = match this.place.check_awaited_here() {
            Err(error) => Err(error),
            Ok(()) => match this.place.poll(cx, |cx| body.poll(cx)) {
                ScopePoll::Pending => return Poll::Pending,
                ScopePoll::Ready(outcome) => outcome,
                ScopePoll::GivesWay(cancelled) => Err(Error::Cancelled(cancelled)),
            },
        };
        this.body.set(None);
        this.place.leave();
        Poll::Ready(outcome)
    }
}

/// A scope, and the loop in which it is polled.
struct Here {
    scheduler: &'static Scheduler,
    key: Key,
}

impl Here {
    /// Returns `None` in any loop other than its own.
    #[inline(always)]
    fn of(scope: ScopeKey) -> Option<Here> {
        let scheduler = entered().filter(|scheduler| scope.is_of(scheduler))?;
        Some(Here { scheduler, key: scope.key })
    }

    /// Whether it is polled where it was last polled, and no request is pending in it. This holds for
    /// nearly all polls.
    #[inline(always)]
    fn is_plain(&self, cx: &Context<'_>) -> bool {
        let Here { scheduler, key } = *self;
        scheduler.with_current(|cell| {
            let own = cell.is_some_and(|cell| cell.is_own(cx.waker()));
            let task = cell.and_then(TaskCell::current_key);
            let is_plain = scheduler.scopes.with(key, |node| {
                node.round = scheduler.scopes.round();
                let is_known = match &node.waker {
                    None => own,
                    Some(waker) => !own && waker.will_wake(cx.waker()),
                };
                is_known
                    && node.task == task
                    && scheduler.within().is_in(node.parent)
                    && node.rare.is_none()
                    && node.stage.is_idle()
            });
            is_plain == Some(true)
        })
    }

    /// Moves the scope to the place where it is polled. Returns `Err` if it has to give way, and
    /// `None` if it has ended.
    #[cold]
    fn enter_anew(self, cx: &Context<'_>) -> std::result::Result<Option<Here>, CancelledError> {
        let Here { scheduler, key } = self;
        let scopes = &scheduler.scopes;
        scheduler.with_current(|cell| {
            let task = cell.and_then(TaskCell::current_key);
            let parent = scheduler.scope();
            let own = cell.is_some_and(|cell| cell.is_own(cx.waker()));
            let seen = scopes.with(key, |node| {
                let known = node.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
                let spent = match own {
                    true => node.waker.take(),
                    false if known => None,
                    false => node.waker.replace(cx.waker().clone()),
                };
                let moved = node.task != task || node.parent != parent;
                let former = node.task.filter(|former| Some(*former) != task);
                (moved.then_some((former, spent)), !node.stage.is_idle(), node.stage.has(YIELDS))
            });
            let Some((moved, is_pending, gives_way)) = seen else { return Ok(None) };
            if let Some((former, _spent)) = &moved {
                if let Some(former) = former.and_then(|former| scheduler.task(former)) {
                    former.give_waits_away(scheduler, Some(key));
                }
                scopes.move_to(key, parent, task);
                // This is the first step of the new task in which it could take what is pending.
                scopes.with(key, |node| node.stage.begin_round());
            }
            if let (true, Some(cell)) = (is_pending, cell) {
                cell.affine.stage.set(SCOPES);
            }
            if gives_way {
                if let Some(cell) = cell {
                    cell.picked_up(scheduler, Within::of(key), false);
                }
                let message = scopes.with(key, |node| {
                    node.stage.clear(!0);
                    node.message()
                });
                return Err(message.unwrap_or_default());
            }
            Ok(Some(Here { scheduler, key }))
        })
    }

    /// Everything polled until the guard is dropped is inside.
    #[inline(always)]
    fn enter(&self) -> EnteredScope<'static> {
        self.scheduler.enter_within(Within::of(self.key))
    }

    /// Records that the body is suspended, in a future of this library or in a foreign one.
    #[inline]
    fn suspend(&self, wait: &mut Wait, cx: &Context<'_>, site: WaitSite) {
        let within = Within::of(self.key);
        let is_first_inside = |cell: Option<&TaskCell>| {
            cell.is_some_and(|cell| !cell.may_arm_first() && cell.first_within() == within)
        };
        if !self.scheduler.with_current(is_first_inside) {
            self.suspend_otherwise(wait, cx, site);
        }
    }

    fn suspend_otherwise(&self, wait: &mut Wait, cx: &Context<'_>, site: WaitSite) {
        let node = |node: &mut crate::cancel::scopes::Node| {
            node.is_foreign() && node.foreign == 0 && node.task.is_some()
        };
        if self.scheduler.scopes.with(self.key, node) == Some(true) {
            let guard = self.scheduler.enter_within(Within::of(self.key).foreign());
            wait.arm(cx, site, None);
            drop(guard);
        }
    }
}
