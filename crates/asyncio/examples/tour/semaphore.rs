//! ```python
//! async def fetch(page, connections, active):
//!     async with connections:
//!         active.append(page)
//!         print(f"page {page}: {len(active)} at a time")
//!         await asyncio.sleep(0.02)
//!         active.remove(page)
//!
//! async def main():
//!     connections, active = asyncio.Semaphore(3), []
//!     await asyncio.gather(*(fetch(n, connections, active) for n in range(7)))
//! ```

use crate::stage::{MS, expect_lines};
use asyncio::{Semaphore, gather, sleep};
use std::rc::Rc;

pub const TITLE: &str = "Semaphore: seven downloads, three at a time";

async fn fetch(page: u32, connections: Rc<Semaphore>) -> asyncio::Result<()> {
    let _connection = connections.acquire().await?;
    say!("page {page}: {} at a time", 3 - connections.value());
    sleep(20 * MS).await
}

pub async fn main() -> asyncio::Result<()> {
    let connections = Rc::new(Semaphore::new(3));
    gather((0..7).map(|page| fetch(page, connections.clone()))).await?;

    expect_lines([
        "page 0: 1 at a time",
        "page 1: 2 at a time",
        "page 2: 3 at a time",
        "page 3: 3 at a time",
        "page 4: 3 at a time",
        "page 5: 3 at a time",
        "page 6: 1 at a time",
    ])
}
