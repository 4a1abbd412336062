//! Work in other threads.

use super::EventLoop;
use crate::{
    executor::{ThreadPoolExecutor, ToExecutor},
    runners::Surroundings,
};
use asyncio_core::{
    AsyncContextManager, Error, Result,
    event_loop::{Job, work_for},
    limit::ToTimeout,
    log::{Level, log},
    raw::{LoopRef, Message, Outstanding, Scheduler},
};
use asyncio_future::{Future, Take, wrap_future};
use std::{
    cell::{Cell, RefCell},
    fmt,
    future::Future as StdFuture,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// The default executor of a loop, created when it is first needed.
#[derive(Debug, Default)]
pub(super) struct DefaultExecutor {
    executor: RefCell<Option<ThreadPoolExecutor>>,
    shutdown_called: Cell<bool>,
    /// The number of its jobs that wait for coroutines of the loop. It is briefly negative if the
    /// message that a wait has ended overtakes the message that it has started.
    waiting_jobs: Cell<isize>,
    /// The number of those waits that have a limit, and therefore end by themselves in real time.
    waiting_with_limit: Cell<isize>,
    /// The number of tasks that wait for the executor to end.
    joining: Cell<isize>,
}

impl DefaultExecutor {
    fn get(&self) -> Result<ThreadPoolExecutor> {
        if self.shutdown_called.get() {
            return Err(Error::runtime("Executor shutdown has been called"));
        }
        let mut executor = self.executor.borrow_mut();
        Ok(executor.get_or_insert_with(ThreadPoolExecutor::of_loop).clone())
    }

    /// Whether a job waits for a coroutine of the loop with a limit.
    pub(super) fn is_waited_for_with_limit(&self) -> bool {
        self.waiting_with_limit.get() > 0
    }

    /// The number of tasks that wait for the executor to end and stop the virtual clock. It is zero
    /// while a job waits for the loop, because the executor cannot end before that job.
    fn holding_up(&self) -> isize {
        if self.waiting_jobs.get() > 0 { 0 } else { self.joining.get() }
    }

    /// Changes one of the two numbers, and adjusts the loop's count of outstanding work.
    fn count(&self, scheduler: &Scheduler, number: &Cell<isize>, change: isize) {
        let before = self.holding_up();
        number.set(number.get() + change);
        let after = self.holding_up();
        (before..after).for_each(|_| scheduler.run.add_outstanding());
        (after..before).for_each(|_| scheduler.run.sub_outstanding());
    }

    /// Ends it without waiting, because the loop is closed.
    pub(super) fn close(&self) {
        self.shutdown_called.set(true);
        if let Some(executor) = self.executor.take() {
            executor.shutdown(false);
        }
    }
}

/// A task that waits for the executor to end.
struct Joining(LoopRef);

impl Joining {
    fn begin(home: LoopRef) -> Joining {
        Joining::count(home, 1);
        Joining(home)
    }

    fn count(home: LoopRef, change: isize) {
        let Some(event_loop) = EventLoop::find(home) else { return };
        let executor = &event_loop.0.executor;
        home.with(|scheduler| executor.count(scheduler, &executor.joining, change));
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        let home = self.0;
        // By a message, as in `Outstanding`.
        let _ = home.send(Message::Quiet(Box::new(move || Joining::count(home, -1))));
    }
}

/// Threads.
impl EventLoop {
    /// [`AbstractEventLoop::job_waits`](asyncio_core::event_loop::AbstractEventLoop::job_waits).
    pub(super) fn job_waits(&self, waits: bool, has_limit: bool) {
        self.home().with(|scheduler| {
            match waits {
                true => scheduler.run.sub_outstanding(),
                false => scheduler.run.add_outstanding(),
            }
            let executor = &self.0.executor;
            let change = if waits { 1 } else { -1 };
            executor.count(scheduler, &executor.waiting_jobs, change);
            if has_limit {
                executor.waiting_with_limit.set(executor.waiting_with_limit.get() + change);
            }
        });
    }

    /// Runs `job` in a thread of `executor`, or of the default executor, and returns a future of its result
    /// (`loop.run_in_executor`). Awaiting the future moves the result out; for several awaiters, use its
    /// [`into_inner`](Take::into_inner). The job does not see the caller's context variables; use
    /// [`to_thread`](asyncio_task::to_thread) for that. While the job runs, a virtual clock stands still.
    ///
    /// # Errors
    /// `Runtime` if the loop is closed, or after a shutdown of the executor; the system's error if
    /// it cannot start a thread. The future fails with `Panic` if the job panics.
    ///
    /// # Cancellation
    /// Cancelling the future prevents a job that has not started. A job that has started continues,
    /// and its result is dropped.
    ///
    /// ```
    /// let event_loop = asyncio::new_event_loop()?;
    /// let this = event_loop.clone();
    /// let sum = event_loop.run_until_complete(async move {
    ///     this.run_in_executor(None, || (1..=100).sum::<u32>())?.await
    /// })?;
    /// assert_eq!(sum, 5050);
    /// event_loop.close()?;
    /// # Ok::<(), asyncio::Error>(())
    /// ```
    #[doc(alias = "loop.run_in_executor")]
    #[track_caller]
    pub fn run_in_executor<T: Send + 'static>(
        &self,
        executor: impl ToExecutor,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Take<T>> {
        self.with(|_| ())?;
        let executor = match executor.to_executor() {
            Some(executor) => executor,
            None => self.0.executor.get()?,
        };
        let outstanding = Outstanding::begin(self.home());
        let (home, surroundings) = (self.home(), self.surroundings());
        let source = executor.submit(move || {
            let _entered = surroundings.as_deref().map(Surroundings::enter);
            work_for(home, job)
        })?;
        self.0.meter.submitted();
        let future = home.enter(|| wrap_future(source.clone()))?;
        source.add_done_callback(move |_| drop(outstanding));
        Ok(future)
    }

    /// Sets the executor that [`run_in_executor`](EventLoop::run_in_executor) uses if none is given
    /// (`loop.set_default_executor`).
    #[doc(alias = "loop.set_default_executor")]
    pub fn set_default_executor(&self, executor: ThreadPoolExecutor) {
        let previous = self.0.executor.executor.replace(Some(executor));
        drop(previous);
    }

    /// Stops the default executor from taking jobs, and waits for its current jobs
    /// (`loop.shutdown_default_executor`). After `timeout`, if there is one, it logs a warning, and
    /// no longer waits for the threads. From the call of this function on, `run_in_executor(None,
    /// …)` fails with `Executor shutdown has been called`.
    ///
    /// # Cancellation
    /// The executor stays shut down, and its threads end when their jobs do.
    #[doc(alias = "loop.shutdown_default_executor")]
    pub fn shutdown_default_executor(&self, timeout: impl ToTimeout) -> ShutdownDefaultExecutor {
        self.0.executor.shutdown_called.set(true);
        let executor = self.0.executor.executor.borrow().clone();
        let timeout = timeout.to_timeout();
        ShutdownDefaultExecutor(match executor {
            Some(executor) => Box::pin(shutdown(self.home(), executor, timeout)),
            None => Box::pin(async { Ok(()) }),
        })
    }

    /// [`AbstractEventLoop::submit`](asyncio_core::event_loop::AbstractEventLoop::submit).
    pub(super) fn submit(&self, job: Job) -> Result<()> {
        self.with(|_| ())?;
        let executor = self.0.executor.get()?;
        let (outstanding, surroundings) = (Outstanding::begin(self.home()), self.surroundings());
        executor.execute(move || {
            let outstanding = outstanding;
            let _entered = surroundings.as_deref().map(Surroundings::enter);
            work_for(outstanding.home(), job);
        })?;
        self.0.meter.submitted();
        Ok(())
    }
}

/// The future of [`EventLoop::shutdown_default_executor`].
///
/// # Cancellation
/// The executor stays shut down, and its threads end when their jobs do.
#[must_use = "futures do nothing unless they are awaited"]
pub struct ShutdownDefaultExecutor(Pin<Box<dyn StdFuture<Output = Result<()>>>>);

impl fmt::Debug for ShutdownDefaultExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShutdownDefaultExecutor")
    }
}

