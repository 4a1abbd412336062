//! ```python
//! async def serve(reader, writer):
//!     question = await reader.readline()
//!     await asyncio.sleep(0.05)  # Hard at work.
//!     writer.write(b"the answer to " + question)
//!     await writer.drain()
//!     writer.close()
//!
//! async def ask(question, address):
//!     reader, writer = await asyncio.open_connection(*address)
//!     writer.write(f"{question}\n".encode())
//!     print((await reader.readline()).decode().strip())
//!     writer.close()
//!     await writer.wait_closed()
//!
//! async def main():
//!     loop, stop = asyncio.get_running_loop(), asyncio.Event()
//!     loop.add_signal_handler(signal.SIGINT, stop.set)
//!     server = await asyncio.start_server(serve, "127.0.0.1", 0)
//!     async with asyncio.TaskGroup() as group, server:
//!         address = server.sockets[0].getsockname()
//!         group.create_task(ask("one", address))
//!         group.create_task(ask("two", address))
//!         loop.call_later(0.02, signal.raise_signal, signal.SIGINT)
//!         await stop.wait()
//!         print("Ctrl-C: no new clients come in")
//!         server.close()
//!         await server.wait_closed()
//!     print("and all clients have been served")
//!     try:
//!         await ask("three", address)
//!     except ConnectionRefusedError:
//!         print("closed")
//!     loop.remove_signal_handler(signal.SIGINT)
//! ```

use crate::stage::{MS, expect_lines};
use asyncio::{
    Address, Error, Event, StreamReader, StreamWriter, TaskGroup, prelude::*, signals::SIGINT,
};
use std::{io::ErrorKind, rc::Rc};

pub const TITLE: &str = "Ctrl-C: a server that stops, and lets its clients finish";

unsafe extern "C" {
    /// The terminal does the same at Ctrl-C.
    safe fn raise(signal: i32) -> i32;
}

async fn serve(mut reader: StreamReader, writer: StreamWriter) -> asyncio::Result<()> {
    let question = reader.readline().await?;
    asyncio::sleep(50 * MS).await?; // Hard at work.
    writer.writelines([b"the answer to ", &*question]);
    writer.drain().await
}

async fn ask(question: &str, address: Address) -> asyncio::Result<()> {
    let (mut reader, writer) = asyncio::open_connection(address).await?;
    writer.write(format!("{question}\n"));
    say!("{}", reader.readline().await?.decode()?.trim_end());
    writer.close();
    writer.wait_closed().await
}

pub async fn main() -> asyncio::Result<()> {
    let (event_loop, stop) = (asyncio::get_running_loop()?, Rc::new(Event::new()));
    let setter = stop.clone();
    event_loop.add_signal_handler(SIGINT, move || setter.set())?;
    let server = asyncio::start_server(serve, ("127.0.0.1", 0)).await?;
    let address = server.local_addr();
    let serving = TaskGroup::new().with(async |clients| {
        clients.create_task(ask("one", address.clone()));
        clients.create_task(ask("two", address.clone()));
        event_loop.call_later(20 * MS, || _ = raise(SIGINT))?;
        stop.wait().await?;
        say!("Ctrl-C: no new clients come in");
        server.close();
        server.wait_closed().await
    });
    serving.await?;
    say!("and all clients have been served");
    match ask("three", address).await {
        Err(Error::Io(error)) if error.kind() == ErrorKind::ConnectionRefused => say!("closed"),
        outcome => outcome?,
    }
    event_loop.remove_signal_handler(SIGINT)?;
    expect_lines([
        "Ctrl-C: no new clients come in",
        "the answer to one",
        "the answer to two",
        "and all clients have been served",
        "closed",
    ])
}
