//! ```python
//! store = {}
//!
//! async def serve(reader, writer):
//!     while True:
//!         try:
//!             line = await reader.readline()
//!         except ValueError:
//!             writer.write(b"error: too long\r\n")
//!             continue
//!         match line.decode().split():
//!             case ["set", key, value]:
//!                 store[key] = value
//!                 writer.write(b"ok\r\n")
//!             case ["get", key]:
//!                 writer.write(store.get(key, "none").encode() + b"\r\n")
//!             case ["quit"] | []:
//!                 break
//!             case _:
//!                 writer.write(b"error: what?\r\n")
//!         await writer.drain()
//!     writer.close()
//!
//! async def main():
//!     server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=40)
//!     async with server:
//!         address = server.sockets[0].getsockname()
//!         reader, writer = await asyncio.open_connection(*address)
//!         for line in ["set colour green", "get colour", "get size", "dance", "x" * 50, "quit"]:
//!             writer.write(f"{line}\r\n".encode())
//!         while answer := await reader.readline():
//!             print(answer.decode().strip())
//! ```

use crate::stage::expect_lines;
use asyncio::{Error, StreamReader, StreamWriter, prelude::*};
use std::{cell::RefCell, collections::HashMap};

pub const TITLE: &str = "A line protocol: a store of words, and a limit for lines";

type Store = RefCell<HashMap<String, String>>;

async fn serve(store: &Store, mut r: StreamReader, w: StreamWriter) -> asyncio::Result<()> {
    while let Some(line) = r.next().await {
        let line = match line {
            Err(Error::Value(_)) => {
                w.write("error: too long\r\n");
                continue;
            }
            line => line?.decode()?,
        };
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["set", key, value] => {
                store.borrow_mut().insert(key.to_owned(), value.to_owned());
                w.write("ok\r\n");
            }
            ["get", key] => {
                let store = store.borrow();
                w.writelines([store.get(key).map_or("none", String::as_str), "\r\n"]);
            }
            ["quit"] | [] => break,
            _ => w.write("error: what?\r\n"),
        }
        w.drain().await?;
    }
    Ok(())
}

pub async fn main() -> asyncio::Result<()> {
    let store = Store::default();
    let client = async move |reader, writer| serve(&store, reader, writer).await;
    let server = asyncio::start_server(client, ("127.0.0.1", 0)).limit(40).await?;
    let session = server.with(async |server| {
        let (mut reader, writer) = asyncio::open_connection(server.local_addr()).await?;
        let long = "x".repeat(50);
        for line in ["set colour green", "get colour", "get size", "dance", &long, "quit"] {
            writer.write(format!("{line}\r\n"));
        }
        while let Some(answer) = reader.next().await {
            say!("{}", answer?.decode()?.trim_end());
        }
        Ok(())
    });
    session.await?;
    expect_lines(["ok", "green", "none", "error: what?", "error: too long"])
}
