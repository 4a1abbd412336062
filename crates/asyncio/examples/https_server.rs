//! An HTTPS server in a few lines of streams, which answers with what the handshake has negotiated.
//!
//! ```sh
//! cargo run --example https_server --features asyncio/tls
//! curl --cacert localhost.pem https://localhost:8443/hello
//! ```
//!
//! It makes a certificate for `localhost`, and writes it to `localhost.pem` in the current directory. To
//! serve with a certificate of your own, name its files: `https_server cert.pem key.pem`.

use asyncio::ssl::{Purpose, SSL_OBJECT, SslContext, create_default_context};
use asyncio::{AsyncContextManager, StreamReader, StreamWriter, start_server, timeout};
use std::time::Duration;

/// The longest time that a connection may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

fn context() -> asyncio::Result<SslContext> {
    let mut context = create_default_context(Purpose::ClientAuth);
    let mut args = std::env::args().skip(1);
    if let (Some(certificate), Some(key)) = (args.next(), args.next()) {
        context.load_cert_chain(certificate, key)?;
    } else {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        context.load_cert_chain_pem(certificate.as_bytes(), key.as_bytes())?;
        std::fs::write("localhost.pem", certificate)?;
    }
    context.set_alpn_protocols(["http/1.1"])?;
    Ok(context)
}

async fn answer(reader: &mut StreamReader, writer: &StreamWriter) -> asyncio::Result<bool> {
    let request = reader.readuntil("\r\n\r\n").await?;
    let request = String::from_utf8_lossy(&request).into_owned();
    let agreed = writer.get_extra_info(SSL_OBJECT);
    let agreed = agreed.map(|object| (object.version(), object.cipher().name.clone()));
    let text = format!("{}\n{agreed:?}\n", request.lines().next().unwrap_or_default());
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
    writer.writelines([head, text]);
    writer.drain().await?;
    Ok(!request.to_ascii_lowercase().contains("connection: close"))
}

async fn serve(mut reader: StreamReader, writer: StreamWriter) -> asyncio::Result<()> {
    loop {
        match timeout(PATIENCE).with(async |_| answer(&mut reader, &writer).await).await {
            Ok(true) => {}
            Err(error) if error.is_cancelled() => return Err(error),
            // The client has closed, or was silent for too long.
            Ok(false) | Err(_) => {
                writer.close();
                return writer.wait_closed().await;
            }
        }
    }
}

#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    let server = start_server(serve, "localhost:8443").ssl(context()?).await?;
    println!("listening on {}", server.local_addr());
    server.with(async |server| server.serve_forever().await).await
}
