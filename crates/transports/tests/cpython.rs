//! CPython's asyncio as the other side.

use asyncio_core::Result;
use asyncio_future::Future;
use asyncio_task::wait_for;
use asyncio_transports::{Protocol, Transport, create_connection};
use bytes::Bytes;
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

/// Serves one client: echoes its data until the end, and then sends a number of bytes.
const SERVER: &str = r#"
import asyncio

async def main():
    done = asyncio.Event()

    async def serve(reader, writer):
        count = 0
        while data := await reader.read(1000):
            count += len(data)
            writer.write(data)
            await writer.drain()
        writer.write(b"|%d" % count)
        await writer.drain()
        writer.close()
        done.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await done.wait()

asyncio.run(main())
"#;

struct Collect {
    received: Vec<u8>,
    lost: Future<usize>,
}

impl Protocol for Collect {
    fn data_received(&mut self, _: &Transport, data: Bytes) {
        self.received.extend_from_slice(&data);
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<asyncio_core::Error>) {
        assert!(error.is_none(), "{error:?}");
        let _ = self.lost.set_result(self.received.len());
    }
}

#[test]
fn a_server_of_cpython_echoes_what_we_send() {
    let python = Command::new("python3").args(["-c", SERVER]).stdout(Stdio::piped()).spawn();
    let Ok(mut python) = python else {
        return eprintln!("SKIPPED: there is no python3");
    };
    let mut line = String::new();
    BufReader::new(python.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port: u16 = line.trim().parse().unwrap();
    let talk = async move {
        let lost = Future::new();
        let collect = || Collect { received: Vec::new(), lost: lost.clone() };
        let (transport, protocol) =
            create_connection(collect, ("localhost", port)).local_addr(("127.0.0.1", 0)).await?;
        let message = vec![b'x'; 1 << 20];
        transport.write(&message);
        transport.write_eof();
        lost.await?;
        let received = std::mem::take(&mut protocol.borrow_mut().received);
        assert_eq!(received[..message.len()], message);
        assert_eq!(received[message.len()..], *b"|1048576");
        Result::Ok(())
    };
    let outcome = asyncio_loop::run(wait_for(talk, Duration::from_secs(60)));
    let _ = python.kill();
    python.wait().unwrap();
    outcome.unwrap();
}
