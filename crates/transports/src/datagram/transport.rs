//! [`DatagramTransport`]: the handle of an endpoint.

use super::{DatagramProtocol, endpoint::Endpoint, into_calls};
use crate::{
    extra_info::{ExtraInfo, Informed, Names},
    flow_control::{HIGH_WATER, water_marks},
    transport::LostWrites,
    trsock::TransportSocket,
};
use asyncio_core::{Error, Result, exception::ExceptionContext, raw::LoopLocal};
use asyncio_sockets::{Address, Domain};
use std::{
    borrow::Cow,
    cell::RefCell,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    path::{Path, PathBuf},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// A handle to a datagram endpoint (`asyncio.DatagramTransport`).
///
/// Clones are handles to the same endpoint. Dropping them does not end the endpoint; it ends when it is closed or
/// aborted. A handle may be used on any thread. On a thread other than the loop's, calls are passed to the loop
/// and take effect soon, and queries that only the loop can answer return the result for a closed endpoint.
#[doc(alias = "asyncio.DatagramTransport")]
#[derive(Clone)]
pub struct DatagramTransport(pub(super) Arc<Shared>);

/// The data of every handle.
pub(super) struct Shared {
    pub(super) local: LoopLocal<Endpoint>,
    pub(super) closing: AtomicBool,
    pub(super) names: Names,
    pub(super) domain: Domain,
    lost_writes: LostWrites,
}

impl Shared {
    pub(super) fn new(local: LoopLocal<Endpoint>, names: Names, domain: Domain) -> Shared {
        let (closing, lost_writes) = (AtomicBool::new(false), LostWrites::default());
        Shared { local, closing, names, domain, lost_writes }
    }

    /// Counts a datagram that was sent after the end.
    pub(super) fn count_lost_write(&self) {
        self.lost_writes.count("socket.send() raised exception.");
    }
}

impl DatagramTransport {
    fn endpoint(&self) -> Option<Rc<Endpoint>> {
        self.0.local.get()
    }

    /// Sends `data` as one datagram, even if it is empty (`sendto`): to `addr`, or with `None` to the
    /// remote address of the endpoint. If the system does not take it now, a copy is buffered.
    ///
    /// System errors are passed to the protocol's `error_received`: immediately or, if a callback of
    /// the protocol is sending, in the next iteration. If `addr` differs from the endpoint's remote
    /// address, or is missing although there is no such address, nothing is sent, and a `Value` error
    /// goes to the loop's exception handler. The same is true of a host name: use `getaddrinfo`
    /// first.
    ///
    /// Data sent after the end is dropped, with a warning in the log from the fifth time on.
    pub fn sendto(&self, data: impl AsRef<[u8]>, addr: impl Recipient) {
        if let Err(error) = self.try_sendto(data, addr) {
            match self.endpoint() {
                Some(endpoint) => endpoint.not_sent(error),
                None => self.report("transport.sendto() failed", error),
            }
        }
    }

    /// Does what [`sendto`](DatagramTransport::sendto) does, and returns its error if it is called on the
    /// loop's thread. For asyncio-streams.
    #[doc(hidden)]
    pub fn try_sendto(&self, data: impl AsRef<[u8]>, addr: impl Recipient) -> Result<()> {
        let data = data.as_ref();
        let addr = addr.recipient(self.0.domain)?;
        if let Some(endpoint) = self.endpoint() {
            return endpoint.sendto(data, addr);
        }
        if self.0.local.home().is_local() {
            self.0.count_lost_write();
            return Ok(());
        }
        let data: Box<[u8]> = data.into();
        self.0.local.send(move |endpoint| {
            if let Err(error) = endpoint.sendto(&data, addr) {
                endpoint.not_sent(error);
            }
        });
        Ok(())
    }

    /// Closes the endpoint (`close`): nothing more is received, buffered datagrams are sent, and
    /// then `connection_lost(None)` is called. A second call does nothing.
    pub fn close(&self) {
        self.0.local.send(Endpoint::close);
    }

    /// Closes the endpoint immediately (`abort`): buffered datagrams are lost.
    /// `connection_lost(None)` is called in the next iteration.
    pub fn abort(&self) {
        self.0.local.send(|endpoint| endpoint.force_close(None));
    }

    /// Returns whether the endpoint is closed, or will be when the buffered data has been sent
    /// (`is_closing`).
    pub fn is_closing(&self) -> bool {
        self.0.closing.load(Ordering::Relaxed)
    }

    /// Returns information about the endpoint (`get_extra_info`): its [`SOCKNAME`](crate::SOCKNAME), its
    /// [`SOCKET`](crate::SOCKET), and its [`PEERNAME`](crate::PEERNAME) if it is connected.
    pub fn get_extra_info<T>(&self, what: ExtraInfo<T>) -> Option<T> {
        what.of(self)
    }

    /// Replaces the protocol of the endpoint (`set_protocol`). The new protocol is called from now on or, inside a
    /// callback, after that callback. Its `connection_made` is not called.
    ///
    /// # Errors
    /// `Runtime` if the endpoint is closed, or belongs to another thread. The protocol is dropped.
    pub fn set_protocol<P: DatagramProtocol>(&self, protocol: P) -> Result<()> {
        let Some(endpoint) = self.endpoint() else {
            return Err(Error::runtime(
                "set_protocol: the endpoint is closed, or belongs to another thread",
            ));
        };
        endpoint.set_protocol(into_calls(&Rc::new(RefCell::new(protocol))));
        Ok(())
    }

    /// Returns the protocol (`get_protocol`), if it is a `P`; `None` once the endpoint is closed, and
    /// on other threads.
    pub fn get_protocol<P: 'static>(&self) -> Option<Rc<RefCell<P>>> {
        self.endpoint()?.protocol()?.downcast().ok()
    }

    /// Sets the marks of the send buffer, in bytes: `pause_writing` is called above `high`,
    /// `resume_writing` at `low` or below (`set_write_buffer_limits`). By default, `high` is four
    /// times `low`, or 64 KiB if neither is given; `low` is a quarter of `high`.
    ///
    /// # Errors
    /// `Value` unless `high` is at least `low`; nothing changes then.
    pub fn set_write_buffer_limits(&self, high: Option<usize>, low: Option<usize>) -> Result<()> {
        let (low, high) = water_marks("set_write_buffer_limits", HIGH_WATER, high, low)?;
        self.0.local.send(move |endpoint| endpoint.set_water_marks(low, high));
        Ok(())
    }

    /// Returns the marks `(low, high)` (`get_write_buffer_limits`).
    pub fn get_write_buffer_limits(&self) -> (usize, usize) {
        self.endpoint().map_or((0, 0), |endpoint| endpoint.water_marks())
    }

    /// Returns the number of buffered bytes, plus eight for each datagram
    /// (`get_write_buffer_size`).
    pub fn get_write_buffer_size(&self) -> usize {
        self.endpoint().map_or(0, |endpoint| endpoint.buffered())
    }

    pub(super) fn report(&self, message: impl Into<Cow<'static, str>>, error: Error) {
        ExceptionContext::new(message).with_exception(error).report(Some(self.0.local.home()));
    }
}

