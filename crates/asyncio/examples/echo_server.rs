//! A TCP echo server: it returns what it receives, for any number of clients at once.
//!
//! ```sh
//! cargo run --example echo_server            # on 127.0.0.1:8888
//! cargo run --example echo_server -- [::]:7  # somewhere else
//! nc 127.0.0.1 8888                          # talk to it; Ctrl-C ends the server
//! ```
//!
//! In Python:
//!
//! ```python
//! async def echo(reader, writer):
//!     peer = writer.get_extra_info("peername")
//!     print(f"{peer} is here")
//!     count = 0
//!     while data := await reader.read(64 * 1024):
//!         count += len(data)
//!         writer.write(data)
//!         await writer.drain()
//!     print(f"{peer} has gone; {count} bytes")
//!     writer.close()
//!     await writer.wait_closed()
//!
//! async def main():
//!     address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8888"
//!     server = await asyncio.start_server(echo, *address.rsplit(":", 1))
//!     print(f"serving on {server.sockets[0].getsockname()}")
//!     async with server:
//!         await server.serve_forever()
//! ```

use asyncio::{AsyncContextManager, PEERNAME, StreamReader, StreamWriter};

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> asyncio::Result<()> {
    let peer = writer.get_extra_info(PEERNAME).map_or_else(String::new, |peer| peer.to_string());
    println!("{peer} is here");
    let mut count = 0;
    while let Some(data) = reader.read_chunk(64 * 1024).await? {
        count += data.len();
        writer.write(data);
        // Do not read more from the client until it has received its answer.
        writer.drain().await?;
    }
    println!("{peer} has gone; {count} bytes");
    writer.close();
    writer.wait_closed().await
}

#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8888".into());
    let server = asyncio::start_server(echo, address).await?;
    println!("serving on {}", server.local_addr());
    server.with(async |server| server.serve_forever().await).await
}
