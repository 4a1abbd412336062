//! ```python
//! async def echo(client):
//!     loop = asyncio.get_running_loop()
//!     with client:
//!         while data := await loop.sock_recv(client, 1024):
//!             await loop.sock_sendall(client, data)
//!
//! async def serve(listener):
//!     async with asyncio.TaskGroup() as clients:
//!         while True:
//!             client, address = await asyncio.get_running_loop().sock_accept(listener)
//!             clients.create_task(echo(client))
//!
//! async def talk(name, words, address):
//!     loop = asyncio.get_running_loop()
//!     with socket.socket() as sock:
//!         sock.setblocking(False)
//!         await loop.sock_connect(sock, address)
//!         heard = []
//!         for word in words:
//!             await asyncio.sleep(0.03)
//!             await loop.sock_sendall(sock, word.encode())
//!             heard.append((await loop.sock_recv(sock, 1024)).decode())
//!             print(f"{name} hears {heard[-1]}")
//!         return heard
//!
//! async def main():
//!     with socket.create_server(("127.0.0.1", 0)) as listener:
//!         listener.setblocking(False)
//!         serving = asyncio.create_task(serve(listener))
//!         address = listener.getsockname()
//!         heard = await asyncio.gather(
//!             talk("Ann", ["one", "two"], address),
//!             talk("Bob", ["eins", "zwei"], address),
//!             talk("Cid", ["un", "deux"], address))
//!         serving.cancel()
//! ```

use crate::stage::{MS, expect};
use asyncio::{
    Address, TaskGroup, prelude::*, sock_accept, sock_connect, sock_recv, sock_sendall,
    socket::{Domain, Socket, Type},
};

pub const TITLE: &str = "An echo server: several clients at once, over plain sockets";

async fn echo(client: Socket) -> asyncio::Result<()> {
    loop {
        let data = sock_recv(&client, 1024).await?;
        if data.is_empty() {
            return Ok(());
        }
        sock_sendall(&client, &data).await?;
    }
}

async fn serve(listener: Socket) -> asyncio::Result<()> {
    let serving = TaskGroup::new().with(async |clients| {
        loop {
            let (client, _address) = sock_accept(&listener).await?;
            clients.create_task(echo(client));
        }
    });
    serving.await
}

async fn talk(name: &str, words: [&str; 2], address: Address) -> asyncio::Result<Vec<String>> {
    let sock = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    sock_connect(&sock, address).await?;
    let mut heard = Vec::new();
    for word in words {
        asyncio::sleep(30 * MS).await?;
        sock_sendall(&sock, word.as_bytes()).await?;
        heard.push(sock_recv(&sock, 1024).await?.decode()?);
        say!("{name} hears {}", heard[heard.len() - 1]);
    }
    Ok(heard)
}

pub async fn main() -> asyncio::Result<()> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    listener.bind(("127.0.0.1", 0))?;
    listener.listen(100)?;
    let address = listener.local_addr()?;
    let serving = asyncio::create_task(serve(listener));
    let heard = asyncio::gather([
        talk("Ann", ["one", "two"], address.clone()),
        talk("Bob", ["eins", "zwei"], address.clone()),
        talk("Cid", ["un", "deux"], address),
    ]);
    let heard = heard.await?;
    serving.cancel();
    let outcome = serving.await;

    expect("the server ended cancelled", outcome.is_err_and(|e| e.is_cancelled()), true)?;
    expect("what came back", heard, [["one", "two"], ["eins", "zwei"], ["un", "deux"]])
}
