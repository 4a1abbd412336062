//! [`run`] and [`Runner`]: a program from its first step to its last.

mod shutdown;
mod surroundings;
#[cfg(test)]
mod tests;

use crate::{
    EventLoop, events,
    events::set_event_loop,
    signals::{Interrupted, Interruption, SIGTERM, Signals},
    watchdog::{self, Watchdog},
};
use asyncio_core::{
    Error, KeyboardInterrupt, Result,
    context::{Context, Values, current_values, with_values},
    limit::ToTimeout,
    log::{Level, log},
};
use asyncio_task::{AnyTask, TaskBuilder};
use std::{
    cell::Cell, fmt, future::IntoFuture, panic::Location, rc::Rc, sync::Arc, time::Duration,
};
pub use surroundings::{Entered, Surroundings};

/// The longest time that the end of a [`Runner`] waits for threads of the default executor
/// (asyncio's `THREAD_JOIN_TIMEOUT`).
pub const THREAD_JOIN_TIMEOUT: Duration = Duration::from_secs(300);

/// Runs a program (`asyncio.run`): creates a loop, runs `main` on it, and ends everything as
/// [`Runner::close`] does.
///
/// The result is that of `main`. The first Ctrl-C cancels `main` (see [`Runner`]).
///
/// # Errors
/// The error of `main`; `KeyboardInterrupt` if Ctrl-C ended it; `Runtime` if a loop runs in this
/// thread.
///
/// ```
/// use std::time::Duration;
/// let answer = asyncio::run(async {
///     asyncio::sleep(Duration::from_millis(1)).await?;
///     Ok(42)
/// })?;
/// assert_eq!(answer, 42);
/// # Ok::<(), asyncio::Error>(())
/// ```
#[doc(alias = "asyncio.run")]
#[track_caller]
pub fn run<F, T>(main: F) -> Result<T>
where
    F: IntoFuture<Output = Result<T>>,
    F::IntoFuture: 'static,
    T: 'static,
{
    let location = Location::caller();
    if events::is_any_running() {
        let message = "asyncio.run() cannot be called from a running event loop";
        return Err(Error::runtime(message));
    }
    let mut runner = Runner::new();
    let outcome = runner.run_task(TaskBuilder::default().location(location), None, main);
    end(runner, outcome)
}

/// Runs programs on one loop, one after another (`asyncio.Runner`).
///
/// The loop is created when it is first needed, and closed by [`close`](Runner::close), at the end
/// of [`with`](Runner::with), or when the runner is dropped. All runs share one context, so a
/// context variable that is set in one run is visible in the next.
///
/// # Ctrl-C
/// If a run is called from the main thread of a program that does not handle `SIGINT` itself, the first
/// Ctrl-C cancels the main task: its await returns `Err(Cancelled)`, and it can clean up. If it then
/// ends with that error, the run returns `Error::KeyboardInterrupt`. A second Ctrl-C ends the process,
/// as usual. (The system ignores the signal for the first process of a container, so that process exits
/// with status 130.) While the program has a handler for `SIGINT`, the handler is called instead.
///
/// ```
/// use asyncio::Runner;
/// let (a, b) = Runner::new().with(|runner| {
///     Ok((runner.run(async { Ok(1) })?, runner.run(async { Ok(2) })?))
/// })?;
/// assert_eq!((a, b), (1, 2));
/// # Ok::<(), asyncio::Error>(())
/// ```
#[doc(alias = "asyncio.Runner")]
#[must_use]
pub struct Runner {
    state: State,
    debug: Option<bool>,
    virtual_time: bool,
    shutdown_timeout: Option<Duration>,
    poll_every_iteration: bool,
    task_spans: bool,
    handle_sigterm: bool,
    dump_on: Option<i32>,
    watchdog: Option<Duration>,
    loop_factory: Option<LoopFactory>,
    surroundings: Option<surroundings::Factory>,
}

type LoopFactory = Box<dyn FnOnce() -> Result<EventLoop>>;

enum State {
    Created,
    Open {
        event_loop: EventLoop,
        /// The context variables that one run passes to the next.
        values: Values,
        /// Whether the loop became the current loop of the thread.
        is_current: bool,
    },
    Closed,
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Created => f.write_str("<Runner created>"),
            State::Open { event_loop, .. } => write!(f, "<Runner of {event_loop:?}>"),
            State::Closed => f.write_str("<Runner closed>"),
        }
    }
}

