//! Connecting: `sock_connect`.

use crate::{
    address::Address,
    errors::{described, in_call},
    lookup::Lookup,
    question::AddrInfo,
    socket::Socket,
    target::{Resolved, ToAddress},
};
use asyncio_core::{
    Error, Result,
    source::{Direction, IoWait},
    wait_site::WaitSite,
};
use nix::libc;
use socket2::SockAddr;
use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// The destination of an operation: an address that is known, or is being looked up.
#[derive(Debug)]
pub(crate) enum Destination {
    Known(Address),
    LookUp(Lookup<Vec<AddrInfo>>),
    /// The argument is not an address; the first poll takes the error.
    Wrong(Option<Error>),
}

impl Destination {
    pub(crate) fn new(address: impl ToAddress, socket: &Socket, site: WaitSite) -> Destination {
        match address.to_target().resolve(socket.hints()) {
            Ok(Resolved::Address(address)) => Destination::Known(address),
            Ok(Resolved::Question(question)) => Destination::LookUp(question.look_up(site)),
            Err(error) => Destination::Wrong(Some(error)),
        }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, site: WaitSite) -> Poll<Result<&SockAddr>> {
        if let Destination::LookUp(lookup) = self {
            *self = match ready!(Pin::new(lookup).poll(cx)) {
                Ok(found) => match found.into_iter().next() {
                    Some(first) => Destination::Known(first.address),
                    None => Destination::Wrong(None),
                },
                Err(error) => Destination::Wrong(Some(error)),
            };
        }
        match self {
            Destination::Known(address) => Poll::Ready(Ok(address.as_sock_addr())),
            Destination::Wrong(error) => {
                let error = error.take().unwrap_or_else(|| Error::value("no address"));
                Poll::Ready(Err(in_call(site.what(), error)))
            }
            Destination::LookUp(_) => Poll::Pending,
        }
    }
}

/// Connects a socket to `address` (`loop.sock_connect`). A host name is looked up on a thread; the
/// first address of the socket's family is taken.
///
/// # Errors
/// `Io` with the system's error, such as `ConnectionRefused`, with the text `Connect call failed`
/// and the address, or if the name cannot be found; `Value` for an invalid address; `Runtime` if it
/// has to wait and no loop runs, or the socket belongs to another one.
///
/// # Cancellation
/// The system continues to connect. Another `sock_connect` to the same address waits for that.
///
/// ```
/// use asyncio::{socket::{Domain, Socket, Type}, sock_connect};
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
///     let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
///     sock_connect(&socket, listener.local_addr()?).await?;
///     Ok(())
/// }
/// ```
#[doc(alias = "loop.sock_connect")]
#[track_caller]
pub fn sock_connect(socket: &Socket, address: impl ToAddress) -> SockConnect<'_> {
    let site = WaitSite::here(&"sock_connect");
    let destination = Destination::new(address, socket, site);
    SockConnect { socket, destination, in_progress: false, wait: IoWait::new(), site }
}

/// The future that [`sock_connect`] returns.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct SockConnect<'a> {
    socket: &'a Socket,
    destination: Destination,
    /// Whether the system is connecting in the background.
    in_progress: bool,
    wait: IoWait,
    site: WaitSite,
}

impl SockConnect<'_> {
    /// Sets the site at which the caller waits, which errors name too, for operations that are
    /// built on this one.
    pub fn at(mut self, site: WaitSite) -> Self {
        self.site = site;
        self
    }
}

impl Future for SockConnect<'_> {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let SockConnect { socket, destination, in_progress, wait, site } = self.get_mut();
        let address = ready!(destination.poll(cx, *site))?;
        if !*in_progress {
            match socket.get_ref().connect(address) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(error) if takes_time(&error) => *in_progress = true,
                Err(error) => return Poll::Ready(Err(failed(*site, address, error))),
            }
            // The known readiness is from before connecting. The system reports again when the
            // socket can be written to, even if it can be already.
            if let Err(error) = socket.source.register() {
                return Poll::Ready(Err(in_call(site.what(), error)));
            }
            socket.source.reset_readiness();
        }
        // The outcome of connecting is a value, so that `poll_io` does not add the function's name
        // a second time.
        let outcome = |io: &socket2::Socket| match io.take_error()? {
            Some(error) => Ok(Err(error)),
            None => match io.peer_addr() {
                // An event that was not about the connection.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    Err(io::ErrorKind::WouldBlock.into())
                }
                outcome => Ok(outcome.map(drop)),
            },
        };
        let outcome =
            ready!(socket.poll_io(cx, wait, (Direction::Write, *site), outcome, |_| false))?;
        Poll::Ready(outcome.map_err(|error| failed(*site, address, error)))
    }
}

/// Whether connecting continues. A signal does not stop it, and an earlier call may have started
/// it.
fn takes_time(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EALREADY | libc::EINTR))
}

fn failed(site: WaitSite, address: &SockAddr, error: io::Error) -> Error {
    let (what, address) = (site.what(), Address::from(address.clone()));
    let text = format!("{what}: Connect call failed ({address}): {error}");
    described(text, error).into()
}
