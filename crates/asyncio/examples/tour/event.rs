//! ```python
//! async def runner(name, start):
//!     print(f"{name} is ready")
//!     await start.wait()
//!     print(f"{name} runs")
//!
//! async def main():
//!     start = asyncio.Event()
//!     runners = asyncio.gather(runner("Ada", start), runner("Grace", start))
//!     await asyncio.sleep(0.05)
//!     print("go!")
//!     start.set()
//!     await runners
//! ```

use crate::stage::{MS, expect_lines};
use asyncio::Event;
use std::rc::Rc;

pub const TITLE: &str = "Event: several tasks wait for the same thing";

async fn runner(name: &str, start: Rc<Event>) -> asyncio::Result<()> {
    say!("{name} is ready");
    start.wait().await?;
    say!("{name} runs");
    Ok(())
}

pub async fn main() -> asyncio::Result<()> {
    let start = Rc::new(Event::new());
    let runners = asyncio::gather(["Ada", "Grace"].map(|name| runner(name, start.clone())));
    asyncio::sleep(50 * MS).await?;
    say!("go!");
    start.set();
    runners.await?;

    expect_lines(["Ada is ready", "Grace is ready", "go!", "Ada runs", "Grace runs"])
}
