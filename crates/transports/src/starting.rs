//! [`Starting`]: a transport that was opened, on its way to whoever asked for it.

use crate::transport::Transport;
use asyncio_core::{Error, Result, home::with_running, wait_site::WaitSite};
use asyncio_future::Future;
use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A transport until its `connection_made` was called. If this is dropped before, it is closed.
#[derive(Debug)]
pub(crate) struct Starting {
    site: WaitSite,
    made: Future<()>,
    /// Until it is given away.
    transport: Option<Transport>,
}

impl Starting {
    /// Starts `transport`.
    pub(crate) fn begin(transport: Transport, site: WaitSite) -> Starting {
        let made = Future::of_loop(site, None);
        transport.0.resident.with(|connection| connection.start(Some(made.clone())));
        Starting { site, made, transport: Some(transport) }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Transport>> {
        if self.transport.is_some() {
            // If it is cancelled the transport stays here, and is closed with this.
            ready!(Pin::new(&mut self.made).poll(cx))?;
        }
        Poll::Ready(self.transport.take().ok_or_else(|| is_over(self.site)))
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(transport) = &self.transport {
            transport.close();
        }
    }
}

/// Before anything is done that somebody could notice.
///
/// # Errors
/// Without a running loop.
pub(crate) fn needs_a_loop(site: WaitSite) -> Result<()> {
    with_running(site.what(), |_| Ok(()))
}

/// The error of an operation that gave its result before.
pub(crate) fn is_over(site: WaitSite) -> Error {
    Error::runtime(format!("{}: awaited again after it was over", site.what()))
}
