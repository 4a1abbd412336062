//! axum: a router with handlers of ours, served by hyper over HTTP/1 and HTTP/2.

use crate::{
    http::{Body, Tasks, client1, client2, get, read},
    support::{Around, HOUR, Joined, MS, ends, is_cancelled, is_timeout, iterations, pair, run},
};
use asyncio::{
    AsyncContextManager, Event, Lock, LockGuard, Result, create_task, sleep, timeout, wait_for,
};
use axum::{
    Router,
    extract::{Path, State},
    response::IntoResponse,
    routing::{get as on_get, post},
};
use bytes::Bytes;
use hyper::{
    Request, StatusCode,
    server::conn::{http1, http2},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use std::{future::pending, sync::Arc, time::Duration};

/// The state that the handlers share.
#[derive(Clone, Default)]
struct Shared {
    asked: Arc<Event>,
    count: Arc<Lock<u32>>,
}

/// An error of asyncio is returned as a response, even if it is a cancellation.
struct Failed(asyncio::Error);

impl IntoResponse for Failed {
    fn into_response(self) -> axum::response::Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.0.to_string()).into_response()
    }
}

impl<E: Into<asyncio::Error>> From<E> for Failed {
    fn from(error: E) -> Failed {
        Failed(error.into())
    }
}

/// Waits for the lock, but only for a limited time.
async fn within(limit: Duration, lock: &Lock<u32>) -> Result<LockGuard<'_, u32>> {
    timeout(limit).with(async |_| lock.acquire().await).await
}

async fn count(State(shared): State<Shared>, Path(by): Path<u32>) -> Result<String, Failed> {
    shared.asked.set();
    let mut count = within(HOUR, &shared.count).await?;
    wait_for(sleep(MS), HOUR).await?;
    *count += by;
    Ok(count.to_string())
}

async fn late(State(shared): State<Shared>) -> Result<&'static str, Failed> {
    is_timeout(wait_for(pending(), 5 * MS).await);
    is_timeout(wait_for(sleep(HOUR), 5 * MS).await);
    // The handler waits for a lock until its limit passes.
    let _guard = shared.count.acquire().await?;
    is_timeout(within(5 * MS, &shared.count).await.map(drop));
    Ok("late")
}

async fn never(State(shared): State<Shared>) {
    shared.asked.set();
    pending().await
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/", on_get(async || "hello"))
        .route("/count/{by}", on_get(count))
        .route("/late", on_get(late))
        .route("/never", on_get(never))
        .route("/echo", post(async |body: Bytes| body))
        .with_state(shared)
}

#[derive(Clone, Copy)]
enum Version {
    Http1,
    Http2,
}

const VERSIONS: [Version; 2] = [Version::Http1, Version::Http2];

async fn serve(io: Joined, version: Version, router: Router) -> Result<()> {
    let (io, service) = (TokioIo::new(io), TowerToHyperService::new(router));
    match version {
        Version::Http1 => http1::Builder::new().serve_connection(io, service).await?,
        Version::Http2 => http2::Builder::new(Tasks).serve_connection(io, service).await?,
    }
    Ok(())
}

/// Sends requests of either version.
enum Client {
    Http1(hyper::client::conn::http1::SendRequest<Body>),
    Http2(hyper::client::conn::http2::SendRequest<Body>),
}

impl Client {
    async fn new(io: Joined, version: Version, around: &Around) -> Result<Client> {
        let io = TokioIo::new(io);
        Ok(match version {
            Version::Http1 => Client::Http1(client1(io, around).await?),
            Version::Http2 => Client::Http2(client2(io, around).await?),
        })
    }

    async fn ask(&mut self, request: Request<Body>) -> Result<Bytes> {
        let answer = match self {
            Client::Http1(requests) => {
                requests.ready().await?;
                requests.send_request(request).await?
            }
            Client::Http2(requests) => requests.send_request(request).await?,
        };
        assert_eq!(answer.status(), StatusCode::OK);
        read(answer).await
    }
}

#[test]
fn a_server_waits_for_the_first_request() {
    for version in VERSIONS {
        ends(async move |around| {
            let (ours, theirs) = pair().await?;
            around.keep(Client::new(theirs, version, &around).await?);
            around.reached();
            Ok(serve(ours, version, router(Shared::default())))
        });
    }
}

