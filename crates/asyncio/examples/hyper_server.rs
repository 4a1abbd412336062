//! hyper's HTTP server on our streams: one task for each connection, all in one thread.
//!
//! ```sh
//! cargo run --example hyper_server
//! curl -v http://127.0.0.1:8001/
//! ```

use asyncio::{AsyncContextManager, start_server, streams::Duplex};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use std::{cell::Cell, convert::Infallible, rc::Rc, time::Duration};

/// State may be an `Rc`: nothing here moves between threads.
async fn answer(
    count: Rc<Cell<u64>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    count.set(count.get() + 1);
    // Our awaits work here too.
    if request.uri().path() == "/slow" {
        let _ = asyncio::sleep(Duration::from_secs(1)).await;
    }
    let text = format!("{} {}: request {}\n", request.method(), request.uri(), count.get());
    Ok(Response::new(Full::new(text.into())))
}

#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8001".to_owned());
    let count = Rc::new(Cell::new(0));
    let serve = async move |reader, writer| {
        let count = count.clone();
        let service = service_fn(move |request| answer(count.clone(), request));
        let connection =
            http1::Builder::new().serve_connection(Duplex::from((reader, writer)), service);
        if let Err(error) = connection.await {
            eprintln!("a connection failed: {error}");
        }
        Ok(())
    };
    let server = start_server(serve, address).await?;
    println!("http://{}", server.local_addr());
    server.with(async |server| server.serve_forever().await).await
}
