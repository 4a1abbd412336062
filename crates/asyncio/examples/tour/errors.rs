//! ```python
//! async def fetch(url):
//!     await asyncio.sleep(0.05)
//!     if "2" in url:
//!         raise ConnectionResetError("network error")
//!     return f"data from {url}"
//!
//! async def main():
//!     for url in ["site/1", "site/2", "site/3"]:
//!         try:
//!             print(await fetch(url))
//!         except OSError as error:
//!             print(f"error fetching {url}: {error}")
//! ```

use crate::stage::{MS, expect_lines};
use asyncio::Error;
use std::io;

pub const TITLE: &str = "Errors: handled where the task is awaited";

async fn fetch(url: &str) -> asyncio::Result<String> {
    asyncio::sleep(50 * MS).await?;
    if url.contains('2') {
        return Err(io::Error::new(io::ErrorKind::ConnectionReset, "network error").into());
    }
    Ok(format!("data from {url}"))
}

pub async fn main() -> asyncio::Result<()> {
    for url in ["site/1", "site/2", "site/3"] {
        match fetch(url).await {
            Ok(data) => say!("{data}"),
            Err(Error::Io(error)) => say!("error fetching {url}: {error}"),
            // All other errors, such as a cancellation, are for the caller.
            Err(error) => return Err(error),
        }
    }

    expect_lines(["data from site/1", "error fetching site/2: network error", "data from site/3"])
}
