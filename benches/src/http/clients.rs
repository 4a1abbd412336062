//! The clients: each with its pool, before a server in a process of its own.

use super::HELLO;
use crate::{echo::Running, workload::Done};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy, rt::TokioExecutor};
use std::{
    cell::RefCell,
    error::Error,
    time::{Duration, Instant},
};

const REQUESTS: usize = 10_000;

/// How long each request took.
type Outcome = Result<Vec<Duration>, Box<dyn Error + Send + Sync>>;

/// The URL of a server, which lives as long as this process measures.
fn url() -> String {
    thread_local!(static SERVER: RefCell<Option<Running>> = const { RefCell::new(None) });
    SERVER.with_borrow_mut(|server| {
        let server = server.get_or_insert_with(|| {
            Running::start_http(HELLO + 1, None).unwrap_or_else(|error| panic!("{error}"))
        });
        format!("http://{}/", server.address)
    })
}

fn done(outcome: Outcome, at_once: usize) -> Done {
    let took = outcome.unwrap_or_else(|error| panic!("{error}"));
    Done::from(REQUESTS / at_once * at_once).took(took)
}

pub(super) fn asyncio(at_once: usize) -> Done {
    let url = url();
    let outcome = asyncio::run(async move {
        let client = asyncio_http::Client::new();
        let tasks = (0..at_once).map(|_| {
            let (client, url) = (client.clone(), url.clone());
            asyncio::create_task(async move {
                let mut took = Vec::with_capacity(REQUESTS / at_once);
                for _ in 0..REQUESTS / at_once {
                    let asked_at = Instant::now();
                    let body = client.get(&url).await?.read().await?;
                    assert_eq!(body, "hello");
                    took.push(asked_at.elapsed());
                }
                Ok(took)
            })
        });
        Ok(asyncio::gather(tasks).await?.concat())
    });
    done(outcome.map_err(Into::into), at_once)
}

pub(super) fn tokio(at_once: usize) -> Done {
    let url = url();
    let run = || -> Outcome {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client = legacy::Client::builder(TokioExecutor::new()).build_http();
            let tasks = (0..at_once).map(|_| {
                let (client, url) = (client.clone(), url.clone());
                tokio::spawn(async move {
                    let mut took = Vec::with_capacity(REQUESTS / at_once);
                    for _ in 0..REQUESTS / at_once {
                        let asked_at = Instant::now();
                        let request = hyper::Request::get(&url).body(Empty::<Bytes>::new())?;
                        let response = client.request(request).await?;
                        assert_eq!(response.into_body().collect().await?.to_bytes(), "hello");
                        took.push(asked_at.elapsed());
                    }
                    Outcome::Ok(took)
                })
            });
            let took: Result<Vec<_>, _> = try_join_all(tasks).await?.into_iter().collect();
            Ok(took?.concat())
        })
    };
    done(run(), at_once)
}
