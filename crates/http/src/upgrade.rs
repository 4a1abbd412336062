//! [`upgrade`]: a connection that goes on with another protocol.

use crate::{connection::ServerSide, io::Io, service::Switched};
use asyncio_core::{Error, Result, scope::cancellable};
use asyncio_streams::Duplex;
use asyncio_task::{Task, create_task, race};
use hyper::Request;
use hyper_util::server::conn::auto::upgrade::downcast;
use std::{future::Future, pin::Pin};

/// Hands the connection of `request` to `handler`, once the response has been sent. It runs in a task of
/// its own, which this returns. If the client leaves before, or the response is another one, the task
/// ends without it.
///
/// The response is to be made beside this, with the status 101 and the headers of the other protocol.
/// For a WebSocket tungstenite makes it (`create_response`), and reads and writes the [`Duplex`] through
/// the traits of tokio or futures-io. axum's `WebSocketUpgrade` asks for tokio, so use this there too.
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
/// Those of the handler are the task's. It also fails if the request asks for no upgrade, or came in
/// another way than through [`serve`](crate::serve()).
#[track_caller]
pub fn upgrade<B, H>(request: &mut Request<B>, handler: H) -> Task<()>
where
    H: AsyncFnOnce(Duplex) -> Result<()> + 'static,
{
    let switched = request.extensions().get::<Switched>().cloned();
    let upgraded = hyper::upgrade::on(request);
    create_task(async move {
        let switched = switched.ok_or_else(|| {
            Error::value("upgrade: the request asks for no upgrade, or is none of `serve`")
        })?;
        let upgraded = match cancellable(async { Ok(upgraded.await) }).await? {
            Err(error) if error.is_canceled() => return Ok(()),
            Ok(_) if !switched.is_granted() => return Ok(()),
            upgraded => upgraded?,
        };
        let parts = downcast::<Io<ServerSide>>(upgraded)
            .map_err(|_| Error::value("upgrade: HTTP/2 has one connection for all requests"))?;
        let Io { mut both, side: ServerSide { alive, .. } } = parts.io;
        both.reader().unread(parts.read_buf);
        let forced = async move { alive.stop().forced.wait().await };
        let branches: [Branch; 2] = [Box::pin(handler(both)), Box::pin(forced)];
        race(branches).await
    })
}

type Branch = Pin<Box<dyn Future<Output = Result<()>>>>;
