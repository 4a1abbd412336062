//! Outgoing connections: [`create_connection`] and [`create_unix_connection`]; and [`connect_accepted_socket`].
//!
//! [`attempts`] chooses the socket that becomes connected; [`making`] creates its transport.

use crate::{protocols::IntoProtocol, ssl::Arguments, starting::Side};
use asyncio_core::{Error, Result, limit::ToTimeout, wait_site::WaitSite};
use asyncio_sockets::{
    Domain, Endpoint, Protocol, Socket, ToAddress, ToEndpoint, Type, described, ensure_resolved,
    sock_connect,
};
use attempts::{Options, connect};
use std::{fmt, future::IntoFuture, io, marker::PhantomData};

mod attempts;
mod making;
#[cfg(test)]
mod tests;

pub use making::{Connecting, ConnectingTransport};

/// Connects to a server over TCP (`loop.create_connection`), and returns the transport with the protocol
/// that `factory` made, after its `connection_made` was called.
///
/// `endpoint` is an address, or a connected socket (asyncio's `sock`). A host name is looked up on a
/// thread; its addresses are tried one after another until one answers. An empty host is this
/// machine.
///
/// ```
/// use asyncio::{Protocol, Transport, create_connection, create_server};
/// use asyncio::Bytes;
///
/// struct Echo;
/// impl Protocol for Echo {
///     fn data_received(&mut self, transport: &Transport, data: Bytes) {
///         transport.write(&data);
///     }
/// }
///
/// asyncio::run(async {
///     let server = create_server(|| Echo, ("127.0.0.1", 0)).await?;
///     let (transport, _echo) = create_connection(|| Echo, server.local_addr()).await?;
///     transport.write(b"to and fro");
///     transport.close();
///     server.close();
///     server.wait_closed().await
/// })?;
/// # Ok::<(), asyncio::Error>(())
/// ```
///
/// # Errors
/// If no address answers, `Io` with `Connect call failed`, the address and the cause. If the attempts failed in
/// different ways, the error has all causes in one text, or with [`all_errors`](CreateConnection::all_errors) as a
/// `Group`. `Timeout` if no attempt failed and none succeeded. `Io` if the name is not found; `Value` for an invalid
/// address, and for a socket that is not a stream socket, which is closed; `Runtime` without a running loop.
///
/// # Cancellation
/// Sockets that were opened are closed. If there is already a transport, its protocol is called as for a transport
/// that is closed immediately.
#[doc(alias = "loop.create_connection")]
#[track_caller]
pub fn create_connection<F, P, Kind>(
    factory: F,
    endpoint: impl ToEndpoint,
) -> CreateConnection<F, P, Kind>
where
    F: FnOnce() -> P,
    P: IntoProtocol<Kind>,
{
    CreateConnection {
        factory,
        endpoint: endpoint.to_endpoint(),
        options: Options::default(),
        ssl: Arguments::default(),
        site: WaitSite::here(&"create_connection"),
        kind: PhantomData,
    }
}

/// The value that [`create_connection`] returns, with its keyword arguments. Awaiting it connects.
#[must_use = "nothing happens unless it is awaited"]
pub struct CreateConnection<F, P, Kind> {
    factory: F,
    endpoint: Endpoint,
    options: Options,
    ssl: Arguments,
    site: WaitSite,
    kind: PhantomData<fn() -> (P, Kind)>,
}

