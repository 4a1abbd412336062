//! A TCP echo server: what comes in goes out, for as many clients as come.
//!
//! ```sh
//! cargo run --example echo_server            # on 127.0.0.1:8888
//! cargo run --example echo_server -- [::]:7  # somewhere else
//! nc 127.0.0.1 8888                          # talk to it; Ctrl-C ends the server
//! ```

use asyncio::{AsyncContextManager, PEERNAME, StreamReader, StreamWriter, start_server};

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> asyncio::Result<()> {
    let peer = writer.get_extra_info(PEERNAME).map_or_else(String::new, |peer| peer.to_string());
    println!("{peer} is here");
    let mut count = 0;
    loop {
        let data = reader.read(64 * 1024).await?;
        if data.is_empty() {
            break;
        }
        count += data.len();
        writer.write(&data);
        // Until the client takes what it sent, nothing more is read from it.
        writer.drain().await?;
    }
    println!("{peer} has gone; {count} bytes");
    writer.close();
    writer.wait_closed().await
}

#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8888".to_owned());
    let server = start_server(echo, address).await?;
    println!("serving on {}", server.local_addr());
    server.with(async |server| server.serve_forever().await).await
}
