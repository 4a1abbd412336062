//! [`create_server`], and the common part of creating servers.

use super::{
    Server, Shared, Yield,
    acceptor::Acceptor,
    binding::{Bound, Options, bind},
    life::Life,
};
use crate::{
    protocols::IntoProtocol,
    slot::Calls,
    ssl::{Arguments, Plan},
    starting::{Side, needs_a_loop},
};
use asyncio_core::{Error, Result, raw::LoopLocal, wait_site::WaitSite};
use asyncio_sockets::{Domain, Endpoint, ToEndpoint, in_call};
use std::{
    cell::RefCell,
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// Creates a server for TCP (`loop.create_server`): `factory` is called for the protocol of each
/// incoming connection.
///
/// `endpoint` is an address, or a socket with an address, of any family. A host name may have several
/// addresses; there is a socket for each. An empty host means every interface, with one socket for
/// IPv4 and one for IPv6, which serve only their own family. If the port is 0, the system chooses one
/// for each socket: see [`Server::local_addr`].
///
/// ```
/// use asyncio::{Protocol, Transport, create_server};
/// use asyncio::Bytes;
///
/// struct Echo;
/// impl Protocol for Echo {
///     fn data_received(&mut self, transport: &Transport, data: Bytes) {
///         transport.write(&data);
///     }
/// }
///
/// asyncio::run(async {
///     let server = create_server(|| Echo, ("127.0.0.1", 0)).backlog(1000).await?;
///     println!("serving on {}", server.local_addr());
///     server.close();
///     server.wait_closed().await
/// })?;
/// # Ok::<(), asyncio::Error>(())
/// ```
///
/// If every handle is dropped, the server continues; see [`Server`].
///
/// # Errors
/// If an address cannot be bound, the system's error with the address, such as `AddrInUse`. An
/// address that is not of this machine is skipped, unless there is no other. `Value` for an invalid
/// address, and for a socket that is not a stream socket; the error of the look-up of a name;
/// `Runtime` without a running loop. In all these cases, nothing stays open.
///
/// # Cancellation
/// Sockets that were opened are closed.
#[doc(alias = "loop.create_server")]
#[track_caller]
pub fn create_server<F, P, Kind>(factory: F, endpoint: impl ToEndpoint) -> CreateServer<F, P, Kind>
where
    F: FnMut() -> P,
    P: IntoProtocol<Kind>,
{
    CreateServer {
        factory,
        endpoints: vec![endpoint.to_endpoint()],
        options: Options::default(),
        serving: Serving::default(),
        site: WaitSite::here(&"create_server"),
        kind: PhantomData,
    }
}

/// The value that [`create_server`] returns, with its keyword arguments. Awaiting it creates the
/// server.
#[must_use = "nothing happens unless it is awaited"]
pub struct CreateServer<F, P, Kind> {
    factory: F,
    endpoints: Vec<Endpoint>,
    options: Options,
    serving: Serving,
    site: WaitSite,
    kind: PhantomData<fn() -> (P, Kind)>,
}

/// The options of every kind of server.
#[derive(Clone, Debug)]
pub(super) struct Serving {
    pub(super) backlog: u32,
    pub(super) max_connections: usize,
    pub(super) start: bool,
    pub(super) ssl: Arguments,
}

impl Default for Serving {
    fn default() -> Serving {
        let ssl = Arguments::default();
        Serving { backlog: 100, max_connections: usize::MAX, start: true, ssl }
    }
}

impl<F, P, Kind> CreateServer<F, P, Kind> {
    /// Returns the arguments of TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn ssl_arguments(&mut self) -> &mut Arguments {
        &mut self.serving.ssl
    }

    /// Adds another address or socket to listen at, like asyncio's sequence of hosts.
    pub fn also_at(mut self, endpoint: impl ToEndpoint) -> Self {
        self.endpoints.push(endpoint.to_endpoint());
        self
    }

    /// Sets the family of the addresses to listen at: [`Domain::IPV4`] or [`Domain::IPV6`]. The
    /// default is both.
    pub fn family(mut self, family: Domain) -> Self {
        self.options.family = Some(family);
        self
    }

    /// Sets the flags for the look-up of the name, in place of
    /// [`AI_PASSIVE`](asyncio_sockets::AI_PASSIVE), with which an empty host means every interface.
    pub fn flags(mut self, flags: i32) -> Self {
        self.options.flags = flags;
        self
    }

    /// Sets how many connections may wait to be accepted; 100 by default. At most one more than
    /// that is accepted in one iteration of the loop.
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.serving.backlog = backlog;
        self
    }

    /// Sets how many connections there may be at once, at least one; the default is no limit. At the
    /// limit, no connection is accepted until another one ends. The system keeps as many waiting as
    /// [`backlog`](CreateServer::backlog) says. asyncio has no counterpart.
    pub fn max_connections(mut self, max_connections: usize) -> Self {
        self.serving.max_connections = max_connections.max(1);
        self
    }

    /// Sets whether an address can be bound even if connections of an earlier server linger there
    /// (`SO_REUSEADDR`); true by default.
    pub fn reuse_address(mut self, on: bool) -> Self {
        self.options.reuse_address = on;
        self
    }

    /// Sets whether other sockets with this option may be bound to the same address; the system
    /// distributes the connections (`SO_REUSEPORT`).
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.options.reuse_port = on;
        self
    }

    /// Sets whether the system regularly checks that silent clients are still there
    /// (`SO_KEEPALIVE`).
    pub fn keep_alive(mut self, on: bool) -> Self {
        self.options.keep_alive = on;
        self
    }

    /// Sets whether the server accepts connections immediately, which is the default; otherwise,
    /// [`Server::start_serving`] or [`Server::serve_forever`] starts it later.
    pub fn start_serving(mut self, on: bool) -> Self {
        self.serving.start = on;
        self
    }

    /// Sets the site at which the caller waits, for operations that are built on this one.
    #[doc(hidden)]
    pub fn at(mut self, site: WaitSite) -> Self {
        self.site = site;
        self
    }
}

