//! ```python
//! async def cook(dish, delay):
//!     await asyncio.sleep(delay)
//!     return dish
//!
//! async def main():
//!     orders = [cook("stew", 0.3), cook("soup", 0.2), cook("salad", 0.1)]
//!     async for dish in asyncio.as_completed(orders):
//!         print(f"{await dish} is served")
//! ```

use crate::stage::{MS, expect_lines};
use std::time::Duration;

pub const TITLE: &str = "as_completed: results in the order in which they come";

async fn cook(dish: &str, delay: Duration) -> asyncio::Result<&str> {
    asyncio::sleep(delay).await?;
    Ok(dish)
}

pub async fn main() -> asyncio::Result<()> {
    let orders = [cook("stew", 300 * MS), cook("soup", 200 * MS), cook("salad", 100 * MS)];
    let mut served = asyncio::as_completed(orders);
    while let Some(dish) = served.next().await {
        say!("{} is served", dish?);
    }

    expect_lines(["salad is served", "soup is served", "stew is served"])
}
