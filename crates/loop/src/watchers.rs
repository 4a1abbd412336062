//! [`Watchers`]: callbacks on descriptors that are owned elsewhere (`loop.add_reader` and its like).
//!
//! A watched descriptor is registered level-triggered, once for both directions, and only while a
//! callback is set. What is ready at the poll becomes a step of that iteration, as every callback
//! is; a step that has not run yet is not queued again.
//!
//! The owner may close the descriptor without a word. The operating system then forgets it, and its
//! number may come back as another file: so setting a callback always asks the system, and a stamp
//! in each event tells the files apart.
//!
//! If a duplicate keeps the file open, Linux keeps the registration, and it can no longer be removed.
//! So a watched descriptor is registered for one event (`EPOLLONESHOT`), and the registration is
//! renewed when the event is delivered. A registration that is left behind causes one more event, and
//! then is silent.

use crate::{
    EventLoop,
    selector::{Interest, Poller, Token},
};
use asyncio_core::{
    Error, Result,
    context::Context,
    handle::CallbackOutput,
    raw::Scheduler,
    source::{Direction, Readiness},
};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt, io,
    os::fd::{AsRawFd, RawFd},
    panic::Location,
    rc::Rc,
    sync::Arc,
};

mod ready;
#[cfg(test)]
mod tests;

pub use ready::{WaitReady, wait_readable, wait_writable};

/// Callbacks on descriptors.
impl EventLoop {
    /// Calls `callback` whenever there is something to read from `fd` (`loop.add_reader`), or its
    /// other end is gone: once in each iteration that finds it so, until
    /// [`remove_reader`](EventLoop::remove_reader). A callback that was set before is cancelled.
    ///
    /// The descriptor stays its owner's, and should be non-blocking. Remove the callback before
    /// closing it. If the descriptor is closed first, the callback runs at most once more, even if a
    /// duplicate keeps the file open. It is kept until it is removed, or replaced by one for the same
    /// number.
    ///
    /// The callback runs with a copy of the caller's context variables, always the same one. What it
    /// returns as an error goes to the exception handler; it stays set.
    ///
    /// ```
    /// use std::{io::{Read, Write}, os::unix::net::UnixStream};
    /// let event_loop = asyncio::new_event_loop()?;
    /// let (mut ours, mut theirs) = UnixStream::pair()?;
    /// theirs.write_all(b"hello")?;
    /// let fd = ours.try_clone()?;
    /// let stop = event_loop.clone();
    /// event_loop.add_reader(&fd, move || {
    ///     let mut bytes = [0; 16];
    ///     assert_eq!(ours.read(&mut bytes)?, 5);
    ///     stop.stop();
    ///     std::io::Result::Ok(())
    /// })?;
    /// event_loop.run_forever()?;
    /// assert!(event_loop.remove_reader(&fd)?);
    /// event_loop.close()?;
    /// # Ok::<(), asyncio::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Runtime` if the loop is closed, or a socket or transport of the loop owns the descriptor;
    /// `Value` if the number is negative; what the system says if it cannot be waited for (a closed
    /// descriptor, a regular file).
    #[doc(alias = "loop.add_reader")]
    #[track_caller]
    pub fn add_reader<R: CallbackOutput>(
        &self,
        fd: &impl AsRawFd,
        callback: impl FnMut() -> R + 'static,
    ) -> Result<()> {
        self.watch((fd.as_raw_fd(), Direction::Read), "add_reader", callback)
    }

    /// Calls `callback` whenever `fd` can be written to (`loop.add_writer`). Otherwise like
    /// [`add_reader`](EventLoop::add_reader).
    ///
    /// # Errors
    /// As for [`add_reader`](EventLoop::add_reader).
    #[doc(alias = "loop.add_writer")]
    #[track_caller]
    pub fn add_writer<R: CallbackOutput>(
        &self,
        fd: &impl AsRawFd,
        callback: impl FnMut() -> R + 'static,
    ) -> Result<()> {
        self.watch((fd.as_raw_fd(), Direction::Write), "add_writer", callback)
    }

    /// Takes the callback away that [`add_reader`](EventLoop::add_reader) set; it does not run any
    /// more, not even if it is ready (`loop.remove_reader`). False if there is none, or if the loop
    /// is closed.
    ///
    /// # Errors
    /// `Runtime` if a socket or transport of the loop owns the descriptor.
    #[doc(alias = "loop.remove_reader")]
    pub fn remove_reader(&self, fd: &impl AsRawFd) -> Result<bool> {
        self.unwatch((fd.as_raw_fd(), Direction::Read))
    }

