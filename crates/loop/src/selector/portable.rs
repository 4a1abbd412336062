//! The poller of every other Unix: the `polling` crate (kqueue; on Linux, for tests, its epoll).

use super::{Interest, Token};
use asyncio_core::{raw::sync::Mutex, source::Readiness};
use polling::{Event, Events, PollMode};
use std::{
    collections::HashMap,
    io,
    num::NonZeroUsize,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    sync::Arc,
    time::Duration,
};

/// The edges of `polling` do not request `EPOLLRDHUP`, and each of kqueue's filters reports only
/// its own end: a short read proves nothing.
pub(super) const TELLS_HANGUPS: bool = false;

/// A poller, and the receiver of each descriptor's events: the poller's keys are machine words,
/// which on some machines are half a token.
#[derive(Debug)]
pub(crate) struct Poller {
    poller: Arc<polling::Poller>,
    tokens: Mutex<HashMap<RawFd, Token>>,
}

/// Ends the wait of a poller.
#[derive(Debug)]
pub(crate) struct Notifier(Arc<polling::Poller>);

impl Notifier {
    /// Makes the current wait return, or else the next one. Async-signal-safe.
    pub(crate) fn notify(&self) {
        // A full pipe is a notification that is pending.
        let _ = self.0.notify();
    }
}

/// The buffer for the events of a wait.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    events: Option<Events>,
    found: Vec<(Token, Readiness)>,
}

impl Poller {
    pub(super) fn new() -> io::Result<(Poller, Notifier)> {
        let poller = Arc::new(polling::Poller::new()?);
        if !poller.supports_edge() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this system's poller has no edge-triggered events",
            ));
        }
        let notifier = Notifier(poller.clone());
        Ok((Poller { poller, tokens: Mutex::new(HashMap::new()) }, notifier))
    }

    /// Registers a descriptor for good: both directions, edges.
    pub(super) fn add_source(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        let fd = fd.as_raw_fd();
        self.add(fd, token, Event::all(key(fd)), PollMode::Edge)
    }

    /// Registers a watched descriptor for one event. Returns `AlreadyExists` if it is registered.
    pub(crate) fn add_watch(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        self.add(fd, token, watched(key(fd), interest), PollMode::Oneshot)
    }

    /// Changes the interest of a watched descriptor and enables its next event. Returns `NotFound` if it
    /// is not registered.
    pub(crate) fn change_watch(
        &self,
        fd: RawFd,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let mut tokens = self.tokens.lock();
        let event = watched(key(fd), interest);
        // SAFETY: `borrow`'s own.
        self.poller.modify_with_mode(unsafe { borrow(fd) }, event, PollMode::Oneshot)?;
        tokens.insert(fd, token);
        Ok(())
    }

    /// Forgets a descriptor: called once for each that was added, even if it was closed since.
    pub(crate) fn delete(&self, fd: RawFd) {
        let mut tokens = self.tokens.lock();
        tokens.remove(&fd);
        // It is fine if the descriptor is no longer registered. SAFETY: `borrow`'s own.
        let _ = self.poller.delete(unsafe { borrow(fd) });
    }

    fn add(&self, fd: RawFd, token: Token, event: Event, mode: PollMode) -> io::Result<()> {
        let mut tokens = self.tokens.lock();
        // SAFETY: a source deregisters before its descriptor is closed. A watched one may be closed
        // by its owner; kqueue and epoll then forget it by themselves.
        unsafe { self.poller.add_with_mode(fd, event, mode)? };
        tokens.insert(fd, token);
        Ok(())
    }

    /// Waits for events, and puts those there are into `buffer`.
    pub(super) fn wait(
        &self,
        buffer: &mut Buffer,
        timeout: Option<Duration>,
        _seen: u64,
    ) -> io::Result<()> {
        let wanted = self.tokens.lock().len().next_power_of_two().max(16);
        let events = match &mut buffer.events {
            Some(events) if events.capacity().get() >= wanted => events,
            events => events
                .insert(Events::with_capacity(NonZeroUsize::new(wanted).expect("at least 16"))),
        };
        events.clear();
        buffer.found.clear();
        match self.poller.wait(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => drop(outcome?),
        }
        let tokens = self.tokens.lock();
        for event in events.iter() {
            // kqueue has one event per filter: the key is enough, and nothing is reported twice.
            let Some(token) = RawFd::try_from(event.key).ok().and_then(|fd| tokens.get(&fd)) else {
                continue;
            };
            let broken = event.is_interrupt() || event.is_err().unwrap_or(false);
            let readiness = Readiness {
                readable: event.readable || broken,
                writable: event.writable || broken,
                hangup: broken,
            };
            buffer.found.push((*token, readiness));
        }
        Ok(())
    }
}

fn key(fd: RawFd) -> usize {
    usize::try_from(fd).unwrap_or(usize::MAX)
}

/// Borrows a descriptor number for one call of the poller.
///
/// # Safety
/// The owner of a watched file may have closed it, or the number may be another file's by now. The
/// number is passed to one system call on the poller's own table, which reports that it does not
/// know the file; the file itself is not affected.
unsafe fn borrow<'a>(fd: RawFd) -> BorrowedFd<'a> {
    // SAFETY: as the caller promised; the number is not -1, which `Watchers` refuses.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

fn watched(key: usize, interest: Interest) -> Event {
    Event::new(key, interest.readable, interest.writable)
}

impl Buffer {
    /// The events that the last wait found.
    pub(super) fn events(&self) -> impl Iterator<Item = (Token, Readiness)> {
        self.found.iter().copied()
    }
}
