//! [`Ready`]: a wait for readiness alone.

use super::{Direction, IoWait, Source};
use crate::{Result, wait_site::WaitSite};
use std::{
    future::Future,
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll},
};

/// The leaf future of [`Source::readable`] and [`Source::writable`].
///
/// It may complete although the operation still blocks. In that case, call
/// [`Source::clear_readiness`] and wait again.
///
/// # Cancellation
/// Nothing is lost: the readiness remains for the next waiter.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Ready<'a, T: AsFd> {
    source: &'a Source<T>,
    direction: Direction,
    wait: IoWait,
    site: WaitSite,
}

impl<'a, T: AsFd> Ready<'a, T> {
    pub(super) fn new(source: &'a Source<T>, direction: Direction, site: WaitSite) -> Ready<'a, T> {
        Ready { source, direction, wait: IoWait::new(), site }
    }
}

impl<T: AsFd> Future for Ready<'_, T> {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        if this.wait.place.is_none() {
            if let Err(error) = this.source.register() {
                return Poll::Ready(Err(error));
            }
        }
        let outcome = this.source.poll_io(
            cx,
            &mut this.wait,
            this.direction,
            this.site,
            |_| Ok(()),
            |_| false,
        );
        outcome.map(|outcome| outcome.map(drop))
    }
}
