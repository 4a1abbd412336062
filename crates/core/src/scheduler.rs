//! [`Scheduler`]: the ready queue, timers and tasks of one loop.
//!
//! Its data is divided into parts, each with the methods that concern it alone: [`ReadyQueue`], [`Timers`]
//! (with the callbacks and the clock), [`Tasks`], the scopes, [`Sources`], the values of loop-locals, [`Reports`] and
//! [`Run`]. Operations on several parts are methods of the scheduler: opening and closing are in this file,
//! callbacks in `scheduler/callbacks.rs`, one iteration in `scheduler/turn.rs`. Everything is plain memory of
//! the loop's thread.

mod callbacks;
pub(crate) mod clock;
pub(crate) mod outstanding;
pub(crate) mod ready;
mod reports;
mod run;
mod tasks;
pub(crate) mod timers;
mod turn;

use crate::{
    Error, Result,
    cancel::{requests::Requests, scopes::Scopes},
    event_loop::AbstractEventLoop,
    exception::{ExceptionContext, reported},
    home::LoopRef,
    scheduler::{clock::Timers, ready::ReadyQueue},
    slots::Slots,
    source::Sources,
    task::{cell::TaskCell, reference::TaskRef},
    wait::awaiting::Waits,
};
pub use reports::Reports;
pub use run::Run;
use std::{
    any::Any,
    cell::{Cell, RefCell},
    fmt,
    mem::offset_of,
    rc::Rc,
};
pub use tasks::Tasks;

/// The state of a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Open, and not running.
    Idle,
    /// In `run_forever`.
    Running,
    /// Closed, or about to be.
    Closed,
}

/// The ready queue, timers and tasks of one loop. Reached through [`LoopRef::with`] and
/// [`with_entered`](crate::home::with_entered) on the loop's own thread.
// In separate cache lines, because other threads read the data beside it in its home.
#[repr(align(128))]
pub struct Scheduler {
    home: Cell<Option<LoopRef>>,
    state: Cell<State>,
    event_loop: RefCell<Option<Rc<dyn AbstractEventLoop>>>,
    /// The stop and abort requests of the current run, and its outstanding results.
    pub run: Run,
    pub(crate) ready: ReadyQueue,
    /// Callbacks, timers and the clock.
    pub timers: Timers,
    /// The unfinished tasks, and the current one.
    pub tasks: Tasks,
    pub(crate) scopes: Scopes,
    pub(crate) requests: Requests,
    pub(crate) sources: RefCell<Sources>,
    pub(crate) waits: RefCell<Waits>,
    /// The values of [`LoopLocal`](crate::raw::LoopLocal)s.
    pub(crate) locals: RefCell<Slots<Rc<dyn Any>>>,
    /// The exception handler, and debug mode.
    pub reports: Reports,
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler")
            .field("loop", &self.home.get())
            .field("state", &self.state.get())
            .field("ready", &self.ready.len())
            .field("timers", &self.timers.len())
            .field("tasks", &self.tasks.len())
            .finish()
    }
}

/// Offsets for readers outside the process.
impl Scheduler {
    /// The current task.
    pub(crate) const CURRENT: usize = offset_of!(Scheduler, tasks) + Tasks::CURRENT;
}

/// Opening and closing.
impl Scheduler {
    pub(crate) fn new() -> Scheduler {
        Scheduler {
            home: Cell::new(None),
            state: Cell::new(State::Closed),
            event_loop: RefCell::new(None),
            run: Run::new(),
            ready: ReadyQueue::new(),
            timers: Timers::new(),
            tasks: Tasks::new(),
            scopes: Scopes::new(),
            requests: Requests::new(),
            sources: RefCell::new(Sources::new()),
            waits: RefCell::new(Waits::new()),
            locals: RefCell::new(Slots::new()),
            reports: Reports::new(),
        }
    }

    pub(crate) fn open(&self, home: LoopRef, is_virtual: bool) {
        self.home.set(Some(home));
        self.run.open();
        self.timers.open(is_virtual);
        self.tasks.open();
        self.reports.open();
        self.state.set(State::Idle);
    }

