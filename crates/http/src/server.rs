//! [`serve`], its keyword arguments, and the server that it returns.

use crate::{
    activity::Limits,
    connection::{Shared, in_time},
    runtime::{LoopExecutor, LoopTimer},
    service::IntoService,
    stop::{Alive, Stop},
};
use asyncio_core::{AsyncContextManager, Error, Result, limit::ToTimeout};
use asyncio_locks::Event;
use asyncio_sockets::{Address, Endpoint, ToEndpoint};
use asyncio_streams::{
    Duplex, Starting, StreamReader, StreamWriter, start_server, start_unix_server,
};
use asyncio_task::wait_for;
use asyncio_transports::Server;
#[cfg(feature = "tls")]
use asyncio_transports::ssl::SslContext;
use hyper_util::server::conn::auto;
use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

/// Serves HTTP/1 and HTTP/2 over TCP, until it is closed.
///
/// `service` is a service of hyper or tower, such as a router of axum; `endpoint` is an address, or a
/// socket. Keyword arguments are methods; awaiting the result creates the server. Each request is
/// served by its own task, so that limits and groups work in a handler. If the client disconnects, this
/// task is cancelled. A client of HTTP/1 that ends its sending direction counts as disconnected, unless
/// hyper's option [`half_close`](Serve::protocol) is set.
///
/// If a handler does not return a cancellation, the cancellation ends there: the errors of axum's
/// handlers are responses.
///
/// ```
/// use asyncio_http::{Client, serve};
/// use axum::{Router, extract::Path, routing::get};
/// use std::time::Duration;
///
/// # asyncio::run(async {
/// let app = Router::new().route("/hello/{name}", get(async |Path(name): Path<String>| name));
/// let stop = asyncio::Event::new();
/// let server = serve(app, ("127.0.0.1", 0))
///     .max_connections(1000)
///     .graceful(&stop, Duration::from_secs(10))
///     .await?;
///
/// let url = format!("http://{}/hello/you", server.local_addr());
/// assert_eq!(Client::new().get(url).await?.text().await?, "you");
///
/// stop.set(); // In a handler of a signal, say.
/// server.serve_forever().await
/// # }).unwrap();
/// ```
///
/// # Errors
/// Those of [`start_server`].
///
/// # Cancellation
/// Everything that was opened is closed.
pub fn serve<S, Kind>(service: S, endpoint: impl ToEndpoint) -> Serve<'static, S, Kind>
where
    S: IntoService<Kind>,
{
    Serve::new(service, endpoint.to_endpoint(), false)
}

/// Serves HTTP/1 and HTTP/2 over a Unix socket, like [`serve`]: `endpoint` is the path, or a
/// socket.
///
/// ```
/// use asyncio_http::{Client, serve_unix};
/// use axum::{Router, routing::get};
///
/// # asyncio::run(async {
/// # let path = std::env::temp_dir().join(format!("serve-unix-{}.socket", std::process::id()));
/// let app = Router::new().route("/", get(async || "hello"));
/// let server = serve_unix(app, &path).await?;
/// let client = Client::builder().unix_socket(&path).build();
/// assert_eq!(client.get("http://localhost/").await?.text().await?, "hello");
/// server.shutdown(std::time::Duration::ZERO).await
/// # }).unwrap();
/// ```
///
/// # Errors
/// Those of [`start_unix_server`].
///
/// # Cancellation
/// Everything that was opened is closed.
pub fn serve_unix<S, Kind>(service: S, endpoint: impl ToEndpoint) -> Serve<'static, S, Kind>
where
    S: IntoService<Kind>,
{
    Serve::new(service, endpoint.to_endpoint(), true)
}

/// The keyword arguments of [`serve`] and [`serve_unix`]. Awaiting it creates the server.
#[must_use = "nothing happens unless it is awaited"]
pub struct Serve<'a, S, Kind> {
    service: S,
    endpoint: Endpoint,
    is_unix: bool,
    backlog: u32,
    max_connections: usize,
    limits: Limits,
    protocol: auto::Builder<LoopExecutor>,
    graceful: Option<(&'a Event, Duration)>,
    #[cfg(feature = "tls")]
    ssl: Option<SslContext>,
    kind: std::marker::PhantomData<Kind>,
}

