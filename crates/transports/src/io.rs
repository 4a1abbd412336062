//! [`Io`]: the descriptor under a stream transport, and the memory into which data is received.

use crate::pipes::NonBlocking;
use bytes::{Bytes, BytesMut};
use nix::libc;
use std::{
    cell::Cell,
    fs::File,
    io::{self, IoSlice, Write},
    mem::MaybeUninit,
    net::Shutdown,
    os::fd::{AsFd, BorrowedFd},
};

/// A socket or one end of a pipe, in non-blocking mode.
#[derive(Debug)]
pub(crate) enum Io {
    Socket(socket2::Socket),
    /// A pipe or device, which is read and written like a file.
    Pipe(Pipe),
}

/// One end of a pipe, or a device.
#[derive(Debug)]
pub(crate) struct Pipe {
    /// Declared before the file, so that the file is still open when this is dropped.
    _mode: Option<NonBlocking>,
    file: File,
}

impl Pipe {
    pub(crate) fn new(file: File, mode: Option<NonBlocking>) -> Pipe {
        Pipe { _mode: mode, file }
    }
}

impl AsFd for Io {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Io::Socket(socket) => socket.as_fd(),
            Io::Pipe(pipe) => pipe.file.as_fd(),
        }
    }
}

impl Io {
    /// Receives into memory that is initialised.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Io::Socket(socket) => io::Read::read(&mut &*socket, buffer),
            Io::Pipe(pipe) => io::Read::read(&mut &pipe.file, buffer),
        }
    }

    /// Sends some of `data`.
    #[inline]
    pub(crate) fn send(&self, data: &[u8]) -> io::Result<usize> {
        match self {
            Io::Socket(socket) => socket.send_with_flags(data, libc::MSG_NOSIGNAL),
            Io::Pipe(pipe) => (&pipe.file).write(data),
        }
    }

    /// Sends some of several pieces in one call.
    pub(crate) fn send_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Io::Socket(socket) => socket
                .send_vectored_with_flags(&pieces[..pieces.len().min(PIECES)], libc::MSG_NOSIGNAL),
            Io::Pipe(pipe) => (&pipe.file).write_vectored(&pieces[..pieces.len().min(PIECES)]),
        }
    }

    /// Ends the sending direction. A pipe is ended by closing it.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Io::Socket(socket) => socket.shutdown(Shutdown::Write),
            Io::Pipe(_) => Ok(()),
        }
    }
}

/// As many pieces as every system takes in one call (`IOV_MAX`).
pub(crate) const PIECES: usize = 1024;

/// The largest amount that is received at once.
pub(crate) const MAX_SIZE: usize = 256 * 1024;

/// Data of less than this size is copied out of its block, so that kept data never keeps more than
/// sixteen times its size alive.
const SMALL: usize = 16 * 1024;

/// Returns the largest amount of memory that `length` bytes received in one piece can keep alive.
#[inline]
pub fn pinned_by(length: usize) -> usize {
    if length < SMALL { length } else { length.max(MAX_SIZE) }
}

/// If less than this is left of a block, the next message gets another one.
const LEAST: usize = 64 * 1024;

thread_local! {
    /// The block into which all connections of the thread receive, so that an idle connection needs
    /// no memory. It is taken out while one receives, and boxed, so that this moves only a pointer.
    static BLOCK: Cell<Option<Box<BytesMut>>> = const { Cell::new(None) };
}

/// Receives the available data in one call, which is repeated if a signal interrupts it, and returns
/// whether there was room for more. No bytes mean the end.
///
/// It is inlined into its caller, like everything between the system call and the protocol.
#[inline(always)]
pub(crate) fn receive(io: &Io) -> io::Result<(Bytes, bool)> {
    // A thread that is ending no longer has one.
    let mut block = match BLOCK.try_with(Cell::take).ok().flatten() {
        Some(block) if block.capacity() == MAX_SIZE => block,
        block => with_room(block),
    };
    let room = block.capacity();
    let received = append(io, &mut block);
    let received = received.map(|received| {
        let data = if received < SMALL {
            let data = Bytes::copy_from_slice(&block);
            block.clear();
            data
        } else {
            block.split().freeze()
        };
        (data, received < room)
    });
    let _ = BLOCK.try_with(|place| place.set(Some(block)));
    received
}

/// Returns the block, whole again if no part of it is in use, or another one if too little of it is
/// left.
fn with_room(block: Option<Box<BytesMut>>) -> Box<BytesMut> {
    let mut block = block.unwrap_or_default();
    if block.try_reclaim(MAX_SIZE) || block.capacity() >= LEAST {
        return block;
    }
    *block = BytesMut::with_capacity(MAX_SIZE);
    block
}

/// Receives into the spare room of an empty block.
#[inline(always)]
fn append(io: &Io, block: &mut BytesMut) -> io::Result<usize> {
    let spare = block.spare_capacity_mut();
    let received = loop {
        let received = match io {
            Io::Socket(socket) => socket.recv(spare),
            Io::Pipe(pipe) => read(&pipe.file, spare),
        };
        match received {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            received => break received?,
        }
    };
    // SAFETY: the block was empty, and the system has written so many bytes to its beginning.
    unsafe { block.set_len(received) };
    Ok(received)
}

/// Reads into memory that is not initialised, which the standard library cannot.
fn read(file: &File, spare: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    let (received, _) = rustix::io::read(file, spare)?;
    Ok(received.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Io, Io) {
        let (one, other) =
            socket2::Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        other.set_send_buffer_size(4 << 20).unwrap();
        (Io::Socket(one), Io::Socket(other))
    }

    #[test]
    fn what_is_large_is_not_copied_and_its_block_is_used_again() {
        let (ours, theirs) = pair();
        let mut places = Vec::new();
        for _ in 0..3 {
            assert_eq!(theirs.send(&[1; SMALL]).unwrap(), SMALL);
            let (data, more) = receive(&ours).unwrap();
            assert_eq!((data.len(), more), (SMALL, true));
            places.push(data.as_ptr());
        }
        assert!(places.iter().all(|place| *place == places[0]), "reclaimed when it was dropped");
    }

    #[test]
    fn what_is_kept_stays_what_it_was() {
        let (ours, theirs) = pair();
        let mut kept = Vec::new();
        for n in 0..40u8 {
            assert_eq!(theirs.send(&[n; SMALL + 1]).unwrap(), SMALL + 1);
            kept.push(receive(&ours).unwrap().0);
        }
        for (n, data) in kept.iter().enumerate() {
            assert!(data.iter().all(|byte| usize::from(*byte) == n));
        }
    }

    #[test]
    fn what_is_small_is_copied_and_the_end_is_no_data() {
        let (ours, theirs) = pair();
        theirs.send(b"hello").unwrap();
        drop(theirs);
        assert_eq!(receive(&ours).unwrap().0, "hello");
        assert!(receive(&ours).unwrap().0.is_empty());
    }
}
