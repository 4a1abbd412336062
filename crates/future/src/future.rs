//! [`Future`]: a result that will be set elsewhere.

use crate::state::{Change, Head, Stage};
use asyncio_core::{
    CancelledError, Error, LoopHandle, Result,
    context::current_values,
    exception::ExceptionContext,
    handle::CallbackOutput,
    raw::{
        CallbackRef, Listener, LoopRef,
        sync::{Mutex, keep},
        with_running,
    },
    wait::{Cancel, Operation, Parts, Resume, Target, Wait},
    wait_site::{FUTURE, WaitSite},
};
use std::{
    fmt,
    future::Future as StdFuture,
    ops::Deref,
    panic::Location,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

struct Inner<T> {
    head: Arc<Head>,
    value: Mutex<Option<T>>,
}

impl<T> Drop for Inner<T> {
    fn drop(&mut self) {
        let state = self.head.lock();
        if let (true, Stage::Finished(Some(error))) = (state.unretrieved, &state.stage) {
            let error = error.clone();
            drop(state);
            ExceptionContext::new("Future exception was never retrieved")
                .with_exception(error)
                .with_future(Arc::as_ptr(&self.head) as usize)
                .with_origin(self.head.made_at())
                .report(self.head.home());
        }
    }
}

/// A result that will be set elsewhere (`asyncio.Future`).
///
/// Clones are handles to the same future. Any number of awaiters get a copy of the result each, so `T`
/// must be `Clone`; for other types, [`take`](Future::take) moves the result to one awaiter. A future
/// works with and without a loop, under any executor and across threads; only done callbacks need a
/// running loop. The value is locked while it is copied: its `clone` must not await or read the same
/// future.
///
/// # Cancellation
/// A cancelled task cancels the future that it awaits, for every other awaiter too. To prevent this,
/// await it through a
/// [`shield`](https://docs.python.org/3/library/asyncio-task.html#asyncio.shield). Dropping an
/// awaiting handle does not affect the future.
///
/// ```
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let answer = asyncio::Future::new();
///     answer.set_result(42)?;
///     assert_eq!((answer.clone().await?, answer.await?), (42, 42));
///     Ok(())
/// }
/// ```
#[doc(alias = "asyncio.Future")]
pub struct Future<T> {
    inner: Arc<Inner<T>>,
    awaiting: Awaiting,
}

/// The place of one handle in the queue of waiters.
#[derive(Default)]
struct Awaiting {
    wait: Wait,
    number: u32,
}

/// A value that could not be set because the future was already done (`InvalidStateError`).
pub struct NotPending<T>(T);

impl<T> NotPending<T> {
    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for NotPending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NotPending(Future.set_result: the future is already done)")
    }
}

impl<T> From<NotPending<T>> for Error {
    fn from(_: NotPending<T>) -> Error {
        Error::invalid_state("Future.set_result: the future is already done")
    }
}

/// Names a registered done callback, so that it can be removed.
#[derive(Debug)]
pub struct DoneCallback {
    number: Option<u32>,
    callback: CallbackRef,
}

impl DoneCallback {
    /// Creates the name of `callback`, entry `number` of its future's list; `None` if it is ready already. For the
    /// sibling crates.
    #[doc(hidden)]
    pub fn new(number: Option<u32>, callback: CallbackRef) -> DoneCallback {
        DoneCallback { number, callback }
    }

    /// Its entry in the list of its future.
    #[doc(hidden)]
    pub fn number(&self) -> Option<u32> {
        self.number
    }

    /// Returns the callback itself.
    #[doc(hidden)]
    pub fn callback(&self) -> CallbackRef {
        self.callback
    }
}

impl<T> Future<T> {
    /// Creates a pending future.
    #[track_caller]
    #[allow(clippy::new_without_default)] // A default future would never be what is wanted.
    pub fn new() -> Future<T> {
        Future::of_operation(WaitSite::here(&FUTURE), None)
    }

    /// Creates a pending future of an operation that was called at `site`; the tasks that await it are
    /// reported as waiting there.
    ///
    /// With `parts`, a request to cancel the future goes to them, and the creator of the future decides
    /// how it ends (as in a `gather`).
    #[doc(hidden)] // For the crates of the runtime.
    pub fn of_operation(site: WaitSite, parts: Option<Parts>) -> Future<T> {
        Future::of_head(Head::new(parts.into(), site, false))
    }

