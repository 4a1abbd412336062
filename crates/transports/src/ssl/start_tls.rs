//! [`start_tls`]: the upgrade of an existing connection from plain text to TLS.

use super::{Ssl, arguments::Secured, named, protocol::SslProtocol, session::Session};
use crate::{
    connection::{Kind, call_soon},
    protocols::IntoProtocol,
    slot::Calls,
    ssl::Arguments,
    starting::{Side, is_over, needs_a_loop},
    transport::Transport,
};
use asyncio_core::{Error, Result, wait_site::WaitSite};
use asyncio_future::Future as Promise;
use asyncio_sockets::in_call;
use bytes::Bytes;
use std::{
    cell::RefCell,
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

/// Upgrades a connection to TLS (`loop.start_tls`), and returns a transport that replaces
/// `transport`. The old transport must no longer be used.
///
/// `protocol` receives the data of the new transport; `connection_made` is not called again. This side
/// is the client, unless [`server_side`](StartTls::server_side) is set. `ssl` is an
/// [`SslContext`](super::SslContext), or `true` for a client's default one. A transport that already
/// uses TLS can be upgraded as well: TLS over TLS.
///
/// ```
/// use asyncio::{Protocol, Transport, start_tls};
/// use std::{cell::RefCell, rc::Rc};
/// # #[allow(dead_code)]
/// async fn upgrade<P: Protocol>(
///     transport: Transport,
///     protocol: Rc<RefCell<P>>,
/// ) -> asyncio::Result<Transport> {
///     start_tls(&transport, protocol, true).server_hostname("example.org").await
/// }
/// ```
///
/// # Errors
/// Those of the handshake, after which the connection is closed. `Value` if the arguments do not fit
/// together, or for a pipe; `Runtime` if the connection has ended or belongs to another thread. In these
/// cases, nothing has changed.
///
/// # Cancellation
/// The connection is closed.
#[doc(alias = "loop.start_tls")]
#[track_caller]
pub fn start_tls<P, Kind>(
    transport: &Transport,
    protocol: Rc<RefCell<P>>,
    ssl: impl Into<Ssl>,
) -> StartTls
where
    P: IntoProtocol<Kind>,
{
    let calls = P::into_calls(protocol);
    StartTls::new(transport, calls, ssl.into(), WaitSite::here(&"start_tls"))
}

/// The future that [`start_tls`] returns, with its keyword arguments.
#[must_use = "futures do nothing unless they are awaited"]
pub struct StartTls {
    site: WaitSite,
    arguments: Arguments,
    server_side: bool,
    received: Box<dyn FnOnce() -> Bytes>,
    stage: Stage,
}

enum Stage {
    New(Transport, Calls),
    /// The old transport, the new one, and the future of the handshake.
    Shaking(Transport, Transport, Promise<()>),
    Over,
}

impl StartTls {
    fn new(transport: &Transport, protocol: Calls, ssl: Ssl, site: WaitSite) -> StartTls {
        let mut arguments = Arguments::default();
        arguments.set_ssl(ssl);
        let stage = Stage::New(transport.clone(), protocol);
        StartTls { site, arguments, server_side: false, received: Box::new(Bytes::new), stage }
    }

    /// Sets whether this side is the server.
    pub fn server_side(mut self, on: bool) -> Self {
        self.server_side = on;
        self
    }

    /// Sets the name for which the server's certificate must be valid. A client has to set it.
    pub fn server_hostname(mut self, name: impl Into<String>) -> Self {
        self.arguments.set_server_hostname(name.into());
        self
    }

    /// Sets how long the handshake may take; 60 seconds by default.
    pub fn ssl_handshake_timeout(mut self, timeout: Duration) -> Self {
        self.arguments.set_handshake_timeout(timeout);
        self
    }

    /// Sets how long `close()` waits for the other side to close too; 30 seconds by default.
    pub fn ssl_shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.arguments.set_shutdown_timeout(timeout);
        self
    }

    /// Passes bytes that the old protocol has received and that belong to TLS: the other side may
    /// have begun immediately.
    pub fn received(self, data: impl Into<Bytes>) -> Self {
        let data = data.into();
        self.take_received(|| data)
    }

    /// Does the same as `received`, with bytes that are requested when the old protocol receives no
    /// more data.
    #[doc(hidden)] // For asyncio-streams.
    pub fn take_received(mut self, take: impl FnOnce() -> Bytes + 'static) -> Self {
        self.received = Box::new(take);
        self
    }

    /// Sets the wait site, for functions that are built on this one.
    #[doc(hidden)]
    pub fn at(mut self, site: WaitSite) -> Self {
        self.site = site;
        self
    }

    fn begin(&mut self, lower: Transport, protocol: Calls) -> Result<Stage> {
        needs_a_loop(self.site)?;
        if !matches!(lower.0.kind, Kind::Socket { .. }) {
            return Err(Error::value(format!("transport {lower:?} is not supported")));
        }
        let side = if self.server_side { Side::Server } else { Side::Client(None) };
        let Some(secured) = self.arguments.plan(&side)?.secured() else {
            return Err(Error::value("it needs a context, or true for the default one"));
        };
        let upper = self.put_over(&lower, protocol, &secured)?;
        let made = Promise::of_loop(self.site, None);
        let ssl = upper.0.ssl.get().and_then(|place| place.get());
        let ssl = ssl.ok_or_else(|| Error::runtime("the loop is being closed"))?;
        ssl.await_handshake(made.clone());
        let resumed = lower.clone();
        call_soon(lower.home(), move || ssl.start_handshake());
        call_soon(lower.home(), move || resumed.resume_reading());
        Ok(Stage::Shaking(lower, upper, made))
    }

    /// Puts TLS between a transport and its protocol.
    fn put_over(
        &mut self,
        lower: &Transport,
        protocol: Calls,
        secured: &Secured,
    ) -> Result<Transport> {
        let over = || Error::runtime("the connection has ended, or belongs to another thread");
        let stream = lower.stream().filter(|_| !lower.is_closing()).ok_or_else(over)?;
        let ssl = SslProtocol::new(Session::new(secured)?, secured, protocol);
        ssl.takes_over(stream.is_full());
        // Nothing may arrive before the handshake has begun.
        stream.pause_reading();
        ssl.keep_received(&std::mem::replace(&mut self.received, Box::new(Bytes::new))());
        let upper = ssl.clone().over(lower, secured)?;
        stream.set_protocol(Calls::Buffered(ssl));
        Ok(upper)
    }
}

impl Future for StartTls {
    type Output = Result<Transport>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Transport>> {
        let this = &mut *self;
        if let Stage::New(..) = &this.stage {
            if let Stage::New(lower, protocol) = std::mem::replace(&mut this.stage, Stage::Over) {
                let begun = this.begin(lower, protocol);
                this.stage = begun.map_err(|error| in_call(this.site.what(), error))?;
            }
        }
        let Stage::Shaking(_, _, made) = &mut this.stage else {
            return Poll::Ready(Err(is_over(this.site)));
        };
        let outcome = ready!(Pin::new(made).poll(cx));
        // If the handshake failed or was cancelled, dropping this future closes the transport.
        outcome.map_err(|error| named(this.site, error))?;
        match std::mem::replace(&mut this.stage, Stage::Over) {
            Stage::Shaking(_, upper, _) => Poll::Ready(Ok(upper)),
            _ => Poll::Ready(Err(is_over(this.site))),
        }
    }
}

impl Drop for StartTls {
    fn drop(&mut self) {
        if let Stage::Shaking(lower, ..) = &self.stage {
            lower.close();
        }
    }
}

impl fmt::Debug for StartTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.site)
    }
}
