//! ```python
//! async def send(writer, message):
//!     writer.writelines([len(message).to_bytes(4), message])
//!     await writer.drain()
//!
//! async def receive(reader):
//!     length = int.from_bytes(await reader.readexactly(4))
//!     return await reader.readexactly(length)
//!
//! async def serve(reader, writer):
//!     with contextlib.suppress(asyncio.IncompleteReadError):
//!         while True:
//!             message = await receive(reader)
//!             await send(writer, message[::-1])
//!     writer.close()
//!
//! async def main():
//!     with tempfile.TemporaryDirectory() as directory:
//!         path = f"{directory}/mirror"
//!         server = await asyncio.start_unix_server(serve, path)
//!         async with server:
//!             reader, writer = await asyncio.open_unix_connection(path)
//!             for message in [b"stressed", b"", b"\0\n\xff" * 100_000]:
//!                 await send(writer, message)
//!                 answer = await receive(reader)
//!                 print(f"{len(answer)} bytes came back")
//!             writer.close()
//!             await writer.wait_closed()
//!         print(os.path.exists(path))
//! ```

use crate::stage::{expect, expect_lines};
use asyncio::{Error, StreamReader, StreamWriter, prelude::*};

pub const TITLE: &str = "A Unix socket: messages of any bytes, prefixed with their length";

async fn send(writer: &StreamWriter, message: &[u8]) -> asyncio::Result<()> {
    let length = u32::try_from(message.len())?;
    writer.writelines([&length.to_be_bytes(), message]);
    writer.drain().await
}

async fn receive(reader: &mut StreamReader) -> asyncio::Result<Vec<u8>> {
    let length = reader.readexactly(4).await?;
    let length = u32::from_be_bytes(length.as_ref().try_into()?);
    Ok(reader.readexactly(length as usize).await?.into())
}

async fn serve(mut reader: StreamReader, writer: StreamWriter) -> asyncio::Result<()> {
    loop {
        let mut message = match receive(&mut reader).await {
            Err(Error::IncompleteRead(_)) => return Ok(()),
            message => message?,
        };
        message.reverse();
        send(&writer, &message).await?;
    }
}

pub async fn main() -> asyncio::Result<()> {
    let path = std::env::temp_dir().join(format!("asyncio-tour-{}", std::process::id()));
    let server = asyncio::start_unix_server(serve, &path).await?;
    let session = server.with(async |_server| {
        let (mut reader, writer) = asyncio::open_unix_connection(&path).await?;
        for message in [b"stressed".to_vec(), b"".to_vec(), b"\0\n\xff".repeat(100_000)] {
            send(&writer, &message).await?;
            let answer = receive(&mut reader).await?;
            say!("{} bytes came back", answer.len());
            expect("reversed", answer.iter().rev().eq(&message), true)?;
        }
        writer.close();
        writer.wait_closed().await
    });
    session.await?;
    say!("the path is there: {}", path.exists());
    expect_lines([
        "8 bytes came back",
        "0 bytes came back",
        "300000 bytes came back",
        "the path is there: false",
    ])
}
