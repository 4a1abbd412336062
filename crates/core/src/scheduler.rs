//! [`Scheduler`]: the ready queue, timers, tasks and clock of one loop.
//!
//! One iteration is CPython's `_run_once`: the loop polls I/O and empties its inbox, then
//! [`move_due_timers`](Scheduler::move_due_timers), then [`run_ready`](Scheduler::run_ready) runs
//! exactly what was ready at that point. Everything here is plain memory of the loop's thread.

mod tasks;

use crate::{
    Error, Result,
    awaiting::Waits,
    cancel::Requests,
    caught::{caught, reported},
    cell::TaskCell,
    clock::{Clock, nanos},
    context::{Values, swap_values},
    event_loop::AbstractEventLoop,
    exception::{ExceptionContext, InSpan, Level, log},
    home::{LoopRef, Message},
    listeners::Parked,
    loop_local::LoopLocals,
    metrics::raise,
    ready::{Entry, Ready},
    registry::Registry,
    scopes::{Scopes, Within},
    slots::Key,
    source::Sources,
    task_ref::TaskRef,
    timers::{Action, Call, Callbacks},
    wait::{Wait, Waiter},
};
use std::{
    cell::{Cell, RefCell},
    fmt,
    mem::offset_of,
    panic::Location,
    ptr::NonNull,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// What a loop is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Open, and not running.
    Idle,
    /// In `run_forever`.
    Running,
    /// Closed, or about to be.
    Closed,
}

/// The exception handler of a loop.
pub(crate) type ExceptionHandler = Rc<dyn Fn(&ExceptionContext)>;

/// What one loop has to run, and when. Reached through [`LoopRef::with`] and
/// [`with_entered`](crate::home::with_entered) on the loop's own thread.
// In cache lines of its own: other threads read what stands beside it in its home.
#[repr(align(128))]
pub struct Scheduler {
    home: Cell<Option<LoopRef>>,
    state: Cell<State>,
    pub(crate) stopping: Cell<bool>,
    pub(crate) ready: RefCell<Ready>,
    pub(crate) callbacks: RefCell<Callbacks>,
    pub(crate) clock: RefCell<Clock>,
    tasks: RefCell<Registry>,
    /// The number of the next task.
    sequence: Cell<u64>,
    now: Now,
    pub(crate) scopes: Scopes,
    pub(crate) requests: Requests,
    pub(crate) sources: RefCell<Sources>,
    pub(crate) waits: RefCell<Waits>,
    pub(crate) locals: RefCell<LoopLocals>,
    /// Jobs, children and promises that will come back from outside of the loop.
    pub(crate) outstanding: Cell<usize>,
    pub(crate) exception_handler: RefCell<Option<ExceptionHandler>>,
    event_loop: RefCell<Option<Rc<dyn AbstractEventLoop>>>,
    pub(crate) fatal: RefCell<Option<Error>>,
    eager_tasks: Cell<bool>,
    pub(crate) debug: Cell<bool>,
    /// Whether tasks carry the spans in which they are made.
    pub(crate) task_spans: Cell<bool>,
    pub(crate) slow_callback_duration: Cell<Duration>,
    pub(crate) measures_steps: Cell<bool>,
    /// Whether each step is measured: in debug mode, or because that was asked for.
    pub(crate) is_timed: Cell<bool>,
}

/// What is being polled: each wait looks at both.
struct Now {
    task: Cell<Option<NonNull<TaskCell>>>,
    /// Where in that task.
    within: Cell<Within>,
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler")
            .field("loop", &self.home.get())
            .field("state", &self.state.get())
            .field("ready", &self.ready.borrow().len())
            .field("timers", &self.callbacks.borrow().timers())
            .field("tasks", &self.tasks.borrow().iter().count())
            .finish()
    }
}

/// The process-wide number of the next task, brought up to date when a loop closes.
static NEXT_TASK: AtomicU64 = AtomicU64::new(1);

/// Where things stand, for a look from outside.
impl Scheduler {
    /// The task that runs now.
    pub(crate) const CURRENT: usize = offset_of!(Scheduler, now) + offset_of!(Now, task);

