//! Tasks of a loop, and running until one is done.

use super::EventLoop;
use asyncio_core::{
    Error, Result,
    raw::{Scheduler, State},
};
use asyncio_future::{Future, Take};
use asyncio_task::{
    AnyTask, FutureLike, Task, TaskBuilder, ensure_future_with, generator::shutdown_asyncgens,
};
use std::{
    any::Any,
    fmt,
    future::{Future as StdFuture, IntoFuture},
    panic::Location,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

/// The way in which a loop creates tasks, if it is not the default one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskFactory {
    /// The first step of a task runs inside `create_task`, so that a task that need not wait costs
    /// no iteration.
    Eager,
}

/// The task factory that starts tasks eagerly (`asyncio.eager_task_factory`).
///
/// ```
/// let event_loop = asyncio::new_event_loop()?;
/// event_loop.set_task_factory(asyncio::eager_task_factory);
/// let done = event_loop.run_until_complete(async {
///     Ok(asyncio::create_task(async { Ok(()) }).done())
/// })?;
/// assert!(done);
/// event_loop.close()?;
/// # Ok::<(), asyncio::Error>(())
/// ```
#[doc(alias = "asyncio.eager_task_factory")]
#[allow(non_upper_case_globals)] // Its name in Python.
pub const eager_task_factory: TaskFactory = TaskFactory::Eager;

/// Tasks.
impl EventLoop {
    /// Runs `coroutine` as a task of this loop (`loop.create_task`). Its first step runs in the next
    /// iteration, even if the loop is not running yet. For keyword arguments, use
    /// [`create_task_with`](EventLoop::create_task_with).
    ///
    /// If the loop is closed, the coroutine is dropped, and the task has ended with the error
    /// `Event loop is closed`.
    #[doc(alias = "loop.create_task")]
    #[track_caller]
    pub fn create_task<F, T>(&self, coroutine: F) -> Task<T>
    where
        F: IntoFuture<Output = Result<T>>,
        F::IntoFuture: 'static,
        T: 'static,
    {
        self.create(TaskBuilder::default().location(Location::caller()), coroutine)
    }

    /// Creates a task with keyword arguments: see [`create_task`](EventLoop::create_task).
    ///
    /// ```
    /// use asyncio::Task;
    /// let event_loop = asyncio::new_event_loop()?;
    /// let task = event_loop.create_task_with(Task::builder().name("answer"), async { Ok(42) });
    /// assert_eq!(&*task.name(), "answer");
    /// assert_eq!(event_loop.run_until_complete(task)?, 42);
    /// event_loop.close()?;
    /// # Ok::<(), asyncio::Error>(())
    /// ```
    pub fn create_task_with<F, T>(&self, arguments: TaskBuilder, coroutine: F) -> Task<T>
    where
        F: IntoFuture<Output = Result<T>>,
        F::IntoFuture: 'static,
        T: 'static,
    {
        self.create(arguments, coroutine)
    }

    fn create<F, T>(&self, task: TaskBuilder, coroutine: F) -> Task<T>
    where
        F: IntoFuture<Output = Result<T>>,
        F::IntoFuture: 'static,
        T: 'static,
    {
        match self.with(|_| ()) {
            Ok(()) => self.home().enter(|| task.create(coroutine)),
            Err(closed) => task.failed(closed),
        }
    }

    /// Sets how tasks are created (`loop.set_task_factory`); `None` is the usual way. It does not
    /// affect tasks that set `eager_start` themselves.
    #[doc(alias = "loop.set_task_factory")]
    pub fn set_task_factory(&self, factory: impl Into<Option<TaskFactory>>) {
        let is_eager = factory.into() == Some(TaskFactory::Eager);
        self.home().with(|scheduler| scheduler.tasks.set_eager(is_eager));
    }

    /// Returns the task factory that was set (`loop.get_task_factory`).
    #[doc(alias = "loop.get_task_factory")]
    pub fn get_task_factory(&self) -> Option<TaskFactory> {
        let is_eager = self.home().with(|scheduler| scheduler.tasks.are_eager());
        is_eager?.then_some(TaskFactory::Eager)
    }

    /// Returns the unfinished tasks of this loop, in the order of creation
    /// (`asyncio.all_tasks(loop)`).
    pub fn all_tasks(&self) -> Vec<AnyTask> {
        let tasks = self.home().with(|scheduler| scheduler.tasks.all());
        tasks.unwrap_or_default().into_iter().map(AnyTask::new).collect()
    }

