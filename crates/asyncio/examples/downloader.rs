//! A polite downloader: three downloads at once, at most ten new ones in a second, and each is tried three times.
//! `downloader HOST:PORT PATH…`
//!
//! ```python
//! async def download(address, path):
//!     reader, writer = await asyncio.open_connection(*address)
//!     writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
//!     answer = await reader.read()
//!     writer.close()
//!     if not answer.startswith(b"HTTP/1.1 200"):
//!         raise ValueError(f"{path}: {answer[:12]}")
//!     return len(answer)
//!
//! async def patiently(address, path, start, running):
//!     async with running:
//!         for attempt in range(3):
//!             async with start:
//!                 await asyncio.sleep(0.1)
//!             try:
//!                 async with asyncio.timeout(10):
//!                     return await download(address, path)
//!             except (OSError, ValueError):
//!                 if attempt == 2:
//!                     raise
//!                 await asyncio.sleep(0.1 * 2 ** attempt)
//!
//! async def main(address, paths):
//!     start, running = asyncio.Lock(), asyncio.Semaphore(3)
//!     async with asyncio.TaskGroup() as group:
//!         tasks = [group.create_task(patiently(address, path, start, running)) for path in paths]
//!     for path, task in zip(paths, tasks):
//!         print(f"{path}: {task.result()} bytes")
//! ```

use asyncio::{Error, Lock, amap, open_connection, retry, sleep, wait_for};
use std::{sync::Arc, time::Duration};

const TENTH: Duration = Duration::from_millis(100);

async fn download(address: &str, path: &str) -> asyncio::Result<usize> {
    let (mut reader, writer) = open_connection(address).await?;
    writer.write(format!("GET {path} HTTP/1.0\r\n\r\n"));
    let answer = reader.read_to_end().await?;
    if !answer.starts_with(b"HTTP/1.1 200") {
        return Err(Error::value(format!(
            "{path}: {}",
            answer[..12.min(answer.len())].escape_ascii()
        )));
    }
    Ok(answer.len())
}

#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address =
        arguments.next().ok_or_else(|| Error::msg("usage: downloader HOST:PORT PATH…"))?;
    let paths: Vec<String> = arguments.collect();
    let start = Arc::new(Lock::new(()));
    let patiently = async move |path: String| {
        let once = async || {
            let turn = start.acquire().await?;
            sleep(TENTH).await?;
            drop(turn);
            wait_for(download(&address, &path), 100 * TENTH).await
        };
        retry(once).attempts(3).delay(TENTH).await
    };
    let lengths = amap(patiently, paths.clone()).limit(3).await?;
    for (path, length) in paths.iter().zip(lengths) {
        println!("{path}: {length} bytes");
    }
    Ok(())
}