    /// The table of tasks.
    pub(crate) fn place_of_tasks(&self) -> *const () {
        self.tasks.borrow().table().cast()
    }

    pub(crate) fn tasks_len(&self) -> usize {
        self.tasks.borrow().len()
    }
}

/// Life.
impl Scheduler {
    pub(crate) fn new() -> Scheduler {
        Scheduler {
            home: Cell::new(None),
            state: Cell::new(State::Closed),
            stopping: Cell::new(false),
            ready: RefCell::new(Ready::new()),
            callbacks: RefCell::new(Callbacks::new()),
            clock: RefCell::new(Clock::new(false)),
            tasks: RefCell::new(Registry::new()),
            sequence: Cell::new(1),
            now: Now { task: Cell::new(None), within: Cell::new(Within::ROOT) },
            scopes: Scopes::new(),
            requests: Requests::new(),
            sources: RefCell::new(Sources::new()),
            waits: RefCell::new(Waits::new()),
            locals: RefCell::new(LoopLocals::new()),
            outstanding: Cell::new(0),
            exception_handler: RefCell::new(None),
            event_loop: RefCell::new(None),
            fatal: RefCell::new(None),
            eager_tasks: Cell::new(false),
            debug: Cell::new(false),
            task_spans: Cell::new(true),
            slow_callback_duration: Cell::new(Duration::from_millis(100)),
            measures_steps: Cell::new(false),
            is_timed: Cell::new(false),
        }
    }

    pub(crate) fn open(&self, home: LoopRef, is_virtual: bool) {
        self.home.set(Some(home));
        self.clock.replace(Clock::new(is_virtual));
        self.sequence.set(NEXT_TASK.load(Ordering::Relaxed));
        self.stopping.set(false);
        self.outstanding.set(0);
        self.debug.set(false);
        self.task_spans.set(true);
        self.eager_tasks.set(false);
        self.measures_steps.set(false);
        self.is_timed.set(false);
        self.slow_callback_duration.set(Duration::from_millis(100));
        self.state.set(State::Idle);
    }

    /// Whether the loop may be closed now: while a step of a task is under way, its coroutine cannot
    /// be dropped.
    ///
    /// # Errors
    /// `Runtime` if the loop runs, or a step of one of its tasks does.
    pub fn check_may_close(&self) -> Result<()> {
        match self.state.get() {
            // What its closing drops may ask for it again, in a step even.
            State::Closed => Ok(()),
            State::Idle if self.now.task.get().is_none() => Ok(()),
            _ => Err(Error::runtime("Cannot close a running event loop")),
        }
    }

    /// Empties the loop and ends it: coroutines are dropped here, on the loop's own thread. Tasks
    /// that were not finished are reported, and end cancelled. Does nothing to a closed loop.
    ///
    /// What is dropped here may run any code. Nothing of the loop runs any more meanwhile, and
    /// nothing is taken in.
    ///
    /// # Errors
    /// Those of [`check_may_close`](Scheduler::check_may_close).
    pub fn close(&self) -> Result<()> {
        let Some(home) = self.home.get() else { return Ok(()) };
        self.check_may_close()?;
        if self.state.replace(State::Closed) == State::Closed {
            return Ok(());
        }
        let entered = home.entering();
        for task in self.all_tasks() {
            destroy(&task, home);
            drop_each([task], home);
        }
        // Every task has ended: what stands in the queue names none.
        self.ready.borrow_mut().clear();
        let callbacks = self.callbacks.borrow_mut().drain();
        let locals = self.locals.borrow_mut().drain();
        let mut sources = self.sources.replace(Sources::new());
        drop_each(callbacks, home);
        drop_each(locals, home);
        drop_each(sources.drain(), home);
        drop_each([sources], home);
        drop_each(self.take_waits(), home);
        drop_each(self.scopes.drain(), home);
        drop(self.exception_handler.take());
        drop(self.fatal.take());
        drop(self.event_loop.take());
        NEXT_TASK.fetch_max(self.sequence.get(), Ordering::Relaxed);
        drop(entered);
        self.home.set(None);
        home.vacate();
        Ok(())
    }

