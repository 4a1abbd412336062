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
use asyncio::PriorityQueue;

pub const TITLE: &str = "PriorityQueue: the most urgent item first";

pub async fn main() -> asyncio::Result<()> {
    let queue = PriorityQueue::new(0);
    for job in [(3, "tidy up"), (1, "put the fire out"), (2, "call for help")] {
        queue.put_nowait(job)?;
    }
    queue.shutdown(false);
    while let Some(next) = queue.next().await {
        let (priority, job) = next?;
        say!("{priority}: {job}");
    }
    say!("that was all");

    expect_lines(["1: put the fire out", "2: call for help", "3: tidy up", "that was all"])
}