impl<F, P, Kind> CreateConnection<F, P, Kind> {
    /// Returns the arguments of TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn ssl_arguments(&mut self) -> &mut Arguments {
        &mut self.ssl
    }

    /// Allows only addresses of this family.
    pub fn family(mut self, family: impl Into<Option<Domain>>) -> Self {
        self.options.family = family.into();
        self
    }

    /// Sets the protocol of the socket (Python's `proto`).
    pub fn protocol(mut self, protocol: impl Into<Option<Protocol>>) -> Self {
        self.options.protocol = protocol.into();
        self
    }

    /// Sets the flags for the look-up of the name: see
    /// [`getaddrinfo`](asyncio_sockets::getaddrinfo()).
    pub fn flags(mut self, flags: i32) -> Self {
        self.options.flags = flags;
        self
    }

    /// Sets the address to connect from. If a name has several addresses, the first one is used
    /// that can be bound and has the family of the address to connect to.
    pub fn local_addr(mut self, address: impl ToAddress) -> Self {
        self.options.local = Some(address.to_target());
        self
    }

    /// Tries the next address when one has failed or after `delay`, and takes the first connection that succeeds
    /// ("Happy Eyeballs", RFC 8305, which recommends 250 ms). It implies
    /// [`interleave(1)`](CreateConnection::interleave), unless that is set.
    pub fn happy_eyeballs_delay(mut self, delay: impl ToTimeout) -> Self {
        self.options.delay = delay.to_timeout();
        self
    }

    /// Tries the addresses of the families in turns, after the first `count` of the first family.
    /// With 0, they are tried in the order of the look-up.
    pub fn interleave(mut self, count: usize) -> Self {
        self.options.interleave = Some(count);
        self
    }

    /// Sets whether the error is a `Group` of the errors of all attempts, if no address answers.
    pub fn all_errors(mut self, all: bool) -> Self {
        self.options.all_errors = all;
        self
    }

    /// Returns the transport without the protocol. This future can be sent to another thread if the factory can.
    pub fn transport(self) -> ConnectingTransport<F, P, Kind> {
        self.connecting().transport()
    }

    /// Sets the site at which the caller waits, for operations that are built on this one.
    #[doc(hidden)]
    pub fn at(mut self, site: WaitSite) -> Self {
        self.site = site;
        self
    }

    fn connecting(self) -> Connecting<F, P, Kind> {
        let CreateConnection { factory, endpoint, options, ssl, site, .. } = self;
        let side = Side::Client(endpoint.host());
        Connecting::new(factory, site, (side, ssl), connect(endpoint, options, site))
    }
}

impl<F, P, Kind> IntoFuture for CreateConnection<F, P, Kind>
where
    F: FnOnce() -> P,
    P: IntoProtocol<Kind>,
{
    type Output = <Connecting<F, P, Kind> as Future>::Output;
    type IntoFuture = Connecting<F, P, Kind>;

    fn into_future(self) -> Connecting<F, P, Kind> {
        self.connecting()
    }
}

impl<F, P, Kind> fmt::Debug for CreateConnection<F, P, Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateConnection")
            .field("endpoint", &self.endpoint)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Connects to a Unix socket (`loop.create_unix_connection`), and returns the transport with the
/// protocol that `factory` made, after its `connection_made` was called.
///
/// `endpoint` is the path, or a connected socket (asyncio's `sock`). A path that begins with a null
/// byte is a name in Linux's abstract namespace.
///
/// ```
/// use asyncio::{Protocol, Transport, create_unix_connection};
///
/// struct Discard;
/// impl Protocol for Discard {
///     fn data_received(&mut self, _: &Transport, _: asyncio::Bytes) {}
/// }
///
/// asyncio::run(async {
///     let path = std::env::temp_dir().join(format!("asyncio-example-{}", std::process::id()));
///     let _listener = std::os::unix::net::UnixListener::bind(&path)?;
///     let (transport, _discard) = create_unix_connection(|| Discard, &path).await?;
///     transport.close();
///     Ok(std::fs::remove_file(path)?)
/// })?;
/// # Ok::<(), asyncio::Error>(())
/// ```
///
/// # Errors
/// `Io` with the path and the system's error, usually `NotFound` and `ConnectionRefused`; `Value`
/// for a socket that is not a Unix stream socket, which is closed; `Runtime` without a running
/// loop.
///
/// # Cancellation
/// As for [`create_connection`].
#[doc(alias = "loop.create_unix_connection")]
#[track_caller]
pub fn create_unix_connection<F, P, Kind>(
    factory: F,
    endpoint: impl ToEndpoint,
) -> Connecting<F, P, Kind>
where
    F: FnOnce() -> P,
    P: IntoProtocol<Kind>,
{
    create_unix_connection_at(factory, endpoint, WaitSite::here(&"create_unix_connection"))
}

