//! The load: as many connections as wanted, each with one request under way.

use crate::workload::Done;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
};

/// How many requests make a measurement: some hundred milliseconds, so that the contestants take turns
/// often, and a machine that changes meanwhile has changed for all of them.
pub(super) const REQUESTS: usize = 20_000;

/// After so many connections the load waits for answers: more than the server has accepted, and has
/// room for in its queue, would be refused and tried again after a second.
const ACCEPTED: usize = 50;

struct Connection {
    stream: TcpStream,
    /// How much of the request is sent, and how much of the answer has come.
    sent: usize,
    received: usize,
    left: usize,
}

/// Sends so many requests of `size` bytes, and says how much more `used` tells at their end.
pub(super) fn run(
    address: SocketAddr,
    connections: usize,
    size: usize,
    requests: usize,
    mut used: impl FnMut() -> io::Result<u64>,
) -> io::Result<Done> {
    let rounds = (requests / connections).max(20);
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut open = Vec::new();
    for number in 0..connections {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        epoll.add(&stream, EpollEvent::new(interest, number as u64))?;
        open.push(Connection { stream, sent: 0, received: 0, left: 0 });
        if open.len() % ACCEPTED == 0 {
            echo(&epoll, &mut open, 1, 1)?;
        }
    }
    echo(&epoll, &mut open, size, rounds.div_ceil(4))?;
    let before = used()?;
    echo(&epoll, &mut open, size, rounds)?;
    let more = used()?.saturating_sub(before);
    Ok(Done { operations: rounds * connections, said: Some(more as f64) })
}

/// So many requests on each connection.
fn echo(
    epoll: &Epoll,
    connections: &mut [Connection],
    size: usize,
    rounds: usize,
) -> io::Result<()> {
    let request: Vec<u8> = (0..size).map(|byte| byte as u8).collect();
    let mut answer = vec![0; size];
    for connection in &mut *connections {
        connection.left = rounds;
        connection.go_on(&request, &mut answer)?;
    }
    let mut events = vec![EpollEvent::empty(); connections.len()];
    while connections.iter().any(|connection| connection.left > 0) {
        let count = epoll.wait(&mut events, EpollTimeout::from(10_000u16))?;
        if count == 0 {
            return Err(io::Error::other("the server does not answer"));
        }
        for event in &events[..count] {
            connections[event.data() as usize].go_on(&request, &mut answer)?;
        }
    }
    Ok(())
}

impl Connection {
    fn go_on(&mut self, request: &[u8], answer: &mut [u8]) -> io::Result<()> {
        while self.left > 0 {
            while self.sent < request.len() {
                match self.stream.write(&request[self.sent..]) {
                    Ok(sent) => self.sent += sent,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            while self.received < request.len() {
                match self.stream.read(&mut answer[self.received..]) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(received) => self.received += received,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
            if answer != request {
                return Err(io::Error::other("the server does not echo"));
            }
            answer.fill(0);
            (self.sent, self.received) = (0, 0);
            self.left -= 1;
        }
        Ok(())
    }
}
