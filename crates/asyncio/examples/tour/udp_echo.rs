//! ```python
//! class Echo(asyncio.DatagramProtocol):
//!     def connection_made(self, transport):
//!         self.transport = transport
//!     def datagram_received(self, data, addr):
//!         self.transport.sendto(data, addr)
//!
//! class Client(asyncio.DatagramProtocol):
//!     def __init__(self, answers):
//!         self.answers = answers
//!     def datagram_received(self, data, addr):
//!         self.answers.put_nowait(data.decode())
//!
//! async def main():
//!     loop = asyncio.get_running_loop()
//!     server, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
//!     address = server.get_extra_info("sockname")
//!     answers = asyncio.Queue()
//!     client, _ = await loop.create_datagram_endpoint(
//!         lambda: Client(answers), remote_addr=address)
//!     for word in ["one", "two", "three"]:
//!         client.sendto(word.encode())
//!         print(f"{await answers.get()} came back")
//!     client.close()
//!     server.close()
//! ```

use crate::stage::expect_lines;
use asyncio::{Address, Bytes, DatagramProtocol, DatagramTransport, Error, Queue, SOCKNAME};
use std::rc::Rc;

pub const TITLE: &str = "UDP: an echo server, and a client that waits for each answer";

struct Echo;

impl DatagramProtocol for Echo {
    fn datagram_received(&mut self, transport: &DatagramTransport, data: Bytes, addr: Address) {
        transport.sendto(data, addr);
    }
}

struct Client {
    answers: Rc<Queue<String>>,
}

impl DatagramProtocol for Client {
    fn datagram_received(&mut self, _: &DatagramTransport, data: Bytes, _: Address) {
        // Without a limit the queue is never full.
        let _ = self.answers.put_nowait(String::from_utf8_lossy(&data).into_owned());
    }
}

pub async fn main() -> asyncio::Result<()> {
    let (server, _) =
        asyncio::create_datagram_endpoint(|| Echo).local_addr(("127.0.0.1", 0)).await?;
    let address = server.get_extra_info(SOCKNAME).ok_or_else(|| Error::msg("no address"))?;
    let answers = Rc::new(Queue::new(0));
    let client = Client { answers: answers.clone() };
    let (client, _) = asyncio::create_datagram_endpoint(|| client).remote_addr(address).await?;
    for word in ["one", "two", "three"] {
        client.sendto(word.as_bytes(), None);
        say!("{} came back", answers.get().await?);
    }
    client.close();
    server.close();
    expect_lines(["one came back", "two came back", "three came back"])
}
