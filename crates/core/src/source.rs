//! [`Source`]: an I/O object whose readiness the loop tracks.
//!
//! A source owns its descriptor. It is registered with the loop once, for both directions, at the
//! first wait, and deregistered when it is dropped; the operating system then reports each *change*
//! to ready, and the source remembers it. So an operation is tried first, and waits only after
//! `WouldBlock`, which also makes a direction unready again.
//!
//! # The queue of a direction
//!
//! The waiters for a direction are served first come, first served. *While a direction is ready and there are
//! waiters, exactly one of them has been woken*: an event wakes the first. A waiter that leaves the queue,
//! because its operation is done or because it was cancelled or dropped, wakes the next if the direction is still
//! ready. A waiter that was woken and finds that the operation would still block keeps its place. No operation
//! overtakes another.
//!
//! # Threads
//!
//! The queues are plain memory of the loop's thread. A source may be sent to another thread and
//! dropped there: the descriptor is deregistered immediately, and the loop gets a message.

use crate::{
    Error, Result,
    home::{LoopRef, Message, entered, no_loop_here},
    scheduler::{Scheduler, ready::ReadyStep},
    slots::Key,
    sync::Mutex,
    wait::{Resume, Wait, Wakers},
    wait_site::WaitSite,
};
pub use handler::OnReady;
use handler::ReadyHandler;
use queue::IoQueue;
pub use ready::Ready;
use registered::Registered;
pub(crate) use registered::Sources;
// This is std's `Arc`: a driver is a trait object, which loom's `Arc` cannot hold, and no model has
// a driver.
use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    sync::{Arc, Weak},
    task::{Context, Poll},
};

mod handler;
mod in_step;
mod queue;
mod ready;
mod registered;
#[cfg(all(test, not(loom)))]
mod tests;

/// The direction of an I/O operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Data to read, the end of the stream, or a connection to accept.
    Read,
    /// Room to write, or the completion of a connection attempt.
    Write,
}

/// The state of a descriptor that the operating system reports in one event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// A read would not block.
    pub readable: bool,
    /// A write would not block.
    pub writable: bool,
    /// The peer has shut down its sending direction, the connection is broken, or urgent data is
    /// pending. From now on, a short read does not mean that the next read would block.
    pub hangup: bool,
}

/// Reports the readiness of descriptors to a loop. A loop's selector implements this trait.
///
/// It reports through [`Scheduler::deliver_readiness`], edge-triggered: once each time a direction
/// becomes ready, and once for the directions that are ready when the descriptor is registered.
pub trait Driver: Send + Sync + fmt::Debug {
    /// Registers both directions of `fd`; events about it carry `key`.
    ///
    /// # Errors
    /// `AlreadyExists` if the descriptor is already registered; otherwise the system's error.
    fn register(&self, fd: BorrowedFd<'_>, key: Key) -> io::Result<()>;

    /// Deregisters `fd`. May be called on any thread; errors are ignored.
    fn deregister(&self, fd: BorrowedFd<'_>);

    /// Returns whether [`Readiness::hangup`] is always reported. If so, a short read or write on a TCP
    /// socket means that the next one would block, until a hang-up has been reported.
    fn tells_hangups(&self) -> bool;
}

/// Readiness of I/O.
impl Scheduler {
    /// Sets the driver that registers the descriptors of sources. Does nothing to a closed loop.
    pub fn set_driver(&self, driver: Arc<dyn Driver>) {
        if self.check_open().is_err() {
            return;
        }
        let tells_hangups = driver.tells_hangups();
        let previous = {
            let mut sources = self.sources.borrow_mut();
            sources.tells_hangups = tells_hangups;
            sources.driver.replace(driver)
        };
        drop(previous);
    }

    /// Stores the readiness, and puts the first waiter for it into the ready queue. Returns false
    /// if the source is gone.
    #[inline]
    pub fn deliver_readiness(&self, key: Key, readiness: Readiness) -> bool {
        let mut sources = self.sources.borrow_mut();
        let (tells_hangups, wakes_in_step) = (sources.tells_hangups, sources.wakes_in_step);
        let Some(entry) = sources.entries.get_mut(key) else { return false };
        entry.hangup |= readiness.hangup;
        entry.read.become_ready(readiness.readable);
        entry.write.become_ready(readiness.writable);
        let is_told = entry.tell(readiness, tells_hangups);
        let has_waiters = !entry.read.is_empty() || !entry.write.is_empty();
        drop(sources);
        if has_waiters && wakes_in_step {
            self.wake_in_step(key);
        } else if has_waiters {
            self.wake_ready(key);
        }
        if is_told {
            self.ready.push(ReadyStep::Source(key));
        }
        true
    }

    /// Wakes the first waiters for the ready directions.
    fn wake_ready(&self, key: Key) {
        let mut wakers = Wakers::new();
        let mut sources = self.sources.borrow_mut();
        if let Some(entry) = sources.entries.get_mut(key) {
            entry.read.wake_next(&mut wakers);
            entry.write.wake_next(&mut wakers);
        }
    }

    /// Returns whether a source of this loop owns the descriptor, so that nothing else may watch
    /// it.
    pub fn owns_descriptor(&self, descriptor: RawFd) -> bool {
        let Ok(number) = usize::try_from(descriptor) else { return false };
        self.sources.borrow().by_descriptor.get(number).is_some_and(|owner| owner.is_some())
    }

    /// Returns whether a source has a waiter, so that I/O could still wake the loop.
    pub fn is_waiting_for_io(&self) -> bool {
        let sources = self.sources.borrow();
        sources.entries.values().any(|entry| {
            entry.handler.is_some() || entry.read.is_waited_for() || entry.write.is_waited_for()
        })
    }

    fn add_source(&self, fd: BorrowedFd<'_>) -> Result<(Key, Weak<dyn Driver>)> {
        let driver = self.sources.borrow().driver.clone();
        let Some(driver) = driver else {
            return Err(Error::runtime(
                "a socket cannot wait in this event loop, which has no selector",
            ));
        };
        let descriptor = fd.as_raw_fd();
        let (read, write) = (IoQueue::new(), IoQueue::new());
        let entry = Registered { descriptor, hangup: false, read, write, handler: None };
        let key = self.sources.borrow_mut().insert(entry);
        if let Err(error) = driver.register(fd, key) {
            drop(self.sources.borrow_mut().remove(key));
            return Err(match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    Error::runtime(format!("File descriptor {descriptor} is already watched"))
                }
                _ => error.into(),
            });
        }
        // An older source with the same number was closed on another thread, and its message has not arrived
        // yet.
        self.sources.borrow_mut().set_owner(descriptor, key);
        Ok((key, Arc::downgrade(&driver)))
    }