impl Default for Runner {
    fn default() -> Runner {
        Runner::new()
    }
}

impl Runner {
    /// Creates a runner that has no loop yet.
    pub fn new() -> Runner {
        Runner {
            state: State::Created,
            debug: None,
            virtual_time: false,
            shutdown_timeout: None,
            poll_every_iteration: false,
            task_spans: true,
            handle_sigterm: false,
            dump_on: None,
            watchdog: None,
            loop_factory: None,
            surroundings: None,
        }
    }

    /// Sets whether the loop is in debug mode. Without this call, the default of
    /// [`EventLoopBuilder::debug`] applies.
    ///
    /// [`EventLoopBuilder::debug`]: crate::EventLoopBuilder::debug
    #[doc(alias = "PYTHONASYNCIODEBUG")]
    pub fn debug(mut self, on: bool) -> Runner {
        self.debug = Some(on);
        self
    }

    /// Sets whether time is virtual: see [`EventLoopBuilder::virtual_time`]. It has no effect on a
    /// loop factory.
    ///
    /// [`EventLoopBuilder::virtual_time`]: crate::EventLoopBuilder::virtual_time
    pub fn virtual_time(mut self, on: bool) -> Runner {
        self.virtual_time = on;
        self
    }

    /// Sets how long the end of a run waits for the tasks that it has cancelled. With `None`, the
    /// default, it waits forever, as in CPython. After five seconds, a warning names these tasks and
    /// what each waits for.
    ///
    /// Tasks that are left after that time are cancelled once more, and may clean up without waiting.
    /// Tasks that still remain are dropped, and reported as "Task was destroyed but it is pending!".
    ///
    /// ```
    /// use std::time::Duration;
    /// let runner = asyncio::Runner::new().virtual_time(true);
    /// runner.shutdown_timeout(Duration::from_secs(1)).with(|runner| {
    ///     runner.run(async {
    ///         drop(asyncio::create_task(async {
    ///             // Swallows every cancellation.
    ///             loop {
    ///                 let _: asyncio::Result<()> = asyncio::Future::new().await;
    ///             }
    ///             # #[allow(unreachable_code)]
    ///             Ok(())
    ///         }));
    ///         asyncio::sleep(Duration::ZERO).await
    ///     })
    /// })?;
    /// # Ok::<(), asyncio::Error>(())
    /// ```
    pub fn shutdown_timeout(mut self, timeout: impl ToTimeout) -> Runner {
        self.shutdown_timeout = timeout.to_timeout();
        self
    }

    /// Sets whether the loop polls for I/O in every iteration: see
    /// [`EventLoopBuilder::poll_every_iteration`]. It has no effect on a loop factory.
    ///
    /// [`EventLoopBuilder::poll_every_iteration`]: crate::EventLoopBuilder::poll_every_iteration
    pub fn poll_every_iteration(mut self, on: bool) -> Runner {
        self.poll_every_iteration = on;
        self
    }

    /// Sets whether tasks carry the spans of `tracing` in which they are created: see
    /// [`EventLoopBuilder::task_spans`]. It has no effect on a loop factory.
    ///
    /// [`EventLoopBuilder::task_spans`]: crate::EventLoopBuilder::task_spans
    pub fn task_spans(mut self, on: bool) -> Runner {
        self.task_spans = on;
        self
    }

    /// Sets whether `SIGTERM` ends a run as Ctrl-C does. The first signal cancels the main task, which may
    /// clean up. If the task then ends with that error, the run returns `Error::KeyboardInterrupt`, with the
    /// message `SIGTERM`. A second signal has its usual effect. If the loop has a handler for `SIGTERM`, the
    /// handler is called instead. asyncio has no counterpart.
    ///
    /// ```
    /// use asyncio::{Error, Runner};
    /// let outcome = Runner::new().handle_sigterm(true).with(|runner| {
    ///     runner.run(async {
    ///         # fn kill(signal: i32) { unsafe extern "C" { safe fn raise(signal: i32) -> i32; } raise(signal); }
    ///         kill(asyncio::signals::SIGTERM);
    ///         let outcome = asyncio::sleep(std::time::Duration::from_secs(3600)).await;
    ///         println!("cleaning up");
    ///         outcome
    ///     })
    /// });
    /// assert!(matches!(outcome, Err(Error::KeyboardInterrupt(_))));
    /// ```
    pub fn handle_sigterm(mut self, on: bool) -> Runner {
        self.handle_sigterm = on;
        self
    }

