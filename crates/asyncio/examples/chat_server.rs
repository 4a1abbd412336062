//! A chat: every guest receives the messages of the others.
//!
//! ```sh
//! cargo run --example chat_server   # on 127.0.0.1:8889
//! nc 127.0.0.1 8889                 # in several terminals; the first line is your name
//! ```
//!
//! A guest that does not read does not hold up the others: past the high-water mark of the transport, the
//! guest is disconnected. In Python:
//!
//! ```python
//! MOST = 1 << 20
//!
//! def tell(room, sender, text):
//!     print(text)
//!     for name, writer in room.items():
//!         if name == sender:
//!             continue
//!         if writer.transport.get_write_buffer_size() > MOST:
//!             print(f"{name} does not listen")
//!             writer.transport.abort()
//!         else:
//!             writer.write(f"{text}\n".encode())
//!
//! async def visit(room, reader, writer):
//!     name = await ask_name(room, reader, writer)
//!     if name is None:
//!         return writer.close()
//!     room[name] = writer
//!     tell(room, name, f"* {name} has come")
//!     try:
//!         async for line in reader:
//!             tell(room, name, f"{name}: {line.decode().rstrip()}")
//!     except OSError:
//!         pass  # The connection was lost.
//!     finally:
//!         del room[name]
//!         tell(room, name, f"* {name} has left")
//!         writer.close()
//!
//! async def ask_name(room, reader, writer):
//!     while True:
//!         writer.write(b"Your name? ")
//!         await writer.drain()
//!         line = await reader.readline()
//!         if not line:
//!             return None
//!         name = line.decode().strip()
//!         if name and name not in room:
//!             return name
//!         writer.write(b"That name is taken, or none.\n")
//!
//! async def main():
//!     room = {}
//!     address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8889"
//!     client = functools.partial(visit, room)
//!     server = await asyncio.start_server(client, *address.rsplit(":", 1))
//!     print(f"chatting on {server.sockets[0].getsockname()}")
//!     async with server:
//!         await server.serve_forever()
//! ```

use asyncio::{Error, StreamReader, StreamWriter, prelude::*};
use std::{cell::RefCell, collections::HashMap};

/// The limit of data buffered for a guest that does not read.
const MOST: usize = 1 << 20;

type Room = RefCell<HashMap<String, StreamWriter>>;

fn tell(room: &Room, from: &str, text: &str) {
    println!("{text}");
    for (name, writer) in room.borrow().iter().filter(|(name, _)| *name != from) {
        if writer.transport().get_write_buffer_size() > MOST {
            println!("{name} does not listen");
            writer.transport().abort();
        } else {
            writer.write(format!("{text}\n"));
        }
    }
}

async fn visit(room: &Room, mut reader: StreamReader, writer: StreamWriter) -> asyncio::Result<()> {
    let Some(name) = ask_name(room, &mut reader, &writer).await? else { return Ok(()) };
    room.borrow_mut().insert(name.clone(), writer);
    tell(room, &name, &format!("* {name} has come"));
    let outcome = async {
        while let Some(line) = reader.next().await {
            tell(room, &name, &format!("{name}: {}", line?.decode()?.trim_end()));
        }
        Ok(())
    };
    let outcome = outcome.await;
    room.borrow_mut().remove(&name);
    tell(room, &name, &format!("* {name} has left"));
    match outcome {
        Err(Error::Io(_)) => Ok(()), // The connection was lost.
        outcome => outcome,
    }
}

/// Asks for a name that is not taken yet. Returns `None` if the guest leaves instead.
async fn ask_name(
    room: &Room,
    reader: &mut StreamReader,
    writer: &StreamWriter,
) -> asyncio::Result<Option<String>> {
    loop {
        writer.write("Your name? ");
        writer.drain().await?;
        let line = reader.readline().await?;
        if line.is_empty() {
            return Ok(None);
        }
        let name = line.trim_ascii().decode()?;
        if !name.is_empty() && !room.borrow().contains_key(&name) {
            return Ok(Some(name));
        }
        writer.write("That name is taken, or none.\n");
    }
}

#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    let room = Room::default();
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8889".into());
    let client = async move |reader, writer| visit(&room, reader, writer).await;
    let server = asyncio::start_server(client, address).await?;
    println!("chatting on {}", server.local_addr());
    server.with(async |server| server.serve_forever().await).await
}
