//! The load: any number of connections, each with one outstanding request.

use crate::workload::Done;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// The number of requests in a measurement. It takes some hundred milliseconds, so that the contestants take turns
/// often, and a change of the machine's speed affects all of them.
pub(super) const REQUESTS: usize = 20_000;

/// After so many connections the load waits for answers. Connections beyond those that the server has accepted, or has
/// room for in its queue, would be refused and tried again after a second.
const ACCEPTED: usize = 50;

struct Connection {
    stream: TcpStream,
    /// The number of bytes of the request that were sent, and of the answer that were received.
    sent: usize,
    received: usize,
    left: usize,
    /// When the request began.
    asked_at: Instant,
}

/// Sends so many requests of `size` bytes, and returns by how much `used` has increased at the end.
pub(super) fn run(
    address: SocketAddr,
    connections: usize,
    size: usize,
    requests: usize,
    used: impl FnMut() -> io::Result<u64>,
) -> io::Result<Done> {
    let request: Vec<u8> = (0..size).map(|byte| byte as u8).collect();
    let is_right = |answer: &[u8]| answer == request;
    exchange(address, connections, &request, size, is_right, requests, used)
}

/// Sends so many requests, each of which has an answer of `length` bytes.
pub(crate) fn exchange(
    address: SocketAddr,
    connections: usize,
    request: &[u8],
    length: usize,
    is_right: impl Fn(&[u8]) -> bool,
    requests: usize,
    mut used: impl FnMut() -> io::Result<u64>,
) -> io::Result<Done> {
    let mut talk = Talk { request, length, is_right, took: Vec::new() };
    let rounds = (requests / connections).max(20);
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut open = Vec::new();
    for number in 0..connections {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        epoll.add(&stream, EpollEvent::new(interest, number as u64))?;
        open.push(Connection { stream, sent: 0, received: 0, left: 0, asked_at: Instant::now() });
        if open.len() % ACCEPTED == 0 {
            talk.rounds(&epoll, &mut open, 1)?;
        }
    }
    talk.rounds(&epoll, &mut open, rounds.div_ceil(4))?;
    talk.took = Vec::with_capacity(rounds * connections);
    let before = used()?;
    talk.rounds(&epoll, &mut open, rounds)?;
    let more = used()?.saturating_sub(before);
    Ok(Done::said(rounds * connections, more as f64).took(talk.took))
}

/// The exchange on each connection.
struct Talk<'a, F> {
    request: &'a [u8],
    length: usize,
    is_right: F,
    /// How long each answer took.
    took: Vec<Duration>,
}

impl<F: Fn(&[u8]) -> bool> Talk<'_, F> {
    /// Sends so many requests on each connection.
    fn rounds(
        &mut self,
        epoll: &Epoll,
        connections: &mut [Connection],
        rounds: usize,
    ) -> io::Result<()> {
        let mut answer = vec![0; self.length];
        for connection in &mut *connections {
            connection.left = rounds;
            connection.asked_at = Instant::now();
            self.go_on(connection, &mut answer)?;
        }
        let mut events = vec![EpollEvent::empty(); connections.len()];
        while connections.iter().any(|connection| connection.left > 0) {
            let count = epoll.wait(&mut events, EpollTimeout::from(10_000u16))?;
            if count == 0 {
                return Err(io::Error::other("the server does not answer"));
            }
            for event in &events[..count] {
                self.go_on(&mut connections[event.data() as usize], &mut answer)?;
            }
        }
        Ok(())
    }

    fn go_on(&mut self, connection: &mut Connection, answer: &mut [u8]) -> io::Result<()> {
        let Connection { stream, sent, received, left, asked_at } = connection;
        while *left > 0 {
            while *sent < self.request.len() {
                match stream.write(&self.request[*sent..]) {
                    Ok(more) => *sent += more,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            while *received < self.length {
                match stream.read(&mut answer[*received..]) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(more) => *received += more,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
            if !(self.is_right)(answer) {
                return Err(io::Error::other("the answer is not the right one"));
            }
            answer.fill(0);
            let now = Instant::now();
            self.took.push(now - std::mem::replace(asked_at, now));
            (*sent, *received) = (0, 0);
            *left -= 1;
        }
        Ok(())
    }
}
