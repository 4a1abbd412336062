//! ```python
//! async def factorial(name, number):
//!     f = 1
//!     for i in range(2, number + 1):
//!         print(f"Task {name}: compute factorial({number}), currently i={i}")
//!         await asyncio.sleep(0.05)
//!         f *= i
//!     return f
//!
//! async def main():
//!     a = asyncio.create_task(factorial("A", 3))
//!     b = asyncio.create_task(factorial("B", 4))
//!     print("both have been created, neither has begun")
//!     print(f"A: {await a}, B: {await b}")
//! ```

use crate::stage::{MS, expect_lines};

pub const TITLE: &str = "Tasks: they run beside the code that created them";

async fn factorial(name: &str, number: u64) -> asyncio::Result<u64> {
    let mut f = 1;
    for i in 2..=number {
        say!("Task {name}: compute factorial({number}), currently i={i}");
        asyncio::sleep(50 * MS).await?;
        f *= i;
    }
    Ok(f)
}

pub async fn main() -> asyncio::Result<()> {
    let a = asyncio::create_task(factorial("A", 3));
    let b = asyncio::create_task(factorial("B", 4));
    say!("both have been created, neither has begun");
    say!("A: {}, B: {}", a.await?, b.await?);

    expect_lines([
        "both have been created, neither has begun",
        "Task A: compute factorial(3), currently i=2",
        "Task B: compute factorial(4), currently i=2",
        "Task A: compute factorial(3), currently i=3",
        "Task B: compute factorial(4), currently i=3",
        "Task B: compute factorial(4), currently i=4",
        "A: 6, B: 24",
    ])
}
