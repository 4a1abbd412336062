//! Echo over TLS, handshakes, and the memory of a connection on which nothing happens, beside tokio-rustls
//! with the same cryptography and settings.
//!
//! The server of a contestant is a process of its own, whose CPU time is measured; the load is rustls,
//! which blocks.

mod load;
mod servers;

pub(crate) use load::{KEEP_IDLE, keep_idle};

use crate::{
    counting,
    echo::{Running, measured},
    workload::{Contestant, Done, Measure, Workload},
};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    thread,
};

/// The contestants' servers, after those of the echo without TLS.
pub(crate) const SERVERS: [fn(TcpListener) -> io::Result<()>; 3] =
    [servers::streams, servers::transports, servers::tokio];
const STREAMS: usize = 0;
const TRANSPORTS: usize = 1;
const TOKIO: usize = 2;

/// Gives a server's process the certificate of this one.
pub(crate) const CERTIFICATE: &str = "ASYNCIO_BENCH_CERTIFICATE";

macro_rules! contestants {
    ($work:ident $(, $argument:expr)?) => {
        vec![
            ("asyncio", $work::<STREAMS $(, $argument)?> as Contestant),
            ("tokio", $work::<TOKIO $(, $argument)?>),
            ("asyncio, transports", $work::<TRANSPORTS $(, $argument)?>),
        ]
    };
}

pub(crate) fn workloads() -> Vec<Workload> {
    let one = contestants!(requests, 1);
    let many = contestants!(requests, 50);
    let server = |name, what, contestants: &Vec<(&'static str, Contestant)>, size| {
        Workload::new(name, what, contestants.clone())
            .measure(Measure::Server)
            .size(size)
            .ceiling(0.95)
    };
    let mut all = Vec::new();
    for size in [64, 1024, 16 * 1024] {
        all.push(server("tls1", "TLS echo through streams, 1 connection × {n} B", &one, size));
        all.push(server("tls50", "TLS echo through streams, 50 × {n} B", &many, size));
    }
    all.push(server("tlsbulk", "TLS echo through streams, 1 connection × {n} B", &one, 1 << 20));
    let handshakes = [
        Workload::new("tlsfull", "a full handshake of TLS", contestants!(handshakes, false)),
        Workload::new("tlsresumed", "a resumed handshake of TLS", contestants!(handshakes, true)),
    ];
    all.extend(handshakes.map(|it| it.measure(Measure::Server).size(1).ceiling(1.0)));
    let idle = Workload::new("tlsidle", "memory of an idle TLS connection", contestants!(memory));
    all.push(idle.size(500).measure(Measure::Bytes).ceiling(0.60));
    all
}

fn requests<const SERVER: usize, const CONNECTIONS: usize>(size: usize) -> Done {
    measured(SERVER, || {
        let server = Running::start_tls(SERVER)?;
        load::echo(server.address, CONNECTIONS, size, || server.cpu_time())
    })
}

fn handshakes<const SERVER: usize, const RESUMED: bool>(_: usize) -> Done {
    measured(SERVER, || {
        let server = Running::start_tls(SERVER)?;
        load::handshakes(server.address, RESUMED, || server.cpu_time())
    })
}

/// The bytes that the server has allocated and not freed when each connection has had an answer. The load is
/// in a process of its own, so that its memory is not counted.
fn memory<const SERVER: usize>(connections: usize) -> Done {
    measured(SERVER, || {
        let address = start_here(SERVERS[SERVER])?;
        let mut load = load::Idle::start(address)?;
        counting::start();
        load.open(1)?;
        let before = counting::bytes();
        load.open(connections)?;
        let said = (counting::bytes() - before) as f64;
        Ok(Done::said(connections, said))
    })
}

/// A server in a thread of this process, for as long as that lives.
fn start_here(server: fn(TcpListener) -> io::Result<()>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || server(listener));
    Ok(address)
}

/// The certificate of all servers and its key, as PEM: one text.
pub(crate) fn certificate() -> String {
    std::env::var(CERTIFICATE).unwrap_or_else(|_| {
        static MADE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        let make = || {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
            let made = made.unwrap_or_else(|error| panic!("a certificate: {error}"));
            made.cert.pem() + &made.signing_key.serialize_pem()
        };
        MADE.get_or_init(make).clone()
    })
}
