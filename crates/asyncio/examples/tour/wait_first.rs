//! ```python
//! async def ping(server, delay):
//!     await asyncio.sleep(delay)
//!     return server
//!
//! async def main():
//!     servers = [("Lisbon", 0.3), ("Oslo", 0.1), ("Quito", 0.4)]
//!     tasks = [asyncio.create_task(ping(*server)) for server in servers]
//!     done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
//!     for task in done:
//!         print(f"{task.result()} was first")
//!     for task in pending:
//!         task.cancel()
//!     outcomes = await asyncio.gather(*pending, return_exceptions=True)
//!     print(f"{len(outcomes)} others were cancelled")
//! ```

use crate::stage::{MS, expect, expect_lines};
use asyncio::{Error, FirstCompleted};
use std::time::Duration;

pub const TITLE: &str = "wait: the first one wins, the others are cancelled";

async fn ping(server: &str, delay: Duration) -> asyncio::Result<&str> {
    asyncio::sleep(delay).await?;
    Ok(server)
}

pub async fn main() -> asyncio::Result<()> {
    let servers = [("Lisbon", 300), ("Oslo", 100), ("Quito", 400)];
    let tasks = servers.map(|(server, ms)| asyncio::create_task(ping(server, ms * MS)));
    let (done, pending) = asyncio::wait(tasks).return_when(FirstCompleted).await?;
    for task in done {
        say!("{} was first", task.await?);
    }
    for task in &pending {
        task.cancel();
    }
    let outcomes = asyncio::gather(pending).return_exceptions().await?;
    say!("{} others were cancelled", outcomes.len());

    let cancelled = |outcome: &asyncio::Result<_>| outcome.as_ref().is_err_and(Error::is_cancelled);
    expect("whether they are cancelled", outcomes.iter().all(cancelled), true)?;
    expect_lines(["Oslo was first", "2 others were cancelled"])
}
