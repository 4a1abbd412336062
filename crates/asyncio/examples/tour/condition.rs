//! ```python
//! async def bake(shop, loaves):
//!     for n in range(3):
//!         await asyncio.sleep(0.02)
//!         async with shop:
//!             loaves.append(n)
//!             print(f"loaf {n} is baked")
//!             shop.notify()
//!
//! async def main():
//!     shop, loaves = asyncio.Condition(), []
//!     baker = asyncio.create_task(bake(shop, loaves))
//!     async with shop:
//!         await shop.wait_for(lambda: len(loaves) >= 2)
//!         print(f"{len(loaves)} loaves are enough")
//!     await baker
//! ```

use crate::stage::{MS, expect_lines};
use asyncio::Condition;
use std::rc::Rc;

pub const TITLE: &str = "Condition: wait until the guarded value fulfils a condition";

async fn bake(shop: Rc<Condition<Vec<u32>>>) -> asyncio::Result<()> {
    for n in 0..3 {
        asyncio::sleep(20 * MS).await?;
        let mut loaves = shop.acquire().await?;
        loaves.push(n);
        say!("loaf {n} is baked");
        loaves.notify(1);
    }
    Ok(())
}

pub async fn main() -> asyncio::Result<()> {
    let shop = Rc::new(Condition::new(Vec::new()));
    let baker = asyncio::create_task(bake(shop.clone()));
    let mut loaves = shop.acquire().await?;
    loaves.wait_for(|loaves| loaves.len() >= 2).await?;
    say!("{} loaves are enough", loaves.len());
    drop(loaves);
    baker.await?;

    expect_lines([
        "loaf 0 is baked",
        "loaf 1 is baked",
        "2 loaves are enough",
        "loaf 2 is baked",
    ])
}
