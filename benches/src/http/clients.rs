//! The clients: each with its pool, before a server in a process of its own.

use super::HELLO;
use crate::{echo::Running, workload::Done};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy, rt::TokioExecutor};
use std::{cell::RefCell, error::Error};

const REQUESTS: usize = 10_000;

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

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
    outcome.unwrap_or_else(|error| panic!("{error}"));
    (REQUESTS / at_once * at_once).into()
}

pub(super) fn asyncio(at_once: usize) -> Done {
    let url = url();
    let outcome = asyncio::run(async move {
        let client = asyncio_http::Client::new();
        let tasks = (0..at_once).map(|_| {
            let (client, url) = (client.clone(), url.clone());
            asyncio::create_task(async move {
                for _ in 0..REQUESTS / at_once {
                    let body = client.get(&url).await?.read().await?;
                    assert_eq!(body, "hello");
                }
                Ok(())
            })
        });
        asyncio::gather(tasks).await.map(drop)
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
                    for _ in 0..REQUESTS / at_once {
                        let request = hyper::Request::get(&url).body(Empty::<Bytes>::new())?;
                        let response = client.request(request).await?;
                        assert_eq!(response.into_body().collect().await?.to_bytes(), "hello");
                    }
                    Outcome::Ok(())
                })
            });
            try_join_all(tasks).await?.into_iter().collect()
        })
    };
    done(run(), at_once)
}
