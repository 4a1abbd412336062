//! [`race`]: the first of several awaitables of one type.

use crate::branches::{Branch, Ending, Losing, deliver_later_ones, ending, output_of};
use asyncio_core::{Error, Result, raw::RequestCounts, wait_site::WaitSite};
use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    task::{Context, Poll},
};

/// Awaits several awaitables in the calling task, and returns the outcome of the first that ends.
/// The others are cancelled, and have ended when this returns.
///
/// The awaitables are polled in the order of the list. They may borrow: none becomes a task. A
/// borrowed one (`&mut task`) that loses is left as it is. For awaitables of different types, each
/// with a handler, use the macro `select!`; to await all of a list, use [`gather`](crate::gather()).
///
/// # Errors
/// The error of the first that ends; `Value` if the list is empty.
///
/// # Cancellation
/// A cancellation reaches each of them. A loser gets `Err(Cancelled)` at its await, and may clean up
/// with awaits of its own; one that already cleans up after a cancellation is not cancelled again. If it
/// still returns a value or another error, that is reported to the loop's
/// exception handler. Dropping the future drops them.
///
/// ```
/// use std::time::Duration;
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let ask = async |name, ms| {
///         asyncio::sleep(Duration::from_millis(ms)).await?;
///         Ok(name)
///     };
///     assert_eq!(asyncio::race([ask("far", 50), ask("near", 5)]).await?, "near");
///     Ok(())
/// }
/// ```
#[track_caller]
pub fn race<I, T>(awaitables: I) -> Racing<<I::Item as IntoFuture>::IntoFuture>
where
    I: IntoIterator,
    I::Item: IntoFuture<Output = Result<T>>,
{
    let site = WaitSite::here(&"race");
    // A future that needs no drop is borrowed, or contains nothing of ours.
    let is_lent = !std::mem::needs_drop::<<I::Item as IntoFuture>::IntoFuture>();
    let branch = |awaitable: I::Item| {
        let ending = if is_lent { Ending::Lent } else { ending() };
        Box::pin(Branch::new(Some(awaitable.into_future()), ending, site))
    };
    Racing { branches: awaitables.into_iter().map(branch).collect(), winner: None, site }
}

/// The future of [`race`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Racing<F: Future> {
    branches: Vec<Pin<Box<Branch<F>>>>,
    /// Set once there is a winner, while the others are being ended.
    winner: Option<(usize, RequestCounts)>,
    site: WaitSite,
}

impl<F: Future<Output = Result<T>>, T> Future for Racing<F> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let Racing { branches, winner, .. } = &mut *self;
        if branches.is_empty() {
            return Poll::Ready(Err(Error::value("race: there is nothing to await")));
        }
        if winner.is_none() {
            let first = branches.iter_mut().position(|branch| branch.as_mut().poll(cx).is_ready());
            let Some(first) = first else { return Poll::Pending };
            *winner = Some((first, RequestCounts::here()));
            let losers = branches.iter_mut().enumerate().filter(|(index, _)| *index != first);
            losers.for_each(|(_, branch)| _ = branch.as_mut().cancel());
        }
        let Some((first, known)) = winner else { return Poll::Pending };
        let mut is_open = false;
        for (index, branch) in branches.iter_mut().enumerate() {
            is_open |= index != *first && branch.as_mut().poll_end(cx).is_pending();
        }
        if is_open {
            return Poll::Pending;
        }
        deliver_later_ones(known);
        let output = branches[*first].as_mut().take();
        branches.clear();
        Poll::Ready(output_of(output))
    }
}

impl<F: Future> fmt::Debug for Racing<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} of {}>", self.site, self.branches.len())
    }
}
