//! ```python
//! async def work():
//!     await asyncio.sleep(0.05)
//!     return 42
//!
//! async def main():
//!     task = asyncio.ensure_future(work())
//!     print(f"a coroutine becomes a task: {task.get_name()}")
//!     same = asyncio.ensure_future(task)
//!     print(f"a task stays the one it is: {same is task}")
//!     print(f"the answer is {await same}")
//! ```

use crate::stage::{MS, expect, expect_lines};

pub const TITLE: &str = "ensure_future: a task from a coroutine, a future or a task";

async fn work() -> asyncio::Result<u32> {
    asyncio::sleep(50 * MS).await?;
    Ok(42)
}

pub async fn main() -> asyncio::Result<()> {
    let task = asyncio::ensure_future(work());
    task.set_name("work");
    say!("a coroutine becomes a task: {}", task.name());
    let same = asyncio::ensure_future(task.clone());
    let is_same = *same == *task;
    say!("a task stays the one it is: {is_same}");
    say!("the answer is {}", same.await?);

    expect("the other handle's result", task.await?, 42)?;
    expect_lines([
        "a coroutine becomes a task: work",
        "a task stays the one it is: true",
        "the answer is 42",
    ])
}
