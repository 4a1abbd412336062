//! The servers. Each does what a user of its library would write.

use super::DATABASE;
use asyncio::{socket::Socket, streams::Duplex};
use asyncio_http::{IntoService, serve};
use axum::{Router, extract::State, routing::get};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, header::CONTENT_TYPE, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use std::{convert::Infallible, io, net::TcpListener, sync::Arc};
use tokio_postgres::{Client, Config, NoTls, Statement};

type Answer = Result<Response<Full<Bytes>>, Infallible>;

async fn hello(_: Request<Incoming>) -> Answer {
    Ok(Response::new(Full::new(Bytes::from_static(b"hello"))))
}

/// Some 10 KB, made anew for each request.
async fn json(_: Request<Incoming>) -> Answer {
    let rows: Vec<_> = (0..100)
        .map(|n| serde_json::json!({ "id": n, "name": format!("{n:060}"), "tags": ["a", "b"] }))
        .collect();
    let body = serde_json::to_vec(&rows).unwrap_or_default();
    let response = Response::builder().header(CONTENT_TYPE, "application/json");
    Ok(response.body(Full::new(body.into())).unwrap_or_default())
}

fn on_asyncio<Kind: 'static, S: IntoService<Kind>>(
    listener: TcpListener,
    service: impl AsyncFnOnce() -> asyncio::Result<S> + 'static,
) -> io::Result<()> {
    let outcome = asyncio::run(async move {
        let server = serve(service().await?, Socket::try_from(listener)?).await?;
        server.serve_forever().await
    });
    outcome.map_err(io::Error::other)
}

pub(super) fn asyncio(listener: TcpListener) -> io::Result<()> {
    on_asyncio(listener, async || Ok(service_fn(hello)))
}

pub(super) fn asyncio_json(listener: TcpListener) -> io::Result<()> {
    on_asyncio(listener, async || Ok(service_fn(json)))
}

/// A service of hyper for each connection, on tokio's current-thread runtime.
macro_rules! on_tokio {
    ($listener:ident, $service:expr) => {{
        $listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let service = $service;
            let listener = tokio::net::TcpListener::from_std($listener)?;
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let service = service.clone();
                tokio::spawn(async move {
                    let protocol = auto::Builder::new(TokioExecutor::new());
                    let io = TokioIo::new(stream);
                    protocol.serve_connection_with_upgrades(io, service).await
                });
            }
        })
    }};
}

pub(super) fn tokio(listener: TcpListener) -> io::Result<()> {
    on_tokio!(listener, service_fn(hello))
}

pub(super) fn tokio_json(listener: TcpListener) -> io::Result<()> {
    on_tokio!(listener, service_fn(json))
}

type Database = Arc<(Client, Statement)>;

async fn query(State(database): State<Database>) -> String {
    let (client, statement) = &*database;
    match client.query_one(statement, &[&20_i32]).await {
        Ok(row) => row.get::<_, i32>(0).to_string(),
        Err(error) => error.to_string(),
    }
}

async fn router(client: Client) -> Result<Router, tokio_postgres::Error> {
    let statement = client.prepare("SELECT $1::int4 + 1").await?;
    Ok(Router::new().route("/", get(query)).with_state(Arc::new((client, statement))))
}

fn database() -> (Config, (&'static str, u16)) {
    let mut config = Config::new();
    config.user("postgres").dbname("postgres");
    let port = std::env::var(DATABASE).unwrap_or_default();
    (config, ("127.0.0.1", port.parse().unwrap_or_default()))
}

pub(super) fn asyncio_postgres(listener: TcpListener) -> io::Result<()> {
    on_asyncio(listener, async || {
        let (config, address) = database();
        let stream = Duplex::from(asyncio::open_connection(address).await?);
        let (client, connection) = config.connect_raw(stream, NoTls).await?;
        drop(asyncio::create_task(async move { Ok(connection.await?) }));
        Ok(router(client).await?)
    })
}

pub(super) fn tokio_postgres(listener: TcpListener) -> io::Result<()> {
    on_tokio!(listener, {
        let (config, address) = database();
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let connected = config.connect_raw(stream, NoTls).await;
        let (client, connection) = connected.map_err(io::Error::other)?;
        tokio::spawn(connection);
        TowerToHyperService::new(router(client).await.map_err(io::Error::other)?)
    })
}
