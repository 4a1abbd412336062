//! A chat: what one says, all others hear.
//!
//! ```sh
//! cargo run --example chat_server   # on 127.0.0.1:8889
//! nc 127.0.0.1 8889                 # in several terminals; the first line is your name
//! ```
//!
//! Everything is in one thread, so the room is an `Rc<RefCell<…>>`. A guest who does not read is not
//! waited for by the others: past the high-water mark of the transport, the guest is sent away.

use asyncio::{AsyncContextManager, Error, StreamReader, StreamWriter, start_server};
use std::{cell::RefCell, collections::HashMap, rc::Rc};

/// The most that is buffered for a guest that does not read.
const MOST: usize = 1 << 20;

#[derive(Default)]
struct Room {
    guests: HashMap<String, Rc<StreamWriter>>,
}

impl Room {
    /// Tells everyone but `from`.
    fn tell(&self, from: &str, text: &str) {
        println!("{text}");
        for (name, writer) in self.guests.iter().filter(|(name, _)| *name != from) {
            if writer.transport().get_write_buffer_size() > MOST {
                println!("{name} does not listen");
                writer.transport().abort();
            } else {
                writer.write(text.as_bytes());
                writer.write(b"\n");
            }
        }
    }
}

/// Takes the guest out of the room however the visit ends.
struct Visit {
    room: Rc<RefCell<Room>>,
    name: String,
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut room = self.room.borrow_mut();
        room.guests.remove(&self.name);
        room.tell(&self.name, &format!("* {} has left", self.name));
    }
}

async fn visit(
    room: Rc<RefCell<Room>>,
    mut reader: StreamReader,
    writer: StreamWriter,
) -> asyncio::Result<()> {
    let writer = Rc::new(writer);
    let Some(name) = ask_name(&room, &mut reader, &writer).await? else { return Ok(()) };
    room.borrow_mut().guests.insert(name.clone(), writer.clone());
    let visit = Visit { room, name };
    visit.room.borrow().tell(&visit.name, &format!("* {} has come", visit.name));
    loop {
        let line = match reader.readline().await {
            Ok(line) if !line.is_empty() => line,
            // The guest has left, politely or not.
            Ok(_) | Err(Error::Io(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
        visit.room.borrow().tell(&visit.name, &format!("{}: {text}", visit.name));
    }
}

/// A name that is not taken yet; `None` if the guest leaves instead.
async fn ask_name(
    room: &RefCell<Room>,
    reader: &mut StreamReader,
    writer: &StreamWriter,
) -> asyncio::Result<Option<String>> {
    loop {
        writer.write(b"Your name? ");
        writer.drain().await?;
        let line = reader.readline().await?;
        if line.is_empty() {
            return Ok(None);
        }
        let name = String::from_utf8_lossy(line.trim_ascii()).into_owned();
        if !name.is_empty() && !room.borrow().guests.contains_key(&name) {
            return Ok(Some(name));
        }
        writer.write(b"That name is taken, or none.\n");
    }
}

#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    let room = Rc::new(RefCell::new(Room::default()));
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8889".to_owned());
    let server =
        start_server(move |reader, writer| visit(room.clone(), reader, writer), address).await?;
    println!("chatting on {}", server.local_addr());
    server.with(async |server| server.serve_forever().await).await
}
