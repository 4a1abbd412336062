//! Streams with CPython's own asyncio on the other side.

use asyncio::{Error, StreamReader, StreamWriter, prelude::*};
use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

const GUARD: Duration = Duration::from_secs(60);

/// A program in Python, if there is one on this machine; killed in the end.
struct Python {
    child: Child,
    out: Option<BufReader<ChildStdout>>,
}

impl Python {
    fn start(program: &str, argument: &str) -> Option<Python> {
        let mut command = Command::new("python3");
        command.args(["-c", program, argument]).stdin(Stdio::null()).stdout(Stdio::piped());
        match command.spawn() {
            Ok(mut child) => {
                let out = child.stdout.take().map(BufReader::new);
                Some(Python { child, out })
            }
            Err(error) => {
                eprintln!("SKIPPED: no python3: {error}");
                None
            }
        }
    }

    /// The next line that it prints.
    async fn line(&mut self) -> asyncio::Result<String> {
        let mut out = self.out.take().unwrap();
        let read = asyncio::to_thread(move || {
            let mut line = String::new();
            out.read_line(&mut line).map(|_| (line, out))
        });
        let (line, out) = read.await??;
        self.out = Some(out);
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SERVER: &str = r#"
import asyncio, sys

async def serve(reader, writer):
    async for line in reader:
        if line == b"much\n":
            writer.write(b"." * 3_000_000)
        writer.write(line.upper())
        await writer.drain()
    writer.write(b"the end")
    writer.close()
    await writer.wait_closed()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"#;

#[asyncio::test]
async fn a_client_of_a_server_of_cpython() -> asyncio::Result<()> {
    let Some(mut python) = Python::start(SERVER, "") else { return Ok(()) };
    let talk = async {
        let port: u16 = python.line().await?.parse()?;
        let (mut reader, writer) = asyncio::open_connection(("127.0.0.1", port)).await?;
        for word in ["one\n", "two\n"] {
            writer.write(word.as_bytes());
            writer.drain().await?;
            assert_eq!(reader.readline().await?, word.to_uppercase());
        }
        writer.writelines(["much\n", "a line without an end"]);
        writer.write_eof();
        assert_eq!(reader.readexactly(3_000_000).await?, ".".repeat(3_000_000));
        assert_eq!(reader.readuntil(b"the end").await?, "MUCH\nA LINE WITHOUT AN ENDthe end");
        assert_eq!(reader.read(1).await?, "");
        writer.close();
        writer.wait_closed().await
    };
    asyncio::timeout(GUARD).with(async |_| talk.await).await
}

const CLIENT: &str = r#"
import asyncio, sys

async def talk(port, n):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"client {n}\n".encode())
    await writer.drain()
    assert await reader.readline() == f"CLIENT {n}\n".encode()
    writer.write(b"x" * 3_000_000)
    writer.write_eof()
    assert await reader.read() == b"3000000"
    writer.close()
    await writer.wait_closed()

async def main(port):
    await asyncio.gather(*(talk(port, n) for n in range(5)))
    print("all were served", flush=True)

asyncio.run(main(int(sys.argv[1])))
"#;

async fn serve(mut reader: StreamReader, writer: StreamWriter) -> asyncio::Result<()> {
    let line = reader.next().await.ok_or_else(|| Error::msg("no line"))??;
    writer.write(line.to_ascii_uppercase());
    writer.drain().await?;
    let rest = reader.read_to_end().await?;
    writer.write(rest.len().to_string().as_bytes());
    Ok(())
}

#[asyncio::test]
async fn a_server_for_clients_of_cpython() -> asyncio::Result<()> {
    let server = asyncio::start_server(serve, ("127.0.0.1", 0)).await?;
    let port = server.local_addr().as_inet().unwrap().port().to_string();
    let Some(mut python) = Python::start(CLIENT, &port) else { return Ok(()) };
    let served = server.with(async |_| python.line().await);
    let line = asyncio::timeout(GUARD).with(async |_| served.await).await?;
    assert_eq!(line, "all were served");
    Ok(())
}
