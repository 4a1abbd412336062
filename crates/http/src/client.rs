//! [`Client`]: connections in a pool, and requests over them.

use crate::{
    connect::Connector,
    request::ClientRequest,
    response::{BoxError, ClientBody, Deadline},
    runtime::{LoopExecutor, LoopTimer},
};
use asyncio_core::{Error, Result};
use asyncio_locks::Semaphore;
use bytes::Bytes;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Method, Request, Response, Uri,
    body::{Body, Incoming},
    header::{HeaderName, HeaderValue, PROXY_AUTHORIZATION},
    http::uri::Scheme,
};
use hyper_util::client::{legacy, proxy::matcher::Matcher};
use std::{
    collections::HashMap,
    fmt,
    future::Future,
    path::Path,
    pin::{Pin, pin},
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

pub(crate) type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// A client of HTTP with a pool of connections (aiohttp's `ClientSession`).
///
/// Clones share the pool. Its connections live in the loop in which they were made: use a client in one
/// loop, and make it once, not for each request. When the last clone is dropped, idle connections are
/// closed.
///
/// ```
/// # use asyncio_http::serve;
/// # use axum::{Json, Router, routing::{get, post}};
/// use asyncio_http::Client;
/// # asyncio::run(async {
/// # let app = Router::new()
/// #     .route("/point", get(async || Json([3, 4])))
/// #     .route("/sum", post(async |Json(all): Json<Vec<i32>>| all.iter().sum::<i32>().to_string()));
/// # let server = serve(app, ("127.0.0.1", 0)).await?;
/// # let site = format!("http://{}", server.local_addr());
/// let client = Client::new();
/// let [x, y] = client.get(format!("{site}/point")).await?.json::<[i32; 2]>().await?;
/// assert_eq!((x, y), (3, 4));
///
/// let response = client.post(format!("{site}/sum")).json(&[1, 2, 3]).await?;
/// assert_eq!(response.raise_for_status()?.text().await?, "6");
/// # server.shutdown(std::time::Duration::ZERO).await
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    pool: legacy::Client<Connector, RequestBody>,
    headers: HeaderMap,
    timeout: Option<Duration>,
    proxies: Option<Arc<Matcher>>,
    limit_per_host: Option<usize>,
    max_redirects: usize,
    /// Those that are in use.
    hosts: asyncio_core::raw::sync::Mutex<HashMap<String, Weak<Semaphore>>>,
}

impl Client {
    /// A client as [`builder`](Client::builder) makes it if nothing is said.
    pub fn new() -> Client {
        Client::builder().build()
    }

    /// Its keyword arguments.
    pub fn builder() -> ClientBuilder {
        let mut pool = legacy::Client::builder(LoopExecutor);
        pool.timer(LoopTimer).pool_timer(LoopTimer);
        ClientBuilder {
            pool,
            connector: Connector::default(),
            headers: HeaderMap::new(),
            timeout: None,
            limit_per_host: None,
            max_redirects: 10,
        }
    }

    /// A request of this method. It is sent when it is awaited.
    pub fn request<U>(&self, method: Method, url: U) -> ClientRequest
    where
        U: TryInto<Uri, Error: fmt::Display>,
    {
        let url = url
            .try_into()
            .map_err(|error| Error::value(format!("Client: the URL of a request: {error}")));
        ClientRequest::new(self.clone(), method, url)
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.0.timeout
    }

    pub(crate) fn max_redirects(&self) -> usize {
        self.0.max_redirects
    }

    /// Sends a request as soon as there may be another one to its host.
    pub(crate) async fn exchange(
        &self,
        mut request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Option<Admission>)> {
        let admission = self.admit(request.uri()).await?;
        if let Some(authorization) = self.proxy_authorization(request.uri()) {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
        }
        Ok((self.0.pool.request(request).await?, admission))
    }

    /// What a proxy that takes this request is to be told. That of https is told it before.
    fn proxy_authorization(&self, url: &Uri) -> Option<HeaderValue> {
        let proxies = self.0.proxies.as_ref().filter(|_| url.scheme() == Some(&Scheme::HTTP))?;
        proxies.intercept(url)?.basic_auth().cloned()
    }

    /// Waits until there may be another request to the host.
    async fn admit(&self, url: &Uri) -> Result<Option<Admission>> {
        let (Some(limit), Some(host)) = (self.0.limit_per_host, url.authority()) else {
            return Ok(None);
        };
        let host = self.host(host.as_str(), limit);
        host.acquire().await?.forget();
        Ok(Some(Admission(host)))
    }

    fn host(&self, name: &str, limit: usize) -> Arc<Semaphore> {
        let mut hosts = self.0.hosts.lock();
        if let Some(host) = hosts.get(name).and_then(Weak::upgrade) {
            return host;
        }
        hosts.retain(|_, host| host.strong_count() > 0);
        let host = Arc::new(Semaphore::new(limit));
        hosts.insert(name.to_owned(), Arc::downgrade(&host));
        host
    }
}

macro_rules! methods {
    ($($name:ident $method:ident,)*) => {
        impl Client {$(
            #[doc = concat!("A `", stringify!($method), "` request. It is sent when it is awaited.")]
            pub fn $name<U>(&self, url: U) -> ClientRequest
            where
                U: TryInto<Uri, Error: fmt::Display>,
            {
                self.request(Method::$method, url)
            }
        )*}
    };
}

