//! [`EventLoop`]: its life, from `new_event_loop` to `close`.

mod builder;
mod coarse;
mod errors;
mod graph;
mod scheduling;
mod tasks;
mod threads;
mod turn;

pub(crate) use graph::format_await_chain;
pub(crate) use turn::{deadlock, waits};

#[cfg(test)]
mod tests;

pub use builder::EventLoopBuilder;
pub use errors::ExceptionHandler;
pub use scheduling::Calls;
pub use tasks::{ShutdownAsyncgens, TaskFactory, eager_task_factory};
pub use threads::ShutdownDefaultExecutor;

use crate::{
    events,
    inbox::Bell,
    log,
    metrics::Meter,
    runners::Surroundings,
    selector::{Notifier, Selector},
    signals::{LoopInbox, Signals},
};
use asyncio_core::{
    Error, LoopHandle, Result,
    event_loop::{AbstractEventLoop, Job},
    log::{Level, log},
    raw::{LoopRef, Scheduler, State},
};
use coarse::CoarseClock;
use graph::Looks;
use std::{
    any::Any,
    cell::{Cell, RefCell},
    fmt,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};
use threads::DefaultExecutor;
use turn::Pace;

/// A FIFO event loop (asyncio's `SelectorEventLoop`, which is its `EventLoop` on Unix).
///
/// Clones are handles to the same loop. They stay on the thread that created the loop; other
/// threads can use its [`handle`](EventLoop::handle). Most programs need none of this: they call
/// [`run`](crate::run).
///
/// If the last handle is dropped and the loop was not closed, the loop logs this and is closed.
///
/// asyncio's debug mode detects calls from another thread. Here, they do not compile:
///
/// ```compile_fail,E0277
/// let event_loop = asyncio::new_event_loop().unwrap();
/// std::thread::spawn(move || event_loop.call_soon(|| ()));
/// ```
///
/// ```
/// let event_loop = asyncio::new_event_loop()?;
/// let stop = event_loop.clone();
/// event_loop.call_soon(move || stop.stop())?;
/// event_loop.run_forever()?;
/// event_loop.close()?;
/// # Ok::<(), asyncio::Error>(())
/// ```
#[derive(Clone)]
#[doc(alias("AbstractEventLoop", "BaseEventLoop", "BaseSelectorEventLoop", "SelectorEventLoop"))]
pub struct EventLoop(pub(crate) Rc<Inner>);

pub(crate) struct Inner {
    home: LoopRef,
    inbox: &'static LoopInbox,
    /// Taken out when the loop is closed.
    selector: RefCell<Option<Rc<Selector>>>,
    pace: Pace,
    meter: Meter,
    coarse: CoarseClock,
    executor: DefaultExecutor,
    signals: Signals,
    exception_handler: RefCell<Option<ExceptionHandler>>,
    /// The surroundings of its jobs in other threads.
    surroundings: RefCell<Option<Arc<dyn Surroundings>>>,
    /// The time at which the loop was closed.
    closed_at: Cell<Duration>,
    /// Whether `close` is in progress.
    closing: Cell<bool>,
    looks: Looks,
}

impl Bell for Arc<Notifier> {
    fn ring(&self) {
        self.notify();
    }
}

/// The access to the loop, through the scheduler, for crates that do not know [`EventLoop`].
struct WeakEventLoop(Weak<Inner>);

impl AbstractEventLoop for WeakEventLoop {
    fn submit(&self, job: Job) -> Result<()> {
        match self.0.upgrade() {
            Some(inner) => EventLoop(inner).submit(job),
            None => Err(Error::runtime("Event loop is closed")),
        }
    }

    fn job_waits(&self, waits: bool, has_limit: bool) {
        if let Some(inner) = self.0.upgrade() {
            EventLoop(inner).job_waits(waits, has_limit);
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl fmt::Debug for WeakEventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.upgrade() {
            Some(inner) => EventLoop(inner).fmt(f),
            None => f.write_str("<EventLoop closed=true>"),
        }
    }
}

/// `<EventLoop running=false closed=false debug=false>`
impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (running, closed, debug) = (self.is_running(), self.is_closed(), self.get_debug());
        write!(f, "<EventLoop running={running} closed={closed} debug={debug}>")
    }
}

/// Life.
impl EventLoop {
    /// Returns a builder for a loop with settings other than those of
    /// [`new_event_loop`](crate::new_event_loop).
    pub fn builder() -> EventLoopBuilder {
        EventLoopBuilder::default()
    }

    fn open(
        is_virtual: bool,
        debug: bool,
        poll_every_iteration: bool,
        task_spans: bool,
    ) -> Result<EventLoop> {
        log::install();
        let selector = Selector::new()?;
        let home = LoopRef::open(is_virtual, || Box::new(LoopInbox::new()));
        let Some(inbox) = home.remote().as_any().downcast_ref::<LoopInbox>() else {
            return Err(Error::runtime(
                "new_event_loop: another kind of loop exists in this process",
            ));
        };
        inbox.open(home.id(), selector.notifier());
        let this = EventLoop(Rc::new(Inner {
            home,
            inbox,
            selector: RefCell::new(Some(Rc::new(selector))),
            pace: Pace::new(poll_every_iteration),
            meter: Meter::new(home),
            coarse: CoarseClock::new(),
            executor: DefaultExecutor::default(),
            signals: Signals::new(inbox),
            exception_handler: RefCell::new(None),
            surroundings: RefCell::new(None),
            closed_at: Cell::new(Duration::ZERO),
            closing: Cell::new(false),
            looks: Looks::default(),
        }));
        this.with(|scheduler| {
            if let Some(selector) = &*this.0.selector.borrow() {
                selector.attach(scheduler);
            }
            scheduler.reports.set_debug(debug);
            scheduler.reports.set_task_spans(task_spans);
            scheduler.set_wakes_in_step(poll_every_iteration);
            scheduler.set_event_loop(Rc::new(WeakEventLoop(Rc::downgrade(&this.0))));
        })?;
        Ok(this)
    }

