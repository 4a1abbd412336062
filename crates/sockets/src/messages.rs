//! Messages that carry descriptors: `sock_sendmsg`, `sock_recvmsg`.

use crate::{address::Address, receive::received, send::FLAGS, socket::Socket};
use asyncio_core::{
    Error, Result,
    source::{Direction, IoWait},
    wait_site::WaitSite,
};
use bytes::Bytes;
use rustix::{
    cmsg_space,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketAddrAny, SocketAddrUnix, recvmsg, sendmsg,
    },
};
use std::{
    ffi::OsStr,
    future::Future,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::SocketAddr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    pin::Pin,
    task::{Context, Poll},
};

/// Sends `data` with descriptors over a connected Unix socket, and returns the number of bytes sent
/// (Python's `socket.send_fds`; asyncio has no `sock_sendmsg`). The receiver gets descriptors of the same
/// open files.
///
/// A stream may take only a part of the data. The descriptors are sent with the first byte; send the
/// rest with [`sock_sendall`](crate::sock_sendall()).
///
/// # Errors
/// `Value` for descriptors without data on a stream, which would carry nothing; `Io` with the system's error,
/// for example that there are too many descriptors (253 on Linux), or `BrokenPipe`; `Runtime` if it has to wait
/// and no loop runs, or the socket belongs to another one.
///
/// # Cancellation
/// Nothing has been sent.
///
/// ```
/// use asyncio::{socket::{Domain, Socket, Type}, sock_recvmsg, sock_sendmsg};
/// use std::{fs::File, io::Read};
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let (ours, theirs) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
///     sock_sendmsg(&ours, b"a file", &[File::open("Cargo.toml")?]).await?;
///
///     let mut message = sock_recvmsg(&theirs, 1024, 1).await?;
///     assert_eq!(message.data, "a file");
///     let mut text = String::new();
///     File::from(message.fds.remove(0)).read_to_string(&mut text)?;
///     assert!(text.contains("[package]"));
///     Ok(())
/// }
/// ```
#[track_caller]
#[doc(alias("sendmsg", "send_fds", "SCM_RIGHTS"))]
pub fn sock_sendmsg<'a>(
    socket: &'a Socket,
    data: &'a [u8],
    fds: &'a [impl AsFd],
) -> SockSendmsg<'a> {
    let fds = fds.iter().map(AsFd::as_fd).collect();
    SockSendmsg { socket, data, fds, turn: IoWait::new(), site: WaitSite::here(&"sock_sendmsg") }
}

/// The future that [`sock_sendmsg`] returns.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct SockSendmsg<'a> {
    socket: &'a Socket,
    data: &'a [u8],
    fds: Vec<BorrowedFd<'a>>,
    turn: IoWait,
    site: WaitSite,
}

impl Future for SockSendmsg<'_> {
    type Output = Result<usize>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        let SockSendmsg { socket, data, fds, turn, site } = self.get_mut();
        if socket.is_stream && data.is_empty() && !fds.is_empty() {
            return Poll::Ready(Err(Error::value(
                "sock_sendmsg: descriptors need data to go with; send at least one byte",
            )));
        }
        let send = |io: &socket2::Socket| send_fds(io, data, fds);
        socket.poll_io(cx, turn, (Direction::Write, *site), send, |_| false)
    }
}

fn send_fds(io: &socket2::Socket, data: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let message = SendAncillaryMessage::ScmRights(fds);
    let mut space = vec![MaybeUninit::uninit(); message.size()];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        control.push(message);
    }
    let flags = SendFlags::from_bits_retain(FLAGS as u32);
    Ok(sendmsg(io, &[IoSlice::new(data)], &mut control, flags)?)
}

