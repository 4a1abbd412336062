//! HTTP for asyncio: servers for any service of hyper, tower or axum, and a client with a pool.
//! hyper implements the protocol; this crate runs it on the loop.
//! A running event loop is needed; it comes from `asyncio`, or from `asyncio-loop`.
//!
//! | here | what it is |
//! |---|---|
//! | [`serve`], [`serve_unix`] | a server, as aiohttp's `web.run_app` |
//! | [`upgrade`] | the connection of a request for something else, such as a WebSocket |
//! | [`Client`] | a client with a pool, as aiohttp's `ClientSession` |
//! | [`LoopExecutor`], [`LoopTimer`] | what hyper asks of a runtime |
//!
//! ```
//! use asyncio_http::{Client, Incoming, Request, Response, serve, service_fn};
//!
//! async fn hello(request: Request<Incoming>) -> asyncio::Result<Response<String>> {
//!     asyncio::sleep(std::time::Duration::from_millis(1)).await?;
//!     Ok(Response::new(format!("hello {}", request.uri().path())))
//! }
//!
//! # asyncio::run(async {
//! let server = serve(service_fn(hello), ("127.0.0.1", 0)).await?;
//! let url = format!("http://{}/you", server.local_addr());
//! assert_eq!(Client::new().get(url).await?.text().await?, "hello /you");
//! server.shutdown(std::time::Duration::ZERO).await
//! # }).unwrap();
//! ```
//!
//! # Cancellation
//! Each request is served by its own task. When the client disconnects, that task is cancelled: its
//! await returns `Err(Cancelled)`, and it may clean up. A request of a [`Client`] may be cancelled at
//! any point. Its connection is then closed, unless it can be reused, and the pool continues to work.
//!
//! # Threads
//! A server and the connections of a client belong to their loop. A [`Client`] may be shared by the
//! tasks of one loop, and its futures are `Send`, so that handlers of axum may await them.
//!
//! # Differences from aiohttp
//! - A handler is a service: an async function in hyper's [`service_fn`], or a router of axum.
//! - The client keeps no cookies.
//! - TLS needs the feature `tls`.

#![forbid(unsafe_code)]

mod activity;
mod client;
mod connect;
mod connection;
mod errors;
mod io;
mod linger;
mod redirect;
mod request;
mod response;
mod runtime;
mod server;
mod service;
mod stop;
mod upgrade;
mod url;

pub use asyncio_core::{Error, Result};
pub use client::{Client, ClientBuilder};
pub use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri, Version, body::Incoming, header,
    service::service_fn,
};
pub use request::ClientRequest;
pub use response::{ClientBody, ClientResponse};
pub use runtime::{LoopExecutor, LoopTimer};
pub use server::{HttpServer, Serve, serve, serve_unix};
pub use service::{IntoService, OfHyper, OfTower};
pub use upgrade::upgrade;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)] // A chapter of the facade's guide, which has no dependency on this crate.
#[doc = include_str!("../../asyncio/src/guide/services.md")]
struct Services;
