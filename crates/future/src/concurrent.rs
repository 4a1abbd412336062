//! [`ConcurrentFuture`]: the thread-safe twin (`concurrent.futures.Future`), and [`wrap_future`].

#[cfg(all(test, not(loom)))]
mod tests;
mod wrap;

pub use wrap::wrap_future;

use asyncio_core::{
    Error, InvalidStateError, Result, TimeoutError,
    event_loop::works_for,
    limit::ToTimeout,
    log::{Level, log},
    raw::{
        LoopRef, Message, Scheduler, caught,
        sync::{Mutex, MutexGuard, keep, mutant},
    },
};
use event_listener::{Event, EventListener, Listener};
use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

type Request = Box<dyn FnOnce() + Send>;
type Callback<T> = Box<dyn FnOnce(&ConcurrentFuture<T>) + Send>;

enum Stage<T> {
    Pending,
    Running,
    Done(Outcome<T>),
}

enum Outcome<T> {
    Value(T),
    /// A value that stays, and is cloned outside the future's lock.
    Shared(Arc<Mutex<T>>),
    Failed(Error),
    /// The value was moved out.
    Taken,
}

struct State<T> {
    stage: Stage<T>,
    /// The function that asks the work to end.
    request: Option<Request>,
    /// The function that clones the value, if it is to stay.
    copy: Option<fn(&T) -> T>,
    callbacks: Vec<Callback<T>>,
    /// The number of jobs of its loop that wait for it, without a limit and with one.
    waiting_jobs: [usize; 2],
}

struct Inner<T> {
    state: Mutex<State<T>>,
    done: Event,
    /// The loop that completes it, if a loop does.
    home: Option<LoopRef>,
}

