//! [`ClientResponse`]: the response to a request of a client.

use crate::{client::Admission, runtime::now};
use asyncio_core::{Error, Result, scope::cancellable};
use asyncio_sockets::Decode;
use asyncio_task::wait_for;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Response, StatusCode, Uri, Version,
    body::{Body, Frame, Incoming, SizeHint},
    http::response::Parts,
};
use serde::de::DeserializeOwned;
use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

/// The deadline of a request, in the loop's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Duration>);

impl Deadline {
    pub(crate) fn after(limit: Option<Duration>) -> Deadline {
        Deadline(limit.map(|limit| now().saturating_add(limit)))
    }

    /// Awaits a foreign future, under the limit; a cancellation ends it too. The caller pins the future, because
    /// it is large and would be moved several times.
    pub(crate) async fn limit<T>(
        self,
        future: Pin<&mut impl Future<Output = Result<T>>>,
    ) -> Result<T> {
        match self.0 {
            None => cancellable(future).await,
            Some(deadline) => wait_for(future, deadline.saturating_sub(now())).await,
        }
    }
}

/// The response to a [`ClientRequest`](crate::ClientRequest) (aiohttp's `ClientResponse`): its head, and
/// a body that is read as it arrives.
///
/// The connection returns to the pool when the body has been read to its end. If the response is
/// dropped earlier, the connection is closed, unless it uses HTTP/2.
pub struct ClientResponse {
    head: Parts,
    body: ClientBody,
    deadline: Deadline,
    url: Uri,
}

impl ClientResponse {
    pub(crate) fn new(
        head: Parts,
        body: Incoming,
        admission: Option<Admission>,
        deadline: Deadline,
        url: Uri,
    ) -> ClientResponse {
        ClientResponse { head, body: ClientBody::new(body, admission), deadline, url }
    }

    /// Returns the URL that answered: the last one, if there were redirects (`url`).
    pub fn url(&self) -> &Uri {
        &self.url
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// Returns the HTTP version of the response.
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// Returns the headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Returns an error for a status of 400 or more (`raise_for_status`).
    ///
    /// # Errors
    /// `Runtime` that names the status.
    pub fn raise_for_status(self) -> Result<ClientResponse> {
        let status = self.status();
        match status.is_client_error() || status.is_server_error() {
            true => Err(Error::runtime(format!("Client: the server has answered {status}"))),
            false => Ok(self),
        }
    }

    /// Reads the whole body (`read`).
    ///
    /// # Errors
    /// `Timeout`; the error of the connection.
    ///
    /// # Cancellation
    /// The data that has arrived is lost. The connection is closed; the pool continues to work.
    pub async fn read(self) -> Result<Bytes> {
        let body = pin!(async { Ok(self.body.collect().await?.to_bytes()) });
        self.deadline.limit(body).await
    }

    /// Reads the whole body as text (`text`), which has to be UTF-8.
    ///
    /// # Errors
    /// Those of [`read`](ClientResponse::read); `Value` if the body is not UTF-8.
    ///
    /// # Cancellation
    /// As [`read`](ClientResponse::read).
    pub async fn text(self) -> Result<String> {
        let text = String::from_utf8(self.read().await?.into());
        text.or_else(|error| error.as_bytes().decode())
    }

    /// Reads the whole body, which has to be JSON of a `T` (`json`).
    ///
    /// # Errors
    /// Those of [`read`](ClientResponse::read); an error if the body is not JSON of a `T`.
    ///
    /// # Cancellation
    /// As [`read`](ClientResponse::read).
    pub async fn json<T: DeserializeOwned>(self) -> Result<T> {
        Ok(serde_json::from_slice(&self.read().await?)?)
    }

    /// Returns the next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// As [`read`](ClientResponse::read).
    ///
    /// # Cancellation
    /// No piece is lost.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let ClientResponse { body, deadline, .. } = self;
        let next = pin!(async {
            while let Some(frame) = body.frame().await.transpose()? {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Ok(None)
        });
        deadline.limit(next).await
    }

    /// Returns the response as hyper's type, for other operations. Its limit ends here.
    pub fn into_http(self) -> Response<ClientBody> {
        Response::from_parts(self.head, self.body)
    }
}

/// `<ClientResponse 200 OK>`
impl fmt::Debug for ClientResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<ClientResponse {}>", self.status())
    }
}

/// The body of a [`ClientResponse`].
#[derive(Debug)]
pub struct ClientBody {
    body: Incoming,
    _admission: Option<Admission>,
}

impl ClientBody {
    pub(crate) fn new(body: Incoming, admission: Option<Admission>) -> ClientBody {
        ClientBody { body, _admission: admission }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