    /// Does what [`of_operation`](Future::of_operation) does, for a future that ends only if the
    /// current loop runs: awaiting it in another loop of the same thread is an error.
    #[doc(hidden)] // For the crates of the runtime.
    pub fn of_loop(site: WaitSite, operation: impl Into<Operation>) -> Future<T> {
        Future::of_head(Head::new(operation.into(), site, true))
    }

    fn of_head(head: Head) -> Future<T> {
        Future::of(Arc::new(Inner { head: Arc::new(head), value: Mutex::new(None) }))
    }

    fn of(inner: Arc<Inner<T>>) -> Future<T> {
        Future { inner, awaiting: Awaiting::default() }
    }

    /// Returns whether it has a result, failed or was cancelled.
    pub fn done(&self) -> bool {
        self.inner.head.is_done()
    }

    /// Returns whether it was cancelled.
    pub fn cancelled(&self) -> bool {
        matches!(self.inner.head.lock().stage, Stage::Cancelled(_))
    }

    /// Sets the result, and makes the waiters ready.
    ///
    /// # Errors
    /// Returns the value if the future is already done.
    pub fn set_result(&self, value: T) -> Result<(), NotPending<T>> {
        let mut value = Some(value);
        let change = self.inner.head.finish(None, || *self.inner.value.lock() = value.take());
        match (change, value) {
            (Change::Refused, Some(value)) => Err(NotPending(value)),
            _ => Ok(()),
        }
    }

    /// Sets the error, and makes the waiters ready.
    ///
    /// # Errors
    /// `InvalidState` if the future is already done.
    pub fn set_exception(&self, error: impl Into<Error>) -> Result<()> {
        match self.inner.head.finish(Some(error.into()), || {}) {
            Change::Made => Ok(()),
            Change::Refused => {
                Err(Error::invalid_state("Future.set_exception: the future is already done"))
            }
        }
    }

    /// Sets the result or the error; a cancellation cancels.
    ///
    /// # Errors
    /// `InvalidState` if the future is already done.
    pub fn set(&self, outcome: Result<T>) -> Result<()> {
        match outcome {
            Ok(value) => Ok(self.set_result(value)?),
            Err(error) if error.is_cancelled() && !self.done() => {
                self.inner.head.cancel_now(error.as_cancelled().cloned().unwrap_or_default());
                Ok(())
            }
            Err(error) => self.set_exception(error),
        }
    }

    /// Cancels the future; returns false if it is already done.
    pub fn cancel(&self) -> bool {
        self.cancel_as(CancelledError::default())
    }

    /// Cancels the future with a message for the waiters: see [`cancel`](Future::cancel).
    pub fn cancel_with(&self, message: impl Into<std::borrow::Cow<'static, str>>) -> bool {
        self.cancel_as(CancelledError::new(message))
    }

    /// Cancels the future with the error that the waiters get: see [`cancel`](Future::cancel).
    pub fn cancel_as(&self, error: CancelledError) -> bool {
        self.inner.head.cancel(error)
    }

    /// Cancels a future that has parts, but not the parts.
    pub fn cancel_now(&self, error: CancelledError) -> bool {
        self.inner.head.cancel_now(error)
    }

    /// Returns the target that a task cancels while it awaits this future.
    pub fn target(&self) -> Target {
        Target::Future(self.inner.head.clone())
    }

    /// Returns the error, or `None` if there is a result. Counts as retrieving it.
    ///
    /// # Errors
    /// `Cancelled` if the future was cancelled, `InvalidState` if it is not done.
    pub fn exception(&self) -> Result<Option<Error>> {
        if self.cancelled() {
            return self.inner.head.outcome().unwrap_or(Ok(())).map(|()| None);
        }
        match self.inner.head.outcome() {
            None => Err(Error::invalid_state("Future.exception: exception is not set")),
            Some(outcome) => Ok(outcome.err()),
        }
    }