    /// Takes the callback away that [`add_writer`](EventLoop::add_writer) set
    /// (`loop.remove_writer`). Otherwise like [`remove_reader`](EventLoop::remove_reader).
    ///
    /// # Errors
    /// `Runtime` if a socket or transport of the loop owns the descriptor.
    #[doc(alias = "loop.remove_writer")]
    pub fn remove_writer(&self, fd: &impl AsRawFd) -> Result<bool> {
        self.unwatch((fd.as_raw_fd(), Direction::Write))
    }

    #[track_caller]
    fn watch<R: CallbackOutput>(
        &self,
        watched: (RawFd, Direction),
        what: &'static str,
        mut callback: impl FnMut() -> R + 'static,
    ) -> Result<()> {
        let location = Location::caller();
        let selector = self.selector().ok_or_else(|| Error::runtime("Event loop is closed"))?;
        let action = Box::new(move || callback().into_result());
        self.with(|scheduler| selector.watchers().set(scheduler, watched, what, action, location))?
    }

    fn unwatch(&self, watched: (RawFd, Direction)) -> Result<bool> {
        let Some(selector) = self.selector() else { return Ok(false) };
        let unset = self.home().with(|scheduler| selector.watchers().unset(scheduler, watched));
        unset.unwrap_or(Ok(false))
    }
}

/// What is called for a descriptor, as often as it is ready.
pub(crate) type Action = Box<dyn FnMut() -> Result<()>>;

/// The watched descriptors of one loop.
#[derive(Debug)]
pub(crate) struct Watchers {
    poller: Arc<Poller>,
    table: RefCell<HashMap<RawFd, Watch>>,
    /// The stamp of the next descriptor.
    next_stamp: Cell<u32>,
}

/// A descriptor that is registered.
#[derive(Debug)]
struct Watch {
    stamp: u32,
    reader: Option<Rc<Callback>>,
    writer: Option<Rc<Callback>>,
}

impl Watch {
    fn side(&mut self, direction: Direction) -> &mut Option<Rc<Callback>> {
        match direction {
            Direction::Read => &mut self.reader,
            Direction::Write => &mut self.writer,
        }
    }

    fn interest(&self) -> Interest {
        Interest { readable: self.reader.is_some(), writable: self.writer.is_some() }
    }
}

struct Callback {
    /// Taken out while it runs; empty once it is cancelled.
    action: RefCell<Option<Action>>,
    cancelled: Cell<bool>,
    /// Whether a step of it is in the ready queue.
    queued: Cell<bool>,
    context: Context,
    location: &'static Location<'static>,
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Handle created at {}>", self.location)
    }
}

impl Callback {
    fn new(action: Action, location: &'static Location<'static>) -> Rc<Callback> {
        Rc::new(Callback {
            action: RefCell::new(Some(action)),
            cancelled: Cell::new(false),
            queued: Cell::new(false),
            context: Context::current(),
            location,
        })
    }

    /// It runs no more, and what it holds is dropped at once; if it runs now, when it returns.
    fn cancel(&self) {
        self.cancelled.set(true);
        let action = self.action.take();
        drop(action);
    }

    fn queue(self: &Rc<Self>, scheduler: &Scheduler) {
        if self.queued.replace(true) {
            return;
        }
        let callback = self.clone();
        // Nothing is polled for a loop that is closed.
        let _ = scheduler.call_soon(move || callback.run(), self.context.values(), self.location);
    }

    fn run(&self) -> Result<()> {
        /// Puts the action back, even if it panics.
        struct Running<'a>(&'a Callback, Option<Action>);
        impl Drop for Running<'_> {
            fn drop(&mut self) {
                if !self.0.cancelled.get() {
                    self.0.action.replace(self.1.take());
                }
            }
        }
        self.queued.set(false);
        let mut running = Running(self, self.action.take());
        match &mut running.1 {
            Some(action) => self.context.run(action)?,
            None => Ok(()),
        }
    }
}

fn in_use(descriptor: RawFd) -> Error {
    Error::runtime(format!(
        "File descriptor {descriptor} is used by a socket or transport of the event loop"
    ))
}

impl Watchers {
    pub(crate) fn new(poller: Arc<Poller>) -> Watchers {
        Watchers { poller, table: RefCell::new(HashMap::new()), next_stamp: Cell::new(0) }
    }

