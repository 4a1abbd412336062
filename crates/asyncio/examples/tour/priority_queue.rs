//! ```python
//! async def main():
//!     queue = asyncio.PriorityQueue()
//!     for job in [(3, "tidy up"), (1, "put the fire out"), (2, "call for help")]:
//!         queue.put_nowait(job)
//!     queue.shutdown()
//!     try:
//!         while True:
//!             priority, job = await queue.get()
//!             print(f"{priority}: {job}")
//!     except asyncio.QueueShutDown:
//!         print("that was all")
//! ```

use crate::stage::expect_lines;
use asyncio::{Error, PriorityQueue};

pub const TITLE: &str = "PriorityQueue: first things first";

pub async fn main() -> asyncio::Result<()> {
    let queue = PriorityQueue::new(0);
    for job in [(3, "tidy up"), (1, "put the fire out"), (2, "call for help")] {
        queue.put_nowait(job)?;
    }
    queue.shutdown(false);
    loop {
        match queue.get().await {
            Ok((priority, job)) => say!("{priority}: {job}"),
            Err(Error::QueueShutDown(_)) => break,
            Err(error) => return Err(error),
        }
    }
    say!("that was all");

    expect_lines(["1: put the fire out", "2: call for help", "3: tidy up", "that was all"])
}