    /// Drops the coroutine of a task of this loop, and ends the task as cancelled; that is reported.
    ///
    /// # Errors
    /// `Runtime` while the loop runs, or a step of a task does, or if the task is of another loop.
    pub fn destroy(&self, task: &TaskRef) -> Result<()> {
        self.check_may_close()?;
        let home = self.check_open()?;
        if task.home() != home {
            return Err(Error::runtime("the task is of another loop"));
        }
        let entered = home.entering();
        destroy(task, home);
        drop(entered);
        // It may have stood there, or have been woken by what was dropped.
        self.ready.borrow_mut().remove_task(task.as_ptr());
        Ok(())
    }

    /// What the loop is doing.
    #[inline]
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// Says that the loop runs now, or no longer does.
    pub fn set_running(&self, running: bool) {
        if self.state.get() != State::Closed {
            self.state.set(if running { State::Running } else { State::Idle });
        }
    }

    /// The name of the loop.
    #[inline]
    pub fn home(&self) -> Option<LoopRef> {
        self.home.get()
    }

    /// # Errors
    /// `Runtime` if the loop is closed.
    #[inline]
    pub fn check_open(&self) -> Result<LoopRef> {
        match self.home.get() {
            Some(home) if self.state.get() != State::Closed => Ok(home),
            _ => Err(Error::runtime("Event loop is closed")),
        }
    }

    /// Ends the run at the end of the current iteration (`loop.stop`).
    pub fn stop(&self) {
        self.stopping.set(true);
    }

    /// Whether [`stop`](Scheduler::stop) was called since [`restart`](Scheduler::restart).
    pub fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Takes a stop back.
    pub fn restart(&self) {
        self.stopping.set(false);
    }

    /// Ends the run at once, with `error` (asyncio: `KeyboardInterrupt` out of a callback).
    pub fn abort_run(&self, error: Error) {
        self.fatal.borrow_mut().get_or_insert(error);
    }

    /// Takes the error that ends the run.
    pub fn take_fatal(&self) -> Option<Error> {
        self.fatal.borrow_mut().take()
    }

    /// What the loop offers beside scheduling.
    pub fn event_loop(&self) -> Option<Rc<dyn AbstractEventLoop>> {
        self.event_loop.borrow().clone()
    }

    /// Sets what [`event_loop`](Scheduler::event_loop) gives. Does nothing to a closed loop, whose
    /// place may become another thread's.
    pub fn set_event_loop(&self, event_loop: Rc<dyn AbstractEventLoop>) {
        if self.check_open().is_ok() {
            drop(self.event_loop.replace(Some(event_loop)));
        }
    }
}

/// Nothing runs; what is dropped may run any code.
fn destroy(task: &TaskRef, home: LoopRef) {
    let report = ExceptionContext::new("Task was destroyed but it is pending!");
    report.with_task(task.clone()).report(Some(home));
    TaskCell::discard(task);
}

/// Drops what is left, one by one: the program's own values are among it, and if two of them panicked
/// in one drop the process would be aborted.
fn drop_each<T>(left: impl IntoIterator<Item = T>, home: LoopRef) {
    for one in left {
        reported("Exception in the drop of a callback", Some(home), || drop(one));
    }
}

/// Callbacks.
impl Scheduler {
    /// A callback for the next iteration.
    pub fn call_soon(
        &self,
        callback: impl FnOnce() -> Result<()> + 'static,
        context: Values,
        location: &'static Location<'static>,
    ) -> Result<Parked> {
        let parked = self.park(callback, context, location)?;
        self.ready.borrow_mut().push_back(Entry::Callback(parked.key));
        Ok(parked)
    }

    /// A callback that is due at `when`, in loop time.
    pub fn call_at(
        &self,
        when: Duration,
        callback: impl FnOnce() -> Result<()> + 'static,
        context: Values,
        location: &'static Location<'static>,
    ) -> Result<Parked> {
        let home = self.check_open()?;
        let (when, closure) = (Some(nanos(when)), Box::new(callback));
        let key = self.callbacks.borrow_mut().park_call(when, closure, context, location);
        Ok(Parked { place: home.place(), key })
    }