    /// Sets the callback of a descriptor in one direction, and cancels the one it had. `what` is the
    /// function that the errors name.
    pub(crate) fn set(
        &self,
        scheduler: &Scheduler,
        (descriptor, direction): (RawFd, Direction),
        what: &'static str,
        action: Action,
        location: &'static Location<'static>,
    ) -> Result<()> {
        scheduler.check_open()?;
        if descriptor < 0 {
            return Err(Error::value(format!("{what}: invalid file descriptor: {descriptor}")));
        }
        if scheduler.owns_descriptor(descriptor) {
            return Err(in_use(descriptor));
        }
        let callback = Callback::new(action, location);
        // What is replaced, which is dropped when the table is free again.
        let mut replaced = Vec::new();
        let outcome = self.register(descriptor, direction, callback, &mut replaced);
        for callback in replaced {
            callback.cancel();
        }
        outcome.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => in_use(descriptor),
            kind => io::Error::new(kind, Named { what, descriptor, error }).into(),
        })
    }

    fn register(
        &self,
        descriptor: RawFd,
        direction: Direction,
        callback: Rc<Callback>,
        replaced: &mut Vec<Rc<Callback>>,
    ) -> io::Result<()> {
        let mut table = self.table.borrow_mut();
        if let Some(watch) = table.get_mut(&descriptor) {
            let mut interest = watch.interest();
            match direction {
                Direction::Read => interest.readable = true,
                Direction::Write => interest.writable = true,
            }
            let token = Token::watcher(descriptor, watch.stamp);
            match self.poller.change_watch(descriptor, token, interest) {
                Ok(()) => {
                    replaced.extend(watch.side(direction).replace(callback));
                    return Ok(());
                }
                // It was closed, and is another file now: what was set for the old one is void.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    replaced.extend(watch.reader.take().into_iter().chain(watch.writer.take()));
                    table.remove(&descriptor);
                    self.poller.delete(descriptor);
                }
                Err(error) => return Err(error),
            }
        }
        let stamp = self.next_stamp.get();
        self.next_stamp.set(stamp.wrapping_add(1));
        let mut watch = Watch { stamp, reader: None, writer: None };
        *watch.side(direction) = Some(callback);
        self.poller.add_watch(descriptor, Token::watcher(descriptor, stamp), watch.interest())?;
        table.insert(descriptor, watch);
        Ok(())
    }

    /// Takes the callback of a descriptor in one direction away. False if there is none, or if the
    /// loop is closed.
    pub(crate) fn unset(
        &self,
        scheduler: &Scheduler,
        (descriptor, direction): (RawFd, Direction),
    ) -> Result<bool> {
        if scheduler.check_open().is_err() {
            return Ok(false);
        }
        if scheduler.owns_descriptor(descriptor) {
            return Err(in_use(descriptor));
        }
        let mut gone = Vec::new();
        'changed: {
            let mut table = self.table.borrow_mut();
            let Some(watch) = table.get_mut(&descriptor) else { return Ok(false) };
            let Some(callback) = watch.side(direction).take() else { return Ok(false) };
            gone.push(callback);
            let interest = watch.interest();
            // This fails only for a descriptor that was closed, and so is forgotten already.
            if interest.readable || interest.writable {
                let token = Token::watcher(descriptor, watch.stamp);
                if self.poller.change_watch(descriptor, token, interest).is_ok() {
                    break 'changed;
                }
            }
            gone.extend(watch.reader.take().into_iter().chain(watch.writer.take()));
            table.remove(&descriptor);
            self.poller.delete(descriptor);
        }
        for callback in gone {
            callback.cancel();
        }
        Ok(true)
    }

    /// Makes the callbacks of a ready descriptor steps of this iteration. False if the event is not
    /// for it: it was for a file that had the number before.
    pub(crate) fn deliver(
        &self,
        scheduler: &Scheduler,
        descriptor: RawFd,
        stamp: u32,
        readiness: Readiness,
    ) -> bool {
        let table = self.table.borrow();
        let Some(watch) = table.get(&descriptor).filter(|watch| watch.stamp == stamp) else {
            return false;
        };
        if let Some(reader) = watch.reader.as_ref().filter(|_| readiness.readable) {
            reader.queue(scheduler);
        }
        if let Some(writer) = watch.writer.as_ref().filter(|_| readiness.writable) {
            writer.queue(scheduler);
        }
        // Enables the next event, unless the number belongs to a source by now. This only fails if the
        // descriptor has been closed.
        if !scheduler.owns_descriptor(descriptor) {
            let token = Token::watcher(descriptor, stamp);
            let _ = self.poller.change_watch(descriptor, token, watch.interest());
        }
        true
    }

    /// Whether a callback is set for a descriptor in one direction.
    fn has(&self, (descriptor, direction): (RawFd, Direction)) -> bool {
        let mut table = self.table.borrow_mut();
        table.get_mut(&descriptor).is_some_and(|watch| watch.side(direction).is_some())
    }

    /// Whether anything is watched, so that I/O could still wake the loop.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.borrow().is_empty()
    }
}

/// A system error with the function and the descriptor that it is about.
#[derive(Debug)]
struct Named {
    what: &'static str,
    descriptor: RawFd,
    error: io::Error,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: file descriptor {}: {}", self.what, self.descriptor, self.error)
    }
}

impl std::error::Error for Named {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