    fn remove_source(&self, key: Key) {
        let mut wakers = Wakers::new();
        let entry = self.sources.borrow_mut().remove(key);
        if let Some(mut entry) = entry {
            entry.read.wake_all(&mut wakers);
            entry.write.wake_all(&mut wakers);
        }
    }
}

/// The loop and key under which a source is registered.
#[derive(Clone, Copy, Debug, PartialEq)]
struct At {
    home: LoopRef,
    key: Key,
}

#[derive(Debug)]
struct Registration {
    at: At,
    driver: Weak<dyn Driver>,
}

/// An I/O object that owns its non-blocking descriptor; see the [module](self).
///
/// It belongs to no loop until an operation waits for the first time. From then on, it belongs to
/// the loop that runs at that time, until that loop is closed.
pub struct Source<T: AsFd> {
    registration: Mutex<Option<Registration>>,
    /// Removed only by `into_inner`.
    io: Option<T>,
}

impl<T: AsFd> Source<T> {
    /// Creates a source that owns `io`. Its descriptor must be in non-blocking mode, and nothing else
    /// may close it.
    pub fn new(io: T) -> Source<T> {
        Source { registration: Mutex::new(None), io: Some(io) }
    }

    /// Returns the object that is read from and written to.
    pub fn get_ref(&self) -> &T {
        self.io.as_ref().expect("only `into_inner` takes it, and the source with it")
    }

    /// Deregisters the source, and returns its I/O object.
    pub fn into_inner(mut self) -> T {
        self.deregister();
        self.io.take().expect("a source has it until here")
    }

    /// Registers the source with the loop that runs in this thread, unless it is registered
    /// already.
    ///
    /// # Errors
    /// `Runtime` if no loop runs here, if the source belongs to another open loop, or if its
    /// descriptor is watched already; the system's error if it cannot be waited for.
    pub fn register(&self) -> Result<()> {
        self.registered_now().map(drop)
    }

    /// The loop and key of the source; `None` if it is not registered, or if its loop was closed.
    fn registered(&self) -> Result<Option<At>> {
        match &*self.registration.lock() {
            Some(Registration { at, driver }) => match (at.home.local(), entered()) {
                (Some(_), None) => Ok(Some(*at)),
                (Some(_), Some(running)) if running.home() == Some(at.home) => Ok(Some(*at)),
                (Some(_), Some(_)) => {
                    Err(Error::runtime("the socket or transport belongs to another event loop"))
                }
                (None, _) if driver.strong_count() == 0 => Ok(None),
                (None, _) => Err(Error::runtime(
                    "the socket or transport belongs to an event loop of another thread",
                )),
            },
            None => Ok(None),
        }
    }