/// A result that another thread sets, and for which a thread can wait
/// (`concurrent.futures.Future`).
///
/// It needs no loop. Clones are handles to the same future. The first caller of
/// [`result`](ConcurrentFuture::result) moves the value out. After
/// [`shared`](ConcurrentFuture::shared), every caller gets a clone.
///
/// It can also be awaited, under any executor, with the same outcome. A task of an asyncio loop awaits
/// [`wrap_future`] instead, which passes a cancellation on to the work and which the virtual clock knows about.
///
/// ```
/// use asyncio::ConcurrentFuture;
/// let answer = ConcurrentFuture::new();
/// let setter = answer.clone();
/// std::thread::spawn(move || setter.set_result(42));
/// assert_eq!(answer.result(None)?, 42);
/// # Ok::<(), asyncio::Error>(())
/// ```
#[doc(alias = "concurrent.futures.Future")]
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
    /// Creates a pending future.
    pub fn new() -> ConcurrentFuture<T> {
        ConcurrentFuture::make(None)
    }

    /// Creates a pending future that the loop `home` will complete, so the thread of that loop must
    /// not block on it.
    #[doc(hidden)]
    pub fn of_loop(home: LoopRef) -> ConcurrentFuture<T> {
        ConcurrentFuture::make(Some(home))
    }

    fn make(home: Option<LoopRef>) -> ConcurrentFuture<T> {
        let (stage, callbacks) = (Stage::Pending, Vec::new());
        let state = State { stage, request: None, copy: None, callbacks, waiting_jobs: [0; 2] };
        ConcurrentFuture(Arc::new(Inner { state: Mutex::new(state), done: Event::new(), home }))
    }

    /// Keeps the value in the future: from now on [`result`](ConcurrentFuture::result),
    /// [`try_result`](ConcurrentFuture::try_result) and each [`wrap_future`] return a clone, so all of
    /// them succeed any number of times, as in Python. This applies to every handle of the future. A
    /// value that was already moved out is not restored.
    ///
    /// ```
    /// use asyncio::ConcurrentFuture;
    /// let answer = ConcurrentFuture::new().shared();
    /// answer.set_result(42)?;
    /// assert_eq!((answer.result(None)?, answer.result(None)?), (42, 42));
    /// # Ok::<(), asyncio::Error>(())
    /// ```
    #[must_use = "this returns the same future"]
    pub fn shared(self) -> ConcurrentFuture<T>
    where
        T: Clone,
    {
        self.lock().copy = Some(T::clone);
        self
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.state.lock()
    }

    /// Returns whether it has a result, failed or was cancelled.
    pub fn done(&self) -> bool {
        matches!(self.lock().stage, Stage::Done(_))
    }

    /// Returns whether its work has started and can no longer be prevented. The future of
    /// `run_coroutine_threadsafe` stays pending until its task has ended, as in Python.
    pub fn running(&self) -> bool {
        matches!(self.lock().stage, Stage::Running)
    }

    /// Returns whether it was cancelled.
    pub fn cancelled(&self) -> bool {
        self.lock().stage.is_cancelled()
    }

    /// Cancels the future. If its work has started, the request of [`on_cancel`] asks it to end, and
    /// the future is cancelled immediately, without waiting for the work. Returns true if the future
    /// is cancelled, even if it was before. Returns false if it has a result or another error, or if
    /// its work has started and there is no request.
    ///
    /// [`on_cancel`]: ConcurrentFuture::on_cancel
    pub fn cancel(&self) -> bool {
        let mut state = self.lock();
        let has_begun = match &state.stage {
            Stage::Done(_) => return state.stage.is_cancelled(),
            Stage::Running if state.request.is_none() => return false,
            Stage::Running => true,
            Stage::Pending => false,
        };
        let request = state.request.take();
        self.complete(state, Outcome::Failed(Error::Cancelled(Default::default())));
        // The request comes second: the work might end because of it before the future is
        // cancelled.
        match request {
            Some(request) if has_begun => self.guarded("the request to cancel", request),
            unused => self.guarded("the drop of a request to cancel", || drop(unused)),
        }
        true
    }

    /// Marks the work as started: from now on the future cannot be cancelled, unless there is an
    /// [`on_cancel`](ConcurrentFuture::on_cancel). Returns false if the future was cancelled
    /// before; then the work must not start.
    pub fn set_running_or_notify_cancel(&self) -> bool {
        let mut state = self.lock();
        let pending = matches!(state.stage, Stage::Pending);
        if pending {
            state.stage = Stage::Running;
        }
        pending
    }

    /// Sets the request that asks the work to end once it has started. Call it before
    /// [`set_running_or_notify_cancel`](ConcurrentFuture::set_running_or_notify_cancel), so that the
    /// future can be cancelled at any moment. A later call replaces the request. On a future that is
    /// done, it does nothing.
    pub fn on_cancel(&self, request: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        let unused: Option<Request> = match state.stage {
            Stage::Done(_) => Some(Box::new(request)),
            _ => state.request.replace(Box::new(request)),
        };
        drop(state);
        // Outside the lock: its captured values may use this future when they are dropped.
        drop(unused);
    }

    /// Sets the result.
    ///
    /// # Errors
    /// `InvalidState` if the future is already done.
    pub fn set_result(&self, value: T) -> Result<()> {
        self.set(Ok(value))
    }

    /// Sets the error.
    ///
    /// # Errors
    /// `InvalidState` if the future is already done.
    pub fn set_exception(&self, error: impl Into<Error>) -> Result<()> {
        self.set(Err(error.into()))
    }

    /// Sets the result or the error.
    ///
    /// # Errors
    /// `InvalidState` if the future is already done.
    pub fn set(&self, outcome: Result<T>) -> Result<()> {
        let state = self.lock();
        if let Stage::Done(_) = state.stage {
            // Released before `outcome`, whose drop may use this future.
            drop(state);
            return Err(InvalidStateError::new("ConcurrentFuture.set: it is already done").into());
        }
        let state = keep("concurrent_finished_twice", &self.0.state, state);
        self.complete(state, outcome.map_or_else(Outcome::Failed, Outcome::Value));
        Ok(())
    }

    /// Ends a future that is not done yet.
    fn complete(&self, mut state: MutexGuard<'_, State<T>>, outcome: Outcome<T>) {
        state.stage = Stage::Done(outcome);
        let unused = state.request.take();
        let callbacks = std::mem::take(&mut state.callbacks);
        let waiting_jobs = std::mem::take(&mut state.waiting_jobs);
        drop(state);
        // Before these jobs continue, because the virtual clock must stand still from then on.
        for (jobs, has_limit) in waiting_jobs.into_iter().zip([false, true]) {
            (0..jobs).for_each(|_| self.job_waits(false, has_limit));
        }
        self.0.done.notify(usize::MAX);
        for callback in callbacks {
            self.guarded("a callback", || callback(self));
        }
        self.guarded("the drop of a request to cancel", || drop(unused));
    }

    /// Runs a closure of the user outside the lock. A panic is logged, as in Python.
    fn guarded(&self, what: &str, call: impl FnOnce()) {
        if let Err(error) = caught(call) {
            log(Level::Error, &format!("exception calling {what} of {self:?}: {error:?}"));
        }
    }

    /// Blocks until the future is done, and moves the value out, or clones it if the future is
    /// [`shared`](ConcurrentFuture::shared). An error is always copied. With `None`, the wait has
    /// no limit.
    ///
    /// # Errors
    /// The future's own error, `Cancelled`, `Timeout` after `timeout`, or `InvalidState` if the value
    /// was moved out already. `Runtime` if the wait could never end, because it has no limit and
    /// blocks the thread of the loop that has to run the coroutine.
    pub fn result(&self, timeout: impl ToTimeout) -> Result<T> {
        let deadline = timeout.to_timeout().and_then(|timeout| Instant::now().checked_add(timeout));
        let mut is_waiting_job = false;
        let mut state = self.lock();
        while !matches!(state.stage, Stage::Done(_)) {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                if is_waiting_job {
                    state.waiting_jobs[1] -= 1;
                    drop(state);
                    self.job_waits(false, true);
                }
                return Err(TimeoutError::new("ConcurrentFuture.result: not done in time").into());
            }
            if left.is_none() && self.0.home.is_some_and(LoopRef::is_local) {
                return Err(Error::runtime(
                    "ConcurrentFuture.result: the event loop of this thread runs the coroutine, and \
                     cannot while the thread waits for it; await wrap_future(future), or wait in \
                     another thread",
                ));
            }
            if !is_waiting_job && self.0.home.is_some() && self.0.home == works_for() {
                is_waiting_job = true;
                state.waiting_jobs[usize::from(left.is_some())] += 1;
                self.job_waits(true, left.is_some());
            }
            let listener = self.0.done.listen();
            drop(state);
            match deadline {
                None => listener.wait(),
                Some(deadline) => _ = listener.wait_deadline(deadline),
            }
            state = self.lock();
        }
        self.read(state).unwrap_or_else(|| Err(taken()))
    }

    /// Reports to the loop that completes the future that one of its jobs starts or stops waiting
    /// here.
    fn job_waits(&self, waits: bool, has_limit: bool) {
        let Some(home) = self.0.home else { return };
        let tell = move || {
            let event_loop = home.with(Scheduler::event_loop).flatten();
            if let Some(event_loop) = event_loop {
                event_loop.job_waits(waits, has_limit);
            }
        };
        match home.is_local() {
            true => tell(),
            // A closed loop waits for nothing.
            false => drop(home.send(Message::Quiet(Box::new(tell)))),
        }
    }

    /// Returns the result if it is done, moved out or cloned as by
    /// [`result`](ConcurrentFuture::result). Returns `None` while it is not done, and
    /// `InvalidState` after its value was moved out.
    pub fn try_result(&self) -> Option<Result<T>> {
        self.read(self.lock())
    }

    /// Reads the result; `None` if it is not done.
    fn read(&self, mut guard: MutexGuard<'_, State<T>>) -> Option<Result<T>> {
        let state = &mut *guard;
        let Stage::Done(outcome) = &mut state.stage else { return None };
        match outcome {
            Outcome::Failed(error) => return Some(Err(error.clone())),
            Outcome::Taken => return Some(Err(taken())),
            Outcome::Value(_) | Outcome::Shared(_) => {}
        }
        let value = match std::mem::replace(outcome, Outcome::Taken) {
            Outcome::Value(value) if state.copy.is_none() => return Some(Ok(value)),
            Outcome::Value(value) => Arc::new(Mutex::new(value)),
            Outcome::Shared(value) => value,
            // Returned above.
            Outcome::Failed(_) | Outcome::Taken => return None,
        };
        *outcome = Outcome::Shared(value.clone());
        let copy = state.copy?;
        drop(guard);
        let value = value.lock();
        Some(Ok(copy(&value)))
    }

    /// Calls `callback` when the future is done, in the thread that completes it; immediately if it
    /// is already done. If the callback panics, the panic is logged, and does not leave this call.
    pub fn add_done_callback(&self, callback: impl FnOnce(&ConcurrentFuture<T>) + Send + 'static) {
        let mut state = self.lock();
        if matches!(state.stage, Stage::Done(_)) {
            drop(state);
            return self.guarded("a callback", || callback(self));
        }
        state.callbacks.push(Box::new(callback));
    }
}

