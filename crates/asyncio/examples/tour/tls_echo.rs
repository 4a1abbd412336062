//! ```python
//! async def echo(reader, writer):
//!     request = await reader.readuntil(b"\r\n\r\n")
//!     body = request.splitlines()[0]
//!     writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)
//!     await writer.drain()
//!     writer.close()
//!     await writer.wait_closed()
//!
//! async def main():
//!     theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
//!     theirs.load_cert_chain("localhost.pem", "localhost.key")
//!     ours = ssl.create_default_context(cafile="localhost.pem")
//!     async with await asyncio.start_server(echo, "localhost", 0, ssl=theirs) as server:
//!         host, port = server.sockets[0].getsockname()[:2]
//!         reader, writer = await asyncio.open_connection(
//!             host, port, ssl=ours, server_hostname="localhost")
//!         print(writer.get_extra_info("ssl_object").version())
//!         writer.write(b"GET /hello HTTP/1.1\r\n\r\n")
//!         answer = await reader.read()
//! ```

use crate::stage::expect;
use asyncio::ssl::{Purpose, SSL_OBJECT, create_default_context};
use asyncio::{StreamReader, StreamWriter, prelude::*};

pub const TITLE: &str = "TLS: an encrypted echo, with a certificate made on the spot";

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> asyncio::Result<()> {
    let request = reader.readuntil("\r\n\r\n").await?;
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    writer.writelines([&b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"[..], line]);
    writer.drain().await?;
    writer.close();
    writer.wait_closed().await
}

pub async fn main() -> asyncio::Result<()> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let mut theirs = create_default_context(Purpose::ClientAuth);
    theirs.load_cert_chain_pem(certificate.as_bytes(), key.as_bytes())?;
    let mut ours = create_default_context(Purpose::ServerAuth);
    ours.load_verify_pem(certificate.as_bytes())?;
    let server = asyncio::start_server(echo, ("127.0.0.1", 0)).ssl(theirs).await?;
    let talking = server.with(async |server| {
        let opening = asyncio::open_connection(server.local_addr());
        let (mut reader, writer) = opening.ssl(ours).server_hostname("localhost").await?;
        if let Some(agreed) = writer.get_extra_info(SSL_OBJECT) {
            say!("{:?} with {}", agreed.version(), agreed.cipher().name);
        }
        writer.write("GET /hello HTTP/1.1\r\n\r\n");
        let answer = reader.read_to_end().await?.decode()?;
        let (head, body) = answer.split_at(answer.len() - "GET /hello HTTP/1.1".len());
        say!("{}", head.trim_end());
        expect("what came back", body, "GET /hello HTTP/1.1")
    });
    talking.await
}
