//! Large bodies, and many connections.

use crate::support::{Raw, descriptors, ended, iterations, run, started, until, url};
use asyncio::{AsyncContextManager, Error, Result, TaskGroup, gather};
use asyncio_http::{Client, Incoming, Request, Response, service_fn};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body, Frame};
use std::convert::Infallible;

const SIZE: usize = 100 << 20;
const PIECE: usize = 100_000;
const PRIME: usize = 251;

/// A row of bytes whose values follow from their positions.
fn row() -> Bytes {
    (0..PIECE + PRIME).map(|n| (n % PRIME) as u8).collect()
}

/// A body of bytes whose values follow from their positions.
fn body(size: usize) -> impl Body<Data = Bytes, Error = Infallible> + Send {
    let row = row();
    let pieces = (0..size).step_by(PIECE).map(move |at| {
        let begin = at % PRIME;
        Ok(Frame::data(row.slice(begin..begin + PIECE.min(size - at))))
    });
    StreamBody::new(stream::iter(pieces))
}

/// Checks that the bytes of a body are in order, and returns its size.
async fn checked(mut body: impl Body<Data = Bytes, Error = hyper::Error> + Unpin) -> Result<usize> {
    let (row, mut size) = (row(), 0);
    while let Some(frame) = body.frame().await.transpose()? {
        for part in frame.into_data().unwrap_or_default().chunks(PIECE) {
            let begin = size % PRIME;
            assert!(row[begin..begin + part.len()] == *part, "at {size}");
            size += part.len();
        }
    }
    Ok(size)
}

#[test]
fn a_large_body_goes_up_and_comes_down() {
    run(async |_| {
        let service = service_fn(async |request: Request<Incoming>| {
            let size = checked(request.into_body()).await?;
            Ok::<_, Error>(Response::new(body(size)))
        });
        let server = started(service).await?;
        for client in [Client::new(), Client::builder().http2_only(true).build()] {
            let response = client.post(url(&server, "/")).stream(body(SIZE)).await?;
            assert_eq!(checked(response.into_http().into_body()).await?, SIZE);
        }
        ended(server).await
    });
}

#[test]
fn many_connections_come_and_go() {
    run(async |_| {
        let service = service_fn(async |_: Request<Incoming>| {
            Ok::<_, Infallible>(Response::new("hello".to_owned()))
        });
        let server = started(service).await?;
        let before = descriptors();
        for round in 0..100 {
            let clients = (0..100).map(|n| {
                let address = server.local_addr();
                async move {
                    let mut client = Raw::to(address).await?;
                    // Clients disconnect in every state: nothing sent, half a request, waiting, answered.
                    match (round + n) % 4 {
                        0 => {}
                        1 => client.send("GET / HT"),
                        2 => client.get("/"),
                        _ => {
                            client.get("/");
                            assert_eq!(client.response().await?.1, "hello");
                        }
                    }
                    Ok(())
                }
            });
            gather(clients).await?;
        }
        until(|| descriptors() == before).await?;
        iterations(10).await?;
        assert_eq!(asyncio::all_tasks()?.len(), 1);
        ended(server).await
    });
}

#[test]
fn many_tasks_share_a_client() {
    run(async |_| {
        let service = service_fn(async |request: Request<Incoming>| {
            asyncio::sleep(std::time::Duration::ZERO).await?;
            Ok::<_, Error>(Response::new(request.uri().path().to_owned()))
        });
        let server = started(service).await?;
        let client = Client::new();
        let made = stream::iter(0..1000).map(|n| {
            let request = client.get(url(&server, &format!("/{n}")));
            async move {
                let text = request.await?.text().await?;
                assert_eq!(text, format!("/{n}"));
                Ok(())
            }
        });
        let outcomes: Vec<Result<()>> = made.buffer_unordered(50).collect().await;
        outcomes.into_iter().collect::<Result<()>>()?;
        TaskGroup::new()
            .with(async |group| {
                for n in 0..100 {
                    let request = client.get(url(&server, &format!("/{n}")));
                    drop(group.create_task(async move { request.await?.text().await }));
                }
                Ok(())
            })
            .await?;
        ended(server).await
    });
}
