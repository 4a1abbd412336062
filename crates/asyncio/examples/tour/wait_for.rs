//! ```python
//! async def eternity():
//!     try:
//!         await asyncio.sleep(3600)
//!     except asyncio.CancelledError:
//!         print("eternity was cut short")
//!         raise
//!
//! async def main():
//!     try:
//!         await asyncio.wait_for(eternity(), timeout=0.1)
//!     except TimeoutError:
//!         print("timeout!")
//! ```

use crate::stage::{MS, expect_lines};
use asyncio::Error;

pub const TITLE: &str = "wait_for: an await with a limit";

async fn eternity() -> asyncio::Result<()> {
    let outcome = asyncio::sleep(3_600_000 * MS).await;
    if let Err(Error::Cancelled(_)) = &outcome {
        say!("eternity was cut short");
    }
    outcome
}

pub async fn main() -> asyncio::Result<()> {
    match asyncio::wait_for(eternity(), 100 * MS).await {
        Err(Error::Timeout(_)) => say!("timeout!"),
        outcome => outcome?,
    }

    expect_lines(["eternity was cut short", "timeout!"])
}
