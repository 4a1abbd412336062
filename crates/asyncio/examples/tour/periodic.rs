//! ```python
//! async def check_updates(interval):
//!     try:
//!         while True:
//!             print("checking for updates")
//!             await asyncio.sleep(interval)
//!     except asyncio.CancelledError:
//!         print("closing the connection ...")
//!         await asyncio.sleep(0.05)
//!         print("... closed")
//!         raise
//!
//! async def main():
//!     updates = asyncio.create_task(check_updates(0.1), name="updates")
//!     await asyncio.sleep(0.25)
//!     updates.cancel()
//!     try:
//!         await updates
//!     except asyncio.CancelledError:
//!         print(f"{updates.get_name()} ended: {updates.cancelled()}")
//! ```

use crate::stage::{MS, expect_lines};
use asyncio::{Error, Task};
use std::time::Duration;

pub const TITLE: &str = "A periodic task: the clean-up after a cancellation may await";

async fn check_updates(interval: Duration) -> asyncio::Result<()> {
    let outcome: asyncio::Result<()> = async {
        loop {
            say!("checking for updates");
            asyncio::sleep(interval).await?;
        }
    }
    .await;
    if let Err(Error::Cancelled(_)) = &outcome {
        say!("closing the connection ...");
        asyncio::sleep(50 * MS).await?;
        say!("... closed");
    }
    outcome
}

pub async fn main() -> asyncio::Result<()> {
    let mut updates = Task::builder().name("updates").create(check_updates(100 * MS));
    asyncio::sleep(250 * MS).await?;
    updates.cancel();
    match (&mut updates).await {
        Err(Error::Cancelled(_)) => say!("{} ended: {}", updates.name(), updates.cancelled()),
        outcome => outcome?,
    }

    expect_lines([
        "checking for updates",
        "checking for updates",
        "checking for updates",
        "closing the connection ...",
        "... closed",
        "updates ended: true",
    ])
}
