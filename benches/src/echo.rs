//! TCP echo: the CPU time of the server for one request.
//!
//! The server of a contestant is a separate process, and so is the load, whose connections each have one outstanding
//! request. The load reads the server's CPU time from `/proc` after a first round and at the end, so no contestant has
//! to measure itself.
//!
//! Also measured is the memory of an idle connection.

mod load;
pub(crate) mod servers;

pub(crate) use load::exchange;

use crate::{
    counting, http,
    python::Interpreter,
    system_calls::Trace,
    tls,
    workload::{Contestant, Done, Measure, Workload},
};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
};

/// The argument that makes a process a contestant's server.
pub(crate) const SERVE: &str = "--serve";

/// A server, which echoes until its process is killed.
#[derive(Clone, Copy)]
enum Server {
    Rust(fn(TcpListener) -> io::Result<()>),
    Python(Interpreter, &'static str),
}

/// Ours with streams and with transports, a loop written by hand, and the peers.
const SERVERS: [Server; 9] = [
    Server::Rust(servers::streams),
    Server::Rust(servers::transports),
    Server::Rust(servers::by_hand),
    Server::Rust(servers::tokio),
    Server::Rust(servers::smol),
    Server::Python(Interpreter::CPython, "streams"),
    Server::Python(Interpreter::CPython, "transports"),
    Server::Python(Interpreter::Uvloop, "streams"),
    Server::Python(Interpreter::Uvloop, "transports"),
];
const STREAMS: usize = 0;
const TRANSPORTS: usize = 1;
const BY_HAND: usize = 2;
const TOKIO: usize = 3;
const SMOL: usize = 4;
const CPYTHON: usize = 5;
const CPYTHON_TRANSPORTS: usize = 6;
const UVLOOP: usize = 7;
const UVLOOP_TRANSPORTS: usize = 8;

pub(crate) fn workloads() -> Vec<Workload> {
    const SIZES: [usize; 3] = [64, 1024, 16 * 1024];
    let rows = SIZES.map(|size| {
        [
            streams::<1>("echo1", "TCP echo through streams, 1 connection × {n} B"),
            transports::<1>("echo1t", "TCP echo through transports, 1 connection × {n} B"),
            streams::<50>("echo50", "TCP echo through streams, 50 × {n} B"),
            transports::<50>("echo50t", "TCP echo through transports, 50 × {n} B"),
            streams::<1000>("echo1000", "TCP echo through streams, 1,000 × {n} B"),
            transports::<1000>("echo1000t", "TCP echo through transports, 1,000 × {n} B"),
        ]
        .map(|workload| workload.size(size))
    });
    rows.into_iter().flatten().chain(counts()).collect()
}

/// The servers that are written in Rust, each with a measurement.
macro_rules! in_rust {
    ($work:ident $(, $connections:ident)?) => {
        vec![
            ("asyncio", $work::<STREAMS $(, $connections)?> as Contestant),
            ("tokio", $work::<TOKIO $(, $connections)?>),
            ("smol", $work::<SMOL $(, $connections)?>),
            ("asyncio, transports", $work::<TRANSPORTS $(, $connections)?>),
            ("epoll by hand", $work::<BY_HAND $(, $connections)?>),
        ]
    };
}

/// Figures that are free of noise.
fn counts() -> [Workload; 4] {
    [
        messages::<1>("echo1-calls", "system calls for an echo, 1 connection"),
        messages::<50>("echo50-calls", "system calls for an echo, 50 connections"),
        allocations(),
        idle(),
    ]
}

fn idle() -> Workload {
    let contestants = in_rust!(memory);
    Workload::new("echoidle", "memory of an idle connection of streams", contestants)
        .size(1000)
        .measure(Measure::Bytes)
        .ceiling(0.15)
}

fn messages<const CONNECTIONS: usize>(name: &'static str, what: &'static str) -> Workload {
    let contestants = in_rust!(calls, CONNECTIONS);
    let workload = Workload::new(name, what, contestants).size(64).measure(Measure::SystemCalls);
    workload.needs(Trace::is_installed)
}

fn allocations() -> Workload {
    let contestants = in_rust!(memory_asked_for);
    Workload::new("echo-allocations", "allocations for an echo, 50 × {n} B", contestants)
        .size(64)
        .measure(Measure::Allocations)
}

fn streams<const CONNECTIONS: usize>(name: &'static str, what: &'static str) -> Workload {
    let contestants: Vec<(_, Contestant)> = vec![
        ("asyncio", requests::<STREAMS, CONNECTIONS>),
        ("epoll by hand", requests::<BY_HAND, CONNECTIONS>),
        ("tokio", requests::<TOKIO, CONNECTIONS>),
        ("smol", requests::<SMOL, CONNECTIONS>),
        (Interpreter::CPython.name(), requests::<CPYTHON, CONNECTIONS>),
        (Interpreter::Uvloop.name(), requests::<UVLOOP, CONNECTIONS>),
    ];
    Workload::new(name, what, contestants).measure(Measure::Server).ceiling(1.05)
}

fn transports<const CONNECTIONS: usize>(name: &'static str, what: &'static str) -> Workload {
    let contestants: Vec<(_, Contestant)> = vec![
        ("asyncio", requests::<TRANSPORTS, CONNECTIONS>),
        ("epoll by hand", requests::<BY_HAND, CONNECTIONS>),
        (Interpreter::CPython.name(), requests::<CPYTHON_TRANSPORTS, CONNECTIONS>),
        (Interpreter::Uvloop.name(), requests::<UVLOOP_TRANSPORTS, CONNECTIONS>),
    ];
    Workload::new(name, what, contestants).measure(Measure::Server).ceiling(1.02)
}

/// Starts a server, sends it requests of so many bytes, and returns its CPU time.
fn requests<const SERVER: usize, const CONNECTIONS: usize>(size: usize) -> Done {
    let outcome = Running::start(SERVER).and_then(|server| {
        load::run(server.address, CONNECTIONS, size, load::REQUESTS, || server.cpu_time())
    });
    outcome.unwrap_or_else(|error| panic!("server {SERVER}: {error}"))
}

/// The system calls of such a server. Tracing makes it slow, so the next request has usually arrived when the answer is
/// sent. A contestant that tries to receive before waiting therefore needs fewer calls here than elsewhere.
fn calls<const SERVER: usize, const CONNECTIONS: usize>(size: usize) -> Done {
    let outcome = Running::start(SERVER).and_then(|server| {
        let mut trace = None;
        load::run(server.address, CONNECTIONS, size, 5_000, || match trace.take() {
            Some(trace) => Trace::end(trace),
            None => {
                trace = Some(Trace::of(server.process.id())?);
                Ok(0)
            }
        })
    });
    outcome.unwrap_or_else(|error| panic!("server {SERVER}: {error}"))
}

/// The number of allocations of a server in this process. The load does not allocate.
fn memory_asked_for<const SERVER: usize>(size: usize) -> Done {
    let outcome = start_here::<SERVER>()
        .and_then(|address| load::run(address, 50, size, 20_000, || Ok(counting::times() as u64)));
    outcome.unwrap_or_else(|error| panic!("server {SERVER}: {error}"))
}

/// The bytes that the server has allocated and not freed when each connection has received an answer. The server lives
/// until the process ends.
fn memory<const SERVER: usize>(connections: usize) -> Done {
    let connect = |address| {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"hello")?;
        stream.read_exact(&mut [0; 5])?;
        io::Result::Ok(stream)
    };
    let measure = || {
        let address = start_here::<SERVER>()?;
        let mut streams = Vec::with_capacity(connections + 1);
        counting::start();
        streams.push(connect(address)?);
        let before = counting::bytes();
        for _ in 0..connections {
            streams.push(connect(address)?);
        }
        let said = (counting::bytes() - before) as f64;
        io::Result::Ok(Done::said(connections, said))
    };
    measure().unwrap_or_else(|error| panic!("server {SERVER}: {error}"))
}

