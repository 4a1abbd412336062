//! ```python
//! async def countdown(start):
//!     try:
//!         for n in range(start, 0, -1):
//!             yield n
//!             await asyncio.sleep(0.05)
//!     finally:
//!         await asyncio.sleep(0.05)
//!         print("the rocket is secured")
//!
//! async def main():
//!     async for n in countdown(3):
//!         print(f"{n} ...")
//!
//!     numbers = countdown(10)
//!     async for n in numbers:
//!         print(f"{n} ...")
//!         if n == 9:
//!             break
//!     print("stop!")
//!     await numbers.aclose()
//! ```

use crate::stage::{MS, expect_lines};
use asyncio::{Generator, Yielder};

pub const TITLE: &str = "An async generator: a stream written as a loop";

fn countdown(start: u32) -> Generator<u32> {
    asyncio::generator(async move |y| {
        let outcome = count(start, &y).await;
        asyncio::sleep(50 * MS).await?;
        say!("the rocket is secured");
        outcome
    })
}

async fn count(start: u32, y: &Yielder<u32>) -> asyncio::Result<()> {
    for n in (1..=start).rev() {
        y.send(n).await?;
        asyncio::sleep(50 * MS).await?;
    }
    Ok(())
}

pub async fn main() -> asyncio::Result<()> {
    let mut numbers = countdown(3);
    while let Some(n) = numbers.next().await {
        say!("{} ...", n?);
    }

    let mut numbers = countdown(10);
    while let Some(n) = numbers.next().await.transpose()? {
        say!("{n} ...");
        if n == 9 {
            break;
        }
    }
    say!("stop!");
    numbers.aclose().await?;

    expect_lines([
        "3 ...",
        "2 ...",
        "1 ...",
        "the rocket is secured",
        "10 ...",
        "9 ...",
        "stop!",
        "the rocket is secured",
    ])
}
