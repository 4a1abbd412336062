//! Receiving: up to [`AT_ONCE`] datagrams with one system call, where there is one that does it.
//!
//! Who is told of edges has to know that nothing is left. Asked for several, the system says so by
//! giving fewer, and not in a second call for every datagram. The portable way is tested on Linux
//! together with the portable poller.

use crate::io::MAX_SIZE;
use socket2::SockAddr;
use std::{cell::Cell, io};

/// So many datagrams are received in one call. More were not faster, with one sender or fifty.
pub(super) const AT_ONCE: usize = system::AT_ONCE;

thread_local! {
    /// What all endpoints of the thread receive into.
    static BLOCK: Cell<Block> = const { Cell::new(Block::new()) };
}

/// Room for what is received. The system gives memory to the pages that are used.
#[derive(Debug, Default)]
struct Block {
    memory: Vec<u8>,
    /// How long each datagram is, and who sent it.
    datagrams: Vec<(usize, SockAddr)>,
}

impl Block {
    const fn new() -> Block {
        Block { memory: Vec::new(), datagrams: Vec::new() }
    }
}

/// What was received: one datagram at least. Dropping it gives the block back to the thread.
#[derive(Debug)]
pub(super) struct Received(Block);

impl Received {
    /// The datagrams, in the order in which they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &SockAddr)> {
        let Block { memory, datagrams } = &self.0;
        let rooms = memory.chunks(MAX_SIZE);
        datagrams.iter().zip(rooms).map(|((length, sender), room)| (&room[..*length], sender))
    }

    /// Whether there may be more.
    pub(super) fn is_full(&self) -> bool {
        self.0.datagrams.len() == AT_ONCE
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        BLOCK.set(std::mem::take(&mut self.0));
    }
}

/// Receives what there is.
pub(super) fn receive(io: &socket2::Socket) -> io::Result<Received> {
    let mut received = Received(BLOCK.take());
    let Block { memory, datagrams } = &mut received.0;
    if memory.is_empty() {
        *memory = vec![0; AT_ONCE * MAX_SIZE];
    }
    datagrams.clear();
    system::receive(io, memory, datagrams)?;
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
        let (fd, count) = (io.as_raw_fd(), AT_ONCE as libc::c_uint);
        // SAFETY: the headers lead to memory of the lengths that they tell, which is ours and stays
        // where it is; without a time limit.
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
        // SAFETY: initialised bytes may be taken for such that perhaps are not, as long as nobody
        // writes uninitialised ones; `socket2` promises that it does not.
        let memory = unsafe { &mut *(ptr::from_mut(memory) as *mut [MaybeUninit<u8>]) };
        datagrams.push(io.recv_from(memory)?);
        Ok(())
    }
}
