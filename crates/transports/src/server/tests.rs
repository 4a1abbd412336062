//! Servers on real sockets, with blocking clients.

use super::*;
use crate::{
    BufferedProtocol, PEERNAME, SOCKET, SOCKNAME, Transport,
    testing::{Log, Recorder, errno, iterations, run, run_step_by_step},
};
use asyncio_sockets::{Domain, Socket, Type};
use asyncio_task::{create_task, sleep};
use nix::libc;
use std::{
    cell::{Cell, RefCell},
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    rc::Rc,
    time::Duration,
};

mod accepting;
mod binding;
mod ends;
mod paths;

const LOCALHOST: (&str, u16) = ("127.0.0.1", 0);
/// A read that takes longer hangs.
const GUARD: Duration = Duration::from_secs(60);

/// Creates a server whose protocols write into `log`.
async fn recording_server(log: &Log) -> Result<Server> {
    let log = log.clone();
    create_server(move || Recorder::new(&log), LOCALHOST).await
}

/// Creates a connected client, which may not be accepted yet.
fn client(server: &Server) -> TcpStream {
    let address = server.local_addr().as_inet().unwrap();
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(GUARD)).unwrap();
    client
}

/// Creates `count` clients that have a transport.
async fn clients(server: &Server, log: &Log, count: usize) -> Result<Vec<TcpStream>> {
    let before = log.count("made");
    let clients = (0..count).map(|_| client(server)).collect();
    log.until(|log| log.count("made") == before + count).await?;
    Ok(clients)
}

/// Whether the other side has ended the connection.
fn is_ended(client: &mut TcpStream) -> bool {
    match client.read(&mut [0]) {
        Ok(nbytes) => nbytes == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

fn is_refused(server: &Server) -> bool {
    let outcome = TcpStream::connect(server.local_addr().as_inet().unwrap());
    outcome.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

fn text<T: fmt::Debug>(outcome: Result<T>) -> String {
    outcome.unwrap_err().to_string()
}
