//! [`upgrade`]: a connection that continues with another protocol.

use crate::{connection::ServerSide, io::Io, service::Switched};
use asyncio_core::{Error, Result, scope::cancellable};
use asyncio_streams::Duplex;
use asyncio_task::{Task, create_task, race};
use hyper::Request;
use hyper_util::server::conn::auto::upgrade::downcast;
use std::{future::Future, pin::Pin};

/// Passes the connection of `request` to `handler`, after the response has been sent. The handler runs
/// in a new task, which this returns. If the client disconnects first, or the response is not an
/// upgrade, the task ends without calling the handler.
///
/// The caller creates the response, with the status 101 and the headers of the other protocol. For a
/// WebSocket, tungstenite creates it (`create_response`), and reads and writes the [`Duplex`] through
/// the traits of tokio or futures-io. axum's `WebSocketUpgrade` requires tokio, so use this function
/// with axum too.
///
/// A server that [stops](crate::HttpServer::shutdown) gives the handler the same time as a request, and
/// then cancels it.
///
/// ```
/// use asyncio_http::{Incoming, Request, Response, StatusCode, header, upgrade};
///
/// async fn echo(mut request: Request<Incoming>) -> asyncio::Result<Response<String>> {
///     upgrade(&mut request, async |both| {
///         let (mut reader, writer) = both.into_split();
///         writer.write(&reader.readline().await?);
///         writer.drain().await
///     });
///     let response = Response::builder()
///         .status(StatusCode::SWITCHING_PROTOCOLS)
///         .header(header::CONNECTION, "upgrade")
///         .header(header::UPGRADE, "echo");
///     Ok(response.body(String::new())?)
/// }
/// ```
///
/// # Errors
/// The task returns the errors of the handler. It also fails if the request does not ask for an
/// upgrade, or did not arrive through [`serve`](crate::serve()).
#[track_caller]
pub fn upgrade<B, H>(request: &mut Request<B>, handler: H) -> Task<()>
where
    H: AsyncFnOnce(Duplex) -> Result<()> + 'static,
{
    let switched = request.extensions().get::<Switched>().cloned();
    let upgraded = hyper::upgrade::on(request);
    create_task(async move {
        let switched = switched.ok_or_else(|| {
            Error::value("upgrade: the request does not ask for an upgrade, or did not arrive through `serve`")
        })?;
        let upgraded = match cancellable(async { Ok(upgraded.await) }).await? {
            Err(error) if error.is_canceled() => return Ok(()),
            Ok(_) if !switched.is_granted() => return Ok(()),
            upgraded => upgraded?,
        };
        let parts = downcast::<Io<ServerSide>>(upgraded)
            .map_err(|_| Error::value("upgrade: HTTP/2 has one connection for all requests"))?;
        let Io { mut both, side: ServerSide { activity, .. } } = parts.io;
        both.reader().unread(parts.read_buf);
        let forced = async move { activity.stop().forced.wait().await };
        let branches: [Branch; 2] = [Box::pin(handler(both)), Box::pin(forced)];
        race(branches).await
    })
}

type Branch = Pin<Box<dyn Future<Output = Result<()>>>>;
