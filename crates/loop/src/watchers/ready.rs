//! [`wait_readable`] and [`wait_writable`]: awaiting a descriptor that is owned elsewhere.

use crate::{EventLoop, get_running_loop};
use asyncio_core::{Error, Result, source::Direction, wait_site::WaitSite};
use asyncio_future::Future;
use std::{
    fmt,
    future::Future as StdFuture,
    marker::PhantomData,
    os::fd::{AsRawFd, RawFd},
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Waits until there is something to read from `fd`, or its other end is closed (trio's and anyio's
/// `wait_readable`). The loop does not own the descriptor, which should be non-blocking. asyncio
/// has only [`add_reader`](EventLoop::add_reader).
///
/// # Errors
/// `Runtime` without a running loop, if another wait or a callback for the descriptor exists, or if a
/// callback is set during the wait; otherwise as for [`add_reader`](EventLoop::add_reader).
///
/// # Cancellation
/// Leaves nothing behind. The same is true if the future is dropped.
///
/// ```
/// use std::{io::{Read, Write}, os::unix::net::UnixStream};
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let (mut ours, mut theirs) = UnixStream::pair()?;
///     ours.set_nonblocking(true)?;
///     theirs.write_all(b"hello")?;
///     asyncio::wait_readable(&ours).await?;
///     let mut bytes = [0; 16];
///     assert_eq!(ours.read(&mut bytes)?, 5);
///     Ok(())
/// }
/// ```
#[track_caller]
pub fn wait_readable(fd: &impl AsRawFd) -> WaitReady<'_> {
    WaitReady::new((fd.as_raw_fd(), Direction::Read), WaitSite::here(&"wait_readable"))
}

/// Waits until `fd` can be written to: see [`wait_readable`].
///
/// # Errors
/// As there.
///
/// # Cancellation
/// As there.
#[track_caller]
pub fn wait_writable(fd: &impl AsRawFd) -> WaitReady<'_> {
    WaitReady::new((fd.as_raw_fd(), Direction::Write), WaitSite::here(&"wait_writable"))
}

/// The future of [`wait_readable`] and [`wait_writable`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct WaitReady<'a> {
    watched: (RawFd, Direction),
    site: WaitSite,
    /// Once it waits.
    waiting: Option<(EventLoop, Future<()>)>,
    /// It stays open meanwhile.
    descriptor: PhantomData<&'a ()>,
}

impl WaitReady<'_> {
    fn new(watched: (RawFd, Direction), site: WaitSite) -> Self {
        WaitReady { watched, site, waiting: None, descriptor: PhantomData }
    }

    fn begin(&self) -> Result<(EventLoop, Future<()>)> {
        let (descriptor, direction) = self.watched;
        let what = match direction {
            Direction::Read => "wait_readable",
            Direction::Write => "wait_writable",
        };
        let event_loop = get_running_loop()?;
        if event_loop.selector().is_some_and(|selector| selector.watchers().has(self.watched)) {
            return Err(Error::runtime(format!(
                "{what}: something already waits for file descriptor {descriptor}"
            )));
        }
        let ready = Future::of_loop(self.site, None);
        let (set, watched) = (Setter { ready: ready.clone(), what }, self.watched);
        event_loop.watch(watched, what, move || {
            let _ = set.ready.set_result(());
            // It would be reported again and again.
            get_running_loop().and_then(|event_loop| event_loop.unwatch(watched))
        })?;
        Ok((event_loop, ready))
    }
}

/// The callback's end of the wait.
struct Setter {
    ready: Future<()>,
    what: &'static str,
}

impl Drop for Setter {
    /// Another callback has taken its place.
    fn drop(&mut self) {
        let text = format!("{}: the callback of the descriptor was replaced or removed", self.what);
        if self.ready.set_exception(Error::runtime(text)).is_ok() {
            // If nothing awaits it any more, nothing is reported.
            let _ = self.ready.exception();
        }
    }
}

impl StdFuture for WaitReady<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.waiting.is_none() {
            self.waiting = Some(self.begin()?);
        }
        let Some((_, ready)) = &mut self.waiting else { return Poll::Pending };
        let outcome = ready!(Pin::new(ready).poll(cx));
        if outcome.is_err() {
            self.end();
        }
        Poll::Ready(outcome)
    }
}

impl WaitReady<'_> {
    /// Removes the callback, if it is there.
    fn end(&mut self) {
        if let Some((event_loop, ready)) = self.waiting.take() {
            let is_removed = ready.done() && !ready.cancelled();
            // Before the callback is dropped.
            ready.cancel();
            if !is_removed {
                // A closed loop has already removed it.
                let _ = event_loop.unwatch(self.watched);
            }
        }
    }
}

impl Drop for WaitReady<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for WaitReady<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} of file descriptor {}>", self.site, self.watched.0)
    }
}