    /// Returns the loop of this name, if it is open and this is its thread.
    pub(crate) fn find(home: LoopRef) -> Option<EventLoop> {
        let this = home.with(Scheduler::event_loop)??;
        this.as_any().downcast_ref::<WeakEventLoop>()?.0.upgrade().map(EventLoop)
    }

    /// Calls `f` with the loop's data.
    ///
    /// # Errors
    /// `Runtime` if the loop is closed.
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&Scheduler) -> R) -> Result<R> {
        self.0.home.with(f).ok_or_else(|| Error::runtime("Event loop is closed"))
    }

    pub(crate) fn signals(&self) -> &Signals {
        &self.0.signals
    }

    pub(crate) fn surroundings(&self) -> Option<Arc<dyn Surroundings>> {
        self.0.surroundings.borrow().clone()
    }

    pub(crate) fn set_surroundings(&self, surroundings: Arc<dyn Surroundings>) {
        self.0.surroundings.replace(Some(surroundings));
    }

    /// The selector, while the loop is open.
    pub(crate) fn selector(&self) -> Option<Rc<Selector>> {
        self.0.selector.borrow().clone()
    }

    /// Returns the loop. For the sibling crates.
    #[doc(hidden)]
    pub fn home(&self) -> LoopRef {
        self.0.home
    }

    /// Returns a handle to the loop for other threads.
    pub fn handle(&self) -> LoopHandle {
        self.0.home.into()
    }

    /// Runs until [`stop`](EventLoop::stop) is called (`loop.run_forever`).
    ///
    /// # Errors
    /// `Runtime` if the loop is closed or already running, or if another loop runs in this thread;
    /// `KeyboardInterrupt` if a callback or task ended with it; under the virtual clock, `Deadlock`
    /// if nothing is left that could wake a task; the system's error if waiting fails.
    #[doc(alias = "loop.run_forever")]
    pub fn run_forever(&self) -> Result<()> {
        self.check_may_run()?;
        self.with(|scheduler| {
            self.0.home.enter(|| {
                let _run = Run::begin(self, scheduler);
                loop {
                    self.run_once(scheduler)?;
                    if let Some(error) = scheduler.run.take_fatal() {
                        return Err(error);
                    }
                    if scheduler.run.is_stopping() {
                        return Ok(());
                    }
                }
            })
        })?
    }

    /// Ends the run at the end of the current iteration (`loop.stop`): steps that are already ready
    /// still run, and steps that those make ready wait for the next run. Before a run, it limits
    /// the run to one iteration. On a closed loop, it does nothing.
    #[doc(alias = "loop.stop")]
    pub fn stop(&self) {
        self.0.home.with(|scheduler| scheduler.run.stop());
    }

    /// Returns whether the loop is running (`loop.is_running`).
    #[doc(alias = "loop.is_running")]
    pub fn is_running(&self) -> bool {
        self.0.home.with(Scheduler::state) == Some(State::Running)
    }

    /// Returns whether the loop is closed (`loop.is_closed`).
    #[doc(alias = "loop.is_closed")]
    pub fn is_closed(&self) -> bool {
        !self.0.home.is_local()
    }

    /// Closes the loop (`loop.close`): no ready or waiting step will run, and unfinished tasks are
    /// dropped here. From now on, every operation of the loop fails with `Event loop is closed`. A
    /// second call does nothing, and neither does a call from a value that is dropped here.
    ///
    /// # Errors
    /// `Runtime` if the loop runs.
    #[doc(alias = "loop.close")]
    pub fn close(&self) -> Result<()> {
        self.0.home.with(|scheduler| self.close_with(scheduler)).unwrap_or(Ok(()))
    }

    fn close_with(&self, scheduler: &Scheduler) -> Result<()> {
        scheduler.check_may_close()?;
        let Some(_closing) = Closing::begin(&self.0.closing) else { return Ok(()) };
        self.0.closed_at.set(scheduler.timers.time());
        self.0.executor.close();
        self.0.signals.close();
        scheduler.close()?;
        drop(self.0.exception_handler.take());
        drop(self.0.surroundings.take());
        drop(self.0.selector.take());
        Ok(())
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        if Rc::strong_count(&self.0) == 1 && !self.is_closed() {
            log(Level::Warning, &format!("unclosed event loop {self:?}"));
            // It cannot be running: a run holds a handle.
            let _ = self.close();
        }
    }
}

/// While this lives, the loop is being closed: code that runs meanwhile can neither run the loop nor
/// close it.
struct Closing<'a>(&'a Cell<bool>);

impl<'a> Closing<'a> {
    fn begin(closing: &'a Cell<bool>) -> Option<Closing<'a>> {
        if closing.replace(true) { None } else { Some(Closing(closing)) }
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// A run; dropping it ends the run.
struct Run<'a> {
    this: &'a EventLoop,
    scheduler: &'a Scheduler,
}

impl<'a> Run<'a> {
    fn begin(this: &'a EventLoop, scheduler: &'a Scheduler) -> Run<'a> {
        events::set_running(Some(this.home()));
        scheduler.set_running(true);
        this.0.pace.hurry();
        this.0.meter.run();
        Run { this, scheduler }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.this.0.meter.ran_out(self.scheduler);
        self.scheduler.run.restart();
        self.scheduler.set_running(false);
        events::set_running(None);
    }
}