    /// Logs the call graphs of all tasks whenever `signal` arrives, for a program that hangs: where each task
    /// waits, and which tasks await it ([`EventLoop::format_call_graphs`]). The program continues. asyncio has
    /// no counterpart; Python's `faulthandler.register` prints the stacks of threads.
    ///
    /// A loop that is blocked in a step cannot do this: see [`watchdog`](Runner::watchdog).
    ///
    /// ```
    /// use asyncio::{Runner, signals::SIGUSR1};
    /// Runner::new().dump_on(SIGUSR1).with(|runner| {
    ///     runner.run(async {
    ///         # fn kill(signal: i32) { unsafe extern "C" { safe fn raise(signal: i32) -> i32; } raise(signal); }
    ///         kill(SIGUSR1);
    ///         asyncio::sleep(std::time::Duration::from_millis(1)).await
    ///     })
    /// })?;
    /// # Ok::<(), asyncio::Error>(())
    /// ```
    #[doc(alias = "faulthandler")]
    pub fn dump_on(mut self, signal: i32) -> Runner {
        self.dump_on = Some(signal);
        self
    }

    /// Logs a step that takes longer than `limit` while it still blocks the loop: the task, where it was
    /// created, and what it last waited for. With the feature `backtrace`, on Linux with glibc, the log also
    /// shows the stack of the thread. In debug mode, the default limit is one second. asyncio has no
    /// counterpart: it reports a slow step only when the step is over.
    ///
    /// A thread checks the loop twice within the limit, and interrupts the loop's thread by `SIGURG` only if a
    /// step is late. A system call that is not restarted after a signal then fails with `EINTR`. If the
    /// program handles `SIGURG` itself, only the fact that the loop is blocked is logged.
    ///
    /// ```
    /// use std::{thread, time::Duration};
    /// asyncio::Runner::new().watchdog(Duration::from_millis(10)).with(|runner| {
    ///     // a step of Task-1 has not come back for 0.010 s: the task was created at …
    ///     runner.run(async { Ok(thread::sleep(Duration::from_millis(30))) })
    /// })?;
    /// # Ok::<(), asyncio::Error>(())
    /// ```
    pub fn watchdog(mut self, limit: Duration) -> Runner {
        self.watchdog = Some(limit);
        self
    }

    /// Sets the function that creates the loop. Unlike the default loop, this loop does not become
    /// the current loop of the thread.
    pub fn loop_factory(mut self, factory: impl FnOnce() -> Result<EventLoop> + 'static) -> Runner {
        self.loop_factory = Some(Box::new(factory));
        self
    }

