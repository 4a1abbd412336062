//! ```python
//! async def echo(reader, writer):
//!     async for line in reader:
//!         writer.write(line)
//!         await writer.drain()
//!     writer.close()
//!     await writer.wait_closed()
//!
//! async def talk(name, words, address):
//!     reader, writer = await asyncio.open_connection(*address)
//!     heard = []
//!     for word in words:
//!         await asyncio.sleep(0.02)
//!         writer.write(f"{word}\n".encode())
//!         await writer.drain()
//!         heard.append((await reader.readline()).decode().strip())
//!         print(f"{name} hears {heard[-1]}")
//!     writer.write_eof()
//!     assert await reader.read() == b""
//!     return heard
//!
//! async def main():
//!     server = await asyncio.start_server(echo, "127.0.0.1", 0, backlog=100)
//!     address = server.sockets[0].getsockname()
//!     async with server:
//!         heard = await asyncio.gather(
//!             talk("Ann", ["one", "two"], address),
//!             talk("Bob", ["eins", "zwei"], address),
//!             talk("Cid", ["un", "deux"], address))
//! ```

use crate::stage::{MS, expect};
use asyncio::{Address, StreamReader, StreamWriter, prelude::*};

pub const TITLE: &str = "Streams: an echo server and three clients in one program";

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> asyncio::Result<()> {
    while let Some(line) = reader.next().await {
        writer.write(&line?);
        writer.drain().await?;
    }
    Ok(())
}

async fn talk(name: &str, words: [&str; 2], address: Address) -> asyncio::Result<Vec<String>> {
    let (mut reader, writer) = asyncio::open_connection(address).await?;
    let mut heard = Vec::new();
    for word in words {
        asyncio::sleep(20 * MS).await?;
        writer.write(format!("{word}\n"));
        writer.drain().await?;
        heard.push(reader.readline().await?.decode()?.trim_end().to_owned());
        say!("{name} hears {}", heard[heard.len() - 1]);
    }
    writer.write_eof();
    expect("what came after the end", reader.read_to_end().await?, "")?;
    Ok(heard)
}

pub async fn main() -> asyncio::Result<()> {
    let server = asyncio::start_server(echo, ("127.0.0.1", 0)).backlog(100).await?;
    let heard = server.with(async |server| {
        let address = server.local_addr();
        let clients = [
            talk("Ann", ["one", "two"], address.clone()),
            talk("Bob", ["eins", "zwei"], address.clone()),
            talk("Cid", ["un", "deux"], address),
        ];
        asyncio::gather(clients).await
    });
    expect("what came back", heard.await?, [["one", "two"], ["eins", "zwei"], ["un", "deux"]])
}