/// Receives up to `size` bytes and `max_fds` descriptors from a Unix socket (Python's `socket.recv_fds`; asyncio
/// has no `sock_recvmsg`). The descriptors are closed when a child process starts another program
/// (`FD_CLOEXEC`). At the end of a stream there is no data.
///
/// # Errors
/// `Io` with the system's error; `Runtime` if it has to wait and no loop runs, or the socket belongs to another
/// one. It is not an error if the message did not fit: see [`ReceivedMessage`].
///
/// # Cancellation
/// Nothing has been received: the data is left to the next operation.
///
/// ```
/// use asyncio::{socket::{Domain, Socket, Type}, sock_recvmsg, sock_sendmsg};
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let (ours, theirs) = Socket::pair(Domain::UNIX, Type::DGRAM, None)?;
///     sock_sendmsg(&ours, b"both ends", &[&ours, &theirs]).await?;
///     let message = sock_recvmsg(&theirs, 4, 1).await?;
///     assert_eq!((&*message.data, message.fds.len()), (&b"both"[..], 1));
///     assert!(message.is_truncated && message.lost_fds);
///     Ok(())
/// }
/// ```
#[track_caller]
#[doc(alias("recvmsg", "recv_fds", "SCM_RIGHTS"))]
pub fn sock_recvmsg(socket: &Socket, size: usize, max_fds: usize) -> SockRecvmsg<'_> {
    let site = WaitSite::here(&"sock_recvmsg");
    SockRecvmsg { socket, size, max_fds, turn: IoWait::new(), site }
}

/// The future that [`sock_recvmsg`] returns.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct SockRecvmsg<'a> {
    socket: &'a Socket,
    size: usize,
    max_fds: usize,
    turn: IoWait,
    site: WaitSite,
}

/// A message that [`sock_recvmsg`] received.
#[derive(Debug)]
#[non_exhaustive]
pub struct ReceivedMessage {
    /// The data.
    pub data: Bytes,
    /// The descriptors, in the order in which they were sent.
    pub fds: Vec<OwnedFd>,
    /// The sender of a datagram, if it has a name.
    pub sender: Option<Address>,
    /// The datagram was longer than requested, and the rest is lost (`MSG_TRUNC`).
    pub is_truncated: bool,
    /// More descriptors were sent than requested, or the process may not have more; they are closed
    /// (`MSG_CTRUNC`).
    pub lost_fds: bool,
}

impl asyncio_core::wait::Leaf for SockRecvmsg<'_> {}

impl Future for SockRecvmsg<'_> {
    type Output = Result<ReceivedMessage>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let SockRecvmsg { socket, size, max_fds, turn, site } = self.get_mut();
        let receive = |io: &socket2::Socket| recv_fds(io, *size, *max_fds);
        socket.poll_io(cx, turn, (Direction::Read, *site), receive, |_| false)
    }
}

fn recv_fds(io: &socket2::Socket, size: usize, max_fds: usize) -> io::Result<ReceivedMessage> {
    let mut space = vec![MaybeUninit::uninit(); space_of(max_fds)];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let (data, message) = received(size, |buffer| {
        let message = recvmsg(io, &mut [IoSliceMut::new(buffer)], &mut control, CLOSE_ON_EXEC)?;
        Ok((message.bytes, message))
    })?;
    let mut fds = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            fds.extend(rights);
        }
    }
    // Alignment may leave room for one more than requested.
    let has_too_many = fds.len() > max_fds;
    fds.truncate(max_fds);
    close_on_exec(&fds)?;
    Ok(ReceivedMessage {
        data,
        fds,
        sender: message.address.and_then(sender),
        is_truncated: message.flags.contains(ReturnFlags::TRUNC),
        lost_fds: has_too_many || message.flags.contains(ReturnFlags::CTRUNC),
    })
}

/// Systems have a limit far below this; a larger number is not worth memory.
const MOST_FDS: usize = 1024;

fn space_of(max_fds: usize) -> usize {
    match max_fds.min(MOST_FDS) {
        0 => 0,
        count => cmsg_space!(ScmRights(count)),
    }
}

fn sender(address: SocketAddrAny) -> Option<Address> {
    if let Ok(inet) = SocketAddr::try_from(address.clone()) {
        return Some(inet.into());
    }
    let unix = SocketAddrUnix::try_from(address).ok()?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = unix.abstract_name() {
        return Address::from_path(OsStr::from_bytes(&[b"\0", name].concat())).ok();
    }
    Address::from_path(OsStr::from_bytes(unix.path_bytes()?)).ok()
}

#[cfg(not(target_vendor = "apple"))]
const CLOSE_ON_EXEC: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(target_vendor = "apple")]
const CLOSE_ON_EXEC: RecvFlags = RecvFlags::empty();

/// Sets `FD_CLOEXEC`, where the system cannot do it in the same call.
fn close_on_exec(fds: &[OwnedFd]) -> io::Result<()> {
    if cfg!(target_vendor = "apple") {
        for fd in fds {
            rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
        }
    }
    Ok(())
}
