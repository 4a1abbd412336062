//! Names and addresses: [`getaddrinfo`], [`getnameinfo`].

use crate::{
    address::Address,
    errors::in_call,
    lookup::Lookup,
    question::{AddrInfo, Hints, failed},
    target::{Resolved, Service, Target, ToAddress, ToHost},
};
use asyncio_core::{Error, Result, wait_site::WaitSite};
use socket2::{Domain, Protocol, Type};
use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Looks up the addresses of a host (`loop.getaddrinfo`), on a thread of the default executor. If
/// there is no host, or an empty one, it means this machine, or every interface with
/// [`AI_PASSIVE`](crate::AI_PASSIVE).
///
/// An IP address with a port in digits is not looked up if a [`kind`](GetAddrInfo::kind) is set,
/// because there is only one answer. In debug mode, a look-up that takes as long as a slow callback
/// is logged.
///
/// ```
/// # let event_loop = asyncio::new_event_loop()?;
/// # event_loop.run_until_complete(async {
/// use asyncio::{socket::{Domain, Type}, getaddrinfo};
/// let found = getaddrinfo("localhost", 80).family(Domain::IPV4).kind(Type::STREAM).await?;
/// assert_eq!(found[0].address.to_string(), "127.0.0.1:80");
/// # asyncio::Result::Ok(()) })?;
/// # event_loop.close()?;
/// # Ok::<(), asyncio::Error>(())
/// ```
///
/// # Errors
/// `Io` with the host and the system's error (Python's `gaierror`), of the kind `NotFound` if there
/// is no such name; `Value` for a port out of range and for null bytes; `Runtime` if no loop runs.
///
/// # Cancellation
/// A look-up that has started continues in its thread, and its result is dropped.
#[doc(alias = "loop.getaddrinfo")]
#[track_caller]
pub fn getaddrinfo(host: impl ToHost, port: impl Into<Service>) -> GetAddrInfo {
    let host = host.to_host().unwrap_or_default();
    let target = Target::host(host, port.into());
    GetAddrInfo::new(target, Hints::default(), WaitSite::here(&"getaddrinfo"))
}

/// Resolves anything that is accepted as an address to addresses for stream sockets (asyncio's
/// `_ensure_resolved`). An address is returned as it is; for anything else, [`getaddrinfo`] finds
/// the addresses. Text is a path if the [`family`](GetAddrInfo::family) is [`Domain::UNIX`].
///
/// ```
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let found = asyncio::socket::ensure_resolved("[::1]:80").await?;
///     assert_eq!((found.len(), found[0].address.to_string()), (1, "[::1]:80".to_owned()));
///     Ok(())
/// }
/// ```
///
/// # Errors
/// As for [`getaddrinfo`]; `Value` for text that is not an address; `Io` for an address that is not
/// of the family.
///
/// # Cancellation
/// As for [`getaddrinfo`].
#[track_caller]
pub fn ensure_resolved(address: impl ToAddress) -> GetAddrInfo {
    let hints = Hints { kind: Some(Type::STREAM), ..Hints::default() };
    GetAddrInfo::new(address.to_target(), hints, WaitSite::here(&"ensure_resolved"))
}

/// The future of [`getaddrinfo`], with its keyword arguments.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct GetAddrInfo {
    /// Taken by the first poll.
    target: Option<Target>,
    hints: Hints,
    lookup: Option<Lookup<Vec<AddrInfo>>>,
    site: WaitSite,
}

impl GetAddrInfo {
    fn new(target: Target, hints: Hints, site: WaitSite) -> GetAddrInfo {
        GetAddrInfo { target: Some(target), hints, lookup: None, site }
    }

    /// Allows only addresses of this family.
    pub fn family(mut self, family: impl Into<Option<Domain>>) -> GetAddrInfo {
        self.hints.family = family.into();
        self
    }

    /// Allows only sockets of this type (Python's `type`).
    pub fn kind(mut self, kind: impl Into<Option<Type>>) -> GetAddrInfo {
        self.hints.kind = kind.into();
        self
    }

    /// Allows only sockets of this protocol (Python's `proto`).
    pub fn protocol(mut self, protocol: impl Into<Option<Protocol>>) -> GetAddrInfo {
        self.hints.protocol = protocol.into();
        self
    }

    /// Sets flags such as `AI_PASSIVE` and `AI_CANONNAME`, joined by `|`.
    pub fn flags(mut self, flags: i32) -> GetAddrInfo {
        self.hints.flags = flags;
        self
    }

    /// Sets the site at which the caller waits, which errors name too, for operations that are
    /// built on this one.
    pub fn at(mut self, site: WaitSite) -> GetAddrInfo {
        self.site = site;
        self
    }

