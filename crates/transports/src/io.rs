//! [`Io`]: the descriptor under a stream transport, and the memory that is received into.

use crate::pipes::NonBlocking;
use bytes::{Bytes, BytesMut};
use nix::libc;
use std::{
    cell::Cell,
    fs::File,
    io::{self, IoSlice, Write},
    net::Shutdown,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

/// A socket or one end of a pipe, in non-blocking mode.
#[derive(Debug)]
pub(crate) enum Io {
    Socket(socket2::Socket),
    /// A file as far as reading and writing go.
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
            Io::Socket(socket) => send(socket, data),
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

    /// Says that nothing more will be sent. A pipe says so by being closed.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Io::Socket(socket) => socket.shutdown(Shutdown::Write),
            Io::Pipe(_) => Ok(()),
        }
    }
}

/// `send` of a socket, called here so that one function fewer is returned from.
#[inline]
fn send(socket: &socket2::Socket, data: &[u8]) -> io::Result<usize> {
    let (place, length) = (data.as_ptr().cast(), data.len());
    // SAFETY: the pointer and the length are those of a slice.
    let sent = unsafe { libc::send(socket.as_raw_fd(), place, length, libc::MSG_NOSIGNAL) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// As many pieces as every system takes in one call (`IOV_MAX`).
pub(crate) const PIECES: usize = 1024;

/// The most that is received at once.
pub(crate) const MAX_SIZE: usize = 256 * 1024;

/// Less than this is copied out of the block it was received in, so that what is kept of a
/// connection never pins more than sixteen times its size.
const SMALL: usize = 16 * 1024;

/// Returns the largest amount of memory that `length` bytes received in one piece can keep alive.
#[inline]
pub fn pinned_by(length: usize) -> usize {
    if length < SMALL { length } else { length.max(MAX_SIZE) }
}

/// If less than this is left of a block, there is another one for the next message.
const LEAST: usize = 64 * 1024;

thread_local! {
    /// The block that all connections of the thread receive into: an idle one needs no memory. Taken
    /// out while one does; in a box, so that this moves a pointer.
    static BLOCK: Cell<Option<Box<BytesMut>>> = const { Cell::new(None) };
}

/// Receives what there is, in one call, again if a signal interrupts it; and tells whether there was
/// room for more. No bytes: the end.
///
/// In its caller, as everything between the system call and the protocol is.
#[inline(always)]
pub(crate) fn receive(io: &Io) -> io::Result<(Bytes, bool)> {
    // A thread that ends has none any more.
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

/// The block, whole again if no part of it is in use; another one if too little of it is left.
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
    let (place, length) = (spare.as_mut_ptr().cast(), spare.len());
    // SAFETY: the pointer and the length are those of memory that is ours to write to, and the calls
    // write nothing but what they tell.
    let received = unsafe {
        loop {
            let received = match io {
                Io::Socket(socket) => libc::recv(socket.as_raw_fd(), place, length, 0),
                Io::Pipe(pipe) => libc::read(pipe.file.as_raw_fd(), place, length),
            };
            if received >= 0 || !is_interrupted() {
                break received;
            }
        }
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the block was empty, and the system has written so many bytes to its beginning.
    unsafe { block.set_len(received) };
    Ok(received)
}

#[cold]
fn is_interrupted() -> bool {
    io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
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
