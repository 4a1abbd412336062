//! ```python
//! class Database:
//!     def __init__(self, name):
//!         self.name = name
//!
//!     async def __aenter__(self):
//!         await asyncio.sleep(0.05)
//!         print(f"{self.name}: connected")
//!         return Connection(self.name)
//!
//!     async def __aexit__(self, kind, error, traceback):
//!         await asyncio.sleep(0.05)
//!         print(f"{self.name}: closed after {'success' if error is None else kind.__name__}")
//!
//! async def main():
//!     async with Database("first") as connection:
//!         print(await connection.query("select 1"))
//!     try:
//!         async with Database("second") as connection:
//!             await connection.query("nonsense")
//!     except ValueError as error:
//!         print(f"error: {error}")
//!     try:
//!         async with asyncio.timeout(0.1):
//!             async with Database("third") as connection:
//!                 await connection.query("select * from everything")
//!     except TimeoutError:
//!         print("timeout!")
//! ```

use crate::stage::{MS, expect_lines};
use asyncio::{Error, prelude::*};

pub const TITLE: &str = "A context manager: closed even if its body fails or is cancelled";

/// A stand-in for a database.
struct Database(&'static str);

struct Connection(&'static str);

impl AsyncContextManager for Database {
    type Target = Connection;

    async fn enter(&mut self) -> asyncio::Result<Connection> {
        asyncio::sleep(50 * MS).await?;
        say!("{}: connected", self.0);
        Ok(Connection(self.0))
    }

    async fn exit(&mut self, connection: Connection, error: Option<&Error>) -> asyncio::Result<()> {
        asyncio::sleep(50 * MS).await?;
        say!("{}: closed after {}", connection.0, error.map_or("success", Error::kind));
        Ok(())
    }
}

impl Connection {
    async fn query(&self, text: &str) -> asyncio::Result<u32> {
        match text {
            "select 1" => Ok(1),
            "nonsense" => Err(Error::value("syntax error")),
            _ => asyncio::sleep(5000 * MS).result(0).await,
        }
    }
}

pub async fn main() -> asyncio::Result<()> {
    let row = Database("first").with(async |connection| connection.query("select 1").await).await?;
    say!("{row}");

    let outcome = Database("second").with(async |connection| connection.query("nonsense").await);
    match outcome.await {
        Err(error @ Error::Value(_)) => say!("error: {error}"),
        other => drop(other?),
    }

    let endless = asyncio::timeout(100 * MS).with(async |_| {
        Database("third").with(async |c| c.query("select * from everything").await).await
    });
    match endless.await {
        Err(Error::Timeout(_)) => say!("timeout!"),
        other => drop(other?),
    }

    expect_lines([
        "first: connected",
        "first: closed after success",
        "1",
        "second: connected",
        "second: closed after ValueError",
        "error: syntax error",
        "third: connected",
        "third: closed after CancelledError",
        "timeout!",
    ])
}
