//! [`Scheduler`]: what one loop has to run, and when.
//!
//! Its data stand in parts, each with the methods that concern it alone: [`ReadyQueue`], [`Timers`] (with the
//! callbacks and the clock), [`Tasks`], the scopes, [`Sources`], [`LoopLocals`], [`Reports`] and [`Run`]. What
//! concerns several of them is a method of the scheduler: opening and closing here, callbacks in
//! `scheduler/callbacks.rs`, one iteration in `scheduler/turn.rs`. Everything is plain memory of the loop's
//! thread.

mod callbacks;
mod reports;
mod run;
mod tasks;
mod turn;

use crate::{
    Error, Result,
    awaiting::Waits,
    cancel::Requests,
    cell::TaskCell,
    clock::Timers,
    event_loop::AbstractEventLoop,
    exception::{ExceptionContext, reported},
    home::LoopRef,
    loop_local::LoopLocals,
    ready::ReadyQueue,
    scopes::Scopes,
    source::Sources,
    task_ref::TaskRef,
};
pub use reports::Reports;
pub use run::Run;
use std::{
    cell::{Cell, RefCell},
    fmt,
    mem::offset_of,
    rc::Rc,
};
pub use tasks::Tasks;

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

/// What one loop has to run, and when. Reached through [`LoopRef::with`] and
/// [`with_entered`](crate::home::with_entered) on the loop's own thread.
// In cache lines of its own: other threads read what stands beside it in its home.
#[repr(align(128))]
pub struct Scheduler {
    home: Cell<Option<LoopRef>>,
    state: Cell<State>,
    event_loop: RefCell<Option<Rc<dyn AbstractEventLoop>>>,
    /// What ends the current run, and what may still come to it.
    pub run: Run,
    pub(crate) ready: ReadyQueue,
    /// Callbacks, timers and the clock.
    pub timers: Timers,
    /// The tasks that have not ended, and the one that runs.
    pub tasks: Tasks,
    pub(crate) scopes: Scopes,
    pub(crate) requests: Requests,
    pub(crate) sources: RefCell<Sources>,
    pub(crate) waits: RefCell<Waits>,
    pub(crate) locals: RefCell<LoopLocals>,
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

/// Where things stand, for a look from outside.
impl Scheduler {
    /// The task that runs now.
    pub(crate) const CURRENT: usize = offset_of!(Scheduler, tasks) + Tasks::CURRENT;
}

/// Life.
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
            locals: RefCell::new(LoopLocals::new()),
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
            // What its closing drops may ask for it again, in a step even.
            State::Closed => Ok(()),
            State::Idle if self.running_cell().is_none() => Ok(()),
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
        // What is on its way arrives, so that it is dropped on this thread.
        home.remote().close(&mut |message| self.deliver(message));
        if self.state.replace(State::Closed) == State::Closed {
            return Ok(());
        }
        let entered = home.entering();
        for task in self.tasks.all() {
            destroy(&task, home);
            drop_each([task], home);
        }
        // Every task has ended: what stands in the queue names none.
        self.ready.clear();
        let callbacks = self.timers.callbacks().drain();
        let locals = self.locals.borrow_mut().drain();
        let mut sources = self.sources.replace(Sources::new());
        drop_each(callbacks, home);
        drop_each(locals, home);
        drop_each(sources.drain(), home);
        drop_each([sources], home);
        drop_each(self.take_waits(), home);
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
        self.ready.remove_task(task.as_ptr());
        Ok(())
    }

    /// Returns what the loop is doing.
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

    /// Returns what the loop offers beside scheduling.
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
