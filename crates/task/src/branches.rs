//! [`Branch`]: one of the awaitables of `join!`, `try_join!`, `select!` and [`race`](crate::race).
//!
//! ```text
//!   NEW ──► SUSPENDED ──────────────────────────────► ENDED, with its output
//!    │          │ another one has won, or failed (1)
//!    │          ▼
//!    │      CANCELLED ──────────────────────────────► GONE (2)
//!    └──────────────────────────────────────────────► GONE
//! ```
//!
//! 1. [`Branch::cancel`]. A *borrowed* branch is left as it is instead, and a branch in which
//!    nothing of ours is suspended is dropped immediately.
//! 2. The branch got `Err(Cancelled)` at its await, has cleaned up, and has ended. If it still
//!    returned a value, or an error other than the cancellation, that is reported to the exception
//!    handler.

use crate::current_task;
use asyncio_core::{
    CancelledError, Error,
    exception::ExceptionContext,
    raw::{RequestCounts, ScopeKey, running_loop},
    scope::{ScopePlace, ScopePoll},
    wait::Leaf,
    wait_site::WaitSite,
};
use std::{
    any::Any,
    fmt,
    future::Future,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    task::{Context, Poll},
};

/// The way in which a branch can be ended before it is done. `O` is its output.
pub enum Ending<O> {
    /// It is only borrowed: it is left as it is.
    Lent,
    /// It is a scope that can return `Err(Cancelled)`; its output after that is checked.
    Scope {
        /// Converts a cancellation to its output.
        cancelled: fn(CancelledError) -> O,
        /// The error to report for a branch that was cancelled and returned this output.
        lost: fn(O) -> Option<Error>,
    },
    /// It is dropped: its output cannot be a cancellation, or it is a [leaf](Leaf) and has nothing to
    /// clean up. It need not be told apart from its surroundings, so it needs no scope.
    Dropped,
}

/// A panic of a branch.
pub type Payload = Box<dyn Any + Send>;

pin_project_lite::pin_project! {
    /// One of several awaitables that run in the same task.
    pub struct Branch<F: Future> {
        #[pin]
        body: Option<F>,
        output: Option<std::result::Result<F::Output, Payload>>,
        ending: Ending<F::Output>,
        begun: bool,
        cancelled: bool,
        place: ScopePlace,
    }
}

impl<F: Future> Branch<F> {
    /// Creates a branch that runs `body`; without a body, it is disabled.
    pub fn new(body: Option<F>, ending: Ending<F::Output>, site: WaitSite) -> Branch<F> {
        let place = ScopePlace::new(site);
        Branch { body, output: None, ending, begun: false, cancelled: false, place }
    }

    /// Returns whether it has not ended, and is not disabled.
    pub fn is_open(&self) -> bool {
        self.body.is_some()
    }

    /// Polls it, if it is open. It is ready when it has its output, or has panicked.
    #[inline]
    pub fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(body) = this.body.as_mut().as_pin_mut() else { return Poll::Ready(()) };
        *this.begun = true;
        let polled = catch_unwind(AssertUnwindSafe(|| match this.ending {
            Ending::Scope { cancelled, .. } => match this.place.poll(cx, |cx| body.poll(cx)) {
                ScopePoll::Ready(output) => Poll::Ready(output),
                ScopePoll::Pending => Poll::Pending,
                ScopePoll::GivesWay(error) => Poll::Ready(cancelled(error)),
            },
            Ending::Lent | Ending::Dropped => body.poll(cx),
        }));
        let output = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panic) => Err(panic),
        };
        *this.output = Some(output);
        this.body.set(None);
        this.place.leave();
        Poll::Ready(())
    }

    /// Takes the output of a branch that has ended, or its panic.
    pub fn take(self: Pin<&mut Self>) -> Option<std::result::Result<F::Output, Payload>> {
        self.project().output.take()
    }

    /// Resumes its panic, if it has panicked.
    pub fn resume_panic(self: Pin<&mut Self>) {
        let output = self.project().output;
        if matches!(output, Some(Err(_))) {
            _ = output_of(output.take());
        }
    }

    /// Returns whether it has panicked.
    pub fn has_panicked(&self) -> bool {
        matches!(self.output, Some(Err(_)))
    }
}

