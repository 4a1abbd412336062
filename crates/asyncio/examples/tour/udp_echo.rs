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
use asyncio::{DatagramEndpoint, create_task, open_datagram_endpoint, prelude::*};

pub const TITLE: &str = "UDP: an echo server, and a client that waits for each answer";

async fn echo(server: DatagramEndpoint) -> asyncio::Result<()> {
    while let Some(datagram) = server.next().await {
        let (data, sender) = datagram?;
        server.send_to(data, sender).await?;
    }
    Ok(())
}

pub async fn main() -> asyncio::Result<()> {
    let server = open_datagram_endpoint().local_addr(("127.0.0.1", 0)).await?;
    let client = open_datagram_endpoint().remote_addr(server.local_addr()).await?;
    let serving = create_task(echo(server));
    for word in ["one", "two", "three"] {
        client.send(word).await?;
        let (answer, _) = client.recv_from().await?;
        say!("{} came back", answer.decode()?);
    }
    serving.cancel();
    expect_lines(["one came back", "two came back", "three came back"])
}
