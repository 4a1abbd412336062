//! The sockets of a TCP server: looked up, opened and bound.

use asyncio_core::{
    Error, Result,
    log::{Level, log},
    raw::is_debug,
    wait_site::WaitSite,
};
use asyncio_sockets::{
    AI_PASSIVE, AddrInfo, Address, Domain, Endpoint, Socket, Type, described, described_as,
    ensure_resolved, in_call,
};
use std::io;

/// A bound socket that does not listen yet.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) socket: socket2::Socket,
    pub(super) address: Address,
    /// The path that is removed at the end.
    pub(super) path: Option<super::unix::OwnPath>,
}

impl Bound {
    /// Uses a socket that the program has created.
    pub(super) fn given(socket: Socket) -> Result<Bound> {
        if socket.get_ref().r#type()? != Type::STREAM {
            return Err(Error::value(format!("a stream socket was expected, not {socket:?}")));
        }
        let mut address = socket.local_addr()?;
        if address.as_inet().is_some_and(|address| address.port() == 0) {
            // Otherwise `listen` would bind it, after the address was stored. If `bind` fails here,
            // `listen` fails too and reports the error.
            let _ = socket.get_ref().bind(address.as_sock_addr());
            address = socket.local_addr()?;
        }
        Ok(Bound { socket: socket.into(), address, path: None })
    }
}

/// The options of the sockets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) family: Option<Domain>,
    pub(super) flags: i32,
    pub(super) reuse_address: bool,
    pub(super) reuse_port: bool,
    pub(super) keep_alive: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            family: None,
            flags: AI_PASSIVE,
            reuse_address: true,
            reuse_port: false,
            keep_alive: false,
        }
    }
}

/// Creates a socket for each address. If one fails, those before it are closed.
pub(super) async fn bind(
    endpoints: Vec<Endpoint>,
    options: Options,
    site: WaitSite,
) -> Result<Vec<Bound>> {
    let mut given = Vec::new();
    let mut found = Vec::new();
    for endpoint in endpoints {
        match endpoint {
            Endpoint::Socket(socket) => given.push(socket),
            Endpoint::Address(target) => {
                let resolving = ensure_resolved(target).flags(options.flags);
                found.extend(resolving.family(options.family).at(site).await?);
            }
        }
    }
    bind_now(given, found, options).map_err(|error| in_call(site.what(), error))
}

fn bind_now(given: Vec<Socket>, found: Vec<AddrInfo>, options: Options) -> Result<Vec<Bound>> {
    let mut bound = given.into_iter().map(Bound::given).collect::<Result<Vec<Bound>>>()?;
    let mut tried: Vec<Address> = Vec::new();
    // The error of the first address that was skipped.
    let mut passed_over = None;
    for AddrInfo { family, kind, protocol, address, .. } in found {
        if address.as_inet().is_none() {
            return Err(Error::value(format!("{address} is not an internet address")));
        }
        if tried.contains(&address) {
            continue;
        }
        tried.push(address.clone());
        // A system may return addresses of a family for which it has no sockets.
        let socket = match socket2::Socket::new(family, kind, protocol) {
            Ok(socket) => socket,
            Err(error) => {
                note(&format!("create_server() failed to create a socket for {address}: {error}"));
                passed_over.get_or_insert(error);
                continue;
            }
        };
        set_options(&socket, family, options)?;
        match socket.bind(address.as_sock_addr()) {
            Ok(()) => {
                let address = socket.local_addr()?.into();
                bound.push(Bound { socket, address, path: None });
            }
            Err(error) => {
                let text = format!("error while attempting to bind on address {address}: {error}");
                if error.kind() != io::ErrorKind::AddrNotAvailable {
                    return Err(described(text, error).into());
                }
                note(&text);
                passed_over.get_or_insert(error);
            }
        }
    }
    if bound.is_empty() {
        let text = format!("could not bind on any address out of {}", list(&tried));
        let error = passed_over.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into());
        return Err(described_as(io::ErrorKind::AddrNotAvailable, text, error).into());
    }
    for Bound { socket, address, .. } in &bound {
        if address.as_inet().is_some() {
            // Accepted connections inherit the option from here. A socket that is not TCP does not
            // have it.
            let _ = socket.set_tcp_nodelay(true);
        }
    }
    Ok(bound)
}

fn set_options(socket: &socket2::Socket, family: Domain, options: Options) -> Result<()> {
    socket.set_nonblocking(true)?;
    if options.reuse_address {
        socket.set_reuse_address(true)?;
    }
    if options.reuse_port {
        set_reuse_port(socket)?;
    }
    if options.keep_alive {
        socket.set_keepalive(true)?;
    }
    if family == Domain::IPV6 {
        socket.set_only_v6(true)?;
    }
    Ok(())
}

#[cfg(not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin")))]
fn set_reuse_port(socket: &socket2::Socket) -> Result<()> {
    Ok(socket.set_reuse_port(true)?)
}

#[cfg(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))]
fn set_reuse_port(_: &socket2::Socket) -> Result<()> {
    Err(Error::value("reuse_port is not supported by this system"))
}

fn list(addresses: &[Address]) -> String {
    let addresses: Vec<String> = addresses.iter().map(Address::to_string).collect();
    format!("[{}]", addresses.join(", "))
}

/// Logs, in debug mode, that something was skipped.
fn note(text: &str) {
    if is_debug() {
        log(Level::Warning, text);
    }
}
