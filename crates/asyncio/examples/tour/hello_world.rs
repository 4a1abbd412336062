//! ```python
//! async def say_after(delay, what):
//!     await asyncio.sleep(delay)
//!     print(what)
//!
//! async def main():
//!     await asyncio.gather(say_after(0.1, "Hello"), say_after(0.2, "World"))
//!
//! asyncio.run(main())
//! ```

use crate::stage::{MS, expect_lines};
use std::time::Duration;

pub const TITLE: &str = "Hello World: two coroutines at once";

async fn say_after(delay: Duration, what: &str) -> asyncio::Result<()> {
    asyncio::sleep(delay).await?;
    say!("{what}");
    Ok(())
}

pub async fn main() -> asyncio::Result<()> {
    asyncio::gather!(say_after(100 * MS, "Hello"), say_after(200 * MS, "World")).await?;
    expect_lines(["Hello", "World"])
}
