//! Receiving: up to [`AT_ONCE`] datagrams with one system call, if the system has one.
//!
//! With edge-triggered readiness, the reader has to know that nothing is left. If it requests several datagrams and
//! gets fewer, it knows without a second call for every datagram. The only other reason for fewer is an error, and UDP
//! and Unix datagram sockets report their errors to the poller. For other sockets [`Habits::fewer_is_all`] is false.
//! The portable way is tested on Linux together with the portable poller.
//!
//! The end of a `SOCK_SEQPACKET` connection looks like an empty message that is received again and
//! again. [`Habits::is_end`] tells it from a real one.

use crate::io::MAX_SIZE;
use asyncio_sockets::{Domain, Type};
#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockAddr;
use std::{cell::Cell, io};

/// The number of datagrams that are received in one call. Larger numbers were not faster, with one
/// sender or fifty.
pub(super) const AT_ONCE: usize = system::AT_ONCE;

/// How the kind of a socket affects receiving.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habits {
    /// The number of datagrams to request in one call.
    at_once: usize,
    /// Whether receiving fewer means that none are left.
    pub(super) fewer_is_all: bool,
    /// Whether the socket has a connection that can end.
    has_end: bool,
}

impl Habits {
    /// # Errors
    /// The system's error, if it cannot tell the kind of the socket.
    pub(super) fn of(io: &socket2::Socket, domain: Domain) -> io::Result<Habits> {
        let kind = io.r#type()?;
        let has_end = kind == Type::SEQPACKET;
        let tells_errors = [Domain::IPV4, Domain::IPV6, Domain::UNIX].contains(&domain);
        Ok(Habits {
            at_once: if has_end { 1 } else { AT_ONCE },
            fewer_is_all: kind == Type::DGRAM && tells_errors && AT_ONCE > 1,
            has_end,
        })
    }

    /// Whether `data`, which was just received, is the end of the connection: it is empty, no message
    /// with data follows, and the peer will send no more.
    pub(super) fn is_end(&self, io: &socket2::Socket, data: &[u8]) -> bool {
        self.has_end && data.is_empty() && unread(io) == 0 && is_ended(io)
    }
}

/// The number of bytes that can be received.
fn unread(io: &socket2::Socket) -> u64 {
    rustix::io::ioctl_fionread(io).unwrap_or(0)
}

/// Whether the peer will send no more.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_ended(io: &socket2::Socket) -> bool {
    let mut asked = [PollFd::new(io, PollFlags::RDHUP)];
    poll(&mut asked, Some(&Timespec::default())) == Ok(1)
}

/// Only Linux reports this. Elsewhere every empty message counts as the end.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_ended(_: &socket2::Socket) -> bool {
    true
}

thread_local! {
    /// The memory into which all endpoints of the thread receive.
    static BLOCK: Cell<Block> = const { Cell::new(Block::new()) };
}

/// Room for received datagrams. The system provides memory only for the pages that are used.
#[derive(Debug, Default)]
struct Block {
    memory: Vec<u8>,
    /// The length of each datagram, and its sender.
    datagrams: Vec<(usize, SockAddr)>,
}

impl Block {
    const fn new() -> Block {
        Block { memory: Vec::new(), datagrams: Vec::new() }
    }
}

/// The received datagrams: at least one. Dropping this gives the block back to the thread.
#[derive(Debug)]
pub(super) struct Received {
    block: Block,
    /// Whether as many datagrams were received as requested.
    is_full: bool,
}

impl Received {
    /// The datagrams, in the order in which they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &SockAddr)> {
        let Block { memory, datagrams } = &self.block;
        let rooms = memory.chunks(MAX_SIZE);
        datagrams.iter().zip(rooms).map(|((length, sender), room)| (&room[..*length], sender))
    }

    /// Whether there may be more.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        // A thread that is ending keeps none.
        let _ = BLOCK.try_with(|place| place.set(std::mem::take(&mut self.block)));
    }
}

/// Receives the available datagrams.
pub(super) fn receive(io: &socket2::Socket, habits: Habits) -> io::Result<Received> {
    let mut received =
        Received { block: BLOCK.try_with(Cell::take).unwrap_or_default(), is_full: false };
    let Block { memory, datagrams } = &mut received.block;
    if memory.is_empty() {
        *memory = vec![0; AT_ONCE * MAX_SIZE];
    }
    datagrams.clear();
    system::receive(io, &mut memory[..habits.at_once * MAX_SIZE], datagrams)?;
    received.is_full = received.block.datagrams.len() == habits.at_once;
    Ok(received)
}

#[cfg(all(target_os = "linux", not(asyncio_portable_poller)))]
mod system {
    use super::MAX_SIZE;
    use nix::libc::{self, MSG_DONTWAIT, iovec, mmsghdr};
    use socket2::{SockAddr, SockAddrStorage};
    use std::{io, mem, os::fd::AsRawFd, ptr};

    pub(super) const AT_ONCE: usize = 4;

    pub(super) fn receive(
        io: &socket2::Socket,
        memory: &mut [u8],
        datagrams: &mut Vec<(usize, SockAddr)>,
    ) -> io::Result<()> {
        let mut senders: [SockAddrStorage; AT_ONCE] =
            std::array::from_fn(|_| SockAddrStorage::zeroed());
        let memory_size = memory.len();
        let mut rooms = memory.chunks_mut(MAX_SIZE);
        let mut vectors: [iovec; AT_ONCE] = std::array::from_fn(|_| {
            let room = rooms.next().unwrap_or_default();
            iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() }
        });
        // SAFETY: zero is a value of each field: no pointer, no length.
        let mut headers: [mmsghdr; AT_ONCE] = unsafe { mem::zeroed() };
        for ((header, vector), sender) in headers.iter_mut().zip(&mut vectors).zip(&mut senders) {
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_namelen = sender.size_of();
            header.msg_hdr.msg_name = ptr::from_mut(sender).cast();
        }
        let count = (memory_size / MAX_SIZE) as libc::c_uint;
        let fd = io.as_raw_fd();
        // SAFETY: the headers point to memory of the lengths that they contain, which is ours and
        // stays in place; there is no time limit.
        let received = unsafe {
            libc::recvmmsg(fd, headers.as_mut_ptr(), count, MSG_DONTWAIT as _, ptr::null_mut())
        };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        for (header, sender) in headers.iter().zip(senders).take(received) {
            // SAFETY: the system wrote an address of this length.
            let sender = unsafe { SockAddr::new(sender, header.msg_hdr.msg_namelen) };
            datagrams.push((header.msg_len as usize, sender));
        }
        Ok(())
    }
}

#[cfg(not(all(target_os = "linux", not(asyncio_portable_poller))))]
mod system {
    use socket2::SockAddr;
    use std::{io, mem::MaybeUninit, ptr};

    pub(super) const AT_ONCE: usize = 1;

    pub(super) fn receive(
        io: &socket2::Socket,
        memory: &mut [u8],
        datagrams: &mut Vec<(usize, SockAddr)>,
    ) -> io::Result<()> {
        // SAFETY: initialised bytes may be treated as possibly uninitialised, as long as no
        // uninitialised bytes are written; `socket2` promises that it writes none.
        let memory = unsafe { &mut *(ptr::from_mut(memory) as *mut [MaybeUninit<u8>]) };
        datagrams.push(io.recv_from(memory)?);
        Ok(())
    }
}