/// Waits until the future is done; the outcome is that of [`result`](ConcurrentFuture::result).
///
/// # Cancellation
/// Dropping the returned future does not affect the work, and neither does a cancellation of the task
/// that awaits it.
impl<T> IntoFuture for ConcurrentFuture<T> {
    type Output = Result<T>;
    type IntoFuture = ConcurrentResult<T>;

    fn into_future(self) -> ConcurrentResult<T> {
        ConcurrentResult { future: self, listener: None }
    }
}

/// The future of an awaited [`ConcurrentFuture`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct ConcurrentResult<T> {
    future: ConcurrentFuture<T>,
    listener: Option<EventListener>,
}

impl<T> Future for ConcurrentResult<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        loop {
            if self.listener.is_none() || !mutant("concurrent_listened_unseen") {
                if let Some(outcome) = self.future.try_result() {
                    return Poll::Ready(outcome);
                }
            }
            match &mut self.listener {
                Some(listener) => {
                    ready!(Pin::new(listener).poll(cx));
                    self.listener = None;
                }
                // The loop checks again, because the future may have ended before the listener was
                // registered.
                None => self.listener = Some(self.future.0.done.listen()),
            }
        }
    }
}

impl<T> Stage<T> {
    fn is_cancelled(&self) -> bool {
        matches!(self, Stage::Done(Outcome::Failed(Error::Cancelled(_))))
    }
}

fn taken() -> Error {
    InvalidStateError::new(
        "ConcurrentFuture.result: the value was already moved out; `shared` keeps it",
    )
    .into()
}

impl<T> fmt::Debug for ConcurrentFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.lock().stage {
            Stage::Pending => "pending",
            Stage::Running => "running",
            stage if stage.is_cancelled() => "cancelled",
            Stage::Done(_) => "finished",
        };
        write!(f, "<ConcurrentFuture {stage}>")
    }
}