impl<'a, S: IntoService<Kind>, Kind> Serve<'a, S, Kind> {
    fn new(service: S, endpoint: Endpoint, is_unix: bool) -> Self {
        let mut protocol = auto::Builder::new(LoopExecutor);
        // This crate's own limit distinguishes a slow head from an idle connection.
        protocol.http1().timer(LoopTimer).header_read_timeout(None);
        protocol.http2().timer(LoopTimer);
        let limits =
            Limits { idle: Some(Duration::from_secs(75)), head: Some(Duration::from_secs(30)) };
        Serve {
            service,
            endpoint,
            is_unix,
            backlog: 1024,
            max_connections: usize::MAX,
            limits,
            protocol,
            graceful: None,
            #[cfg(feature = "tls")]
            ssl: None,
            kind: std::marker::PhantomData,
        }
    }

    /// Serves over TLS. HTTP/2 needs a context that offers it with
    /// [`set_alpn_protocols`](SslContext::set_alpn_protocols).
    ///
    /// ```
    /// use asyncio::ssl::{Purpose, create_default_context};
    /// use asyncio_http::serve;
    ///
    /// # fn example(app: axum::Router) -> asyncio::Result<()> {
    /// let mut context = create_default_context(Purpose::ClientAuth);
    /// context.load_cert_chain("server.pem", "server.key")?;
    /// context.set_alpn_protocols(["h2", "http/1.1"])?;
    /// let serve = serve(app, ("", 443)).ssl(context);
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "tls")]
    pub fn ssl(mut self, context: impl Into<SslContext>) -> Self {
        self.ssl = Some(context.into());
        self
    }

    /// Sets how long the head of a request may take, from its first byte; 30 seconds by default.
    /// After that, the connection is closed.
    pub fn header_timeout(mut self, limit: impl ToTimeout) -> Self {
        self.limits.head = limit.to_timeout();
        self
    }

    /// Sets how long a connection may be without a request; 75 seconds by default. After that, it
    /// is closed.
    pub fn idle_timeout(mut self, limit: impl ToTimeout) -> Self {
        self.limits.idle = limit.to_timeout();
        self
    }

    /// Sets whether an HTTP/1 connection stays open after a response, as it does by default.
    pub fn keep_alive(mut self, on: bool) -> Self {
        self.protocol.http1().keep_alive(on);
        self
    }

    /// Sets how many connections there may be at once, including upgraded ones. Further connections
    /// wait to be accepted. There is no limit by default.
    pub fn max_connections(mut self, most: usize) -> Self {
        self.max_connections = most;
        self
    }

    /// Sets how many connections may wait to be accepted; 1024 by default.
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.backlog = backlog;
        self
    }

    /// Returns the settings of hyper, for options that have no method here.
    ///
    /// ```
    /// # use asyncio_http::serve;
    /// # let app = axum::Router::new();
    /// let serve = serve(app, ("127.0.0.1", 0)).protocol(|protocol| {
    ///     protocol.http2().max_concurrent_streams(100);
    /// });
    /// ```
    pub fn protocol(mut self, set: impl FnOnce(&mut auto::Builder<LoopExecutor>)) -> Self {
        set(&mut self.protocol);
        self
    }

    /// Makes [`serve_forever`](HttpServer::serve_forever) end when `event` is set: no more clients are accepted,
    /// current requests are answered, and those that take longer than `grace` are ended.
    pub fn graceful(self, event: &Event, grace: Duration) -> Serve<'_, S, Kind> {
        Serve { graceful: Some((event, grace)), ..self }
    }
}

