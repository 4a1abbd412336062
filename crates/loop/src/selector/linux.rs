//! The poller for Linux: edge-triggered epoll with hang-ups and urgent data, and timeouts in
//! nanoseconds.

use super::{Interest, Token};
use asyncio_core::{
    raw::{nanos, since_epoch},
    source::Readiness,
};
use nix::{
    libc,
    sys::{
        epoll::{Epoll, EpollCreateFlags},
        eventfd::{EfdFlags, EventFd},
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    ptr,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

/// Sources ask for `EPOLLRDHUP` and `EPOLLPRI`, which are reported in the same event as the data before
/// them.
pub(super) const TELLS_HANGUPS: bool = true;

const IN: u32 = libc::EPOLLIN as u32;
const OUT: u32 = libc::EPOLLOUT as u32;
const PRI: u32 = libc::EPOLLPRI as u32;
const ERR: u32 = libc::EPOLLERR as u32;
const HUP: u32 = libc::EPOLLHUP as u32;
const RDHUP: u32 = libc::EPOLLRDHUP as u32;
const ET: u32 = libc::EPOLLET as u32;
const ONESHOT: u32 = libc::EPOLLONESHOT as u32;

/// An epoll instance.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: Epoll,
    /// The number of registered descriptors: no wait reports more. A descriptor that was closed
    /// under its watcher counts until the watcher notices.
    registered: AtomicUsize,
    /// Cleared when the system is found not to have, or not to allow, `epoll_pwait2` (Linux 5.11).
    has_pwait2: AtomicBool,
    alarm: Alarm,
}

/// Ends a wait whose deadline is [far](FAR): a timerfd, which stays set over many waits. A timeout of the wait
/// itself makes the kernel set and cancel a timer each time, which takes 0.25 µs of the 7 µs that a wait, a
/// receive and a send take together. It is used only after a wait that an event has ended, so that a program that
/// sleeps makes no other system call than the wait.
#[derive(Debug)]
struct Alarm {
    /// Like the notifier, it is never read. `None` if the system does not allow it.
    timer: Option<TimerFd>,
    /// When it goes off, in nanoseconds of real loop time; zero if it is not set.
    at: AtomicU64,
    /// Whether the last wait brought events.
    is_useful: AtomicBool,
}

/// From this timeout on, the alarm ends a wait.
const FAR: Duration = Duration::from_millis(10);

/// Ends the wait of a poller: an eventfd. It is never read: each write is an edge of its own.
#[derive(Debug)]
pub(crate) struct Notifier(EventFd);

impl Notifier {
    /// Makes the current wait return, or else the next one. Async-signal-safe.
    pub(crate) fn notify(&self) {
        // It fails only after 2⁶⁴ - 2 notifications without a wait: then one is pending.
        let _ = self.0.write(1);
    }
}

/// The buffer for the events of a wait.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// All elements are initialised.
    events: Vec<libc::epoll_event>,
    /// The number of elements that the last wait filled in.
    filled: usize,
}

/// `struct __kernel_timespec`, which is the same on every architecture.
#[repr(C)]
struct KernelTimespec {
    seconds: i64,
    nanoseconds: i64,
}

