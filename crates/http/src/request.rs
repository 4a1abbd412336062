//! [`ClientRequest`]: a request of a client, with its keyword arguments.

use crate::{
    client::{Client, RequestBody},
    response::{BoxError, ClientResponse, Deadline},
};
use asyncio_core::{Error, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, Uri,
    body::Body,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, PROXY_AUTHORIZATION},
};
use serde::Serialize;
use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    time::Duration,
};

/// A request of a [`Client`]. Awaiting it sends it, and gives the response as soon as its head is there.
///
/// # Errors
/// What the builder was given wrongly; `Timeout`; what became of the connection.
///
/// # Cancellation
/// The connection of the request is closed, unless it is of HTTP/2; the pool goes on.
#[must_use = "a request is sent when it is awaited"]
pub struct ClientRequest {
    client: Client,
    method: Method,
    url: Result<Uri>,
    headers: Result<HeaderMap>,
    body: Result<RequestBody>,
    timeout: Option<Duration>,
}

impl ClientRequest {
    pub(crate) fn new(client: Client, method: Method, url: Result<Uri>) -> ClientRequest {
        let headers = Ok(client.headers().clone());
        let timeout = client.timeout();
        ClientRequest { client, method, url, headers, body: Ok(fixed(Bytes::new())), timeout }
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

    /// The body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Ok(fixed(body.into()));
        self
    }

    /// A body that is made while it is sent. What it awaits is polled by the connection, so a limit
    /// inside of it works, and a cancellation of the request drops it.
    pub fn stream<B>(mut self, body: B) -> Self
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        self.body = Ok(body.map_err(Into::into).boxed_unsync());
        self
    }

    /// The body as JSON, with its content type.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        let body = serde_json::to_vec(value);
        self.body = body.map(|body| fixed(body.into())).map_err(Error::from);
        self.header(CONTENT_TYPE, "application/json")
    }

    /// How long it may take until its response has been read, whatever the client's limit is.
    pub fn timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.timeout = limit.into();
        self
    }

    async fn send(self) -> Result<ClientResponse> {
        let deadline = Deadline::after(self.timeout);
        let send = async {
            let (url, headers, body) = (self.url?, self.headers?, self.body?);
            let admission = self.client.admit(&url).await?;
            let mut request = Request::new(body);
            *request.method_mut() = self.method;
            *request.headers_mut() = headers;
            if let Some(authorization) = self.client.proxy_authorization(&url) {
                request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
            }
            *request.uri_mut() = url;
            let response = self.client.pool().request(request).await?;
            Ok((response, admission))
        };
        let (response, admission) = deadline.limit(send).await?;
        Ok(ClientResponse::new(response, admission, deadline))
    }
}

fn fixed(body: Bytes) -> RequestBody {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

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
