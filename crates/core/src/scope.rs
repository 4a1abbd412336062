//! [`Scope`]: the edge at which a cancellation stops a future that is not ours.
//!
//! Our own leaves return the cancellation themselves. A foreign future knows nothing of it: so
//! around it stands a scope, which counts as the leaf while no leaf of ours is suspended inside.

use crate::{
    Result,
    home::Place,
    slots::Key,
    wait::{Resume, Wait, with_current},
    wait_site::WaitSite,
};
use pin_project_lite::pin_project;
use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    task::{Context, Poll},
};

pin_project! {
    /// A future in which a cancellation reaches also what is not ours; see [`cancellable`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Scope<F> {
        #[pin]
        body: Option<F>,
        site: WaitSite,
        // The task that polls, and how many leaves and scopes of ours are suspended inside, in it.
        task: Option<(Place, Key)>,
        inside: u32,
        wait: Wait,
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

impl<F> Scope<F> {
    /// The scope of `body`, whose foreign waits are reported as `site`.
    pub fn new(body: F, site: WaitSite) -> Scope<F> {
        Scope { body: Some(body), site, task: None, inside: 0, wait: Wait::new() }
    }
}

impl<F: Future<Output = Result<T>>, T> Future for Scope<F> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let mut this = self.project();
        if this.wait.is_armed() {
            if let Resume::Cancelled { error, .. } = this.wait.poll(cx, *this.site, || None, drop) {
                this.body.set(None);
                return Poll::Ready(Err(error));
            }
        }
        let body = this.body.as_mut().as_pin_mut().expect("a scope is not polled after its end");
        let armed = || with_current(|cell| cell.map(|cell| cell.armed()));
        let task =
            with_current(|cell| cell.and_then(|c| Some((c.home().place(), c.current_key()?))));
        if *this.task != task {
            // Moved here: what waits inside has to do so again in this task.
            *this.task = task;
            *this.inside = 0;
        }
        let before = armed();
        let outcome = body.poll(cx);
        if outcome.is_ready() {
            this.wait.disarm();
            this.body.set(None);
            return outcome;
        }
        if let (Some(before), Some(after)) = (before, armed()) {
            *this.inside = (*this.inside + after).saturating_sub(before);
            if *this.inside > 0 {
                this.wait.disarm();
            } else if !this.wait.is_armed() {
                this.wait.arm(cx, *this.site, None);
            }
        }
        Poll::Pending
    }
}