impl<F: Future<Output = std::result::Result<T, E>>, T, E> Branch<F> {
    /// Returns whether it has failed.
    pub fn has_failed(&self) -> bool {
        matches!(self.output, Some(Ok(Err(_)) | Err(_)))
    }
}

/// A branch of any type that has to end.
pub trait Losing {
    /// Requests that it end: see [the states](self). Returns true if it still has something to do.
    fn cancel(self: Pin<&mut Self>) -> bool;

    /// Polls it to its end, and reports a result that would be lost.
    fn poll_end(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;
}

impl<F: Future> Losing for Branch<F> {
    fn cancel(self: Pin<&mut Self>) -> bool {
        let mut this = self.project();
        if this.body.is_none() {
            return false;
        }
        *this.cancelled = true;
        let can_take_it = *this.begun && matches!(this.ending, Ending::Scope { .. });
        let scope = this.place.key().filter(|_| can_take_it);
        if scope.is_some_and(|scope| scope.request_here(CancelledError::default())) {
            return true;
        }
        this.body.set(None);
        this.place.leave();
        false
    }

    fn poll_end(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let was_cancelled = self.cancelled;
        if self.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let this = self.project();
        let (Some(output), true) = (this.output.take(), was_cancelled) else {
            return Poll::Ready(());
        };
        let error = match (output, this.ending) {
            (Err(panic), _) => Some(Error::from_panic(panic)),
            (Ok(output), Ending::Scope { lost, .. }) => lost(output),
            (Ok(_), _) => None,
        };
        if let Some(error) = error {
            let report =
                ExceptionContext::new("A cancelled branch did not end with the cancellation");
            report.with_exception(error).report(running_loop());
        }
        Poll::Ready(())
    }
}

/// Delivers requests again that came after the counts were `known`. They reached only losers that have
/// ended since, and are meant for the code that follows.
pub(crate) fn deliver_later_ones(known: &RequestCounts) {
    if let Some(task) = current_task() {
        let (here, error) = (ScopeKey::current(), CancelledError::default());
        task.task_ref().deliver_again(here, known, &error);
    }
}

/// Ends branches: cancels each branch that can be cancelled, in this order. The future is done when
/// all have ended.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Ended<'a, const N: usize> {
    branches: [Pin<&'a mut dyn Losing>; N],
    open: [bool; N],
    /// The requests that were outstanding when they were cancelled.
    known: Option<RequestCounts>,
}

/// Ends those of several branches that are still open.
pub fn end<const N: usize>(branches: [Pin<&mut dyn Losing>; N]) -> Ended<'_, N> {
    Ended { branches, open: [true; N], known: None }
}

impl<const N: usize> Future for Ended<'_, N> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Ended { branches, open, known } = &mut *self;
        if known.is_none() {
            *known = Some(RequestCounts::here());
            for (branch, open) in branches.iter_mut().zip(&mut *open) {
                *open = branch.as_mut().cancel();
            }
        }
        for (branch, open) in branches.iter_mut().zip(&mut *open) {
            *open = *open && branch.as_mut().poll_end(cx).is_pending();
        }
        if open.contains(&true) {
            return Poll::Pending;
        }
        known.iter().for_each(deliver_later_ones);
        Poll::Ready(())
    }
}

impl<const N: usize> fmt::Debug for Ended<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<the end of {N} branches>")
    }
}

impl<F: Future> fmt::Debug for Branch<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match (&self.body, &self.output, self.cancelled) {
            (_, Some(_), _) => "ended",
            (Some(_), None, true) => "cancelled",
            (Some(_), None, false) => "open",
            (None, None, _) => "gone",
        };
        write!(f, "<Branch {stage}>")
    }
}

impl<O> fmt::Debug for Ending<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ending::Lent => "Lent",
            Ending::Scope { .. } => "Scope",
            Ending::Dropped => "Dropped",
        })
    }
}

