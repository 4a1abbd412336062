//! ```python
//! async def withdraw(account, amount):
//!     async with account["lock"]:
//!         balance = account["balance"]
//!         await asyncio.sleep(0.01)
//!         account["balance"] = balance - amount
//!         print(f"{account['balance']} left")
//!
//! async def main():
//!     account = {"balance": 100, "lock": asyncio.Lock()}
//!     await asyncio.gather(*(withdraw(account, n) for n in (10, 20, 30)))
//! ```

use crate::stage::{MS, expect_lines};
use asyncio::Lock;
use std::rc::Rc;

pub const TITLE: &str = "Lock: one task at a time, in the order of arrival";

async fn withdraw(account: Rc<Lock<i32>>, amount: i32) -> asyncio::Result<()> {
    let mut balance = account.acquire().await?;
    let before = *balance;
    asyncio::sleep(10 * MS).await?;
    *balance = before - amount;
    say!("{} left", *balance);
    Ok(())
}

pub async fn main() -> asyncio::Result<()> {
    let account = Rc::new(Lock::new(100));
    asyncio::gather([10, 20, 30].map(|n| withdraw(account.clone(), n))).await?;

    expect_lines(["90 left", "70 left", "40 left"])
}