impl<F, P, Kind> IntoFuture for CreateServer<F, P, Kind>
where
    F: FnMut() -> P + 'static,
    P: IntoProtocol<Kind>,
{
    type Output = Result<Server>;
    type IntoFuture = CreatingServer<F, P, Kind>;

    fn into_future(self) -> CreatingServer<F, P, Kind> {
        let CreateServer { factory, endpoints, options, serving, site, .. } = self;
        let binding = Box::pin(bind(endpoints, options, site));
        CreatingServer::new(factory, binding, serving, site)
    }
}

impl<F, P, Kind> fmt::Debug for CreateServer<F, P, Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateServer")
            .field("endpoints", &self.endpoints)
            .field("options", &self.options)
            .field("serving", &self.serving)
            .finish_non_exhaustive()
    }
}

/// The future of the sockets of a server.
pub(super) type Binding = Pin<Box<dyn Future<Output = Result<Vec<Bound>>> + Send>>;

/// The future that creates a server, of [`CreateServer`] and
/// [`CreateUnixServer`](crate::CreateUnixServer). It can be sent to another thread if the factory can.
#[must_use = "futures do nothing unless they are awaited"]
pub struct CreatingServer<F, P, Kind> {
    /// `Some` until there are sockets.
    factory: Option<F>,
    binding: Binding,
    serving: Serving,
    site: WaitSite,
    /// `Some` from then on, until it is returned.
    server: Option<Server>,
    pause: Yield,
    kind: PhantomData<fn() -> (P, Kind)>,
}

impl<F, P, Kind> CreatingServer<F, P, Kind> {
    pub(super) fn new(factory: F, binding: Binding, serving: Serving, site: WaitSite) -> Self {
        CreatingServer {
            factory: Some(factory),
            binding,
            serving,
            site,
            server: None,
            pause: Yield::default(),
            kind: PhantomData,
        }
    }
}

impl<F, P, Kind> Unpin for CreatingServer<F, P, Kind> {}

impl<F, P, Kind> Future for CreatingServer<F, P, Kind>
where
    F: FnMut() -> P + 'static,
    P: IntoProtocol<Kind>,
{
    type Output = Result<Server>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Server>> {
        let this = self.get_mut();
        let what = this.site.what();
        if this.server.is_none() {
            let is_over = || Error::runtime(format!("{what}: awaited again after its end"));
            if this.factory.is_none() {
                return Poll::Ready(Err(is_over()));
            }
            let plan = || this.serving.ssl.plan(&Side::Server).map_err(|e| in_call(what, e));
            let bound = match needs_a_loop(this.site).and_then(|()| plan()) {
                Ok(plan) => ready!(this.binding.as_mut().poll(cx)).map(|bound| (bound, plan)),
                Err(error) => Err(error),
            };
            let mut factory = this.factory.take().ok_or_else(is_over)?;
            let calls = move || P::into_calls(Rc::new(RefCell::new(factory())));
            let (bound, plan) = bound?;
            let server = open(bound, this.serving.clone(), plan, Box::new(calls));
            let server = server.map_err(|error| in_call(what, error))?;
            if !this.serving.start {
                return Poll::Ready(Ok(server));
            }
            server.start(what)?;
            this.server = Some(server);
        }
        // If it is cancelled, the server stays here, and is closed with this future.
        ready!(this.pause.poll(cx, this.site))?;
        Poll::Ready(this.server.take().ok_or_else(|| Error::runtime("create_server: it has ended")))
    }
}

impl<F, P, Kind> Drop for CreatingServer<F, P, Kind> {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.close();
        }
    }
}

impl<F, P, Kind> fmt::Debug for CreatingServer<F, P, Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.site)
    }
}

/// Creates a server with these sockets, in the running loop.
fn open(
    bound: Vec<Bound>,
    serving: Serving,
    plan: Plan,
    factory: Box<dyn FnMut() -> Calls>,
) -> Result<Server> {
    let addresses = bound.iter().map(|bound| bound.address.clone()).collect();
    let shared = Arc::new(Shared { addresses, life: Life::new() });
    let acceptor = Acceptor::new(shared.clone(), bound, serving, plan, factory);
    let local = LoopLocal::new(acceptor.clone())?;
    acceptor.on_end(move || drop(local.remove()));
    Ok(Server { local, shared })
}
