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
        site: WaitSite,
        at: At,
        // Armed while nothing but something foreign is suspended inside.
        wait: Wait,
    }
}

/// The place of a scope in the tree.
#[derive(Debug)]
enum At {
    /// It was not polled in a task yet.
    Nowhere,
    /// Its own.
    Own(ScopeKey),
    /// That of a deadline, which ends it.
    Lent(ScopeKey),
}

impl At {
    fn key(&self) -> Option<ScopeKey> {
        match *self {
            At::Nowhere => None,
            At::Own(key) | At::Lent(key) => Some(key),
        }
    }
}

impl Drop for At {
    #[inline]
    fn drop(&mut self) {
        if let At::Own(key) = self {
            key.close();
        }
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
/// # async fn example() -> asyncio_core::Result<()> {
/// let answer = asyncio_core::scope::cancellable(async { Ok(foreign().await?) }).await?;
/// assert_eq!(answer, 7);
/// # Ok(()) }
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
        Scope { body: Some(body), site, at: At::Nowhere, wait: Wait::new() }
    }

    /// The scope of `body` with a place in the tree that somebody else ends.
    pub fn at(key: ScopeKey, body: F, site: WaitSite) -> Scope<F> {
        Scope { body: Some(body), site, at: At::Lent(key), wait: Wait::new() }
    }
}

impl<F: Future<Output = Result<T>>, T> Future for Scope<F> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let mut this = self.project();
        if let At::Nowhere = this.at {
            if let Some(key) = ScopeKey::open() {
                *this.at = At::Own(key);
            }
        }
        this.wait.disarm();
        let entered = this.at.key().and_then(|key| EnteredHere::enter(key, cx));
        if let Some(Err(cancelled)) = entered {
            this.body.set(None);
            *this.at = At::Nowhere;
            return Poll::Ready(Err(Error::Cancelled(cancelled)));
        }
        let entered = entered.and_then(std::result::Result::ok);
        let body = this.body.as_mut().as_pin_mut();
        let body = body.expect("a scope is not polled after its end");
        let outcome = match &entered {
            Some(entered) => entered.poll(|| body.poll(cx)),
            None => body.poll(cx),
        };
        match outcome {
            Poll::Ready(outcome) => {
                this.body.set(None);
                *this.at = At::Nowhere;
                Poll::Ready(outcome)
            }
            Poll::Pending => {
                if let Some(entered) = entered {
                    entered.suspend(this.wait, cx, *this.site);
                }
                Poll::Pending
            }
        }
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
            let (moved, is_pending, gives_way) = scopes.with(key.key, |node| {
                node.round = scopes.round();
                let own = cell.is_some_and(|cell| cell.is_own(cx.waker()));
                let known = node.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
                let spent = match own || known {
                    true => None,
                    false => node.waker.replace(cx.waker().clone()),
                };
                let moved = node.task != task || node.parent != parent;
                (moved.then_some(spent), !node.stage.is_idle(), node.stage.has(YIELDS))
            })?;
            if moved.is_some() {
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
                    node.message.clone()
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
    fn suspend(&self, wait: &mut Wait, cx: &Context<'_>, site: WaitSite) {
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
