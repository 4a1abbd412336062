//! [`Question`]: the arguments of the system's `getaddrinfo`, which blocks and therefore runs on a
//! thread.

use crate::{address::Address, errors::described_as, lookup::Lookup, target::Service};
use asyncio_core::{
    Error, Result,
    log::{Level, log},
    raw::with_entered,
    wait_site::WaitSite,
};
use dns_lookup::{AddrInfoHints, LookupError, LookupErrorKind};
use nix::libc::{AI_CANONNAME, AI_PASSIVE};
use socket2::{Domain, Protocol, Type};
use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

/// One of the addresses of a name, with the properties of a socket for it: a five-tuple in the list
/// of asyncio's `getaddrinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddrInfo {
    /// `AF_INET`, `AF_INET6`.
    pub family: Domain,
    /// Python's `type`.
    pub kind: Type,
    /// `None` is the usual one.
    pub protocol: Option<Protocol>,
    /// The first entry has it, if `AI_CANONNAME` was set.
    pub canonical_name: Option<String>,
    /// The address to connect or bind to.
    pub address: Address,
}

/// The restrictions for an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hints {
    pub(crate) family: Option<Domain>,
    pub(crate) kind: Option<Type>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) flags: i32,
}

impl Hints {
    /// The entry of a known address.
    pub(crate) fn entry(self, address: Address) -> AddrInfo {
        let kind = self.kind.unwrap_or(Type::STREAM);
        let protocol = match kind {
            _ if address.as_inet().is_none() => self.protocol,
            Type::STREAM => Some(Protocol::TCP),
            Type::DGRAM => Some(Protocol::UDP),
            _ => self.protocol,
        };
        let family = address.as_sock_addr().domain();
        AddrInfo { family, kind, protocol, canonical_name: None, address }
    }
}

/// A host and a service to be looked up.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    host: String,
    service: Service,
    hints: Hints,
}

impl Question {
    /// # Errors
    /// `Value` for an invalid question.
    pub(crate) fn new(host: String, service: Service, hints: Hints) -> Result<Question> {
        if host.contains('\0') {
            return Err(Error::value("a host name has no null bytes"));
        }
        if let Service::Name(name) = &service {
            if name.contains('\0') {
                return Err(Error::value("a service name has no null bytes"));
            }
            if is_no_port(name) {
                return Err(Error::value(format!("port must be 0-65535, not {name}")));
            }
        }
        Ok(Question { host, service, hints })
    }

    /// The only possible answer, if it is known: asyncio's `_ipaddr_info`.
    pub(crate) fn answer_at_once(&self) -> Option<SocketAddr> {
        let Hints { family, kind, protocol, flags } = self.hints;
        let known_kind = matches!(kind, Some(Type::STREAM | Type::DGRAM));
        let known_protocol = matches!(protocol, None | Some(Protocol::TCP | Protocol::UDP));
        if !known_kind || !known_protocol || flags & AI_CANONNAME != 0 {
            return None;
        }
        let Service::Port(port) = self.service else { return None };
        let ip: IpAddr = match (&*self.host, family) {
            ("", Some(Domain::IPV4)) if flags & AI_PASSIVE != 0 => Ipv4Addr::UNSPECIFIED.into(),
            ("", Some(Domain::IPV6)) if flags & AI_PASSIVE != 0 => Ipv6Addr::UNSPECIFIED.into(),
            ("", Some(Domain::IPV4)) => Ipv4Addr::LOCALHOST.into(),
            ("", Some(Domain::IPV6)) => Ipv6Addr::LOCALHOST.into(),
            (host, _) => host.parse().ok()?,
        };
        let address = SocketAddr::new(ip, port);
        let fits = family.is_none_or(|family| family == Domain::for_address(address));
        fits.then_some(address)
    }

    /// `host:service`, without the restrictions.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.host, self.service)
    }

    /// Asks the system on a thread.
    pub(crate) fn look_up(self, site: WaitSite) -> Lookup<Vec<AddrInfo>> {
        let slow = with_entered(|s| s.reports.debug().then(|| s.reports.slow_callback_duration()))
            .flatten();
        Lookup::new(site, move || {
            Ok(match slow {
                Some(slow) => self.ask_timed(slow)?,
                None => self.ask()?,
            })
        })
    }

    /// Asks the system. Blocks.
    pub(crate) fn ask(&self) -> io::Result<Vec<AddrInfo>> {
        let Hints { family, kind, protocol, flags } = self.hints;
        let hints = AddrInfoHints {
            flags,
            address: family.map_or(0, i32::from),
            socktype: kind.map_or(0, i32::from),
            protocol: protocol.map_or(0, i32::from),
        };
        let host = Some(&*self.host).filter(|host| !host.is_empty());
        let service = self.service.to_string();
        let found = dns_lookup::getaddrinfo(host, Some(&service), Some(hints));
        let found =
            found.map_err(|error| failed(format_args!("{}:{service}", self.host), error))?;
        let entry = |found: dns_lookup::AddrInfo| AddrInfo {
            family: found.address.into(),
            kind: found.socktype.into(),
            protocol: Some(found.protocol).filter(|protocol| *protocol != 0).map(Protocol::from),
            // musl reports it to every caller.
            canonical_name: found.canonname.filter(|_| flags & AI_CANONNAME != 0),
            address: found.sockaddr.into(),
        };
        found.map(|found| found.map(entry)).collect()
    }

    /// Asks the system in debug mode: a look-up that takes as long as a `slow` callback is logged.
    fn ask_timed(&self, slow: Duration) -> io::Result<Vec<AddrInfo>> {
        let start = Instant::now();
        let answer = self.ask();
        let took = start.elapsed();
        if took >= slow {
            let found = match &answer {
                Ok(found) => format!("{:?}", Vec::from_iter(found.iter().map(|i| &i.address))),
                Err(error) => error.to_string(),
            };
            let ms = took.as_secs_f64() * 1e3;
            log(Level::Info, &format!("Getting address info {self} took {ms:.3}ms: {found}"));
        }
        answer
    }
}

/// Whether the name of a service is a number that is not a valid port. Some systems use its lowest bits,
/// and permit white space and a sign before it.
fn is_no_port(name: &str) -> bool {
    let number = name.trim_start();
    let digits = number.trim_start_matches(['+', '-']);
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number && (number.starts_with('-') || digits.parse::<u16>().is_err())
}

/// `localhost:80, family=AF_INET, kind=1`
impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hints { family, kind, protocol, flags } = self.hints;
        f.write_str(&self.place())?;
        if let Some(family) = family {
            write!(f, ", family={family:?}")?;
        }
        if let Some(kind) = kind {
            write!(f, ", kind={}", i32::from(kind))?;
        }
        if let Some(protocol) = protocol {
            write!(f, ", protocol={}", i32::from(protocol))?;
        }
        if flags != 0 {
            write!(f, ", flags={flags}")?;
        }
        Ok(())
    }
}

/// Python's `gaierror`: the question, and the system's error.
pub(crate) fn failed(what: impl fmt::Display, error: LookupError) -> io::Error {
    let kind = error.kind();
    let error = io::Error::from(error);
    let kind = match kind {
        LookupErrorKind::NoName | LookupErrorKind::NoData | LookupErrorKind::Service => {
            io::ErrorKind::NotFound
        }
        _ => error.kind(),
    };
    let text = error.to_string();
    let reason = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    let text = format!("{what}: {reason}");
    match error.raw_os_error() {
        // The look-up itself failed, for example because too many files are open.
        Some(_) => described_as(kind, text, error),
        None => io::Error::new(kind, text),
    }
}
