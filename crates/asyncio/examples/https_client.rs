//! An HTTPS client in a few lines of streams: prints what the handshake has negotiated, and a page.
//!
//! ```sh
//! cargo run --example https_client --features asyncio/tls -- example.org
//! cargo run --example https_client --features asyncio/tls -- localhost:8443 localhost.pem
//! ```
//!
//! The second argument is a file with certificate authorities to trust beside those of the system.

use asyncio::ssl::{Purpose, SSL_OBJECT, create_default_context};
use asyncio::{AsyncContextManager, Error, open_connection, timeout};
use std::time::Duration;

async fn fetch(host: &str, port: u16, trusted: Option<String>) -> asyncio::Result<()> {
    let mut context = create_default_context(Purpose::ServerAuth);
    if let Some(file) = trusted {
        context.load_verify_locations(file)?;
    }
    let (mut reader, writer) = open_connection((host, port)).ssl(context).await?;
    if let Some(agreed) = writer.get_extra_info(SSL_OBJECT) {
        println!("{:?}, {}", agreed.version(), agreed.cipher().name);
    }
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    writer.write(request.as_bytes());
    writer.drain().await?;
    let page = reader.read_to_end().await?;
    println!("{}", String::from_utf8_lossy(&page));
    writer.close();
    writer.wait_closed().await
}

#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    let mut args = std::env::args().skip(1);
    let target = args.next().ok_or_else(|| Error::value("usage: https_client HOST[:PORT] [CA]"))?;
    let (host, port) = match target.rsplit_once(':') {
        Some((host, port)) => (host, port.parse()?),
        None => (&*target, 443),
    };
    timeout(Duration::from_secs(30)).with(async |_| fetch(host, port, args.next()).await).await
}
