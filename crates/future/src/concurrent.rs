//! [`ConcurrentFuture`]: the thread-safe twin (`concurrent.futures.Future`), and [`wrap_future`].

use crate::Future;
use asyncio_core::{
    Error, InvalidStateError, Result, TimeoutError,
    home::{Mail, entered},
    wait_site::WaitSite,
};
use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

type Request = Box<dyn FnOnce() + Send>;
type Callback<T> = Box<dyn FnOnce(&ConcurrentFuture<T>) + Send>;

enum Stage<T> {
    Pending,
    /// With what passes a request to cancel on, if something can.
    Running(Option<Request>),
    Done(Option<Result<T>>),
}

struct State<T> {
    stage: Stage<T>,
    callbacks: Vec<Callback<T>>,
}

struct Inner<T> {
    state: Mutex<State<T>>,
    done: Condvar,
}

/// A result that another thread sets, and that a thread can wait for (`concurrent.futures.Future`).
///
/// It needs no loop. Clones are handles to the same future.
///
/// ```
/// use asyncio_future::ConcurrentFuture;
/// let answer = ConcurrentFuture::new();
/// let setter = answer.clone();
/// std::thread::spawn(move || setter.set_result(42));
/// assert_eq!(answer.result(None)?, 42);
/// # Ok::<(), asyncio_core::Error>(())
/// ```
pub struct ConcurrentFuture<T>(Arc<Inner<T>>);

impl<T> Clone for ConcurrentFuture<T> {
    fn clone(&self) -> Self {
        ConcurrentFuture(self.0.clone())
    }
}

impl<T> Default for ConcurrentFuture<T> {
    fn default() -> Self {
        ConcurrentFuture::new()
    }
}

