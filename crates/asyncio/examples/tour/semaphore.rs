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
//!     await asyncio.gather(*(fetch(n, connections, active) for n in range(10)))
//! ```

use crate::stage::{MS, expect};
use asyncio::Semaphore;
use std::{cell::Cell, rc::Rc};

pub const TITLE: &str = "Semaphore: ten downloads, three at a time";

struct Site {
    connections: Semaphore,
    active: Cell<usize>,
    most: Cell<usize>,
}

async fn fetch(page: u32, site: Rc<Site>) -> asyncio::Result<u32> {
    let _connection = site.connections.acquire().await?;
    site.active.set(site.active.get() + 1);
    site.most.set(site.most.get().max(site.active.get()));
    say!("page {page}: {} at a time", site.active.get());
    asyncio::sleep(20 * MS).await?;
    site.active.set(site.active.get() - 1);
    Ok(page)
}

pub async fn main() -> asyncio::Result<()> {
    let (active, most) = (Cell::new(0), Cell::new(0));
    let site = Rc::new(Site { connections: Semaphore::new(3), active, most });
    let pages = asyncio::gather((0..10).map(|page| fetch(page, site.clone()))).await?;

    expect("the pages", pages, (0..10).collect::<Vec<_>>())?;
    expect("the most at a time", site.most.get(), 3)
}
