//! ```python
//! async def main():
//!     loop = asyncio.get_running_loop()
//!     fut = loop.create_future()
//!     loop.call_later(0.1, fut.set_result, "... world")
//!     print("hello ...")
//!     print(await fut)
//! ```

use crate::stage::{MS, expect_lines};

pub const TITLE: &str = "A future: a result that other code will set";

pub async fn main() -> asyncio::Result<()> {
    let event_loop = asyncio::get_running_loop()?;
    let fut = event_loop.create_future();
    let setter = fut.clone();
    event_loop.call_later(100 * MS, move || setter.set_result("... world"))?;
    say!("hello ...");
    say!("{}", fut.await?);

    expect_lines(["hello ...", "... world"])
}