    /// Sets the surroundings of the runs, of the end of the runner, and of the jobs of
    /// [`to_thread`](asyncio_task::to_thread) and [`run_in_executor`](EventLoop::run_in_executor). `make` is
    /// called when the loop is created. This is for crates that put the context of another runtime around a
    /// program, as asyncio-tokio does.
    ///
    /// ```
    /// use asyncio::{Entered, Runner, Surroundings};
    /// use std::sync::{Arc, atomic::{AtomicU32, Ordering}};
    ///
    /// struct Counted(Arc<AtomicU32>);
    /// impl Surroundings for Counted {
    ///     fn enter(&self) -> Entered<'_> {
    ///         self.0.fetch_add(1, Ordering::Relaxed);
    ///         Entered::new(()) // Here it would be a guard.
    ///     }
    /// }
    ///
    /// let entered = Arc::new(AtomicU32::new(0));
    /// let counted = Counted(entered.clone());
    /// Runner::new().surroundings(|| Ok(counted)).with(|runner| {
    ///     runner.run(async { asyncio::to_thread(|| println!("a job")).await })
    /// })?;
    /// assert_eq!(entered.load(Ordering::Relaxed), 3); // The run, the job, and the end.
    /// # Ok::<(), asyncio::Error>(())
    /// ```
    pub fn surroundings<S: Surroundings + 'static>(
        mut self,
        make: impl FnOnce() -> Result<S> + 'static,
    ) -> Runner {
        self.surroundings = Some(Box::new(|| Ok(Arc::new(make()?))));
        self
    }

    /// Creates the loop, if there is none yet.
    fn open(&mut self) -> Result<(&EventLoop, &mut Values)> {
        if let State::Created = self.state {
            let is_current = self.loop_factory.is_none();
            let event_loop = match self.loop_factory.take() {
                Some(factory) => factory()?,
                None => EventLoop::builder()
                    .virtual_time(self.virtual_time)
                    .poll_every_iteration(self.poll_every_iteration)
                    .task_spans(self.task_spans)
                    .build()?,
            };
            if let Some(make) = self.surroundings.take() {
                event_loop.set_surroundings(make()?);
            }
            if is_current {
                set_event_loop(event_loop.clone());
            }
            if let Some(debug) = self.debug {
                event_loop.set_debug(debug);
            }
            if let Some(signal) = self.dump_on {
                event_loop.dump_on(signal)?;
            }
            self.state = State::Open { event_loop, values: current_values(), is_current };
        }
        match &mut self.state {
            State::Open { event_loop, values, .. } => Ok((event_loop, values)),
            _ => Err(Error::runtime("Runner is closed")),
        }
    }

    /// Returns the loop, and creates it if there is none yet (`Runner.get_loop`).
    ///
    /// # Errors
    /// `Runtime` if the runner is closed; the system's error if the loop cannot be created.
    #[doc(alias = "asyncio.Runner.get_loop")]
    pub fn get_loop(&mut self) -> Result<EventLoop> {
        self.open().map(|(event_loop, _)| event_loop.clone())
    }

    /// Runs `main` as a task until it is done (`Runner.run`).
    ///
    /// # Errors
    /// The error of `main`; `KeyboardInterrupt` if Ctrl-C ended it, which says where `main` was and
    /// what it awaited; `Runtime` if a loop runs in this thread, or if the runner is closed.
    #[doc(alias = "asyncio.Runner.run")]
    #[track_caller]
    pub fn run<F, T>(&mut self, main: F) -> Result<T>
    where
        F: IntoFuture<Output = Result<T>>,
        F::IntoFuture: 'static,
        T: 'static,
    {
        self.run_task(TaskBuilder::default().location(Location::caller()), None, main)
    }

    /// Runs `main` in `context` instead of the runner's context: see [`run`](Runner::run).
    ///
    /// # Errors
    /// The errors of [`run`](Runner::run).
    #[track_caller]
    pub fn run_in<F, T>(&mut self, context: &Context, main: F) -> Result<T>
    where
        F: IntoFuture<Output = Result<T>>,
        F::IntoFuture: 'static,
        T: 'static,
    {
        let task = TaskBuilder::default().location(Location::caller());
        self.run_task(task, Some(context.clone()), main)
    }

    fn run_task<F, T>(&mut self, task: TaskBuilder, context: Option<Context>, main: F) -> Result<T>
    where
        F: IntoFuture<Output = Result<T>>,
        F::IntoFuture: 'static,
        T: 'static,
    {
        if events::is_any_running() {
            let message = "Runner.run() cannot be called from a running event loop";
            return Err(Error::runtime(message));
        }
        let (handle_sigterm, limit) = (self.handle_sigterm, self.watchdog);
        let (event_loop, values) = self.open()?;
        let surroundings = event_loop.surroundings();
        let _entered = surroundings.as_deref().map(Surroundings::enter);
        let in_debug_mode = event_loop.get_debug()
            && !event_loop.with(|scheduler| scheduler.timers.is_virtual())?;
        let limit = limit.or_else(|| in_debug_mode.then_some(watchdog::IN_DEBUG_MODE));
        let is_own = context.is_some();
        // A task with its own variables enters and leaves its steps faster than one that shares a
        // context. The variables are therefore moved into the main task, and back when it is done.
        let main = match context {
            Some(context) => event_loop.create_task_with(task.context(context), main),
            None => with_values(values.clone(), || event_loop.create_task_with(task, main)),
        };
        let task: AnyTask = (*main).clone();
        let interruption = event_loop.signals().interruptible(task.task_ref().clone());
        let termination = match handle_sigterm {
            true => Termination::begin(event_loop, &task)?,
            false => None,
        };
        let watchdog = limit.map(|limit| Watchdog::begin(event_loop, limit)).transpose()?;
        let outcome = event_loop.run_until_complete(main);
        drop(watchdog);
        let is_terminated = termination.is_some_and(|termination| termination.came.get());
        let interrupted = interruption.as_ref().map_or(Interrupted::No, Interruption::outcome);
        let interrupt = interruption.as_ref().map(Interruption::error).unwrap_or_default();
        drop(interruption);
        if let (false, Some(context)) = (is_own, task.get_context()) {
            *values = context.values();
        }
        match (outcome, interrupted) {
            (Err(Error::Cancelled(error)), Interrupted::Cancelled) if task.uncancel() == 0 => {
                Err(Error::from(interrupt).with_context(Error::Cancelled(error)))
            }
            (Err(Error::Cancelled(error)), _) if is_terminated && task.uncancel() == 0 => {
                let terminated = Error::from(KeyboardInterrupt::new("SIGTERM"));
                Err(terminated.with_context(Error::Cancelled(error)))
            }
            (_, Interrupted::TooLate) => Err(KeyboardInterrupt::default().into()),
            (outcome, _) => outcome,
        }
    }

    /// Calls `body` with the runner, and closes it (`with Runner() as runner`).
    ///
    /// # Errors
    /// The error of `body`, or else that of [`close`](Runner::close).
    #[doc(alias("__enter__", "__exit__"))]
    pub fn with<R>(mut self, body: impl FnOnce(&mut Runner) -> Result<R>) -> Result<R> {
        let outcome = body(&mut self);
        end(self, outcome)
    }

    /// Ends everything (`Runner.close`). It cancels the tasks that are left, in the order of their creation and each
    /// once, even if others await it, and waits for them. It passes their errors to the exception handler, closes
    /// asynchronous generators, waits up to [`THREAD_JOIN_TIMEOUT`] for the threads of the default executor, and closes
    /// the loop. A second call does nothing.
    ///
    /// # Errors
    /// The error that ended one of these waits early, such as `Deadlock`. The loop is closed in any
    /// case.
    #[doc(alias = "asyncio.Runner.close")]
    pub fn close(&mut self) -> Result<()> {
        let State::Open { event_loop, is_current, .. } =
            std::mem::replace(&mut self.state, State::Closed)
        else {
            return Ok(());
        };
        let surroundings = event_loop.surroundings();
        let _entered = surroundings.as_deref().map(Surroundings::enter);
        let ctrl_c = Signals::at_the_end();
        let outcome = shut_down(&event_loop, self.shutdown_timeout);
        drop(ctrl_c);
        if is_current {
            set_event_loop(None);
        }
        let closed = event_loop.close();
        outcome.and(closed)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            log(Level::Error, &format!("closing a Runner failed: {error:?}"));
        }
    }
}

