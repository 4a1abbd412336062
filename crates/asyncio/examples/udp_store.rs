//! Keys and values over UDP: `SET key value` and `GET key`, one request in each datagram. A slow reader of the whole
//! store holds up writers, but no other reader. `udp_store HOST PORT`, then `nc -u HOST PORT`
//!
//! ```python
//! class Store(asyncio.DatagramProtocol):
//!     def __init__(self, values):
//!         self.values = values
//!         self.lock = aiorwlock.RWLock()
//!         self.tasks = set()
//!
//!     def connection_made(self, transport):
//!         self.transport = transport
//!
//!     def datagram_received(self, data, addr):
//!         task = asyncio.create_task(self.answer(data.decode(), addr))
//!         self.tasks.add(task)
//!         task.add_done_callback(self.tasks.discard)
//!
//!     async def answer(self, request, addr):
//!         match request.split():
//!             case ["SET", key, value]:
//!                 async with self.lock.writer:
//!                     self.values[key] = value
//!                 answer = "OK"
//!             case ["GET", key]:
//!                 async with self.lock.reader:
//!                     answer = self.values.get(key, "?")
//!             case _:
//!                 answer = "SET key value, or GET key"
//!         self.transport.sendto(f"{answer}\n".encode(), addr)
//!
//! async def main(host, port):
//!     loop = asyncio.get_running_loop()
//!     transport, _ = await loop.create_datagram_endpoint(
//!         lambda: Store({}), local_addr=(host, port))
//!     print(f"serving at {transport.get_extra_info('sockname')}", flush=True)
//!     await asyncio.Event().wait()
//! ```

use asyncio::{
    Address, Bytes, DatagramEndpoint, RwLock, TaskGroup, open_datagram_endpoint, prelude::*,
};
use std::{collections::HashMap, rc::Rc};

struct Store {
    endpoint: DatagramEndpoint,
    values: RwLock<HashMap<String, String>>,
}

impl Store {
    async fn answer(self: Rc<Self>, request: Bytes, sender: Address) -> asyncio::Result<()> {
        let request = String::from_utf8_lossy(&request);
        let answer = match request.split_whitespace().collect::<Vec<_>>()[..] {
            ["SET", key, value] => {
                self.values.write().await?.insert(key.to_owned(), value.to_owned());
                "OK".to_owned()
            }
            ["GET", key] => self.values.read().await?.get(key).map_or("?".to_owned(), Clone::clone),
            _ => "SET key value, or GET key".to_owned(),
        };
        self.endpoint.send_to(format!("{answer}\n"), sender).await
    }
}

#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    let host = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1".to_owned());
    let port = std::env::args().nth(2).map_or(Ok(8888), |port| port.parse())?;
    let endpoint = open_datagram_endpoint().local_addr((host, port)).await?;
    println!("serving at {}", endpoint.local_addr());
    let store = Rc::new(Store { endpoint, values: RwLock::default() });
    let serving = TaskGroup::new().with(async |group| {
        while let Some(request) = store.endpoint.next().await {
            let (request, sender) = request?;
            group.create_task(store.clone().answer(request, sender));
        }
        Ok(())
    });
    serving.await
}
