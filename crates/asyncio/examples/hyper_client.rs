//! hyper's HTTP client on our streams.
//!
//! ```sh
//! cargo run --example hyper_server &
//! cargo run --example hyper_client -- 127.0.0.1:8001 /
//! ```

use asyncio::{create_task, open_connection, streams::Duplex};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, client::conn::http1};

#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let authority = arguments.next().unwrap_or_else(|| "127.0.0.1:8001".to_owned());
    let path = arguments.next().unwrap_or_else(|| "/".to_owned());

    let both = Duplex::from(open_connection(authority.clone()).await?);
    let (mut requests, connection) = http1::handshake(both).await?;
    // This task moves the bytes of the connection while requests are made.
    let connection = create_task(async move { Ok(connection.await?) });

    let request = Request::get(path).header("host", authority).body(Empty::<Bytes>::new())?;
    let response = requests.send_request(request).await?;
    println!("{:?} {}", response.version(), response.status());
    for (name, value) in response.headers() {
        println!("{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    let body = response.into_body().collect().await?.to_bytes();
    println!("\n{}", String::from_utf8_lossy(&body));
    drop(requests);
    connection.await
}