    /// The answer, if it is known.
    fn start(&mut self, target: Target) -> Result<Option<AddrInfo>> {
        let hints = self.hints;
        let question = match target.resolve(hints)? {
            Resolved::Address(address) => return check_family(address, hints).map(Some),
            Resolved::Question(question) => question,
        };
        self.lookup = Some(question.look_up(self.site));
        Ok(None)
    }
}

fn check_family(address: Address, hints: Hints) -> Result<AddrInfo> {
    let entry = hints.entry(address);
    match hints.family {
        Some(family) if family != entry.family => {
            let text = format!("{} is not of the family {family:?}", entry.address);
            Err(io::Error::new(io::ErrorKind::InvalidInput, text).into())
        }
        _ => Ok(entry),
    }
}

impl Future for GetAddrInfo {
    type Output = Result<Vec<AddrInfo>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Vec<AddrInfo>>> {
        let this = self.get_mut();
        if let Some(target) = this.target.take() {
            match this.start(target) {
                Ok(Some(known)) => return Poll::Ready(Ok(vec![known])),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(in_call(this.site.what(), error))),
            }
        }
        poll_lookup(&mut this.lookup, cx, this.site)
    }
}

/// Waits for the answer that a thread finds.
fn poll_lookup<T: Send + 'static>(
    lookup: &mut Option<Lookup<T>>,
    cx: &mut Context<'_>,
    site: WaitSite,
) -> Poll<Result<T>> {
    let Some(asked) = lookup else {
        let text = format!("{}: polled after it was ready", site.what());
        return Poll::Ready(Err(Error::runtime(text)));
    };
    let outcome = ready!(Pin::new(asked).poll(cx));
    *lookup = None;
    Poll::Ready(outcome.map_err(|error| in_call(site.what(), error)))
}

/// Looks up the names of an address and of its port (`loop.getnameinfo`), on a thread of the
/// default executor: `(host, service)`. A part without a name is returned in digits. The host of the
/// address has to be an IP address.
///
/// ```
/// # let event_loop = asyncio::new_event_loop()?;
/// # event_loop.run_until_complete(async {
/// use asyncio::{socket::{NI_NUMERICHOST, NI_NUMERICSERV}, getnameinfo};
/// let names = getnameinfo(("127.0.0.1", 80)).flags(NI_NUMERICHOST | NI_NUMERICSERV).await?;
/// assert_eq!(names, ("127.0.0.1".to_owned(), "80".to_owned()));
/// # asyncio::Result::Ok(()) })?;
/// # event_loop.close()?;
/// # Ok::<(), asyncio::Error>(())
/// ```
///
/// # Errors
/// `Io` with the address and the system's error, of the kind `NotFound` if it has to have a name
/// ([`NI_NAMEREQD`](crate::NI_NAMEREQD)) and has none; `Value` unless it is an IP address; `Runtime`
/// if no loop runs.
///
/// # Cancellation
/// A look-up that has started continues in its thread, and its result is dropped.
#[doc(alias = "loop.getnameinfo")]
#[track_caller]
pub fn getnameinfo(address: impl ToAddress) -> GetNameInfo {
    let site = WaitSite::here(&"getnameinfo");
    GetNameInfo { address: Some(address.to_target()), flags: 0, lookup: None, site }
}

/// The future of [`getnameinfo`], with its keyword argument.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct GetNameInfo {
    /// Taken by the first poll.
    address: Option<Target>,
    flags: i32,
    lookup: Option<Lookup<(String, String)>>,
    site: WaitSite,
}

impl GetNameInfo {
    /// Sets flags such as `NI_NUMERICHOST` and `NI_NAMEREQD`, joined by `|`.
    pub fn flags(mut self, flags: i32) -> GetNameInfo {
        self.flags = flags;
        self
    }
}

impl Future for GetNameInfo {
    type Output = Result<(String, String)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(String, String)>> {
        let this = self.get_mut();
        if let Some(target) = this.address.take() {
            let address = inet_of(target).map_err(|error| in_call(this.site.what(), error))?;
            let flags = this.flags;
            this.lookup = Some(Lookup::new(this.site, move || name_of(address, flags)));
        }
        poll_lookup(&mut this.lookup, cx, this.site)
    }
}

/// # Errors
/// `Value` unless the target is an IP address and a port.
fn inet_of(target: Target) -> Result<SocketAddr> {
    let shown = match target.resolve(Hints { kind: Some(Type::DGRAM), ..Hints::default() })? {
        Resolved::Address(address) => match address.as_inet() {
            Some(address) => return Ok(address),
            None => format!("{address:?}"),
        },
        Resolved::Question(question) => question.place(),
    };
    Err(Error::value(format!("{shown} is not an IP address")))
}

/// Asks the system. Blocks.
fn name_of(address: SocketAddr, flags: i32) -> Result<(String, String)> {
    Ok(dns_lookup::getnameinfo(&address, flags).map_err(|error| failed(address, error))?)
}