/// Starts a server in a thread of this process, which lives until the process ends.
fn start_here<const SERVER: usize>() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let Server::Rust(server) = SERVERS[SERVER] else {
        return Err(io::Error::other("it is not in this process"));
    };
    thread::spawn(move || server(listener));
    Ok(address)
}

/// Serves forever as contestant `number`. The first line of the output is the address.
pub(crate) fn serve(number: &str) -> io::Result<()> {
    let server = number.parse::<usize>().ok().and_then(|number| match SERVERS.get(number) {
        Some(Server::Rust(server)) => Some(server),
        Some(Server::Python(..)) => None,
        // The servers that speak TLS or HTTP have the numbers after these.
        None => tls::SERVERS.iter().chain(&http::SERVERS).nth(number - SERVERS.len()),
    });
    let Some(server) = server else {
        return Err(io::Error::other(format!("{SERVE} takes a number")));
    };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    server(listener)
}

/// The outcome of a measurement.
pub(crate) fn measured(server: usize, measure: impl FnOnce() -> io::Result<Done>) -> Done {
    measure().unwrap_or_else(|error| panic!("server {server}: {error}"))
}

/// The process of a server, which is killed when dropped.
pub(crate) struct Running {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Running {
    fn start(number: usize) -> io::Result<Running> {
        let command = match SERVERS[number] {
            Server::Rust(_) => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args([SERVE, &number.to_string()]);
                command
            }
            Server::Python(interpreter, server) => interpreter.command(server, "0"),
        };
        Running::of(command)
    }

    /// Starts a server that speaks TLS.
    pub(crate) fn start_tls(number: usize) -> io::Result<Running> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([SERVE, &(SERVERS.len() + number).to_string()]);
        command.env(tls::CERTIFICATE, tls::certificate());
        Running::of(command)
    }

    /// Starts a server that speaks HTTP, with the port of its database.
    pub(crate) fn start_http(number: usize, database: Option<u16>) -> io::Result<Running> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([SERVE, &(SERVERS.len() + tls::SERVERS.len() + number).to_string()]);
        command.env(http::DATABASE, database.unwrap_or_default().to_string());
        Running::of(command)
    }

    fn of(mut command: Command) -> io::Result<Running> {
        let mut process = command.stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let address = line.trim().parse().map_err(io::Error::other)?;
        Ok(Running { process, address })
    }

    /// The CPU time of all threads so far, in nanoseconds.
    pub(crate) fn cpu_time(&self) -> io::Result<u64> {
        let mut sum = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            let first = text.split_whitespace().next().unwrap_or_default();
            sum += first.parse::<u64>().map_err(io::Error::other)?;
        }
        Ok(sum)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