/// Handles `SIGTERM` for the main task of a run, until it is dropped.
struct Termination<'a> {
    event_loop: &'a EventLoop,
    came: Rc<Cell<bool>>,
}

impl Termination<'_> {
    /// Makes the first `SIGTERM` cancel `task`. Returns `None` if the loop has a handler for it.
    fn begin<'a>(event_loop: &'a EventLoop, task: &AnyTask) -> Result<Option<Termination<'a>>> {
        if event_loop.signals().handles(SIGTERM) {
            return Ok(None);
        }
        let came = Rc::new(Cell::new(false));
        let (flag, task, home) = (came.clone(), task.clone(), event_loop.clone());
        event_loop.add_signal_handler(SIGTERM, move || {
            flag.set(true);
            task.cancel();
            home.remove_signal_handler(SIGTERM).map(drop)
        })?;
        Ok(Some(Termination { event_loop, came }))
    }
}

impl Drop for Termination<'_> {
    fn drop(&mut self) {
        // A handler that is present after the signal arrived is the program's.
        if !self.came.get() {
            let _ = self.event_loop.remove_signal_handler(SIGTERM);
        }
    }
}

/// Closes the runner. As at the end of a `with` block, an error of closing takes precedence.
fn end<R>(mut runner: Runner, outcome: Result<R>) -> Result<R> {
    match (runner.close(), outcome) {
        (Ok(()), outcome) => outcome,
        (Err(closing), Ok(_)) => Err(closing),
        (Err(closing), Err(error)) => Err(closing.with_context(error)),
    }
}

fn shut_down(event_loop: &EventLoop, limit: Option<Duration>) -> Result<()> {
    shutdown::cancel_all_tasks(event_loop, limit)?;
    event_loop.run_until_complete(event_loop.shutdown_asyncgens())?;
    event_loop.run_until_complete(event_loop.shutdown_default_executor(THREAD_JOIN_TIMEOUT))
}
