//! [`wait`]: waits until some or all of several tasks are done.

use crate::future_like::FutureLike;
use asyncio_core::{
    Error, Result,
    context::current_values,
    limit::ToTimeout,
    raw::{
        CallbackRef,
        layout::Listed,
        sync::{AtomicUsize, Ordering},
        with_running,
    },
    wait::{Awaits, Operation, Target},
    wait_site::WaitSite,
};
use asyncio_future::{DoneCallback, Future};
use std::{
    collections::HashSet,
    fmt,
    future::{Future as StdFuture, IntoFuture},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

/// The condition on which [`wait`] returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReturnWhen {
    /// As soon as one is done.
    #[doc(alias = "FIRST_COMPLETED")]
    FirstCompleted,
    /// As soon as one has failed (a cancellation does not count), or all are done.
    #[doc(alias = "FIRST_EXCEPTION")]
    FirstException,
    /// When all are done.
    #[default]
    #[doc(alias = "ALL_COMPLETED")]
    AllCompleted,
}

/// Waits until tasks or futures are done (`asyncio.wait`): all of them, unless
/// [`return_when`](Wait::return_when) says otherwise. The result is `(done, pending)`, each in
/// argument order without duplicates. Nothing is cancelled, even at a [`timeout`](Wait::timeout),
/// which is not an error here.
///
/// A reference to a list leaves the tasks with the caller: `wait(&tasks)` returns references to those that
/// are done, and to those that are not. For tasks whose results differ in type, wait for
/// [`task.any()`](crate::AnyTask::any).
///
/// # Errors
/// `Value` if there is nothing to wait for; `Runtime` without a running loop, and for a task of another
/// loop of this thread, which does not run during the wait.
///
/// # Cancellation
/// Returns `Err(Cancelled)`; the tasks and futures continue.
///
/// ```
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     use asyncio::{FirstCompleted, create_task, wait};
///     let tasks = [create_task(async { Ok(1) }), create_task(std::future::pending())];
///     let (done, pending) = wait(&tasks).return_when(FirstCompleted).await?;
///     assert_eq!((done, pending), (vec![&tasks[0]], vec![&tasks[1]]));
///     Ok(())
/// }
/// ```
#[doc(alias = "asyncio.wait")]
#[track_caller]
pub fn wait<I, F>(futures: I) -> Wait<F>
where
    I: IntoIterator<Item = F>,
    F: FutureLike,
{
    let mut known = HashSet::new();
    let futures = futures.into_iter().filter(|future| known.insert(future.id())).collect();
    let return_when = ReturnWhen::default();
    Wait { futures, timeout: None, return_when, site: WaitSite::here(&"wait") }
}

/// The value that [`wait`] returns. Awaiting it waits.
#[derive(Debug)]
#[must_use = "nothing is waited for unless this is awaited"]
pub struct Wait<F> {
    futures: Vec<F>,
    timeout: Option<Duration>,
    return_when: ReturnWhen,
    site: WaitSite,
}

impl<F> Wait<F> {
    /// Returns after this time, with the tasks that are done by then.
    pub fn timeout(mut self, timeout: impl ToTimeout) -> Self {
        self.timeout = timeout.to_timeout();
        self
    }

    /// Sets when to return.
    pub fn return_when(mut self, return_when: ReturnWhen) -> Self {
        self.return_when = return_when;
        self
    }
}

impl<F: FutureLike> IntoFuture for Wait<F> {
    type Output = Result<(Vec<F>, Vec<F>)>;
    type IntoFuture = Waiting<F>;

    fn into_future(self) -> Waiting<F> {
        Waiting { wait: self, enough: None, callbacks: Vec::new(), timer: None }
    }
}

/// The future of [`wait`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Waiting<F: FutureLike> {
    wait: Wait<F>,
    /// Set when there is a reason to return. `None` before the first poll.
    enough: Option<Future<()>>,
    /// One callback for each future.
    callbacks: Vec<DoneCallback>,
    timer: Option<CallbackRef>,
}

/// The data that its callbacks share: the number of futures that are left, and all of them, for the
/// call graph.
#[repr(C)]
struct Left {
    targets: Listed<Target>,
    count: AtomicUsize,
}

impl Awaits for Left {
    fn awaits(&self) -> Vec<Target> {
        self.targets.awaits()
    }
}

impl<F: FutureLike> Waiting<F> {
    fn start(&mut self) -> Result<()> {
        let targets = Listed::new(self.wait.futures.iter().map(FutureLike::target).collect());
        let left = Arc::new(Left { count: AtomicUsize::new(self.wait.futures.len()), targets });
        let others = Arc::downgrade(&left);
        let enough = Future::of_loop(self.wait.site, Operation::Others(others));
        let enough = self.enough.insert(enough);
        if self.wait.futures.is_empty() {
            return Err(Error::value("wait: there is nothing to wait for"));
        }
        self.timer = with_running("wait", |scheduler| {
            let Some(timeout) = self.wait.timeout else { return Ok(None) };
            let when = scheduler.timers.time().saturating_add(timeout);
            let enough = enough.clone();
            let release = move || {
                // It may be set already.
                let _ = enough.set_result(());
                Ok(())
            };
            let location = self.wait.site.location();
            scheduler.call_at(when, release, current_values(), location).map(Some)
        })?;
        let return_when = self.wait.return_when;
        for future in &self.wait.futures {
            future.check_awaited_here()?;
            let (left, enough, timer) = (left.clone(), enough.clone(), self.timer);
            let callback = future.on_done_with(move |future: &F::Referent| {
                let last = left.count.fetch_sub(1, Ordering::Relaxed) == 1;
                let release = last
                    || match return_when {
                        ReturnWhen::AllCompleted => false,
                        ReturnWhen::FirstCompleted => true,
                        ReturnWhen::FirstException => {
                            !future.cancelled() && matches!(future.exception(), Ok(Some(_)))
                        }
                    };
                if release {
                    timer.map(CallbackRef::cancel);
                    // It may be set already.
                    let _ = enough.set_result(());
                }
            })?;
            self.callbacks.push(callback);
        }
        Ok(())
    }

    fn stop(&mut self) {
        if let Some(timer) = self.timer.take() {
            timer.cancel();
        }
        for (future, callback) in self.wait.futures.iter().zip(self.callbacks.drain(..)) {
            future.remove_done_callback(&callback);
        }
    }
}

impl<F: FutureLike> Unpin for Waiting<F> {}

impl<F: FutureLike> StdFuture for Waiting<F> {
    type Output = Result<(Vec<F>, Vec<F>)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.enough.is_none() {
            if let Err(error) = self.start() {
                self.stop();
                return Poll::Ready(Err(error));
            }
        }
        let Some(enough) = &mut self.enough else { return Poll::Pending };
        let outcome = ready!(Pin::new(enough).poll(cx));
        self.stop();
        let futures = std::mem::take(&mut self.wait.futures);
        Poll::Ready(outcome.map(|()| futures.into_iter().partition(|future| future.done())))
    }
}

impl<F: FutureLike> Drop for Waiting<F> {
    fn drop(&mut self) {
        self.stop();
    }
}

impl<F: FutureLike> fmt::Debug for Waiting<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} for {} futures>", self.wait.site, self.wait.futures.len())
    }
}