    fn registered_now(&self) -> Result<At> {
        if let Some(at) = self.registered()? {
            return Ok(at);
        }
        let scheduler = entered().ok_or_else(|| Error::runtime(no_loop_here()))?;
        let home = scheduler.check_open()?;
        let (key, driver) = scheduler.add_source(self.get_ref().as_fd())?;
        let at = At { home, key };
        *self.registration.lock() = Some(Registration { at, driver });
        Ok(at)
    }

    fn deregister(&mut self) {
        let registration = self.registration.lock().take();
        let (Some(Registration { at, driver }), Some(io)) = (registration, &self.io) else {
            return;
        };
        // Before the number can be reused, on any thread.
        let Some(driver) = driver.upgrade() else { return };
        driver.deregister(io.as_fd());
        match at.home.local() {
            Some(scheduler) => scheduler.remove_source(at.key),
            None => {
                let quiet = move || {
                    if let Some(scheduler) = at.home.local() {
                        scheduler.remove_source(at.key);
                    }
                };
                let _ = at.home.send(Message::Quiet(Box::new(quiet)));
            }
        }
    }

    /// Marks `direction` as unready, so that the next operation waits for an event. Callers that do
    /// not use [`poll_io`](Source::poll_io) call this directly after `WouldBlock`.
    pub fn clear_readiness(&self, direction: Direction) {
        if let Ok(Some(at)) = self.registered() {
            at.with_queue(direction, IoQueue::become_unready);
        }
    }

    /// Resets the known readiness, because the descriptor has just begun to connect.
    pub fn reset_readiness(&self) {
        let Ok(Some(At { home, key })) = self.registered() else { return };
        let Some(scheduler) = home.local() else { return };
        if let Some(entry) = scheduler.sources.borrow_mut().entries.get_mut(key) {
            entry.hangup = false;
            entry.read.become_unready();
            entry.write.become_unready();
        }
    }

    /// Returns whether a short read or write on a TCP socket means that the next one would block:
    /// this holds if the driver [reports hang-ups](Driver::tells_hangups), and has not reported one
    /// for this source. For other kinds of descriptors, the caller has to know what a short read or
    /// write means.
    pub fn is_drained_by_less(&self) -> bool {
        match self.registered() {
            Ok(Some(at)) => at.is_drained_by_less(),
            _ => false,
        }
    }

    /// Waits until a read would probably not block; see [`Ready`].
    pub fn readable(&self, site: WaitSite) -> Ready<'_, T> {
        Ready::new(self, Direction::Read, site)
    }

    /// Waits until a write would probably not block; see [`Ready`].
    pub fn writable(&self, site: WaitSite) -> Ready<'_, T> {
        Ready::new(self, Direction::Write, site)
    }

    /// Runs `operation` as soon as it does not block. This is the body of a leaf future, whose
    /// place in the queue is `wait`. A wait must always be used with the same source and direction.
    ///
    /// `drained` returns whether the result shows that the next operation would block. Only a short read
    /// or write on a TCP socket does. It is ignored unless the driver
    /// [reports hang-ups](Driver::tells_hangups) and has not reported one for this source.
    ///
    /// The outer error comes from the wait: a cancellation, no running loop, or a wrong thread. The
    /// inner result comes from the operation.
    ///
    /// # Cancellation
    /// A cancelled wait has had no effect: unread data remains for the next operation.
    pub fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        wait: &mut IoWait,
        direction: Direction,
        site: WaitSite,
        mut operation: impl FnMut(&T) -> io::Result<R>,
        drained: impl FnOnce(&R) -> bool,
    ) -> Poll<Result<io::Result<R>>> {
        let mut at = match wait.poll(cx, site) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(Some(at))) => Some(at),
            Poll::Ready(Ok(None)) => {
                let at = self.registered()?;
                if let Some(at) = at.filter(|at| at.with_queue(direction, |q| q.must_wait())) {
                    wait.suspend(cx, site, at, direction);
                    return Poll::Pending;
                }
                at
            }
        };
        let result = loop {
            match operation(self.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if at.is_none() {
                        at = Some(self.registered_now()?);
                    }
                    if let Some(at) = at {
                        at.with_queue(direction, IoQueue::become_unready);
                        wait.suspend(cx, site, at, direction);
                    }
                    return Poll::Pending;
                }
                result => break result,
            }
        };
        if let Some(at) = at.filter(|_| result.as_ref().is_ok_and(drained)) {
            at.become_drained(direction);
        }
        wait.leave();
        Poll::Ready(Ok(result))
    }
}