    /// Checks that the loop may be closed now: while a step of a task runs, its coroutine cannot be
    /// dropped.
    ///
    /// # Errors
    /// `Runtime` if the loop runs, or a step of one of its tasks does.
    pub fn check_may_close(&self) -> Result<()> {
        match self.state.get() {
            // A value that is dropped by the closing may call this again, even in a step.
            State::Closed => Ok(()),
            State::Idle if self.running_cell().is_none() => Ok(()),
            _ => Err(Error::runtime("Cannot close a running event loop")),
        }
    }

    /// Closes the loop. Coroutines are dropped here, on the loop's own thread. Unfinished tasks are
    /// reported, and end cancelled. Does nothing to a closed loop.
    ///
    /// The destructors may run any code. Meanwhile no step of the loop runs, and the loop accepts
    /// nothing new.
    ///
    /// # Errors
    /// Those of [`check_may_close`](Scheduler::check_may_close).
    pub fn close(&self) -> Result<()> {
        let Some(home) = self.home.get() else { return Ok(()) };
        self.check_may_close()?;
        // Messages in transit are received here, so that they are dropped on this thread.
        home.remote().close(&mut |message| self.deliver(message));
        if self.state.replace(State::Closed) == State::Closed {
            return Ok(());
        }
        let entered = home.entering();
        for task in self.tasks.all() {
            self.discard(&task, home);
            drop_each([task], home);
        }
        // Every task has ended, so no entry of the queue names one.
        self.ready.clear();
        let callbacks = self.timers.callbacks().drain();
        let locals = self.locals.borrow_mut().drain();
        let waits = self.waits.borrow_mut().drain();
        let mut sources = self.sources.replace(Sources::new());
        drop_each(callbacks, home);
        drop_each(locals, home);
        drop_each(sources.drain(), home);
        drop_each([sources], home);
        drop_each(waits, home);
        drop_each(self.scopes.drain(), home);
        drop(self.reports.take_handler());
        drop(self.run.take_fatal());
        drop(self.event_loop.take());
        self.tasks.close();
        drop(entered);
        self.home.set(None);
        home.vacate();
        Ok(())
    }

    /// Drops the coroutine of a task of this loop, ends the task as cancelled, and reports it.
    ///
    /// # Errors
    /// `Runtime` while the loop or a step of a task runs, or if the task belongs to another loop.
    pub fn destroy(&self, task: &TaskRef) -> Result<()> {
        self.check_may_close()?;
        let home = self.check_open()?;
        if task.home() != home {
            return Err(Error::runtime("the task belongs to another loop"));
        }
        let entered = home.entering();
        self.discard(task, home);
        drop(entered);
        // It may have been there already, or have been woken by a destructor.
        self.ready.remove_task(task.as_ptr());
        Ok(())
    }

    /// No step runs; the destructors may run any code.
    fn discard(&self, task: &TaskRef, home: LoopRef) {
        if !self.tasks.is_forgiven(task) {
            let report = ExceptionContext::new("Task was destroyed but it is pending!");
            report.with_task(task.clone()).report(Some(home));
        }
        TaskCell::discard(task);
    }

    /// Returns what the loop is doing.
    #[inline]
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// Sets whether the loop is running.
    pub fn set_running(&self, running: bool) {
        if self.state.get() != State::Closed {
            self.state.set(if running { State::Running } else { State::Idle });
        }
    }

    /// Returns the reference to the loop.
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

    /// Returns the event loop object: everything that the loop offers besides scheduling.
    pub fn event_loop(&self) -> Option<Rc<dyn AbstractEventLoop>> {
        self.event_loop.borrow().clone()
    }

    /// Sets the value of [`event_loop`](Scheduler::event_loop). Does nothing to a closed loop,
    /// because its home may be reused by another thread.
    pub fn set_event_loop(&self, event_loop: Rc<dyn AbstractEventLoop>) {
        if self.check_open().is_ok() {
            drop(self.event_loop.replace(Some(event_loop)));
        }
    }
}

/// Drops the remaining values one by one. They include values of the program, and if two of them
/// panicked in one drop, the process would be aborted.
fn drop_each<T>(left: impl IntoIterator<Item = T>, home: LoopRef) {
    for one in left {
        reported("Exception in the drop of a callback", Some(home), || drop(one));
    }
}
