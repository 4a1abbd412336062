//! [`wait_for`]: awaits with a timeout.

use crate::{
    future_like::{Child, sealed::Sealed as _},
    task::TaskBuilder,
    timeouts::{Deadline, timed_out, timeout},
};
use asyncio_core::{
    CancelledError, Error, Result, limit::ToTimeout, raw::with_entered, scope::Scope,
    wait_site::WaitSite,
};
use asyncio_future::{DoneCallback, Future};
use std::{
    fmt,
    future::{Future as StdFuture, IntoFuture, pending},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

/// Awaits `awaitable` for at most `timeout` (`asyncio.wait_for`); `None` waits without a limit.
///
/// The awaitable runs in the calling task, under a [`timeout`](crate::timeout()). At the deadline it
/// is cancelled, and the result is an `Err(Timeout)` once it has ended. If it handles the cancellation
/// and returns a value, that value is returned. With a timeout of zero, an awaitable that is already
/// done returns its result, a task or future is cancelled, and a coroutine never starts. If the loop
/// starts tasks eagerly, such a coroutine does start, in the calling task, and is cancelled at its
/// first wait.
///
/// The awaitable may borrow: after `wait_for(reader.readline(), limit)`, the reader can be used
/// again.
///
/// # Cancellation
/// A cancellation goes to the awaitable. A future that is not ours is dropped.
///
/// ```
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     use std::time::Duration;
///     let never = asyncio::wait_for(std::future::pending::<asyncio::Result<()>>(), Duration::from_millis(5));
///     assert!(never.await.unwrap_err().is_timeout());
///     Ok(())
/// }
/// ```
#[doc(alias = "asyncio.wait_for")]
#[track_caller]
pub fn wait_for<F, T>(awaitable: F, timeout: impl ToTimeout) -> WaitFor<F::IntoFuture, T>
where
    F: IntoFuture<Output = Result<T>>,
{
    let (awaitable, timeout) = (awaitable.into_future(), timeout.to_timeout());
    let site = WaitSite::here(&"wait_for");
    let stage = match timeout {
        Some(Duration::ZERO) => Stage::AtOnce { awaitable: Some(awaitable) },
        _ => Stage::Inline { body: Scope::new(awaitable, site), deadline: None },
    };
    WaitFor { timeout, site, stage }
}

pin_project_lite::pin_project! {
    /// The future of [`wait_for`].
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct WaitFor<F, T> {
        timeout: Option<Duration>,
        site: WaitSite,
        #[pin]
        stage: Stage<F, T>,
    }
}

pin_project_lite::pin_project! {
    #[project = StageProjection]
    enum Stage<F, T> {
        /// In the calling task, under a deadline that the first poll sets.
        Inline { #[pin] body: Scope<F>, deadline: Option<Deadline> },
        /// The timeout is zero.
        AtOnce { awaitable: Option<F> },
        /// Cancelled at once.
        Ending { ending: Box<Ending<F, T>> },
        Ended,
    }
}

/// An awaitable that a timeout of zero has cancelled, until it has ended.
struct Ending<F, T> {
    child: Cancelled<F, T>,
    callback: Option<DoneCallback>,
    ended: Future<()>,
}

/// The kinds of awaitable that a timeout of zero cancels.
enum Cancelled<F, T> {
    Child(Child<T>),
    /// A coroutine, which never starts and is kept as it is, and the task that takes its place
    /// until the task has ended.
    Unstarted(Child<()>, F),
}

impl<F, T> Cancelled<F, T> {
    fn done(&self) -> bool {
        match self {
            Cancelled::Child(child) => child.done(),
            Cancelled::Unstarted(task, _) => task.done(),
        }
    }

    fn cancel(&self, site: WaitSite) -> Result<(DoneCallback, Future<()>)> {
        match self {
            Cancelled::Child(child) => {
                child.check_awaited_here()?;
                cancel(child, site)
            }
            Cancelled::Unstarted(task, _) => cancel(task, site),
        }
    }

    fn remove_done_callback(&self, callback: &DoneCallback) {
        match self {
            Cancelled::Child(child) => child.remove_done_callback(callback),
            Cancelled::Unstarted(task, _) => task.remove_done_callback(callback),
        };
    }

    /// Returns the result, once it has ended.
    fn retrieve(&self) -> Result<T> {
        match self {
            Cancelled::Child(child) => child.retrieve(),
            Cancelled::Unstarted(task, _) => {
                task.retrieve().and(Err(Error::runtime("wait_for: a task of nothing returned")))
            }
        }
    }
}

impl<F, T> StdFuture for WaitFor<F, T>
where
    F: StdFuture<Output = Result<T>>,
{
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let mut this = self.project();
        if let StageProjection::AtOnce { awaitable } = this.stage.as_mut().project() {
            let stage = awaitable.take().map(|awaitable| cancel_at_once(awaitable, *this.site));
            match stage {
                Some(Ok(stage)) => this.stage.set(stage),
                Some(Err(outcome)) => {
                    this.stage.set(Stage::Ended);
                    return Poll::Ready(outcome);
                }
                None => {}
            }
        }
        let outcome = match this.stage.as_mut().project() {
            StageProjection::Inline { mut body, deadline } => {
                let deadline = match deadline {
                    Some(deadline) => deadline,
                    None => {
                        let mut started = timeout(*this.timeout).start(*this.site)?;
                        body.as_mut().set_place(started.scope());
                        deadline.insert(started)
                    }
                };
                let outcome = ready!(body.poll(cx));
                deadline.end(outcome)
            }
            StageProjection::Ending { ending } => {
                let Ending { child, callback, ended } = &mut **ending;
                let outcome = ready!(Pin::new(ended).poll(cx));
                if let Some(callback) = callback.take() {
                    child.remove_done_callback(&callback);
                }
                match outcome.map(|()| child.retrieve()) {
                    Ok(Err(error @ Error::Cancelled(_))) => Err(timed_out(error)),
                    Ok(outcome) => outcome,
                    Err(error) => Err(error),
                }
            }
            _ => Err(Error::runtime("wait_for: polled after its end")),
        };
        this.stage.set(Stage::Ended);
        Poll::Ready(outcome)
    }
}

/// Applies a timeout of zero: returns the next stage, or the outcome if there is one already.
fn cancel_at_once<F, T>(awaitable: F, site: WaitSite) -> Result<Stage<F, T>, Result<T>>
where
    F: StdFuture<Output = Result<T>>,
{
    let child = match Child::known(awaitable) {
        Ok(child) => Cancelled::Child(child),
        // It may borrow, so it cannot become a task; but it starts immediately, as a task would.
        Err(coroutine) if with_entered(|scheduler| scheduler.tasks.are_eager()) == Some(true) => {
            return Ok(Stage::Inline { body: Scope::new(coroutine, site), deadline: None });
        }
        // The coroutine will never run, so the task may have an empty body.
        Err(coroutine) => {
            let nothing = pending::<Result<()>>();
            let task = TaskBuilder::default().location(site.location()).create(nothing);
            Cancelled::Unstarted(Child::task(task), coroutine)
        }
    };
    // The task is already done if there is no loop in which to create it.
    if child.done() {
        return Err(child.retrieve());
    }
    let (callback, ended) = child.cancel(site).map_err(Err)?;
    Ok(Stage::Ending { ending: Box::new(Ending { child, callback: Some(callback), ended }) })
}

/// Requests that `child` be cancelled; the future is done a step after it has ended.
fn cancel<T>(child: &Child<T>, site: WaitSite) -> Result<(DoneCallback, Future<()>)> {
    let ended = Future::of_loop(site, None);
    let release = ended.clone();
    let callback = child.on_done(move || drop(release.set_result(())))?;
    child.cancel_as(CancelledError::default());
    Ok((callback, ended))
}

impl<F, T> fmt::Debug for WaitFor<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} within {:?}>", self.site, self.timeout)
    }
}