    /// A callback that [`Parked::fire`] makes ready.
    pub fn park(
        &self,
        callback: impl FnOnce() -> Result<()> + 'static,
        context: Values,
        location: &'static Location<'static>,
    ) -> Result<Parked> {
        let home = self.check_open()?;
        let closure = Box::new(callback);
        let key = self.callbacks.borrow_mut().park_call(None, closure, context, location);
        Ok(Parked { place: home.place(), key })
    }

    /// A timer that ends a wait after `delay`, in nanoseconds: no allocation, if the wait is the first
    /// of a task. `None` if the loop is closed, or the wait is not armed.
    pub fn wake_after(
        &self,
        delay: u64,
        wait: &Wait,
        location: &'static Location<'static>,
    ) -> Option<Parked> {
        let place = self.check_open().ok()?.place();
        let when = Some(self.clock.borrow().now().saturating_add(delay));
        let mut callbacks = self.callbacks.borrow_mut();
        let key = match wait.first_in(place) {
            Some((task, number)) => callbacks.park(when, Action::Resume { task, number }),
            None => {
                let wake = waking(wait.waiter()?);
                callbacks.park_call(when, wake, Values::default(), location)
            }
        };
        Some(Parked { place, key })
    }

    /// A callback at `when` by which what is inside of a scope is cancelled. No allocation. One that
    /// lies in the past takes effect in the next iteration.
    pub(crate) fn expire_at(&self, when: Duration, scope: Key) -> Key {
        let when = Some(nanos(when)).filter(|when| *when > self.clock.borrow().passed());
        let key = self.callbacks.borrow_mut().park(when, Action::Expire(scope));
        if when.is_none() {
            self.ready.borrow_mut().push_back(Entry::Callback(key));
        }
        key
    }

    /// Puts another sleeper in the place of the one that a timer wakes; if the timer has fired, it is
    /// woken at once.
    pub(crate) fn replace_waiter(
        &self,
        timer: Key,
        waiter: Waiter,
        location: &'static Location<'static>,
    ) {
        if !self.callbacks.borrow().contains(timer) {
            waiter.wake_now();
            return;
        }
        let mut callbacks = self.callbacks.borrow_mut();
        let call = callbacks.call(waking(waiter), Values::default(), location);
        let previous = callbacks.replace(timer, Action::Call(call));
        drop(callbacks);
        if let Some(action) = previous {
            self.drop_call(action);
        }
    }

    pub(crate) fn fire(&self, key: Key) {
        if self.callbacks.borrow().contains(key) {
            self.ready.borrow_mut().push_back(Entry::Callback(key));
        }
    }

    pub(crate) fn cancel(&self, key: Key) -> bool {
        let taken = self.callbacks.borrow_mut().take(key);
        taken.map(|action| self.drop_call(action)).is_some()
    }

    /// Drops what a callback would have called, if it has not run.
    fn drop_call(&self, action: Action) {
        if let Action::Call(call) = action {
            drop(self.take_call(call));
        }
    }

    /// Taken out first and dropped by the caller: what a callback holds may come back here.
    fn take_call(&self, call: Key) -> Option<Call> {
        self.callbacks.borrow_mut().take_call(call)
    }

    pub(crate) fn push(&self, entry: Entry) {
        self.ready.borrow_mut().push_back(entry);
    }

    /// Appends a task to the ready queue.
    #[inline]
    pub(crate) fn push_task(&self, task: NonNull<TaskCell>) {
        self.ready.borrow_mut().push_back(Entry::Task(task));
    }

    /// Opens what another thread sent.
    pub fn deliver(&self, message: Message) {
        match message {
            Message::Task(task) => task.wake(),
            Message::Fire(key) => self.fire(key),
            Message::Quiet(quiet) => quiet(),
            Message::Call(call) => {
                let _ = self.call_soon(call, Values::default(), Location::caller());
            }
        }
    }
}