/// Returns the output of a branch, or resumes its panic.
pub fn output_of<O>(output: Option<std::result::Result<O, Payload>>) -> O {
    match output {
        Some(Ok(output)) => output,
        Some(Err(panic)) => resume_unwind(panic),
        None => unreachable!("the output of a branch is taken once, when it has ended"),
    }
}

/// Panics, for a `select!` whose branches are all disabled and that has no `else`.
///
/// # Panics
/// Always.
#[track_caller]
pub fn all_disabled() -> ! {
    panic!("select!: every branch is disabled, and there is no `else` branch")
}

/// The way to end a branch whose output is a `Result` with an error of ours.
pub(crate) fn ending<T, E>() -> Ending<std::result::Result<T, E>>
where
    E: From<Error> + 'static,
{
    Ending::Scope {
        cancelled: |cancelled| Err(Error::Cancelled(cancelled).into()),
        lost: |output| match output {
            Ok(_) if size_of::<T>() == 0 => None,
            Ok(_) => Some(Error::runtime("its value was dropped")),
            Err(error) => {
                let mut error: Box<dyn Any> = Box::new(error);
                let error = error.downcast_mut::<Error>()?;
                (!error.is_cancelled()).then(|| error.clone())
            }
        },
    }
}

/// The type of a branch. Its chain of derefs decides how the branch can be ended: the first matching
/// one of [`LentBranch`], [`LeafBranch`], [`OurBranch`], [`ScopeBranch`] and [`OpaqueBranch`] is
/// used.
#[derive(Debug)]
pub struct Probe<F>(PhantomData<fn(F)>);

impl<F> Probe<F> {
    /// Creates the probe of `body`.
    pub fn of(_body: &Option<F>) -> Probe<F> {
        Probe(PhantomData)
    }
}

/// `&mut future`, `Pin<&mut future>`.
pub trait LentBranch<O> {
    /// Returns how it can be ended.
    fn ending(&self) -> Ending<O>;
}

/// A [leaf](Leaf) that is awaited directly.
pub trait LeafBranch<O> {
    /// Returns how it can be ended.
    fn ending(&self) -> Ending<O>;
}

/// A future of our `Result`. It comes before the next one so that the error type of an `async` block
/// need not be annotated.
pub trait OurBranch<O> {
    /// Returns how it can be ended.
    fn ending(&self) -> Ending<O>;
}

/// A future of a `Result` whose error can be made from ours.
pub trait ScopeBranch<O> {
    /// Returns how it can be ended.
    fn ending(&self) -> Ending<O>;
}

/// Any other future.
pub trait OpaqueBranch<O> {
    /// Returns how it can be ended.
    fn ending(&self) -> Ending<O>;
}

impl<F: Future + Unpin + ?Sized> LentBranch<F::Output> for &&&&Probe<&mut F> {
    fn ending(&self) -> Ending<F::Output> {
        Ending::Lent
    }
}

impl<F: Future + ?Sized> LentBranch<F::Output> for &&&&Probe<Pin<&mut F>> {
    fn ending(&self) -> Ending<F::Output> {
        Ending::Lent
    }
}

impl<F: Leaf> LeafBranch<F::Output> for &&&Probe<F> {
    fn ending(&self) -> Ending<F::Output> {
        Ending::Dropped
    }
}

impl<F: Future<Output = std::result::Result<T, Error>>, T> OurBranch<F::Output> for &&Probe<F> {
    fn ending(&self) -> Ending<F::Output> {
        ending()
    }
}

impl<F, T, E> ScopeBranch<F::Output> for &Probe<F>
where
    F: Future<Output = std::result::Result<T, E>>,
    E: From<Error> + 'static,
{
    fn ending(&self) -> Ending<F::Output> {
        ending()
    }
}

impl<F: Future> OpaqueBranch<F::Output> for Probe<F> {
    fn ending(&self) -> Ending<F::Output> {
        Ending::Dropped
    }
}