impl StdFuture for ShutdownDefaultExecutor {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.as_mut().poll(cx)
    }
}

async fn shutdown(
    home: LoopRef,
    executor: ThreadPoolExecutor,
    timeout: Option<Duration>,
) -> Result<()> {
    home.check_awaited_here("shutdown_default_executor")?;
    let joined = Future::new();
    let (setter, joining) = (joined.clone(), Joining::begin(home));
    // The last thread of the executor reports its end. An extra thread that joins the others is not
    // needed, and might fail to start.
    executor.shutdown_then(Box::new(move || {
        let tell = move || {
            // Nothing waits any more if this took too long, or if the loop is closed.
            let _ = setter.set_result(());
            Ok(())
        };
        let _ = home.send(Message::Call(Box::new(tell)));
        drop(joining);
    }));
    let outcome = asyncio_task::timeout(timeout).with(async |_| joined.clone().await).await;
    if let (Some(timeout), Err(Error::Timeout(_))) = (timeout, &outcome) {
        let seconds = timeout.as_secs_f64();
        let message =
            format!("The executor did not finishing joining its threads within {seconds} seconds.");
        log(Level::Warning, &message);
        return Ok(());
    }
    if outcome.is_ok() {
        // The threads are about to exit. Joining them here ensures that they are gone when the loop
        // is closed.
        executor.shutdown(true);
    }
    outcome
}