    /// Runs until `main` is done, and returns its result (`loop.run_until_complete`). A coroutine
    /// becomes a task; a task or future is awaited as it is.
    ///
    /// The loop learns that `main` is done in the iteration after the one in which `main` ended,
    /// and runs that iteration to its end.
    ///
    /// # Errors
    /// The error of `main`; the errors of [`run_forever`](EventLoop::run_forever); `Runtime` if the
    /// loop was stopped before `main` was done; `Value` if `main` is an unfinished task of another
    /// loop.
    ///
    /// ```
    /// let event_loop = asyncio::new_event_loop()?;
    /// assert_eq!(event_loop.run_until_complete(async { Ok(42) })?, 42);
    /// event_loop.close()?;
    /// # Ok::<(), asyncio::Error>(())
    /// ```
    #[doc(alias = "loop.run_until_complete")]
    #[track_caller]
    pub fn run_until_complete<F, T>(&self, main: F) -> Result<T>
    where
        F: IntoFuture<Output = Result<T>>,
        F::IntoFuture: 'static,
        T: 'static,
    {
        self.check_may_run()?;
        let main = self.home().enter(|| main.into_future());
        let any = &main as &dyn Any;
        let taken = || any.downcast_ref::<Take<T>>().map(Take::future);
        let known = any.downcast_ref::<Future<T>>().or_else(taken).cloned();
        if let Some(future) = known {
            self.run_until_done(&future)?;
            return read(main);
        }
        let is_new = !any.is::<Task<T>>();
        let arguments = TaskBuilder::default().location(Location::caller());
        let task = self.home().enter(|| ensure_future_with(arguments, main));
        if task.home() != self.home() {
            return match task.done() {
                true => read(task),
                false => Err(Error::value("The task belongs to a different event loop")),
            };
        }
        let outcome = self.run_until_done(&task);
        if is_new && !task.done() {
            // The error says enough.
            let _ = self.with(|scheduler| scheduler.tasks.forgive(task.task_ref()));
        }
        outcome?;
        read(task)
    }

    /// Closes the asynchronous generators that were started on this loop
    /// (`loop.shutdown_asyncgens`).
    ///
    /// # Cancellation
    /// Generators that were not closed yet are dropped with the loop.
    #[doc(alias = "loop.shutdown_asyncgens")]
    pub fn shutdown_asyncgens(&self) -> ShutdownAsyncgens {
        ShutdownAsyncgens(Box::pin(shutdown_asyncgens(self.home())))
    }

    /// Checks that [`run_forever`](EventLoop::run_forever) may run.
    pub(super) fn check_may_run(&self) -> Result<()> {
        let state = self.with(Scheduler::state)?;
        if state == State::Closed || self.0.closing.get() {
            return Err(Error::runtime("Event loop is closed"));
        }
        if state == State::Running {
            return Err(Error::runtime("This event loop is already running"));
        }
        if crate::events::is_any_running() {
            return Err(Error::runtime("Cannot run the event loop while another loop is running"));
        }
        Ok(())
    }

    fn run_until_done(&self, main: &impl FutureLike) -> Result<()> {
        let home = self.home();
        let stop = move || _ = home.with(|scheduler| scheduler.run.stop());
        let callback = home.enter(|| main.on_done(stop))?;
        let outcome = self.run_forever();
        main.remove_done_callback(&callback);
        // Even if it is already ready: it must not stop the next run.
        callback.callback().cancel();
        match outcome {
            Err(error) => {
                if main.done() && !main.cancelled() {
                    // The error that ended the run takes precedence over the error of `main`.
                    let _ = main.exception();
                }
                Err(error)
            }
            Ok(()) if main.done() => Ok(()),
            Ok(()) => Err(Error::runtime("Event loop stopped before Future completed.")),
        }
    }
}

/// The future of [`EventLoop::shutdown_asyncgens`].
///
/// # Cancellation
/// Generators that were not closed yet are dropped with the loop.
#[must_use = "futures do nothing unless they are awaited"]
pub struct ShutdownAsyncgens(Pin<Box<dyn StdFuture<Output = Result<()>>>>);

impl StdFuture for ShutdownAsyncgens {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ShutdownAsyncgens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<ShutdownAsyncgens>")
    }
}

/// Reads the result of a future that is done.
fn read<T>(future: impl StdFuture<Output = Result<T>>) -> Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(Error::runtime("Event loop stopped before Future completed.")),
    }
}
