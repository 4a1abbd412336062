//! [`Starting`]: an opened transport, before it is returned to the caller.

use crate::{ssl, transport::Transport};
use asyncio_core::{Error, Result, raw::with_running, wait_site::WaitSite};
use asyncio_future::Future;
use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// The side of a connection, which matters for TLS.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "only TLS asks"))]
pub(crate) enum Side {
    /// The host to which the connection was made, if there was one.
    Client(Option<String>),
    Server,
}

/// A transport until its `connection_made` was called. If this is dropped before, it is closed.
#[derive(Debug)]
pub(crate) struct Starting {
    site: WaitSite,
    made: Future<()>,
    /// `Some` until it is returned.
    transport: Option<Transport>,
}

impl Starting {
    /// Starts `transport`.
    pub(crate) fn begin(transport: Transport, site: WaitSite) -> Starting {
        let made = Future::of_loop(site, None);
        if let Some(stream) = transport.stream() {
            stream.start(Some(made.clone()));
        }
        Starting { site, made, transport: Some(transport) }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Transport>> {
        if self.transport.is_some() {
            // If it is cancelled, the transport stays here, and is closed with this future.
            let outcome = ready!(Pin::new(&mut self.made).poll(cx));
            outcome.map_err(|error| ssl::named(self.site, error))?;
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

/// Checks for a loop, before anything visible is done.
///
/// # Errors
/// `Runtime` without a running loop.
pub(crate) fn needs_a_loop(site: WaitSite) -> Result<()> {
    with_running(site.what(), |_| Ok(()))
}

/// The error of an operation that has already returned its result.
pub(crate) fn is_over(site: WaitSite) -> Error {
    Error::runtime(format!("{}: awaited again after its end", site.what()))
}
