//! [`Watchers`]: callbacks on descriptors that are owned elsewhere (`loop.add_reader` and similar
//! methods).
//!
//! A watched descriptor is registered level-triggered, once for both directions, and only while a
//! callback is set. A callback that is ready at the poll becomes a step of that iteration; a step
//! that has not run yet is not queued again.
//!
//! The owner may close the descriptor without notice. The operating system then forgets it, and
//! another file may get its number. Setting a callback therefore always asks the system, and a
//! stamp in each event tells the files apart.
//!
//! If a duplicate keeps the file open, Linux keeps the registration, and it can no longer be removed.
//! A watched descriptor is therefore registered for one event (`EPOLLONESHOT`), and the registration
//! is renewed when the event is delivered. A registration that is left behind causes at most one more
//! event.

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
    /// Calls `callback` whenever there is something to read from `fd`, or its other end is closed
    /// (`loop.add_reader`): once in each iteration in which that is true, until
    /// [`remove_reader`](EventLoop::remove_reader) is called. An earlier callback is cancelled.
    ///
    /// The loop does not own the descriptor, which should be non-blocking. Remove the callback before
    /// you close the descriptor. If it is closed first, the callback runs at most once more, even if
    /// a duplicate keeps the file open. The callback is kept until it is removed, or replaced by one
    /// for the same number.
    ///
    /// The callback runs in a copy of the caller's context, which is the same in every call. If it
    /// returns an error, the error goes to the exception handler, and the callback stays set.
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
    /// `Runtime` if the loop is closed, or if a socket or transport of the loop owns the
    /// descriptor; `Value` if the number is negative; the system's error if it cannot be waited for
    /// (a closed descriptor, a regular file).
    #[doc(alias = "loop.add_reader")]
    #[track_caller]
    pub fn add_reader<R: CallbackOutput>(
        &self,
        fd: &impl AsRawFd,
        callback: impl FnMut() -> R + 'static,
    ) -> Result<()> {
        self.watch((fd.as_raw_fd(), Direction::Read), "add_reader", callback)
    }

    /// Calls `callback` whenever `fd` can be written to (`loop.add_writer`). Otherwise it works
    /// like [`add_reader`](EventLoop::add_reader).
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

    /// Removes the callback of [`add_reader`](EventLoop::add_reader) (`loop.remove_reader`). The
    /// callback does not run again, even if it is ready. Returns false if there is none, or if the
    /// loop is closed.
    ///
    /// # Errors
    /// `Runtime` if a socket or transport of the loop owns the descriptor.
    #[doc(alias = "loop.remove_reader")]
    pub fn remove_reader(&self, fd: &impl AsRawFd) -> Result<bool> {
        self.unwatch((fd.as_raw_fd(), Direction::Read))
    }

    /// Removes the callback of [`add_writer`](EventLoop::add_writer) (`loop.remove_writer`).
    /// Otherwise it works like [`remove_reader`](EventLoop::remove_reader).
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

/// The function that is called for a descriptor whenever it is ready.
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
    /// `None` while it runs, and after it was cancelled.
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

    /// Prevents further calls, and drops the callback: immediately, or when it returns if it is
    /// running.
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
        // A closed loop does not poll.
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

    /// Sets the callback of a descriptor in one direction, and cancels the previous one. `what` is
    /// the function that the errors name.
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
        // The replaced callback, which is dropped when the table is free again.
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
                // It was closed, and is another file now: the callbacks of the old one are void.
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

    /// Removes the callback of a descriptor in one direction. Returns false if there is none, or if
    /// the loop is closed.
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
            // This fails only for a descriptor that was closed, and that the system has already
            // forgotten.
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

    /// Turns the callbacks of a ready descriptor into steps of this iteration. Returns false if the
    /// event is for a file that had the number before.
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

/// A system error with the function and the descriptor.
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