    /// Returns the result. Counts as retrieving the error.
    ///
    /// # Errors
    /// The future's own error, `Cancelled`, or `InvalidState` if it is not done.
    pub fn result(&self) -> Result<T>
    where
        T: Clone,
    {
        match self.inner.head.outcome() {
            None => Err(Error::invalid_state("Future.result: result is not ready")),
            Some(outcome) => outcome.and_then(|()| self.value(T::clone)),
        }
    }

    fn value(&self, read: impl FnOnce(&T) -> T) -> Result<T> {
        self.inner.value.lock().as_ref().map(read).ok_or_else(taken)
    }

    /// Waits for the result and moves it out, for a `T` that is not `Clone`. Later callers get
    /// `InvalidState`.
    ///
    /// # Cancellation
    /// As for awaiting the future itself; the result stays in place.
    #[must_use = "futures do nothing unless they are awaited"]
    pub fn take(&self) -> Take<T> {
        Take(self.clone())
    }

    /// Calls `callback` with the future when it is done, always as a separate step in the running
    /// loop. Callbacks and awaiters are served in the order in which they were registered. If the
    /// callback returns an error, the error goes to the exception handler.
    ///
    /// # Errors
    /// `Runtime` without a running loop.
    #[track_caller]
    pub fn add_done_callback<R: CallbackOutput>(
        &self,
        callback: impl FnOnce(&Future<T>) -> R + 'static,
    ) -> Result<DoneCallback>
    where
        T: 'static,
    {
        let this = self.clone();
        self.on_done(move || callback(&this))
    }

    /// Does what [`add_done_callback`](Future::add_done_callback) does, without passing the future,
    /// whose type may borrow.
    #[doc(hidden)]
    #[track_caller]
    pub fn on_done<R: CallbackOutput>(
        &self,
        callback: impl FnOnce() -> R + 'static,
    ) -> Result<DoneCallback> {
        let location = Location::caller();
        let call = move || callback().into_result();
        let callback = with_running("Future.add_done_callback", |scheduler| {
            scheduler.park(call, current_values(), location)
        })?;
        let state = self.inner.head.lock();
        let number = match state.stage {
            Stage::Pending => Some(state.listeners.push(Listener::Callback(callback))),
            _ => None,
        };
        drop(state);
        if number.is_none() {
            callback.fire();
        }
        Ok(DoneCallback::new(number, callback))
    }

    /// Removes a callback, and returns how many were removed: zero if it was removed before, or if
    /// the future was already done.
    pub fn remove_done_callback(&self, callback: &DoneCallback) -> usize {
        let Some(number) = callback.number() else { return 0 };
        let listener = self.inner.head.lock().listeners.remove(number);
        match listener {
            Some(_) => usize::from(callback.callback().cancel()),
            None => 0,
        }
    }

    /// The number of handles to the future, including those in its callbacks.
    pub(crate) fn handles(&self) -> usize {
        Arc::strong_count(&self.inner)
    }

    /// Returns the loop in which the future was created, if there was one (`Future.get_loop`).
    #[doc(alias = "asyncio.Future.get_loop")]
    pub fn get_loop(&self) -> Option<LoopHandle> {
        self.home().map(LoopHandle::from)
    }

    /// Returns the loop. For the sibling crates.
    #[doc(hidden)]
    pub fn home(&self) -> Option<LoopRef> {
        self.inner.head.home()
    }

    /// Returns where the future was created.
    pub fn made_at(&self) -> &'static Location<'static> {
        self.inner.head.made_at()
    }

    /// Fails the future if it is pending, because the loop that would end it is closed, for awaiters on
    /// other threads. If there are none, nothing is reported.
    #[doc(hidden)]
    pub fn abandon(&self) {
        if self.set_exception(Error::runtime("Event loop is closed")).is_ok() {
            let _ = self.exception();
        }
    }

    /// Checks that a task may wait for it in the current loop, for waiters with a callback.
    ///
    /// # Errors
    /// `Runtime` if the future is pending, and can end only while another loop of this thread runs.
    #[doc(hidden)]
    pub fn check_awaited_here(&self) -> Result<()> {
        if self.done() { Ok(()) } else { self.inner.head.check_awaited_here() }
    }

