//! [`ClientRequest`]: a request of a client, with its keyword arguments.

use crate::{
    client::{Admission, Client},
    errors::{BoxError, sources},
    redirect::{Content, Outgoing},
    response::{ClientResponse, Deadline},
    url::shown,
};
use asyncio_core::{Error, Result, limit::ToTimeout};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{
    HeaderMap, Method, Response, Uri,
    body::{Body, Incoming},
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde::Serialize;
use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::{Pin, pin},
    time::Duration,
};

/// A request of a [`Client`]. Awaiting it sends it, and returns the response as soon as its head has
/// arrived.
///
/// Redirects are [followed](ClientRequest::allow_redirects), up to the client's
/// [`max_redirects`](crate::ClientBuilder::max_redirects).
///
/// A user name and password in the URL (`http://user:password@host/`) are percent-decoded and sent as basic
/// authentication, unless the request or the client sets the header `Authorization`. They are not sent to the
/// target of a redirect with another scheme, host or port.
///
/// # Errors
/// The error of an invalid argument; `Timeout`; the error of the connection; `Runtime` for too many
/// redirects, and for a redirect that needs a streamed body again.
///
/// # Cancellation
/// The connection of the request is closed, unless it uses HTTP/2. The pool continues to work.
#[must_use = "a request is sent when it is awaited"]
pub struct ClientRequest {
    client: Client,
    method: Method,
    url: Result<Uri>,
    headers: Result<HeaderMap>,
    content: Result<Content>,
    timeout: Option<Duration>,
    allow_redirects: bool,
}

impl ClientRequest {
    pub(crate) fn new(client: Client, method: Method, url: Result<Uri>) -> ClientRequest {
        let headers = Ok(client.headers().clone());
        let timeout = client.timeout();
        let content = Ok(Content::Fixed(Bytes::new()));
        ClientRequest { client, method, url, headers, content, timeout, allow_redirects: true }
    }

    /// Sets a header.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: fmt::Display>,
        V: TryInto<HeaderValue, Error: fmt::Display>,
    {
        let wrong = |error: &dyn fmt::Display| {
            Error::value(format!("Client: a header of a request: {error}"))
        };
        self.headers = self.headers.and_then(|mut headers| {
            let name = name.try_into().map_err(|error| wrong(&error))?;
            headers.insert(name, value.try_into().map_err(|error| wrong(&error))?);
            Ok(headers)
        });
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.content = Ok(Content::Fixed(body.into()));
        self
    }

    /// Sets a body that is generated while it is sent. The connection polls it, so a limit inside
    /// it works, and a cancellation of the request drops it.
    pub fn stream<B>(mut self, body: B) -> Self
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        self.content = Ok(Content::Stream(Some(body.map_err(Into::into).boxed_unsync())));
        self
    }

    /// Sets the body as JSON, with its content type.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        let body = serde_json::to_vec(value);
        self.content = body.map(|body| Content::Fixed(body.into())).map_err(Error::from);
        self.header(CONTENT_TYPE, "application/json")
    }

    /// Sets how long the request may take until its response has been read. This overrides the
    /// client's limit.
    pub fn timeout(mut self, limit: impl ToTimeout) -> Self {
        self.timeout = limit.to_timeout();
        self
    }

    /// Sets whether redirects are followed (`allow_redirects`), as they are by default. If not,
    /// they are returned as responses.
    ///
    /// The statuses 307 and 308 send the same request to the new location. After 303, and after 301 or 302
    /// for a `POST`, the new request is a `GET` without a body. If scheme, host or port change, the headers
    /// `Authorization`, `Cookie` and `Host` are omitted.
    pub fn allow_redirects(mut self, on: bool) -> Self {
        self.allow_redirects = on;
        self
    }

    async fn send(self) -> Result<ClientResponse> {
        let deadline = Deadline::after(self.timeout);
        let ClientRequest { client, method, url, headers, content, allow_redirects, .. } = self;
        let send = pin!(async {
            let (url, headers, content) = (url?, headers?, content?);
            let mut outgoing = Outgoing::new(method, url, headers, content)?;
            let mut left = client.max_redirects();
            loop {
                let exchanged = exchange(&client, &mut outgoing).await;
                let (response, admission) = exchanged.map_err(|error| outgoing.add_to(error))?;
                let (head, body) = response.into_parts();
                if !(allow_redirects && outgoing.follow(head.status, &head.headers)?) {
                    let url = outgoing.url;
                    return Ok(ClientResponse::new(head, body, admission, deadline, url));
                }
                left = left.checked_sub(1).ok_or_else(|| {
                    let (most, url) = (client.max_redirects(), shown(&outgoing.url));
                    Error::runtime(format!(
                        "Client: more than {most} redirects, the last one to {url}; \
                         `ClientBuilder::max_redirects` sets their number"
                    ))
                })?;
                // Its connection can be used again when it has been read. That of a large one is closed.
                let _ = Limited::new(body, DISCARDED).collect().await;
            }
        });
        deadline.limit(send).await
    }
}

/// Sends a request, again if a server of HTTP/2 has refused it without looking at it: because of too many streams, or
/// because it closes the connection.
async fn exchange(
    client: &Client,
    outgoing: &mut Outgoing,
) -> Result<(Response<Incoming>, Option<Admission>)> {
    for _ in 0..REFUSALS {
        match client.exchange(outgoing.request()).await {
            Err(error) if outgoing.can_be_sent_again() && is_refusal(&error) => {}
            outcome => return outcome,
        }
    }
    client.exchange(outgoing.request()).await
}

/// Whether the server has not looked at a request, and will not.
fn is_refusal(error: &Error) -> bool {
    let of_h2 = sources(error).find_map(|source| source.downcast_ref::<h2::Error>());
    of_h2.filter(|error| error.is_remote()).is_some_and(|error| match error.reason() {
        Some(h2::Reason::REFUSED_STREAM) => error.is_reset(),
        Some(h2::Reason::NO_ERROR) => error.is_go_away(),
        _ => false,
    })
}

/// How often a request is sent again after a refusal.
const REFUSALS: usize = 2;
/// The amount of a redirect's body that is read.
const DISCARDED: usize = 64 * 1024;

impl IntoFuture for ClientRequest {
    type Output = Result<ClientResponse>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<ClientResponse>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl fmt::Debug for ClientRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.url {
            Ok(url) => write!(f, "<ClientRequest {} {url}>", self.method),
            Err(error) => write!(f, "<ClientRequest {} {error}>", self.method),
        }
    }
}