impl<T> ConcurrentFuture<T> {
    /// A pending future.
    pub fn new() -> ConcurrentFuture<T> {
        let state = State { stage: Stage::Pending, callbacks: Vec::new() };
        ConcurrentFuture(Arc::new(Inner { state: Mutex::new(state), done: Condvar::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether it has a result, failed or was cancelled.
    pub fn done(&self) -> bool {
        matches!(self.lock().stage, Stage::Done(_))
    }

    /// Whether its work has begun.
    pub fn running(&self) -> bool {
        matches!(self.lock().stage, Stage::Running(_))
    }

    /// Whether it was cancelled.
    pub fn cancelled(&self) -> bool {
        matches!(&self.lock().stage, Stage::Done(Some(Err(Error::Cancelled(_)))))
    }

    /// Cancels it. Work that has begun is asked to end, where it can be ([`on_cancel`]); the future
    /// is then cancelled at once, and what the work makes of it is not waited for. False if it is
    /// done, or its work cannot be asked.
    ///
    /// [`on_cancel`]: ConcurrentFuture::on_cancel
    pub fn cancel(&self) -> bool {
        let request = match &mut self.lock().stage {
            Stage::Running(request) => request.take(),
            _ => None,
        };
        let cancelled = Err(Error::Cancelled(Default::default()));
        let Some(request) = request else {
            return self.leave(|stage| matches!(stage, Stage::Pending), cancelled);
        };
        // The request comes second: the work might end by it before the future is cancelled.
        let left = self.leave(|stage| matches!(stage, Stage::Running(_)), cancelled);
        if left {
            request();
        }
        left
    }

    /// Says that the work begins: from now on it cannot be cancelled. False if it was cancelled
    /// before; then the work must not begin.
    pub fn set_running_or_notify_cancel(&self) -> bool {
        let mut state = self.lock();
        let pending = matches!(state.stage, Stage::Pending);
        if pending {
            state.stage = Stage::Running(None);
        }
        pending
    }

    /// Says how the work that has begun is asked to end. Nothing happens if it is done.
    pub fn on_cancel(&self, request: impl FnOnce() + Send + 'static) {
        if let Stage::Running(slot) = &mut self.lock().stage {
            *slot = Some(Box::new(request));
        }
    }

    /// Sets the result.
    ///
    /// # Errors
    /// `InvalidState` if the future is done already.
    pub fn set_result(&self, value: T) -> Result<()> {
        self.set(Ok(value))
    }

    /// Sets the error.
    ///
    /// # Errors
    /// `InvalidState` if the future is done already.
    pub fn set_exception(&self, error: impl Into<Error>) -> Result<()> {
        self.set(Err(error.into()))
    }

    /// Sets the result or the error.
    ///
    /// # Errors
    /// `InvalidState` if the future is done already.
    pub fn set(&self, outcome: Result<T>) -> Result<()> {
        match self.leave(|stage| !matches!(stage, Stage::Done(_)), outcome) {
            true => Ok(()),
            false => Err(InvalidStateError::new("ConcurrentFuture.set: it is done already").into()),
        }
    }

    fn leave(&self, may: impl FnOnce(&Stage<T>) -> bool, outcome: Result<T>) -> bool {
        let mut state = self.lock();
        if !may(&state.stage) {
            return false;
        }
        state.stage = Stage::Done(Some(outcome));
        let callbacks = std::mem::take(&mut state.callbacks);
        drop(state);
        self.0.done.notify_all();
        callbacks.into_iter().for_each(|callback| callback(self));
        true
    }

    /// Blocks until it is done, and takes the result out; copies of an error stay. `None` waits
    /// without limit.
    ///
    /// # Errors
    /// The future's own error, `Cancelled`, `Timeout` after `timeout`, or `InvalidState` if the
    /// result was taken already.
    pub fn result(&self, timeout: impl Into<Option<Duration>>) -> Result<T> {
        let deadline = timeout.into().and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.lock();
        while !matches!(state.stage, Stage::Done(_)) {
            state = match deadline {
                None => self.0.done.wait(state).unwrap_or_else(|p| p.into_inner()),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(
                            TimeoutError::new("ConcurrentFuture.result: not done in time").into()
                        );
                    }
                    self.0.done.wait_timeout(state, left).unwrap_or_else(|p| p.into_inner()).0
                }
            };
        }
        take(&mut state.stage).unwrap_or_else(|| {
            Err(InvalidStateError::new("ConcurrentFuture.result: it was taken already").into())
        })
    }

    /// The result if it is done, taken out as by [`result`](ConcurrentFuture::result).
    pub fn try_result(&self) -> Option<Result<T>> {
        take(&mut self.lock().stage)
    }

    /// Calls `callback` when it is done, in the thread that completes it; at once if it is done.
    pub fn add_done_callback(&self, callback: impl FnOnce(&ConcurrentFuture<T>) + Send + 'static) {
        let mut state = self.lock();
        if matches!(state.stage, Stage::Done(_)) {
            drop(state);
            return callback(self);
        }
        state.callbacks.push(Box::new(callback));
    }
}

/// A value is taken; an error stays.
fn take<T>(stage: &mut Stage<T>) -> Option<Result<T>> {
    match stage {
        Stage::Done(Some(Err(error))) => Some(Err(error.clone())),
        Stage::Done(outcome) => outcome.take(),
        _ => None,
    }
}

impl<T> fmt::Debug for ConcurrentFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.lock().stage {
            Stage::Pending => "pending",
            Stage::Running(_) => "running",
            Stage::Done(Some(Err(Error::Cancelled(_)))) => "cancelled",
            Stage::Done(_) => "finished",
        };
        write!(f, "<ConcurrentFuture {stage}>")
    }
}

/// A future of the running loop that follows `source` (`asyncio.wrap_future`): the result moves over
/// through the loop's thread-safe queue, and cancelling the wrapper cancels the source.
///
/// # Errors
/// `Runtime` without a running loop.
#[track_caller]
pub fn wrap_future<T: Send + 'static>(source: ConcurrentFuture<T>) -> Result<Future<T>> {
    let site = WaitSite::here(&"wrap_future");
    let scheduler =
        entered().ok_or_else(|| Error::runtime("wrap_future: no running event loop"))?;
    let home = scheduler.check_open()?;
    let future = Future::of_operation(site, None);
    let back = source.clone();
    future.add_done_callback(move |future| {
        if future.cancelled() {
            back.cancel();
        }
    })?;
    let wrapper = future.clone();
    source.add_done_callback(move |source| {
        let source = source.clone();
        let copy = move || {
            // Cancelled meanwhile: nobody waits here any more, and the source keeps its result.
            if wrapper.done() {
                return;
            }
            if let Some(outcome) = source.try_result() {
                let _ = wrapper.set(outcome);
            }
        };
        // A source that is done already is copied at the next iteration as well.
        let _ = home.send(Mail::Call(Box::new(move || {
            copy();
            Ok(())
        })));
    });
    Ok(future)
}
