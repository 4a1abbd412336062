//! ```python
//! async def main():
//!     process = await asyncio.create_subprocess_exec("sleep", "1000")
//!     try:
//!         async with asyncio.timeout(0.05):
//!             await process.wait()
//!     except TimeoutError:
//!         print("that takes too long")
//!         process.kill()
//!     print(f"it ended with {await process.wait()}")
//! ```

use crate::stage::{MS, expect_lines};
use asyncio::prelude::*;

pub const TITLE: &str = "Subprocesses: a timeout that kills";

pub async fn main() -> asyncio::Result<()> {
    let process = asyncio::create_subprocess_exec("sleep", ["1000"]).await?;
    let limit = asyncio::timeout(50 * MS);
    if limit.with_suppress(async |_| process.wait().await).await?.is_none() {
        say!("that takes too long");
        process.kill()?;
    }
    say!("it ended with {}", process.wait().await?);
    expect_lines(["that takes too long", "it ended with -9"])
}