/// What the timer of a sleep calls that is not the first wait of a task.
fn waking(waiter: Waiter) -> Box<dyn FnOnce() -> Result<()>> {
    Box::new(move || {
        waiter.wake_now();
        Ok(())
    })
}

/// The turn.
impl Scheduler {
    /// Whether anything is ready to run.
    pub fn has_ready(&self) -> bool {
        !self.ready.borrow().is_empty()
    }

    /// Runs what is ready now, and nothing that becomes ready meanwhile. Tells how much that was.
    /// Nothing of a loop that is being closed runs.
    pub fn run_ready(&self) -> usize {
        if self.state.get() == State::Closed {
            // The queue may name tasks that are gone.
            return 0;
        }
        let count = self.ready.borrow().len();
        let left = Cell::new(count);
        // A step catches the panics of what it calls. What else may panic is the drop of a value that
        // nothing needs any more, such as that of a context variable.
        while left.get() > 0 {
            let message = "Exception in the drop of a value";
            reported(message, self.home.get(), || self.run_so_many(&left));
        }
        count
    }

    fn run_so_many(&self, left: &Cell<usize>) {
        while left.get() > 0 {
            left.set(left.get() - 1);
            let entry = self.ready.borrow_mut().pop_front();
            let started = self.is_timed.get().then(Instant::now);
            let ran = match entry {
                Some(Entry::Task(task)) => {
                    // SAFETY: as said at `Entry::Task`.
                    let kept = started.map(|_| TaskRef::of(unsafe { task.as_ref() }));
                    // SAFETY: as said there.
                    unsafe { TaskCell::run(task) }
                    Ran::Task(kept)
                }
                Some(Entry::Callback(key)) => Ran::Callback(self.run_callback(key)),
                Some(Entry::Source(key)) => Ran::Callback(self.run_handler(key)),
                None => return left.set(0),
            };
            if let Some(started) = started {
                self.timed(started.elapsed(), &ran);
            }
            if self.fatal.borrow().is_some() {
                left.set(0);
            }
        }
    }

    fn run_callback(&self, key: Key) -> Option<&'static Location<'static>> {
        let action = self.callbacks.borrow_mut().take(key)?;
        let Call { closure, context, location } = match action {
            Action::Call(call) => self.take_call(call)?,
            Action::Resume { task, number } => {
                if let Some(task) = self.tasks.borrow().get(task) {
                    task.wake_first_wait(number);
                }
                return None;
            }
            Action::Expire(scope) => {
                self.expire(scope);
                return None;
            }
        };
        let outer = swap_values(context);
        let result = caught(closure).unwrap_or_else(Err);
        let context = swap_values(outer);
        match result {
            Ok(()) => {}
            Err(error @ Error::KeyboardInterrupt(_)) => self.abort_run(error),
            Err(error) => ExceptionContext::new("Exception in callback")
                .with_exception(error)
                .with_origin(location)
                .in_values(context)
                .report(self.home.get()),
        }
        Some(location)
    }

    fn timed(&self, took: Duration, ran: &Ran) {
        if let Some(counters) = self.home.get().map(LoopRef::counters) {
            raise(&counters.longest_step, nanos(took));
        }
        if self.debug.get() && took >= self.slow_callback_duration.get() {
            let span = match ran {
                Ran::Task(Some(task)) => task.span(),
                _ => None,
            };
            let _entered = InSpan::enter(span);
            let seconds = took.as_secs_f64();
            log(Level::Warning, &format!("Executing {ran} took {seconds:.3} seconds"));
        }
    }
}

/// What has run, in debug mode.
enum Ran {
    Task(Option<TaskRef>),
    Callback(Option<&'static Location<'static>>),
}

/// As asyncio shows a handle: a task with where it waits now, and where it was made.
impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ran::Task(Some(task)) => {
                write!(f, "{task:?}")?;
                if let Some(site) = task.wait_site() {
                    write!(f, " waiting for {site}")?;
                }
                write!(f, " created at {}", task.spawned_at())
            }
            Ran::Callback(Some(location)) => write!(f, "<Handle created at {location}>"),
            Ran::Task(None) | Ran::Callback(None) => f.write_str("<Handle>"),
        }
    }
}
