//! Signals: `add_signal_handler`, and Ctrl-C for [`Runner`](crate::Runner).
//!
//! The handler that the system calls, in whatever thread it interrupts, marks the signal in the
//! inbox of every loop that wants it, and rings that loop's bell if the loop is waiting: a few
//! atomic operations, and at most one write per loop. Everything else happens on the loops' own
//! threads.
//!
//! A signal goes to *every* loop that has a handler for it. When the last handler is removed, the
//! disposition from before the first one is restored exactly.

mod receive;
mod system;
#[cfg(test)]
mod tests;

use crate::{EventLoop, base_events::format_await_chain, inbox::Inbox, selector::Notifier};
use asyncio_core::{
    CancelledError, KeyboardInterrupt, Result,
    context::Context,
    handle::CallbackOutput,
    log::{Level, log},
    raw::{Scheduler, TaskRef},
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    panic::Location,
    rc::Rc,
    sync::Arc,
};

pub use numbers::*;
pub use receive::{NextSignal, SignalReceiver, receive_signals};
use system::numbers;

/// The inbox of a loop of ours.
pub(crate) type LoopInbox = Inbox<Arc<Notifier>>;

/// The handlers of one loop.
#[derive(Debug)]
pub(crate) struct Signals {
    inbox: &'static LoopInbox,
    handlers: RefCell<BTreeMap<i32, Rc<Handler>>>,
    /// The task that Ctrl-C cancels, unless there is a handler for it.
    main: RefCell<Option<Interruptible>>,
    /// The signals that print call graphs, and wake nothing.
    dumps: Cell<u64>,
}

struct Handler {
    callback: RefCell<Box<dyn FnMut() -> Result<()>>>,
    context: Context,
    location: &'static Location<'static>,
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Handle created at {}>", self.location)
    }
}

impl Handler {
    fn call_soon(self: &Rc<Self>, scheduler: &Scheduler) -> Result<()> {
        let this = self.clone();
        let call = move || match this.callback.try_borrow_mut() {
            Ok(mut callback) => this.context.run(&mut **callback)?,
            // It is already running, around a loop in its own callback: once is enough.
            Err(_) => Ok(()),
        };
        scheduler.call_soon(call, self.context.values(), self.location).map(drop)
    }
}

/// Signals. Handlers may be set on any loop, in any thread; each signal goes to every loop that has
/// a handler for it.
impl EventLoop {
    /// Runs `callback` as a step of the loop whenever `signal` arrives, in a copy of the current
    /// context (`loop.add_signal_handler`). An earlier callback is replaced. Signals that arrive
    /// while the loop does not run, or several times before it looks, count once.
    ///
    /// The numbers are in [`signals`](crate::signals).
    ///
    /// # Errors
    /// `Value` if there is no such signal; `Runtime` if it cannot be caught (`SIGKILL`, `SIGSTOP`), if
    /// it reports a fault in the running code (`SIGSEGV`, `SIGBUS`, `SIGFPE`, `SIGILL`), or if the loop
    /// is closed.
    ///
    /// ```
    /// use asyncio::signals::SIGUSR1;
    /// let event_loop = asyncio::new_event_loop()?;
    /// let this = event_loop.clone();
    /// event_loop.add_signal_handler(SIGUSR1, move || this.stop())?;
    /// # fn kill(signal: i32) { unsafe extern "C" { safe fn raise(signal: i32) -> i32; } raise(signal); }
    /// kill(SIGUSR1);
    /// event_loop.run_forever()?;
    /// assert!(event_loop.remove_signal_handler(SIGUSR1)?);
    /// event_loop.close()?;
    /// # Ok::<(), asyncio::Error>(())
    /// ```
    #[doc(alias = "loop.add_signal_handler")]
    #[track_caller]
    pub fn add_signal_handler<R: CallbackOutput>(
        &self,
        signal: i32,
        mut callback: impl FnMut() -> R + 'static,
    ) -> Result<()> {
        self.with(|_| ())?;
        let handler = Handler {
            callback: RefCell::new(Box::new(move || callback().into_result())),
            context: Context::current(),
            location: Location::caller(),
        };
        self.signals().add(signal, Rc::new(handler))
    }

