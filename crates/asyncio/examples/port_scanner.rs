//! A port scanner: finds the ports of a host that accept connections. `port_scanner HOST FIRST
//! LAST`
//!
//! ```python
//! async def probe(host, port):
//!     try:
//!         async with asyncio.timeout(1):
//!             _, writer = await asyncio.open_connection(host, port)
//!     except OSError:
//!         return None
//!     writer.close()
//!     return port
//!
//! async def main(host, first, last):
//!     limit = asyncio.Semaphore(100)
//!     async def limited(port):
//!         async with limit:
//!             return await probe(host, port)
//!     found = await asyncio.gather(*[limited(port) for port in range(first, last + 1)])
//!     for port in filter(None, found):
//!         print(f"{port} is open")
//! ```

use asyncio::{gather, open_connection, wait_for};
use std::time::Duration;

async fn probe(host: String, port: u16) -> asyncio::Result<Option<u16>> {
    match wait_for(open_connection((host, port)), Duration::from_secs(1)).await {
        Err(error) if error.is_cancelled() => Err(error),
        outcome => Ok(outcome.is_ok().then_some(port)),
    }
}

#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, first, last] = &arguments[..] else {
        return Err(asyncio::Error::msg("usage: port_scanner HOST FIRST LAST"));
    };
    let ports = first.parse()?..=last.parse()?;
    let found = gather(ports.map(|port| probe(host.clone(), port))).limit(100).await?;
    for port in found.into_iter().flatten() {
        println!("{port} is open");
    }
    Ok(())
}