impl Poller {
    pub(super) fn new() -> io::Result<(Poller, Notifier)> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let notifier = Notifier(EventFd::from_value_and_flags(0, flags)?);
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).ok();
        let alarm = Alarm { timer, at: AtomicU64::new(0), is_useful: AtomicBool::new(false) };
        let (registered, has_pwait2) = (AtomicUsize::new(0), AtomicBool::new(true));
        let poller = Poller { epoll, registered, has_pwait2, alarm };
        for descriptor in poller.alarm.timer.iter().map(AsFd::as_fd).chain([notifier.0.as_fd()]) {
            poller.add(descriptor.as_raw_fd(), IN | ET, Token::NOTIFIER)?;
        }
        Ok((poller, notifier))
    }

    /// Registers a descriptor for good: both directions, edges, hang-ups, urgent data.
    pub(super) fn add_source(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        self.add(fd.as_raw_fd(), IN | OUT | PRI | RDHUP | ET, token)
    }

    /// Registers a watched descriptor for one event. Returns `AlreadyExists` if it is registered.
    pub(crate) fn add_watch(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        self.add(fd, watched(interest), token)
    }

    /// Changes the interest of a watched descriptor and enables its next event. Returns `NotFound` if it
    /// is not registered.
    pub(crate) fn change_watch(
        &self,
        fd: RawFd,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, watched(interest), token)
    }

    /// Forgets a descriptor: called once for each that was added, even if it was closed since.
    pub(crate) fn delete(&self, fd: RawFd) {
        self.registered.fetch_sub(1, Ordering::Relaxed);
        // It is fine if the descriptor is no longer registered.
        let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0, Token(0));
    }

    fn add(&self, fd: RawFd, events: u32, token: Token) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, events, token)?;
        self.registered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Calls `epoll_ctl`, which takes only the number. The owner of a watched file may have closed
    /// it, or the number may even be another file's by now, which is an error like any other.
    fn control(&self, operation: i32, fd: RawFd, events: u32, token: Token) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: token.0 };
        // SAFETY: `epoll` is open, `event` is valid for the call, and the kernel checks `fd`.
        let done = unsafe { libc::epoll_ctl(self.epoll.0.as_raw_fd(), operation, fd, &mut event) };
        if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits for events, and puts all of them into `buffer`: none, if a signal arrived. `seen` is the last
    /// reading of the loop's clock, which the loop reads after each wait.
    ///
    /// It is inlined together with its callers: the system call flushed the return predictor, so
    /// every return after it would be mispredicted.
    #[inline]
    pub(super) fn wait(
        &self,
        buffer: &mut Buffer,
        timeout: Option<Duration>,
        seen: u64,
    ) -> io::Result<()> {
        let is_useful = self.alarm.is_useful.load(Ordering::Relaxed);
        let needs_none = |timeout| is_useful && timeout >= FAR && self.is_alarmed(timeout, seen);
        let timeout = timeout.filter(|timeout| !needs_none(*timeout));
        let wanted = self.registered.load(Ordering::Relaxed);
        if buffer.events.len() < wanted {
            let size = wanted.next_power_of_two().max(16);
            buffer.events.resize(size, libc::epoll_event { events: 0, u64: 0 });
        }
        buffer.filled = 0;
        let outcome = if self.has_pwait2.load(Ordering::Relaxed) {
            match self.wait_nanoseconds(&mut buffer.events, timeout) {
                // The call does not exist, or a container that does not know it forbids it.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    self.has_pwait2.store(false, Ordering::Relaxed);
                    self.wait_milliseconds(&mut buffer.events, timeout)
                }
                outcome => outcome,
            }
        } else {
            self.wait_milliseconds(&mut buffer.events, timeout)
        };
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            outcome => {
                buffer.filled = outcome?;
                self.alarm.is_useful.store(buffer.filled > 0, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// Whether the alarm goes off by the end of `timeout`; it is set if necessary. If it went off in an earlier
    /// wait, the clock has been read since.
    #[inline]
    fn is_alarmed(&self, timeout: Duration, seen: u64) -> bool {
        let at = self.alarm.at.load(Ordering::Relaxed);
        let deadline = seen.saturating_add(nanos(timeout));
        match at {
            0 => self.set_alarm(deadline),
            _ if seen < at => at <= deadline || self.set_alarm(deadline),
            // It has gone off: a deadline was reached, and perhaps the next one will be.
            _ => {
                self.alarm.at.store(0, Ordering::Relaxed);
                false
            }
        }
    }

    /// Returns false if the system has no timer for us.
    #[cold]
    fn set_alarm(&self, deadline: u64) -> bool {
        let Some(timer) = &self.alarm.timer else { return false };
        // Zero would switch it off.
        let rest = Duration::from_nanos(deadline.saturating_sub(since_epoch()).max(1));
        let is_set =
            timer.set(Expiration::OneShot(rest.into()), TimerSetTimeFlags::empty()).is_ok();
        self.alarm.at.store(if is_set { deadline } else { 0 }, Ordering::Relaxed);
        is_set
    }

    #[inline]
    fn wait_nanoseconds(
        &self,
        events: &mut [libc::epoll_event],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        let timeout = timeout.map(|timeout| KernelTimespec {
            seconds: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: timeout.subsec_nanos().into(),
        });
        let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
        // By number, because the C library may be older than the kernel. SAFETY: `epoll` is open;
        // the events, as many as we say, and the timeout, if there is one, are valid for the call,
        // and have the kernel's layout; no signal mask is given.
        let filled = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.epoll.0.as_raw_fd(),
                events.as_mut_ptr(),
                i32::try_from(events.len()).unwrap_or(i32::MAX),
                timeout,
                ptr::null::<libc::sigset_t>(),
                0_usize,
            )
        };
        usize::try_from(filled).map_err(|_| io::Error::last_os_error())
    }

    /// The old call: a timer may be up to a millisecond late.
    #[cold]
    fn wait_milliseconds(
        &self,
        events: &mut [libc::epoll_event],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        // SAFETY: `epoll` is open, and the events, as many as we say, are valid for the call.
        let filled = unsafe {
            libc::epoll_wait(
                self.epoll.0.as_raw_fd(),
                events.as_mut_ptr(),
                i32::try_from(events.len()).unwrap_or(i32::MAX),
                timeout.map_or(-1, milliseconds),
            )
        };
        usize::try_from(filled).map_err(|_| io::Error::last_os_error())
    }
}

/// Rounds up: a wait that ends too early would be repeated in vain until the deadline.
fn milliseconds(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

fn watched(interest: Interest) -> u32 {
    (if interest.readable { IN } else { 0 }) | (if interest.writable { OUT } else { 0 }) | ONESHOT
}

impl Buffer {
    /// The events that the last wait found.
    pub(super) fn events(&self) -> impl Iterator<Item = (Token, Readiness)> {
        self.events[..self.filled].iter().map(|event| {
            let flags = event.events;
            let readiness = Readiness {
                readable: flags & (IN | PRI | RDHUP | HUP | ERR) != 0,
                writable: flags & (OUT | HUP | ERR) != 0,
                // A read stops in front of urgent data, even if more data follows it.
                hangup: flags & (PRI | RDHUP | HUP | ERR) != 0,
            };
            (Token(event.u64), readiness)
        })
    }
}

#[cfg(test)]
impl Poller {
    /// When the alarm goes off, in loop time.
    pub(super) fn alarm(&self) -> Duration {
        Duration::from_nanos(self.alarm.at.load(Ordering::Relaxed))
    }

    /// As on a kernel that has only the old call.
    pub(super) fn forget_pwait2(&self) {
        self.has_pwait2.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_rounded_up_to_whole_milliseconds() {
        let rounded = [0, 1, 999_999, 1_000_000, 1_000_001, u64::MAX]
            .map(|nanoseconds| milliseconds(Duration::from_nanos(nanoseconds)));
        assert_eq!(rounded, [0, 1, 1, 1, 2, i32::MAX]);
    }
}
