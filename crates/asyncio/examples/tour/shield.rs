//! ```python
//! async def save():
//!     print("saving ...")
//!     await asyncio.sleep(0.1)
//!     print("... saved")
//!     return "report.txt"
//!
//! async def impatient(saving):
//!     await asyncio.shield(saving)
//!
//! async def main():
//!     saving = asyncio.create_task(save())
//!     waiting = asyncio.create_task(impatient(saving))
//!     await asyncio.sleep(0.05)
//!     waiting.cancel()
//!     try:
//!         await waiting
//!     except asyncio.CancelledError:
//!         print("the waiter was cancelled")
//!     print(f"{await saving} is complete all the same")
//! ```

use crate::stage::{MS, expect_lines};
use asyncio::{Error, Task};

pub const TITLE: &str = "shield: the waiter is cancelled, the work is not";

async fn save() -> asyncio::Result<&'static str> {
    say!("saving ...");
    asyncio::sleep(100 * MS).await?;
    say!("... saved");
    Ok("report.txt")
}

async fn impatient(saving: Task<&'static str>) -> asyncio::Result<&'static str> {
    asyncio::shield(saving).await
}

pub async fn main() -> asyncio::Result<()> {
    let saving = asyncio::create_task(save());
    let waiting = asyncio::create_task(impatient(saving.clone()));
    asyncio::sleep(50 * MS).await?;
    waiting.cancel();
    match waiting.await {
        Err(Error::Cancelled(_)) => say!("the waiter was cancelled"),
        other => drop(other?),
    }
    say!("{} is complete all the same", saving.await?);

    expect_lines([
        "saving ...",
        "the waiter was cancelled",
        "... saved",
        "report.txt is complete all the same",
    ])
}