impl<T: AsFd> Drop for Source<T> {
    fn drop(&mut self) {
        self.deregister();
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for Source<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(self.get_ref()).finish()
    }
}

impl At {
    /// Calls `f` with the queue of a direction; the default if the source is gone, or is another
    /// thread's.
    fn with_queue<R: Default>(self, direction: Direction, f: impl FnOnce(&mut IoQueue) -> R) -> R {
        let Some(scheduler) = self.home.local() else { return R::default() };
        scheduler.sources.borrow_mut().queue(self, direction).map(f).unwrap_or_default()
    }

    fn is_drained_by_less(self) -> bool {
        let Some(scheduler) = self.home.local() else { return false };
        scheduler.sources.borrow().is_drained_by_less(self.key)
    }

    /// Handles a short read or write.
    fn become_drained(self, direction: Direction) {
        let Some(scheduler) = self.home.local() else { return };
        let mut sources = scheduler.sources.borrow_mut();
        if sources.is_drained_by_less(self.key) {
            if let Some(queue) = sources.queue(self, direction) {
                queue.become_unready();
            }
        }
    }
}

/// A place in the queue of a source: what a leaf future keeps between polls of [`poll_io`](Source::poll_io).
/// Dropping it leaves the queue; if it was woken, the next waiter is woken instead.
#[derive(Debug, Default)]
pub struct IoWait {
    wait: Wait,
    place: Option<Position>,
}

#[derive(Clone, Copy, Debug)]
struct Position {
    at: At,
    direction: Direction,
    number: u64,
}

impl IoWait {
    /// Creates a wait that is in no queue.
    pub const fn new() -> IoWait {
        IoWait { wait: Wait::new(), place: None }
    }

    /// Ready when the operation may be tried. Returns the source's registration if this has waited,
    /// and `None` if it is new.
    fn poll(&mut self, cx: &Context<'_>, site: WaitSite) -> Poll<Result<Option<At>>> {
        let Some(place) = self.place else { return Poll::Ready(Ok(None)) };
        if !place.at.home.is_local() {
            self.leave();
            return Poll::Ready(Err(Error::runtime(
                "a wait for I/O was moved to another thread, or its event loop is closed",
            )));
        }
        if let Err(error) = place.at.home.check_awaited_here(site.what()) {
            self.leave();
            return Poll::Ready(Err(error));
        }
        let (mut wakers, mut replaced) = (Wakers::new(), None);
        let resume = self.wait.poll(
            cx,
            site,
            || None,
            |waiter| {
                replaced = place.at.with_queue(place.direction, |queue| {
                    let replaced = queue.replace(place.number, waiter);
                    // A wake-up that came while the former one was cancelled went to no waiter.
                    queue.wake_next(&mut wakers);
                    replaced
                });
            },
        );
        match resume {
            Resume::Pending => Poll::Pending,
            Resume::Woken => Poll::Ready(Ok(Some(place.at))),
            Resume::Cancelled { error, .. } => {
                self.leave();
                Poll::Ready(Err(error))
            }
        }
    }

    /// Joins the end of the queue, or keeps its place.
    fn suspend(&mut self, cx: &Context<'_>, site: WaitSite, at: At, direction: Direction) {
        self.wait.arm(cx, site, None);
        let Some(waiter) = self.wait.waiter() else { return };
        let replaced = match self.place {
            Some(place) => place.at.with_queue(direction, |q| q.replace(place.number, waiter)),
            None => {
                let number = at.with_queue(direction, |queue| queue.push(waiter));
                self.place = Some(Position { at, direction, number });
                None
            }
        };
        drop(replaced);
    }

    /// Leaves the queue; if the direction is still ready, the next waiter is woken.
    fn leave(&mut self) {
        let Some(place) = self.place.take() else { return };
        self.wait.disarm();
        if place.at.home.is_local() {
            place.give_up();
        } else {
            let _ = place.at.home.send(Message::Quiet(Box::new(move || place.give_up())));
        }
    }
}

impl Drop for IoWait {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Position {
    fn give_up(self) {
        // Both are dropped when the queues are no longer borrowed: their destructors may run any
        // code.
        let mut wakers = Wakers::new();
        let waiter = self.at.with_queue(self.direction, |queue| {
            let waiter = queue.remove(self.number);
            queue.wake_next(&mut wakers);
            waiter
        });
        drop(waiter);
    }
}
