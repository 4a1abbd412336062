//! Ten thousand connections that come and go leave no descriptor behind. In a process of its own,
//! since it counts all there are.

use asyncio_core::Result;
use asyncio_task::to_thread;
use asyncio_transports::{Protocol, Transport, create_server};
use bytes::Bytes;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

const CONNECTIONS: usize = 10_000;
const AT_ONCE: usize = 200;

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: Bytes) {
        transport.write(&data);
        if data.as_ref() == b"bye" {
            transport.close();
        }
    }
}

fn open_files() -> usize {
    std::fs::read_dir("/dev/fd").unwrap().count()
}

/// A wave of clients that end in different ways.
fn clients(address: SocketAddr) {
    let clients: Vec<_> = (0..AT_ONCE).map(|_| TcpStream::connect(address).unwrap()).collect();
    for (number, mut client) in clients.into_iter().enumerate() {
        client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        match number % 4 {
            // Says nothing.
            0 => {}
            // Has its answer, and leaves first.
            1 => {
                client.write_all(b"ping").unwrap();
                client.read_exact(&mut [0; 4]).unwrap();
            }
            // Is left.
            2 => {
                client.write_all(b"bye").unwrap();
                assert_eq!(client.read_to_end(&mut Vec::new()).unwrap(), 3);
            }
            // Does not wait for the answer, which resets the connection.
            _ => client.write_all(&[0; 1000]).unwrap(),
        }
    }
}

#[test]
fn ten_thousand_connections_leave_nothing_open() {
    asyncio_loop::run(async {
        // The thread and what the loop opens at first use.
        to_thread(|| {}).await?;
        let before = open_files();
        let server = create_server(|| Echo, ("127.0.0.1", 0)).backlog(1024).await?;
        let address = server.local_addr().as_inet().unwrap();
        for _ in 0..CONNECTIONS / AT_ONCE {
            to_thread(move || clients(address)).await?;
        }
        server.close();
        server.wait_closed().await?;
        assert_eq!(open_files(), before);
        Result::Ok(())
    })
    .unwrap();
}
