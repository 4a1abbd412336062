//! Shared by the tests of HTTP.

use crate::support::{Around, ForHyper};
use asyncio::{Result, create_task};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::{http1, http2},
    rt::Executor,
};
use std::{convert::Infallible, future::Future};

pub(crate) type Body = Full<Bytes>;
pub(crate) type Answer = Response<Body>;

/// Runs the futures that hyper spawns for HTTP/2 as tasks of asyncio.
#[derive(Clone, Copy)]
pub(crate) struct Tasks;

impl<F: Future<Output: 'static> + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        drop(create_task(async move {
            drop(future.await);
            Ok(())
        }));
    }
}

pub(crate) fn text(text: impl Into<Bytes>) -> Answer {
    Response::new(Full::new(text.into()))
}

pub(crate) async fn hello(_: Request<Incoming>) -> Result<Answer, Infallible> {
    Ok(text("hello"))
}

pub(crate) fn get(path: &str) -> Request<Body> {
    let request = Request::get(format!("http://localhost{path}")).header("host", "localhost");
    request.body(Body::default()).expect("the request is in order")
}

pub(crate) async fn read(answer: Response<Incoming>) -> Result<Bytes> {
    Ok(answer.into_body().collect().await?.to_bytes())
}

/// A client of HTTP/1 whose connection is driven by a task.
pub(crate) async fn client1(io: ForHyper, around: &Around) -> Result<http1::SendRequest<Body>> {
    let (requests, connection) = http1::handshake(io).await?;
    around.task(async move { Ok(connection.await?) });
    Ok(requests)
}

/// The same for HTTP/2.
pub(crate) async fn client2(io: ForHyper, around: &Around) -> Result<http2::SendRequest<Body>> {
    let (requests, connection) = http2::handshake(Tasks, io).await?;
    around.task(async move { Ok(connection.await?) });
    Ok(requests)
}
