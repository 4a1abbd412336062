//! A router of axum, to try with `curl`. Ctrl-C or SIGTERM stop it gracefully.
//!
//! ```sh
//! cargo run -p asyncio-http --example hello -- 127.0.0.1:8080 &
//! curl -v http://127.0.0.1:8080/hello/you
//! curl --http2-prior-knowledge -d '[1, 2, 3]' -H 'content-type: application/json' \
//!     http://127.0.0.1:8080/sum
//! curl http://127.0.0.1:8080/slow &
//! kill %1
//! ```

use asyncio::{AsyncContextManager, Error, Event, get_running_loop, signals::SIGTERM, timeout};
use asyncio_http::{StatusCode, serve};
use axum::{
    Json, Router,
    extract::Path,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use std::{rc::Rc, time::Duration};

const SECOND: Duration = Duration::from_secs(1);

/// An error of asyncio as a response.
struct Failed(Error);

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.0.to_string()).into_response()
    }
}

async fn hello(Path(name): Path<String>) -> String {
    format!("hello {name}\n")
}

async fn sum(Json(numbers): Json<Vec<i64>>) -> Json<i64> {
    Json(numbers.iter().sum())
}

/// All of asyncio works in a handler, because each handler is a task.
async fn slow() -> Result<&'static str, Failed> {
    let rest = timeout(10 * SECOND).with(async |_| asyncio::sleep(3 * SECOND).await);
    rest.await.map_err(Failed)?;
    Ok("at last\n")
}

#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let app = Router::new()
        .route("/hello/{name}", get(hello))
        .route("/sum", post(sum))
        .route("/slow", get(slow));

    // Set by SIGTERM. Ctrl-C cancels the program, and stops the server in the same way.
    let stop = Rc::new(Event::new());
    let stops = stop.clone();
    get_running_loop()?.add_signal_handler(SIGTERM, move || stops.set())?;
    let server = serve(app, address).max_connections(1000).graceful(&stop, 30 * SECOND).await?;
    println!("serving on http://{}", server.local_addr());
    server.serve_forever().await
}