impl Informed for DatagramTransport {
    fn names(&self) -> &Names {
        &self.0.names
    }

    fn socket(&self) -> Option<TransportSocket> {
        TransportSocket::of(&self.endpoint()?.source()?)
    }
}

/// Handles of the same endpoint are equal.
impl PartialEq for DatagramTransport {
    fn eq(&self, other: &DatagramTransport) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for DatagramTransport {}

/// `<DatagramTransport 127.0.0.1:8888 closing>`
impl fmt::Debug for DatagramTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closing = if self.is_closing() { " closing" } else { "" };
        write!(f, "<DatagramTransport {:?}{closing}>", self.0.names)
    }
}

/// A destination that needs no look-up: a [`SocketAddr`] or an IP address with a port, an
/// [`Address`], the path of a Unix socket, or `None` for the endpoint's remote address.
///
/// Text is a path if the endpoint is a Unix socket, and else an address such as `"127.0.0.1:8888"`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an address that a datagram can go to",
    label = "an address without a name to look up is expected",
    note = "write a `SocketAddr` or `Address`, an IP address with a port, for a Unix socket the path, or `None` \
            for the endpoint's remote address",
    note = "`getaddrinfo` looks a host name up"
)]
pub trait Recipient {
    #[doc(hidden)]
    fn recipient(self, domain: Domain) -> Result<Option<Address>>;
}

macro_rules! recipients {
    ($($type:ty: |$value:ident, $domain:pat_param| $address:expr;)*) => {$(
        impl Recipient for $type {
            fn recipient(self, $domain: Domain) -> Result<Option<Address>> {
                let $value = self;
                $address
            }
        }
    )*};
}

recipients! {
    Option<Address>: |address, _| Ok(address);
    Address: |address, _| Ok(Some(address));
    &Address: |address, _| Ok(Some(address.clone()));
    SocketAddr: |address, _| Ok(Some(address.into()));
    SocketAddrV4: |address, _| Ok(Some(SocketAddr::from(address).into()));
    SocketAddrV6: |address, _| Ok(Some(SocketAddr::from(address).into()));
    (IpAddr, u16): |address, _| Ok(Some(address.into()));
    (Ipv4Addr, u16): |address, _| Ok(Some(address.into()));
    (Ipv6Addr, u16): |address, _| Ok(Some(address.into()));
    (&str, u16): |address, _| match address.0.parse::<IpAddr>() {
        Ok(ip) => Ok(Some((ip, address.1).into())),
        Err(_) => Err(Error::value(format!("sendto: {:?} is not an IP address", address.0))),
    };
    &str: |text, domain| match text.parse::<SocketAddr>() {
        _ if domain == Domain::UNIX => path(text.as_ref()),
        Ok(address) => Ok(Some(address.into())),
        Err(_) => Err(Error::value(format!("sendto: {text:?} is not an IP address with a port"))),
    };
    &Path: |at, _| path(at);
    PathBuf: |at, _| path(&at);
}

fn path(path: &Path) -> Result<Option<Address>> {
    match Address::from_path(path) {
        Ok(address) => Ok(Some(address)),
        Err(error) => Err(Error::value(format!("sendto: {}: {error}", path.display()))),
    }
}
