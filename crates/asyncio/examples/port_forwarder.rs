//! A port forwarder: each connection to one address becomes a connection to another.
//!
//! ```sh
//! cargo run --example port_forwarder -- 127.0.0.1:8080 example.com:80
//! ```
//!
//! In Python:
//!
//! ```python
//! async def pump(reader, writer):
//!     count = 0
//!     while data := await reader.read(256 * 1024):
//!         count += len(data)
//!         writer.write(data)
//!         await writer.drain()
//!     writer.write_eof()
//!     return count
//!
//! async def forward(target, from_client, to_client):
//!     try:
//!         from_server, to_server = await asyncio.open_connection(*target.rsplit(":", 1))
//!         async with asyncio.TaskGroup() as group:
//!             up = group.create_task(pump(from_client, to_server))
//!             down = group.create_task(pump(from_server, to_client))
//!         print(f"{up.result()} bytes to {target}, {down.result()} back")
//!     except* OSError as errors:
//!         print(f"{target}: {errors.exceptions[0]}", file=sys.stderr)
//!     finally:
//!         to_client.close()
//!
//! async def main():
//!     if len(sys.argv) != 3:
//!         raise ValueError("usage: port_forwarder HERE:PORT THERE:PORT")
//!     here, target = sys.argv[1:]
//!     client = functools.partial(forward, target)
//!     server = await asyncio.start_server(client, *here.rsplit(":", 1))
//!     print(f"{server.sockets[0].getsockname()} leads to {target}")
//!     async with server:
//!         await server.serve_forever()
//! ```

use asyncio::{AsyncContextManager, Error, StreamReader, StreamWriter};

/// Carries bytes in one direction. The end of the stream is passed on; the other direction may
/// continue.
async fn pump(mut from: StreamReader, to: &StreamWriter) -> asyncio::Result<u64> {
    let mut count = 0;
    while let Some(data) = from.read_chunk(256 * 1024).await? {
        count += data.len() as u64;
        to.write(data);
        // A sender that is faster than the other side waits here.
        to.drain().await?;
    }
    to.write_eof();
    Ok(count)
}

async fn forward(
    target: &str,
    from_client: StreamReader,
    to_client: StreamWriter,
) -> asyncio::Result<()> {
    let both_ways = async {
        let (from_server, to_server) = asyncio::open_connection(target).await?;
        asyncio::try_join!(pump(from_client, &to_server), pump(from_server, &to_client))
    };
    match both_ways.await {
        Ok((up, down)) => println!("{up} bytes to {target}, {down} back"),
        // One side was cut off, so the other is too.
        Err(Error::Io(error)) => eprintln!("{target}: {error}"),
        Err(error) => return Err(error),
    }
    Ok(())
}

#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(here), Some(target)) = (arguments.next(), arguments.next()) else {
        return Err(Error::value("usage: port_forwarder HERE:PORT THERE:PORT"));
    };
    let there = target.clone();
    let client = async move |reader, writer| forward(&there, reader, writer).await;
    let server = asyncio::start_server(client, here).await?;
    println!("{} leads to {target}", server.local_addr());
    server.with(async |server| server.serve_forever().await).await
}