methods! { get GET, head HEAD, post POST, put PUT, patch PATCH, delete DELETE, }

impl Default for Client {
    fn default() -> Client {
        Client::new()
    }
}

/// As a service of tower it takes requests of hyper, for libraries that ask for one, such as tonic. The
/// client's headers, limits and proxies hold for them; redirects are responses like others.
impl<B> tower_service::Service<Request<B>> for Client
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<ClientBody>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ClientBody>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let client = self.clone();
        Box::pin(async move {
            let mut request = request.map(|body| body.map_err(Into::into).boxed_unsync());
            for (name, value) in client.headers() {
                request.headers_mut().entry(name).or_insert_with(|| value.clone());
            }
            let deadline = Deadline::after(client.timeout());
            let (response, admission) = deadline.limit(pin!(client.exchange(request))).await?;
            Ok(response.map(|body| ClientBody::new(body, admission)))
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("timeout", &self.0.timeout).finish_non_exhaustive()
    }
}

/// The right to one request to a host, until its response has been read.
#[derive(Debug)]
pub(crate) struct Admission(Arc<Semaphore>);

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// The keyword arguments of a [`Client`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ClientBuilder {
    pool: legacy::Builder,
    connector: Connector,
    headers: HeaderMap,
    timeout: Option<Duration>,
    limit_per_host: Option<usize>,
    max_redirects: usize,
}

impl ClientBuilder {
    /// How long a request may take until its response has been read, unless it
    /// [says so itself](ClientRequest::timeout). There is no limit by default.
    pub fn timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.timeout = limit.into();
        self
    }

    /// How many requests to one host and port there may be at once; more wait. A request ends when its
    /// response has been read, or dropped. There is no limit by default.
    pub fn limit_per_host(mut self, limit: usize) -> Self {
        self.limit_per_host = Some(limit);
        self
    }

    /// How many redirects a request may [follow](ClientRequest::allow_redirects); 10 by default
    /// (`max_redirects`). One more is a `Runtime` error.
    pub fn max_redirects(mut self, most: usize) -> Self {
        self.max_redirects = most;
        self
    }

    /// How many idle connections to a host are kept; all by default.
    pub fn max_idle_per_host(mut self, most: usize) -> Self {
        self.pool.pool_max_idle_per_host(most);
        self
    }

    /// How long an idle connection is kept; 90 seconds by default.
    pub fn idle_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.pool.pool_idle_timeout(limit.into());
        self
    }

    /// Whether every server is spoken to in HTTP/2, without asking it first. All requests to a host
    /// then share a connection.
    pub fn http2_only(mut self, on: bool) -> Self {
        self.pool.http2_only(on);
        self
    }

    /// A header that each request has which does not set it itself.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Whether the proxies are used that the environment names (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`,
    /// `NO_PROXY`), as curl does (aiohttp's `trust_env`). It is read now.
    ///
    /// A proxy is asked for URLs with http as they are, and to connect (`CONNECT`) for those with https:
    /// TLS is spoken with the server itself. `NO_PROXY` has the names of hosts, whose subdomains are meant
    /// too, and addresses and networks (`10.0.0.0/8`), separated by commas, or `*`.
    pub fn trust_env(mut self, on: bool) -> Self {
        self.connector.proxies = on.then(|| Arc::new(Matcher::from_env()));
        self
    }

    /// Sends every request through this proxy of HTTP, as with [`trust_env`](ClientBuilder::trust_env). A
    /// user and password in its URL are sent to it.
    ///
    /// # Errors
    /// `Value` if it is no URL of a proxy.
    pub fn proxy(mut self, url: &str) -> Result<Self> {
        let matcher = Matcher::builder().all(url).build();
        let is_known = matcher.intercept(&Uri::from_static("http://example.org/")).is_some();
        if !is_known {
            return Err(Error::value(format!("ClientBuilder.proxy: {url:?} is no URL of a proxy")));
        }
        self.connector.proxies = Some(Arc::new(matcher));
        Ok(self)
    }

    /// With what https is spoken, instead of the default context, which offers HTTP/1 and 2.
    #[cfg(feature = "tls")]
    pub fn ssl(mut self, context: impl Into<asyncio_transports::ssl::SslContext>) -> Self {
        self.connector.ssl = crate::connect::LazyContext::new(context.into());
        self
    }

    /// Connects to this Unix socket, whatever the host is.
    pub fn unix_socket(mut self, path: impl AsRef<Path>) -> Self {
        self.connector.unix_socket = Some(Arc::new(path.as_ref().to_owned()));
        self
    }

    /// Makes the client.
    pub fn build(self) -> Client {
        let proxies = self.connector.proxies.clone();
        Client(Arc::new(Inner {
            pool: self.pool.build(self.connector),
            headers: self.headers,
            timeout: self.timeout,
            proxies,
            limit_per_host: self.limit_per_host,
            max_redirects: self.max_redirects,
            hosts: asyncio_core::raw::sync::Mutex::new(HashMap::new()),
        }))
    }
}
