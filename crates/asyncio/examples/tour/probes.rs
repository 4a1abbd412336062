//! ```python
//! async def probe(place):
//!     process = await asyncio.create_subprocess_shell(f"sleep 0.1; test -d {place}")
//!     is_up = await process.wait() == 0
//!     print(f"{place} is {'up' if is_up else 'down'}")
//!     return is_up
//!
//! async def main():
//!     up = await asyncio.gather(probe("/"), probe("/no/such/place"), probe("/tmp"))
//!     assert up == [True, False, True]
//! ```

use crate::stage::{MS, expect};
use std::time::Instant;

pub const TITLE: &str = "Subprocesses: several probes take as long as one";

async fn probe(place: &str) -> asyncio::Result<bool> {
    let process = asyncio::create_subprocess_shell(format!("sleep 0.1; test -d {place}")).await?;
    let is_up = process.wait().await? == 0;
    say!("{place} is {}", if is_up { "up" } else { "down" });
    Ok(is_up)
}

pub async fn main() -> asyncio::Result<()> {
    let began = Instant::now();
    let up = asyncio::gather(["/", "/no/such/place", "/tmp"].map(probe)).await?;
    let took = began.elapsed();
    expect("which are up", up, [true, false, true])?;
    expect("whether they were waited for", took >= 100 * MS, true)
}