    /// Removes the callback of `signal` (`loop.remove_signal_handler`); returns false if there was
    /// none. If no other loop handles the signal, the previous disposition of the process is
    /// restored.
    ///
    /// # Errors
    /// `Value` if there is no such signal.
    #[doc(alias = "loop.remove_signal_handler")]
    pub fn remove_signal_handler(&self, signal: i32) -> Result<bool> {
        system::bit(signal)?;
        Ok(self.signals().remove(signal))
    }

    /// Logs the call graphs of all tasks whenever `signal` arrives.
    ///
    /// # Errors
    /// The errors of [`add_signal_handler`](EventLoop::add_signal_handler).
    pub(crate) fn dump_on(&self, signal: i32) -> Result<()> {
        // The loop owns the handler, so the handler must not keep the loop alive.
        let weak = Rc::downgrade(&self.0);
        self.add_signal_handler(signal, move || {
            if let Some(inner) = weak.upgrade() {
                let graphs = EventLoop(inner).format_call_graphs();
                log(Level::Warning, &format!("the call graphs of all tasks:\n{graphs}"));
            }
        })?;
        let dumps = &self.signals().dumps;
        dumps.set(dumps.get() | 1 << (signal - 1));
        Ok(())
    }

    /// Turns the signals that arrived into steps.
    pub(crate) fn deliver_signals(&self, scheduler: &Scheduler) {
        let came = self.signals().inbox.take_raised();
        if came == 0 {
            return;
        }
        if came & 1 << (numbers::SIGINT - 1) != 0 {
            self.signals().interrupt(scheduler);
        }
        // As in asyncio, one step looks up the handlers, and the next one runs them.
        let weak = Rc::downgrade(&self.0);
        let home = self.home();
        let look_up = move || {
            let Some(inner) = weak.upgrade() else { return Ok(()) };
            let called = home.with(|scheduler| EventLoop(inner).signals().call(came, scheduler));
            called.unwrap_or(Ok(()))
        };
        if self.signals().has_handler(came) {
            // The loop runs, so it is open.
            let _ = scheduler.call_soon(look_up, Default::default(), Location::caller());
        }
    }
}

impl Signals {
    pub(crate) fn new(inbox: &'static LoopInbox) -> Signals {
        Signals {
            inbox,
            handlers: RefCell::default(),
            main: RefCell::default(),
            dumps: Cell::new(0),
        }
    }

    fn add(&self, signal: i32, handler: Rc<Handler>) -> Result<()> {
        system::bit(signal)?;
        let is_new = !self.handlers.borrow().contains_key(&signal);
        if is_new {
            system::listen(self.inbox);
            system::catch(signal)?;
            if signal == numbers::SIGINT {
                system::own_interrupt(true);
            }
        }
        let previous = self.handlers.borrow_mut().insert(signal, handler);
        drop(previous);
        self.say_what_is_wanted();
        Ok(())
    }

    fn remove(&self, signal: i32) -> bool {
        let removed = self.handlers.borrow_mut().remove(&signal);
        if removed.is_some() {
            self.say_what_is_wanted();
            system::release(signal);
            if signal == numbers::SIGINT {
                system::own_interrupt(false);
            }
        }
        removed.is_some()
    }

    /// Removes every handler, because the loop is closed.
    pub(crate) fn close(&self) {
        let signals: Vec<i32> = self.handlers.borrow().keys().copied().collect();
        for signal in signals {
            self.remove(signal);
        }
    }

    /// Whether a signal could make something ready.
    pub(crate) fn is_any(&self) -> bool {
        let is_dump = |signal: &i32| self.dumps.get() & 1 << (signal - 1) != 0;
        !self.handlers.borrow().keys().all(is_dump)
    }

    /// Whether there is a handler for a signal.
    pub(crate) fn handles(&self, signal: i32) -> bool {
        self.handlers.borrow().contains_key(&signal)
    }

