//! [`Selector`]: waits for I/O, once per iteration of a loop.
//!
//! It waits for two kinds of descriptors. *Sources* ([`asyncio_core::source`]) own theirs: they are
//! registered once, edge-triggered, for both directions. *Watchers* ([`crate::watchers`]) borrow
//! theirs: they are level-triggered, and registered while a callback is set. Each registration is for
//! one event, and is renewed when the event is delivered.
//!
//! # Two pollers
//!
//! Both have the same few functions, and the rest of the crate does not depend on the choice:
//!
//! - [`linux`]: epoll itself. It takes one system call per iteration (`epoll_pwait2`, with
//!   nanoseconds), and its events report hang-ups, which saves the second receive of nearly every
//!   message. Deadlines that are far away are left to a timer that stays set.
//! - [`portable`]: the `polling` crate; on every other Unix, and on Linux under
//!   `--cfg asyncio_portable_poller`, so that it is tested where we develop.
//!
//! On Linux, nothing uses `polling`, not even the watchers. Beside the epoll descriptor, its poller
//! opens an eventfd and a timerfd that only its own `wait` uses, which wastes two descriptors per
//! loop. Its keys would have to be kept apart from ours on the same descriptor. And a watcher takes
//! the same three `epoll_ctl` calls either way.

#[cfg(all(target_os = "linux", not(asyncio_portable_poller)))]
mod linux;
#[cfg(not(all(target_os = "linux", not(asyncio_portable_poller))))]
mod portable;
#[cfg(test)]
mod tests;

#[cfg(all(target_os = "linux", not(asyncio_portable_poller)))]
use linux as imp;
#[cfg(not(all(target_os = "linux", not(asyncio_portable_poller))))]
use portable as imp;

use crate::watchers::Watchers;
use asyncio_core::{Key, Result, raw::Scheduler, source::Driver};
use imp::Buffer;
use std::{
    cell::RefCell,
    io,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    sync::Arc,
    time::Duration,
};

pub(crate) use imp::{Notifier, Poller};

/// The longest wait, in case the system's clock or ours is off (`MAXIMUM_SELECT_TIMEOUT`): 24 h.
pub(crate) const MAXIMUM_SELECT_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// The receiver of an event, as the number that the system keeps beside a descriptor.
///
/// The key of a source has zeros in its two lowest bits. Watchers have the lowest bit set, their
/// descriptor above it, and in the upper half a stamp that distinguishes two files which had the same
/// number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token(u64);

/// The receiver of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiver {
    Source(Key),
    Watcher {
        descriptor: RawFd,
        stamp: u32,
    },
    /// The notifier or the alarm, which only end the wait.
    Nobody,
}

impl Token {
    const WATCHER: u64 = 1;
    /// No key and no watcher has this: it would be descriptor 2³¹ - 1.
    #[cfg(any(test, all(target_os = "linux", not(asyncio_portable_poller))))]
    const NOTIFIER: Token = Token(u64::MAX);

    pub(crate) fn watcher(descriptor: RawFd, stamp: u32) -> Token {
        let descriptor = u64::from(descriptor.unsigned_abs()) << 1;
        Token(u64::from(stamp) << 32 | descriptor | Token::WATCHER)
    }

    fn receiver(self) -> Receiver {
        match self.0 {
            u64::MAX => Receiver::Nobody,
            bits if bits & Token::WATCHER == 0 => Receiver::Source(Key::from_bits(bits)),
            bits => Receiver::Watcher {
                descriptor: (bits as u32 >> 1) as RawFd,
                stamp: (bits >> 32) as u32,
            },
        }
    }
}

/// The readiness for which a watcher waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interest {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// The selector of one loop, on the loop's thread. Sources have access only to its poller.
#[derive(Debug)]
pub(crate) struct Selector {
    poller: Arc<Poller>,
    notifier: Arc<Notifier>,
    /// Taken out during a wait.
    buffer: RefCell<Buffer>,
    watchers: Watchers,
}

impl Selector {
    /// A selector that waits for nothing yet.
    ///
    /// # Errors
    /// The system's error, for example that too many files are open.
    pub(crate) fn new() -> Result<Selector> {
        let (poller, notifier) = Poller::new()?;
        let (poller, notifier) = (Arc::new(poller), Arc::new(notifier));
        let watchers = Watchers::new(poller.clone());
        Ok(Selector { poller, notifier, buffer: RefCell::default(), watchers })
    }

    /// Makes this the selector with which the sources of a loop register.
    pub(crate) fn attach(&self, scheduler: &Scheduler) {
        scheduler.set_driver(self.poller.clone());
    }

    /// Waits until something is ready, the notifier is used, a signal arrives, or `timeout` is over
    /// (`None`: no limit). Puts the waiting tasks and callbacks into the ready queue, and returns
    /// the number of events.
    ///
    /// # Errors
    /// The system's error, but never that a signal interrupted the wait.
    #[inline]
    pub(crate) fn poll(&self, timeout: Option<Duration>, scheduler: &Scheduler) -> Result<usize> {
        let mut buffer = self.buffer.take();
        let timeout = timeout.map(|timeout| timeout.min(MAXIMUM_SELECT_TIMEOUT));
        let outcome = self.poller.wait(&mut buffer, timeout, scheduler.timers.passed());
        let mut count = 0;
        if outcome.is_ok() {
            for (token, readiness) in buffer.events() {
                let received = match token.receiver() {
                    Receiver::Source(key) => scheduler.deliver_readiness(key, readiness),
                    Receiver::Watcher { descriptor, stamp } => {
                        self.watchers.deliver(scheduler, descriptor, stamp, readiness)
                    }
                    Receiver::Nobody => false,
                };
                count += usize::from(received);
            }
        }
        self.buffer.replace(buffer);
        outcome?;
        Ok(count)
    }

    /// Returns the notifier, which ends a wait from other threads and from signal handlers.
    pub(crate) fn notifier(&self) -> Arc<Notifier> {
        self.notifier.clone()
    }

    /// The callbacks on borrowed descriptors.
    pub(crate) fn watchers(&self) -> &Watchers {
        &self.watchers
    }
}

impl Driver for Poller {
    fn register(&self, fd: BorrowedFd<'_>, key: Key) -> io::Result<()> {
        self.add_source(fd, Token(key.to_bits()))
    }

    fn deregister(&self, fd: BorrowedFd<'_>) {
        self.delete(fd.as_raw_fd());
    }

    fn tells_hangups(&self) -> bool {
        imp::TELLS_HANGUPS
    }
}
