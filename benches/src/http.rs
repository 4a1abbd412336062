//! HTTP: the CPU time of a server for one request, beside hyper and axum on tokio's current-thread runtime, and
//! that of a client with a pool.
//!
//! The server of a contestant is a separate process, as with the echo. Below each row is another one with the time
//! within which 99 of 100 requests were answered.

mod clients;
mod load;
mod servers;

use crate::{
    echo::{Running, measured},
    workload::{Contestant, Done, Measure, Workload},
};
use asyncio_test_servers::Server;
use std::{io, net::TcpListener};

/// The contestants' servers, after those of the echo with TLS.
pub(crate) const SERVERS: [fn(TcpListener) -> io::Result<()>; 6] = [
    servers::asyncio,
    servers::tokio,
    servers::asyncio_json,
    servers::tokio_json,
    servers::asyncio_postgres,
    servers::tokio_postgres,
];
const HELLO: usize = 0;
const JSON: usize = 2;
const POSTGRES: usize = 4;

/// Gives a server's process the port of the database.
pub(crate) const DATABASE: &str = "ASYNCIO_BENCH_DATABASE";

/// A workload of ours, and of the peer that comes next in the list.
macro_rules! contestants {
    ($work:ident, $server:ident $(, $argument:expr)?) => {
        vec![
            ("asyncio", $work::<$server $(, $argument)?> as Contestant),
            ("tokio", $work::<{ $server + 1 } $(, $argument)?>),
        ]
    };
}

pub(crate) fn workloads() -> Vec<Workload> {
    let hello = contestants!(http1, HELLO);
    let servers = [
        Workload::new("http1", "HTTP/1.1 hello, {n} connection", hello.clone()).size(1),
        Workload::new("http50", "HTTP/1.1 hello, {n} connections", hello).size(50),
        Workload::new("json50", "HTTP/1.1 10 KB JSON, {n} connections", contestants!(http1, JSON))
            .size(50),
        Workload::new("http2", "HTTP/2 hello, {n} streams", contestants!(http2, HELLO)).size(50),
        Workload::new(
            "axumpg",
            "axum with a PostgreSQL query, {n} connections",
            contestants!(queries, POSTGRES),
        )
        .size(50)
        .needs(Server::has_postgres),
    ];
    let clients: Vec<(_, Contestant)> =
        vec![("asyncio", clients::asyncio), ("tokio", clients::tokio)];
    let clients = [
        Workload::new("client1", "a request of a pooled client", clients.clone()).size(1),
        Workload::new("client50", "a request of a pooled client, {n} at once", clients).size(50),
    ];
    let servers = servers.map(|workload| workload.measure(Measure::Server));
    servers.into_iter().chain(clients).map(|workload| workload.with_p99().ceiling(0.95)).collect()
}

fn http1<const SERVER: usize>(connections: usize) -> Done {
    measured(SERVER, || {
        let server = Running::start_http(SERVER, None)?;
        load::http1(server.address, connections, || server.cpu_time())
    })
}

fn http2<const SERVER: usize>(streams: usize) -> Done {
    measured(SERVER, || {
        let server = Running::start_http(SERVER, None)?;
        load::http2(server.address, streams, || server.cpu_time())
    })
}

/// With a database of its own.
fn queries<const SERVER: usize>(connections: usize) -> Done {
    measured(SERVER, || {
        let database = Server::postgres().map_err(io::Error::other)?;
        let server = Running::start_http(SERVER, Some(database.port()))?;
        load::http1(server.address, connections, || server.cpu_time())
    })
}
