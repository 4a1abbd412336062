//! A small service: short links in PostgreSQL, with Redis as a cache, over HTTPS.
//!
//! ```text
//!   service --demo                       with a PostgreSQL and a Redis of its own, and a load
//!   service ADDRESS DATABASE CACHE CERTIFICATE KEY
//! ```
//!
//! `POST /links` with a URL adds a link and answers its ID, and `GET /links/ID` redirects to it. `GET /health` and
//! `GET /metrics` are for monitoring. SIGTERM and Ctrl-C end it gracefully. The variable `LOG` sets the level
//! of the log; `debug` has the requests.

mod demo;

use asyncio::{Error, Event, get_running_loop, signals::SIGTERM, ssl, wait_for};
use asyncio_http::{StatusCode, serve};
use axum::{
    Json, Router,
    extract::{Path, Request, State},
    middleware::{Next, from_fn},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use redis::{AsyncCommands, aio::MultiplexedConnection};
use sqlx::{PgPool, postgres::PgPoolOptions};
use std::{rc::Rc, time::Duration};
use tracing::{Instrument, debug_span, info};

const SECOND: Duration = Duration::from_secs(1);
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS links (id BIGSERIAL PRIMARY KEY, url TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS changes (link BIGINT NOT NULL, at TIMESTAMPTZ NOT NULL DEFAULT now())";

/// The state that the handlers share.
#[derive(Clone)]
struct App {
    database: PgPool,
    cache: MultiplexedConnection,
}

/// An error of a handler as a response.
struct Failed(Error);

impl<E: Into<Error>> From<E> for Failed {
    fn from(error: E) -> Failed {
        Failed(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        tracing::error!(error = %self.0, "a request failed");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

/// Inserts both rows or none: if the client disconnects, the transaction is rolled back.
async fn add(State(app): State<App>, url: String) -> Result<Json<i64>, Failed> {
    let mut transaction = app.database.begin().await?;
    let insert = sqlx::query_scalar("INSERT INTO links (url) VALUES ($1) RETURNING id");
    let id = insert.bind(url).fetch_one(&mut *transaction).await?;
    let change = sqlx::query("INSERT INTO changes (link) VALUES ($1)");
    change.bind(id).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(Json(id))
}

async fn follow(State(mut app): State<App>, Path(id): Path<i64>) -> Result<Response, Failed> {
    let key = format!("link:{id}");
    if let Some(url) = app.cache.get::<_, Option<String>>(&key).await? {
        return Ok(Redirect::temporary(&url).into_response());
    }
    let select = sqlx::query_scalar("SELECT url FROM links WHERE id = $1").bind(id);
    let url: Option<String> = select.fetch_optional(&app.database).await?;
    let Some(url) = url else { return Ok(StatusCode::NOT_FOUND.into_response()) };
    let () = app.cache.set_ex(&key, &url, 60).await?;
    Ok(Redirect::temporary(&url).into_response())
}

async fn health(State(mut app): State<App>) -> Response {
    let database = async { Ok(sqlx::query("SELECT 1").execute(&app.database).await?) };
    let database = wait_for(database, SECOND).await.is_ok();
    let cache = wait_for(async { Ok(app.cache.ping::<()>().await?) }, SECOND).await.is_ok();
    let is_well = database && cache;
    let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("database: {database}, cache: {cache}")).into_response()
}

async fn metrics(State(app): State<App>) -> Result<String, Failed> {
    let metrics = get_running_loop()?.metrics();
    let lines = [
        ("asyncio_steps_total", metrics.steps as f64),
        ("asyncio_busy_seconds_total", metrics.busy.as_secs_f64()),
        ("asyncio_longest_stretch_seconds", metrics.longest_stretch.as_secs_f64()),
        ("asyncio_tasks", metrics.tasks as f64),
        ("database_sessions", f64::from(app.database.size())),
        ("database_sessions_idle", app.database.num_idle() as f64),
    ];
    Ok(lines.map(|(name, value)| format!("{name} {value}\n")).concat())
}

/// Each request has a span, which the tasks that it starts inherit.
async fn traced(request: Request, next: Next) -> Response {
    let span = debug_span!("request", method = %request.method(), path = request.uri().path());
    next.run(request).instrument(span).await
}

async fn run(address: &str, database: &str, cache: &str, pem: [&str; 2]) -> asyncio::Result<()> {
    let database = PgPoolOptions::new().max_connections(10).connect(database).await?;
    sqlx::raw_sql(TABLES).execute(&database).await?;
    let cache = redis::Client::open(cache)?.get_multiplexed_async_connection().await?;
    let app = Router::new()
        .route("/links", post(add))
        .route("/links/{id}", get(follow))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .layer(from_fn(traced))
        .with_state(App { database: database.clone(), cache });

    let mut context = ssl::create_default_context(ssl::Purpose::ClientAuth);
    context.load_cert_chain(pem[0], pem[1])?;
    context.set_alpn_protocols(["h2", "http/1.1"])?;
    let stop = Rc::new(Event::new());
    let stops = stop.clone();
    get_running_loop()?.add_signal_handler(SIGTERM, move || stops.set())?;
    let server = serve(app, address).ssl(context).graceful(&stop, 30 * SECOND).await?;
    println!("https://{}", server.local_addr());
    let ended = server.serve_forever().await;
    database.close().await;
    info!("every request was answered");
    ended
}

#[asyncio::main(tokio)]
async fn main() -> asyncio::Result<()> {
    let level = std::env::var("LOG").ok().and_then(|level| level.parse().ok());
    let level = level.unwrap_or(tracing::Level::INFO);
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--demo"] => demo::run().await,
        [address, database, cache, certificate, key] => {
            run(address, database, cache, [certificate, key]).await
        }
        _ => Err(Error::value(
            "usage: service --demo | service ADDRESS DATABASE CACHE CERTIFICATE KEY",
        )),
    }
}