/// Does what [`create_unix_connection`] does, for operations that are built on it.
#[doc(hidden)]
pub fn create_unix_connection_at<F, P, Kind>(
    factory: F,
    endpoint: impl ToEndpoint,
    site: WaitSite,
) -> Connecting<F, P, Kind>
where
    F: FnOnce() -> P,
    P: IntoProtocol<Kind>,
{
    let connecting = connect_unix(endpoint.to_endpoint(), site);
    Connecting::new(factory, site, (Side::Client(None), Arguments::default()), connecting)
}

async fn connect_unix(endpoint: Endpoint, site: WaitSite) -> Result<Socket> {
    let target = match endpoint {
        Endpoint::Address(target) => target,
        Endpoint::Socket(socket) => {
            let is_unix = socket.local_addr()?.as_sock_addr().is_unix();
            return match is_unix && is_stream(&socket)? {
                true => Ok(socket),
                false => Err(unexpected(site, "A UNIX Domain Stream Socket", &socket)),
            };
        }
    };
    let found = ensure_resolved(target).family(Domain::UNIX).at(site).await?;
    let path = found.into_iter().next().ok_or_else(|| Error::value("no path was given"))?;
    let socket = new_socket(Domain::UNIX, None, site)?;
    sock_connect(&socket, path.address).at(site).await?;
    Ok(socket)
}

/// Creates the transport of a connected stream socket that was accepted without asyncio
/// (`loop.connect_accepted_socket`), and returns it with the protocol that `factory` made, after
/// its `connection_made` was called.
///
/// ```
/// use asyncio::socket::{Domain, Socket, Type};
/// use asyncio::{Protocol, Transport, connect_accepted_socket};
///
/// struct Discard;
/// impl Protocol for Discard {
///     fn data_received(&mut self, _: &Transport, _: asyncio::Bytes) {}
/// }
///
/// asyncio::run(async {
///     let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
///     let client = std::net::TcpStream::connect(listener.local_addr()?)?;
///     let (accepted, _) = listener.accept()?;
///     let (transport, _discard) =
///         connect_accepted_socket(|| Discard, Socket::try_from(accepted)?).await?;
///     transport.close();
///     Ok(())
/// })?;
/// # Ok::<(), asyncio::Error>(())
/// ```
///
/// # Errors
/// `Value` for a socket that is not a stream socket, which is closed; `Runtime` without a running
/// loop.
///
/// # Cancellation
/// As for [`create_connection`].
#[doc(alias = "loop.connect_accepted_socket")]
#[track_caller]
pub fn connect_accepted_socket<F, P, Kind>(factory: F, socket: Socket) -> Connecting<F, P, Kind>
where
    F: FnOnce() -> P,
    P: IntoProtocol<Kind>,
{
    let site = WaitSite::here(&"connect_accepted_socket");
    let ssl = (Side::Server, Arguments::default());
    Connecting::new(factory, site, ssl, async move { stream(socket, site) })
}

/// Checks a socket of the caller.
fn stream(socket: Socket, site: WaitSite) -> Result<Socket> {
    match is_stream(&socket)? {
        true => Ok(socket),
        false => Err(unexpected(site, "A Stream Socket", &socket)),
    }
}

fn is_stream(socket: &Socket) -> io::Result<bool> {
    Ok(socket.get_ref().r#type()? == Type::STREAM)
}

fn unexpected(site: WaitSite, expected: &str, socket: &Socket) -> Error {
    Error::value(format!("{}: {expected} was expected, got {socket:?}", site.what()))
}

fn new_socket(family: Domain, protocol: Option<Protocol>, site: WaitSite) -> io::Result<Socket> {
    let failed = |error: Error| {
        let error = io::Error::from(error);
        described(format!("{}: {error}", site.what()), error)
    };
    Socket::new(family, Type::STREAM, protocol).map_err(failed)
}
