//! `async with`, and nothing brought in.

use std::time::Duration;

#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    asyncio::timeout(Duration::from_secs(1)).with(async |_| Ok(())).await
}
