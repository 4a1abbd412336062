//! ```python
//! def blocking_sum(n):
//!     time.sleep(0.2)
//!     return sum(range(n))
//!
//! async def tick(count):
//!     while True:
//!         await asyncio.sleep(0.04)
//!         count.append("tick")
//!
//! async def main():
//!     count = []
//!     ticking = asyncio.create_task(tick(count))
//!     total = await asyncio.to_thread(blocking_sum, 1000)
//!     ticking.cancel()
//!     print(f"the sum is {total}")
//!     print("the loop ran on meanwhile" if count else "the loop stood still")
//! ```

use crate::stage::{MS, expect_lines};
use std::{cell::Cell, rc::Rc, thread};

pub const TITLE: &str = "to_thread: blocking work while the loop continues";

fn blocking_sum(n: u64) -> u64 {
    thread::sleep(200 * MS);
    (0..n).sum()
}

async fn tick(count: Rc<Cell<u32>>) -> asyncio::Result<()> {
    loop {
        asyncio::sleep(40 * MS).await?;
        count.set(count.get() + 1);
    }
}

pub async fn main() -> asyncio::Result<()> {
    let count = Rc::new(Cell::new(0));
    let ticking = asyncio::create_task(tick(count.clone()));
    let total = asyncio::to_thread(|| blocking_sum(1000)).await?;
    ticking.cancel();
    say!("the sum is {total}");
    say!("{}", if count.get() > 0 { "the loop ran on meanwhile" } else { "the loop stood still" });

    expect_lines(["the sum is 499500", "the loop ran on meanwhile"])
}