    fn has_handler(&self, came: u64) -> bool {
        let handlers = self.handlers.borrow();
        system::signals(came).any(|signal| handlers.contains_key(&signal))
    }

    fn call(&self, came: u64, scheduler: &Scheduler) -> Result<()> {
        for signal in system::signals(came) {
            let handler = self.handlers.borrow().get(&signal).cloned();
            if let Some(handler) = handler {
                handler.call_soon(scheduler)?;
            }
        }
        Ok(())
    }

    fn say_what_is_wanted(&self) {
        let handled = self.handlers.borrow().keys().fold(0, |set, signal| set | 1 << (signal - 1));
        let interrupt = match &*self.main.borrow() {
            Some(_) => 1 << (numbers::SIGINT - 1),
            None => 0,
        };
        self.inbox.want(handled | interrupt);
    }
}

/// The main task of a `Runner`, while Ctrl-C cancels it.
#[derive(Debug)]
struct Interruptible {
    task: TaskRef,
    interrupted: Rc<Interrupt>,
}

/// Whether Ctrl-C arrived, and what the main task was then waiting for.
#[derive(Debug, Default)]
struct Interrupt {
    came: Cell<bool>,
    awaited: RefCell<String>,
}

/// Handles Ctrl-C for the main task of a `Runner`, until it is dropped: see
/// [`Runner`](crate::Runner).
#[derive(Debug)]
pub(crate) struct Interruption<'a> {
    signals: &'a Signals,
    armed: system::Armed,
    delivered: Rc<Interrupt>,
}

/// The effect of Ctrl-C on a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupted {
    /// It did not come.
    No,
    /// The main task was cancelled.
    Cancelled,
    /// It came too late to reach the task.
    TooLate,
}

impl Signals {
    /// Makes Ctrl-C cancel `task`. Returns `None` on any thread except the main thread, and if the
    /// program handles Ctrl-C itself.
    pub(crate) fn interruptible(&self, task: TaskRef) -> Option<Interruption<'_>> {
        system::listen(self.inbox);
        let armed = system::Armed::new()?;
        let delivered = Rc::<Interrupt>::default();
        let main = Interruptible { task, interrupted: delivered.clone() };
        drop(self.main.replace(Some(main)));
        self.say_what_is_wanted();
        Some(Interruption { signals: self, armed, delivered })
    }

    /// Makes Ctrl-C end the process until the guard is dropped. Returns `None` where it does so anyway:
    /// in every process except the first one of a container.
    pub(crate) fn at_the_end() -> Option<impl Drop> {
        system::Armed::at_the_end()
    }

    fn interrupt(&self, scheduler: &Scheduler) {
        if self.handlers.borrow().contains_key(&numbers::SIGINT) {
            return;
        }
        if let Some(main) = &*self.main.borrow() {
            main.interrupted.came.set(true);
            main.interrupted.awaited.replace(format_await_chain(&main.task));
            if !main.task.cancel(CancelledError::default()) {
                scheduler.run.abort(KeyboardInterrupt::default().into());
            }
        }
    }
}

impl Interruption<'_> {
    /// The error of a run that Ctrl-C has ended: it says where the main task was waiting, and for
    /// what.
    pub(crate) fn error(&self) -> KeyboardInterrupt {
        match &**self.delivered.awaited.borrow() {
            "" => KeyboardInterrupt::default(),
            awaited => KeyboardInterrupt::new(format!("interrupted by Ctrl-C, in{awaited}")),
        }
    }

    pub(crate) fn outcome(&self) -> Interrupted {
        match (self.delivered.came.get(), self.armed.was_interrupted()) {
            (true, _) => Interrupted::Cancelled,
            (false, true) => Interrupted::TooLate,
            (false, false) => Interrupted::No,
        }
    }
}

impl Drop for Interruption<'_> {
    fn drop(&mut self) {
        drop(self.signals.main.take());
        self.signals.say_what_is_wanted();
    }
}