#[test]
fn a_server_waits_for_another_request() {
    for version in VERSIONS {
        ends(async move |around| {
            let (ours, theirs) = pair().await?;
            let mut client = Client::new(theirs, version, &around).await?;
            around.clone().task(async move {
                assert_eq!(client.ask(get("/")).await?, "hello");
                around.reached();
                let _kept = client;
                pending::<Result<()>>().await
            });
            Ok(serve(ours, version, router(Shared::default())))
        });
    }
}

#[test]
fn a_server_waits_for_a_handler() {
    for version in VERSIONS {
        ends(async move |around| {
            let (ours, theirs) = pair().await?;
            let mut client = Client::new(theirs, version, &around).await?;
            around.task(async move { client.ask(get("/never")).await });
            let shared = Shared::default();
            let asked = shared.asked.clone();
            around.clone().task(async move {
                asked.wait().await?;
                around.reached();
                Ok(())
            });
            Ok(serve(ours, version, router(shared)))
        });
    }
}

#[test]
fn a_server_waits_for_the_rest_of_a_body() {
    ends(async |around| {
        use tokio::io::AsyncWriteExt;
        let (ours, mut theirs) = pair().await?;
        theirs.write_all(b"POST /echo HTTP/1.1\r\ncontent-length: 100\r\n\r\npart").await?;
        around.keep(theirs);
        around.reached();
        Ok(serve(ours, Version::Http1, router(Shared::default())))
    });
}

/// A handler of axum returns a response. A cancellation that a leaf in the handler takes therefore ends there, and
/// the connection continues. A second cancellation ends the connection.
#[test]
fn a_handler_that_answers_with_the_cancellation_has_taken_it() {
    run(async {
        let around = Around::default();
        let (ours, theirs) = pair().await?;
        let shared = Shared::default();
        let guard = shared.count.acquire().await?;
        let server = create_task(serve(ours, Version::Http1, router(shared.clone())));
        let mut requests = client1(TokioIo::new(theirs), &around).await?;
        let asked = create_task(async move {
            let answer = requests.send_request(get("/count/1")).await?;
            Ok(answer.status() == StatusCode::INTERNAL_SERVER_ERROR)
        });
        shared.asked.wait().await?;
        iterations(3).await?;
        assert!(server.cancel());
        assert!(asked.await?);
        assert!(!server.done());
        assert!(server.cancel());
        is_cancelled(server.await);
        drop(guard);
        around.end().await
    });
}

#[test]
fn limits_in_handlers_leave_the_connection_alone() {
    for version in VERSIONS {
        run(async move {
            let around = Around::default();
            let (ours, theirs) = pair().await?;
            let shared = Shared::default();
            let server = create_task(serve(ours, version, router(shared.clone())));
            let mut client = Client::new(theirs, version, &around).await?;
            for n in 1..=3 {
                assert_eq!(client.ask(get("/late")).await?, "late");
                assert_eq!(client.ask(get("/count/1")).await?, n.to_string());
            }
            assert_eq!(*shared.count.acquire().await?, 3);
            drop(client);
            server.await?;
            around.end().await
        });
    }
}

#[test]
fn connections_of_a_server_share_what_their_handlers_do() {
    run(async {
        let around = Around::default();
        let shared = Shared::default();
        let mut clients = Vec::new();
        for n in 0..10 {
            let version = VERSIONS[n % 2];
            let (ours, theirs) = pair().await?;
            around.task(serve(ours, version, router(shared.clone())));
            clients.push(Client::new(theirs, version, &around).await?);
        }
        // Half of the requests reach their limit while they wait for the lock; the others get it.
        let guard = shared.count.acquire().await?;
        let mut asked = Vec::new();
        for (n, mut client) in clients.into_iter().enumerate() {
            let limit = if n % 4 < 2 { 20 * MS } else { HOUR };
            asked.push(create_task(async move {
                let answer = wait_for(client.ask(get("/count/1")), limit).await;
                Ok((n, answer))
            }));
        }
        sleep(60 * MS).await?;
        drop(guard);
        for task in asked {
            let (n, answer) = task.await?;
            match n % 4 < 2 {
                true => is_timeout(answer.map(drop)),
                false => drop(answer?),
            }
        }
        around.end().await?;
        drop(within(HOUR, &shared.count).await?);
        Ok(())
    });
}
