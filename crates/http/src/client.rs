//! [`Client`]: connections in a pool, and requests over them.

use crate::{
    connect::Connector,
    errors::BoxError,
    request::ClientRequest,
    response::{ClientBody, Deadline},
    runtime::{LoopExecutor, LoopTimer},
    url::{Origin, checked, move_credentials, origin},
};
use asyncio_core::{Error, Result, limit::ToTimeout};
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

/// An HTTP client with a pool of connections (aiohttp's `ClientSession`).
///
/// Clones share the pool. Its connections belong to the loop in which they were made: use a client in
/// one loop, and create it once, not for each request. When the last clone is dropped, idle connections
/// are closed.
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
    hosts: asyncio_core::raw::sync::Mutex<HashMap<Origin, Weak<Semaphore>>>,
}

impl Client {
    /// Creates a client with the default settings.
    pub fn new() -> Client {
        Client::builder().build()
    }

    /// Returns the keyword arguments of a new client.
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

    /// Creates a request with this method. It is sent when it is awaited.
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

    /// The credentials for a proxy that handles this request. A proxy for https gets them earlier.
    fn proxy_authorization(&self, url: &Uri) -> Option<HeaderValue> {
        let proxies = self.0.proxies.as_ref().filter(|_| url.scheme() == Some(&Scheme::HTTP))?;
        proxies.intercept(url)?.basic_auth().cloned()
    }

    /// Waits until there may be another request to the host.
    async fn admit(&self, url: &Uri) -> Result<Option<Admission>> {
        let Some(limit) = self.0.limit_per_host else { return Ok(None) };
        let host = self.host(origin(url), limit);
        host.acquire().await?.forget();
        Ok(Some(Admission(host)))
    }

    fn host(&self, origin: Origin, limit: usize) -> Arc<Semaphore> {
        let mut hosts = self.0.hosts.lock();
        if let Some(host) = hosts.get(&origin).and_then(Weak::upgrade) {
            return host;
        }
        hosts.retain(|_, host| host.strong_count() > 0);
        let host = Arc::new(Semaphore::new(limit));
        hosts.insert(origin, Arc::downgrade(&host));
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

/// As a tower service, the client takes requests of hyper, for libraries that require a service, such
/// as tonic. The client's headers, limits and proxies apply to them, and so does the user name and password of a URL;
/// redirects are returned as responses.
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
            let own: Vec<_> = request.headers().keys().cloned().collect();
            for (name, value) in client.headers().iter().filter(|(name, _)| !own.contains(name)) {
                request.headers_mut().append(name, value.clone());
            }
            let mut url = std::mem::take(request.uri_mut());
            move_credentials(&mut url, request.headers_mut())?;
            *request.uri_mut() = url;
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

/// Whether `NO_PROXY` contains `*`, which hyper-util applies to names, but not to addresses.
fn is_every_host_exempt() -> bool {
    let exempt = ["NO_PROXY", "no_proxy"].iter().find_map(|name| std::env::var(name).ok());
    exempt.is_some_and(|hosts| hosts.split(',').any(|host| host.trim() == "*"))
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
    /// Sets how long a request may take until its response has been read, unless it has [its own
    /// limit](ClientRequest::timeout). There is no limit by default.
    pub fn timeout(mut self, limit: impl ToTimeout) -> Self {
        self.timeout = limit.to_timeout();
        self
    }

    /// Sets how many requests to one host and port there may be at once; further requests wait. A
    /// request ends when its response has been read or dropped. There is no limit by default.
    pub fn limit_per_host(mut self, limit: usize) -> Self {
        self.limit_per_host = Some(limit);
        self
    }

    /// Sets how many redirects a request may [follow](ClientRequest::allow_redirects); 10 by
    /// default (`max_redirects`). One more is a `Runtime` error.
    pub fn max_redirects(mut self, most: usize) -> Self {
        self.max_redirects = most;
        self
    }

    /// Sets how many idle connections to a host are kept; all by default.
    pub fn max_idle_per_host(mut self, most: usize) -> Self {
        self.pool.pool_max_idle_per_host(most);
        self
    }

    /// Sets how long an idle connection is kept; 90 seconds by default.
    pub fn idle_timeout(mut self, limit: impl ToTimeout) -> Self {
        self.pool.pool_idle_timeout(limit.to_timeout());
        self
    }

    /// Sets whether HTTP/2 is used with every server, without negotiation. All requests to a host
    /// then share a connection.
    pub fn http2_only(mut self, on: bool) -> Self {
        self.pool.http2_only(on);
        self
    }

    /// Sets a default header, for requests that do not set it themselves.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Sets whether to use the proxies in the environment (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`,
    /// `NO_PROXY`), as curl does (aiohttp's `trust_env`). The environment is read by this call.
    ///
    /// A proxy gets requests for http URLs directly, and a `CONNECT` request for https URLs: TLS is used
    /// between client and server. `NO_PROXY` is a list of host names, which include their subdomains,
    /// addresses and networks (`10.0.0.0/8`), separated by commas, or `*`.
    pub fn trust_env(mut self, on: bool) -> Self {
        let is_used = on && !is_every_host_exempt();
        self.connector.proxies = is_used.then(|| Arc::new(Matcher::from_env()));
        self
    }

    /// Sends every request through this HTTP proxy, as with [`trust_env`](ClientBuilder::trust_env). A
    /// user and password in its URL are sent to it.
    ///
    /// # Errors
    /// `Value` if it is not the URL of a proxy.
    pub fn proxy(mut self, url: &str) -> Result<Self> {
        let matcher = Matcher::builder().all(url).build();
        let Some(proxy) = matcher.intercept(&Uri::from_static("http://example.org/")) else {
            // A user name and a password are not shown.
            let shown = url.rsplit('@').next().unwrap_or_default();
            let text = format!("ClientBuilder.proxy: {shown:?} is no URL of a proxy");
            return Err(Error::value(text));
        };
        checked(proxy.uri())?;
        self.connector.proxies = Some(Arc::new(matcher));
        Ok(self)
    }

    /// Sets the TLS context for https, instead of the default context, which offers HTTP/1 and 2.
    #[cfg(feature = "tls")]
    pub fn ssl(mut self, context: impl Into<asyncio_transports::ssl::SslContext>) -> Self {
        self.connector.ssl = crate::connect::LazyContext::new(context.into());
        self
    }

    /// Connects to this Unix socket for every host.
    pub fn unix_socket(mut self, path: impl AsRef<Path>) -> Self {
        self.connector.unix_socket = Some(Arc::new(path.as_ref().to_owned()));
        self
    }

    /// Creates the client.
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