    /// Returns a number that no other future has while this one lives.
    pub fn id(&self) -> usize {
        Arc::as_ptr(&self.inner.head) as usize
    }

    /// Replaces the callback that reports a failure which nothing awaits any more, and removes the
    /// old one.
    #[doc(hidden)]
    pub fn replace_late_report(&self, callback: DoneCallback) {
        let previous = self.inner.head.lock().late_report.replace(callback);
        if let Some(previous) = previous {
            self.remove_done_callback(&previous);
        }
    }

    /// The caller of `poll` is the `.await`.
    fn poll_done(
        &mut self,
        cx: &mut Context<'_>,
        location: &'static Location<'static>,
        read: impl FnOnce(&Inner<T>) -> Result<T>,
    ) -> Poll<Result<T>> {
        let inner = &self.inner;
        let Awaiting { wait, number } = &mut self.awaiting;
        // Declared before the guard, so that it is dropped after it: this may drop a foreign waker.
        let mut spent = None;
        let mut state = inner.head.lock();
        if matches!(state.stage, Stage::Pending) {
            if let Err(error) = inner.head.check_awaited_here() {
                return Poll::Ready(Err(error));
            }
            let mut site = inner.head.site();
            if site.is_of(&FUTURE) {
                site = WaitSite::new(&FUTURE, location);
            }
            let target = || Some(Target::Future(inner.head.clone()));
            if !wait.is_armed() {
                state = keep("future_awaited_late", &inner.head.state, state);
                wait.arm(cx, site, target());
                if let Some(waiter) = wait.waiter() {
                    *number = state.listeners.push(Listener::Waiter(waiter));
                }
                return Poll::Pending;
            }
            let replace = |waiter| spent = state.listeners.replace(*number, waiter);
            return match wait.poll(cx, site, target, replace) {
                Resume::Pending | Resume::Woken => Poll::Pending,
                Resume::Cancelled { error, .. } => {
                    let removed = state.listeners.remove(*number);
                    drop(state);
                    drop(removed);
                    Poll::Ready(Err(error))
                }
            };
        }
        drop(state);
        let thrown = wait.finish();
        let outcome = inner.head.outcome().expect("the future is done");
        Poll::Ready(match (outcome, thrown) {
            (Err(error @ Error::Cancelled(_)), _) => Err(error),
            (_, Some(thrown)) => Err(thrown),
            (Err(error), None) => Err(error),
            (Ok(()), None) => read(inner),
        })
    }
}

fn taken() -> Error {
    Error::invalid_state("Future: the result was taken")
}

impl<T: Clone> StdFuture for Future<T> {
    type Output = Result<T>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        self.poll_done(cx, Location::caller(), |inner| inner.value.lock().clone().ok_or_else(taken))
    }
}

impl<T> Unpin for Future<T> {}

impl<T> Clone for Future<T> {
    fn clone(&self) -> Future<T> {
        Future::of(self.inner.clone())
    }
}

impl<T> Drop for Future<T> {
    fn drop(&mut self) {
        if self.awaiting.wait.is_armed() {
            let listener = self.inner.head.lock().listeners.remove(self.awaiting.number);
            drop(listener);
        }
    }
}

impl<T> fmt::Debug for Future<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.head.fmt(f)
    }
}

/// A [`Future`] whose result is moved out when it is awaited, so that the result need not be
/// `Clone`. [`Future::take`] and functions with a single consumer return it. It derefs to the
/// future.
pub struct Take<T>(Future<T>);

impl<T> Take<T> {
    /// Returns the future whose result is taken.
    pub fn future(&self) -> &Future<T> {
        &self.0
    }

    /// Returns the future whose result is taken.
    pub fn into_inner(self) -> Future<T> {
        self.0
    }
}

impl<T> Deref for Take<T> {
    type Target = Future<T>;
    fn deref(&self) -> &Future<T> {
        &self.0
    }
}

impl<T> StdFuture for Take<T> {
    type Output = Result<T>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        self.0
            .poll_done(cx, Location::caller(), |inner| inner.value.lock().take().ok_or_else(taken))
    }
}

impl<T> fmt::Debug for Take<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Take").field(&self.0).finish()
    }
}
