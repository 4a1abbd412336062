//! ```python
//! async def download(file, delay):
//!     try:
//!         await asyncio.sleep(delay)
//!         print(f"{file} is here")
//!     except asyncio.CancelledError:
//!         print(f"{file} was cancelled")
//!         raise
//!
//! async def broken():
//!     await asyncio.sleep(0.1)
//!     raise OSError("disk full")
//!
//! async def main():
//!     try:
//!         async with asyncio.TaskGroup() as group:
//!             group.create_task(download("small.txt", 0.05))
//!             group.create_task(broken())
//!             group.create_task(download("large.txt", 5))
//!     except* OSError as errors:
//!         print(f"failed: {errors.exceptions[0]}")
//! ```

use crate::stage::{MS, expect_lines};
use asyncio::{Error, TaskGroup, prelude::*};
use std::{io, time::Duration};

pub const TITLE: &str = "A task group: one child fails, and the others are cancelled";

async fn download(file: &str, delay: Duration) -> asyncio::Result<()> {
    let outcome = asyncio::sleep(delay).await;
    match &outcome {
        Ok(()) => say!("{file} is here"),
        Err(_) => say!("{file} was cancelled"),
    }
    outcome
}

async fn broken() -> asyncio::Result<()> {
    asyncio::sleep(100 * MS).await?;
    Err(io::Error::other("disk full").into())
}

pub async fn main() -> asyncio::Result<()> {
    let downloads = TaskGroup::new().with(async |group| {
        group.create_task(download("small.txt", 50 * MS));
        group.create_task(broken());
        group.create_task(download("large.txt", 5000 * MS));
        Ok(())
    });
    match downloads.await {
        Err(Error::Group(group)) => say!("failed: {}", group.exceptions()[0]),
        other => other?,
    }

    expect_lines(["small.txt is here", "large.txt was cancelled", "failed: disk full"])
}