impl<'a, S: IntoService<Kind>, Kind: 'static> IntoFuture for Serve<'a, S, Kind> {
    type Output = Result<HttpServer<'a>>;
    type IntoFuture = Made<'a>;

    #[track_caller]
    fn into_future(self) -> Self::IntoFuture {
        let Serve { endpoint, is_unix, backlog, max_connections, graceful, .. } = self;
        let stop = Arc::new(Stop::default());
        let shared = Rc::new(Shared {
            service: Rc::new(self.service.into_service()),
            protocol: self.protocol,
            limits: self.limits,
            alive: Alive::new(stop.clone()),
        });
        let client = async move |reader: StreamReader, writer: StreamWriter| {
            shared.serve(Duplex::from((reader, writer))).await
        };
        macro_rules! start {
            ($start:expr) => {{
                let start = $start.backlog(backlog).max_connections(max_connections);
                #[cfg(feature = "tls")]
                if let Some(context) = self.ssl {
                    return started(start.ssl(context).into_future(), stop, graceful);
                }
                started(start.into_future(), stop, graceful)
            }};
        }
        match is_unix {
            true => start!(start_unix_server(client, endpoint)),
            false => start!(start_server(client, endpoint)),
        }
    }
}

type Made<'a> = Pin<Box<dyn Future<Output = Result<HttpServer<'a>>> + 'a>>;

fn started<'a>(
    starting: Starting,
    stop: Arc<Stop>,
    graceful: Option<(&'a Event, Duration)>,
) -> Made<'a> {
    Box::pin(async move { Ok(HttpServer { server: starting.await?, stop, graceful }) })
}
impl<S, Kind> fmt::Debug for Serve<'_, S, Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<serve {:?}>", self.endpoint)
    }
}

/// An HTTP server, from [`serve`] or [`serve_unix`].
///
/// It starts to serve immediately, and continues when this is dropped. As an asynchronous context
/// manager, it serves while the body runs, and is [shut down](HttpServer::shutdown) at its end.
pub struct HttpServer<'a> {
    server: Server,
    stop: Arc<Stop>,
    graceful: Option<(&'a Event, Duration)>,
}

impl HttpServer<'_> {
    /// Returns the address at which it listens, with the port that the system chose for port 0.
    pub fn local_addr(&self) -> Address {
        self.server.local_addr()
    }

    /// Returns the underlying server, with its sockets and addresses.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Serves until the event of [`graceful`](Serve::graceful) is set, and then [shuts
    /// down](HttpServer::shutdown) within its grace. Without an event, it serves until it is cancelled.
    ///
    /// # Errors
    /// Only `Cancelled`.
    ///
    /// # Cancellation
    /// Shuts down in the same way, without grace if there is none, and returns `Err(Cancelled)`. A
    /// second cancellation ends the connections immediately. Dropping it does not affect the
    /// server.
    pub async fn serve_forever(&self) -> Result<()> {
        let never = Event::new();
        let event = self.graceful.map_or(&never, |(event, _)| event);
        let asked = event.wait().await;
        self.shutdown(self.grace()).await?;
        asked
    }

    /// Shuts down: no more clients are accepted, and current requests are answered. If one takes longer
    /// than `grace`, its task is cancelled, and its connection closed.
    ///
    /// Responses of HTTP/1 announce that the connection is closed. A connection without a request is kept
    /// for a moment, so that a request in transit is answered.
    ///
    /// # Errors
    /// Only `Cancelled`.
    ///
    /// # Cancellation
    /// The connections are ended immediately.
    pub async fn shutdown(&self, grace: Duration) -> Result<()> {
        self.server.close_behind_the_last();
        self.stop.begun.set();
        let answered = in_time(wait_for(self.stop.over.wait(), grace).await);
        self.stop.forced.set();
        if answered?.is_none() {
            // The remaining connections are those whose client does not read its response.
            let ended = in_time(wait_for(self.stop.over.wait(), LAST_STEPS).await);
            self.server.abort_clients();
            ended?;
        }
        self.server.wait_closed().await
    }

    fn grace(&self) -> Duration {
        self.graceful.map_or(Duration::ZERO, |(_, grace)| grace)
    }
}

/// The time that cancelled requests have to clean up.
const LAST_STEPS: Duration = Duration::from_millis(500);

impl AsyncContextManager for HttpServer<'_> {
    type Target = Address;

    async fn enter(&mut self) -> Result<Address> {
        Ok(self.local_addr())
    }

    async fn exit(&mut self, _address: Address, _error: Option<&Error>) -> Result<()> {
        self.shutdown(self.grace()).await
    }
}

impl fmt::Debug for HttpServer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<HttpServer {:?}>", self.server)
    }
}
