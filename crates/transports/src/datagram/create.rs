//! [`create_datagram_endpoint`].

use super::{
    Calls, DatagramProtocol, endpoint::Endpoint, into_calls, transport::DatagramTransport,
};
use crate::starting::{is_over, needs_a_loop};
use asyncio_core::{
    Error, Result,
    log::{Level, log},
    wait_site::WaitSite,
};
use asyncio_future::Future;
use asyncio_sockets::{
    Address, Domain, Protocol, Socket, Target, ToAddress, Type, described, ensure_resolved,
};
use std::{
    cell::RefCell,
    fmt, io,
    marker::PhantomData,
    os::unix::fs::FileTypeExt,
    path::Path,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// Creates an endpoint for datagrams (`loop.create_datagram_endpoint`), and returns its transport with
/// the protocol that `factory` made.
///
/// It needs a local address, a remote address, a family, or a socket: see the methods of the
/// [builder](CreateDatagramEndpoint).
///
/// # Errors
/// `Value` with the text `unexpected address family` if none of these is given, for an invalid address, and for a
/// protocol that does not know the addresses of the socket's family; `Io` if a name is not found; the system's first
/// error if none of the addresses can be used; `Runtime` without a running loop.
///
/// # Cancellation
/// The socket is closed. If the protocol already exists, it is called as for a transport that was
/// closed immediately.
///
/// ```
/// use asyncio::Future;
/// use asyncio::{
///     Address, Bytes, DatagramProtocol, DatagramTransport, SOCKNAME, create_datagram_endpoint,
/// };
///
/// struct Echo;
///
/// impl DatagramProtocol for Echo {
///     fn datagram_received(&mut self, t: &DatagramTransport, data: Bytes, addr: Address) {
///         t.sendto(data, addr);
///     }
/// }
///
/// struct Ask(Future<Bytes>);
///
/// impl DatagramProtocol for Ask {
///     fn connection_made(&mut self, t: &DatagramTransport) {
///         t.sendto(b"hello", None);
///     }
///     fn datagram_received(&mut self, _: &DatagramTransport, data: Bytes, _: Address) {
///         let _ = self.0.set_result(data);
///     }
/// }
///
/// asyncio::run(async {
///     let (server, _) = create_datagram_endpoint(|| Echo).local_addr(("127.0.0.1", 0)).await?;
///     let address = server.get_extra_info(SOCKNAME).expect("it is bound");
///     let answer = Future::new();
///     let (client, _) =
///         create_datagram_endpoint(|| Ask(answer.clone())).remote_addr(address).await?;
///     assert_eq!(answer.await?, "hello");
///     client.close();
///     server.close();
///     Ok(())
/// })?;
/// # Ok::<(), asyncio::Error>(())
/// ```
#[doc(alias = "loop.create_datagram_endpoint")]
#[track_caller]
pub fn create_datagram_endpoint<F, P>(factory: F) -> CreateDatagramEndpoint<F, P>
where
    F: FnOnce() -> P,
    P: DatagramProtocol,
{
    let site = WaitSite::here(&"create_datagram_endpoint");
    CreateDatagramEndpoint {
        factory: Some(factory),
        protocol: None,
        stage: Stage::New(Box::default()),
        site,
    }
}

/// The future of [`create_datagram_endpoint`], with its keyword arguments.
#[must_use = "futures do nothing unless they are awaited"]
pub struct CreateDatagramEndpoint<F, P> {
    factory: Option<F>,
    protocol: Option<Rc<RefCell<P>>>,
    stage: Stage,
    site: WaitSite,
}

/// The requested options.
#[derive(Debug, Default)]
struct Options {
    local: Option<Target>,
    remote: Option<Target>,
    family: Option<Domain>,
    protocol: Option<Protocol>,
    flags: i32,
    reuse_port: bool,
    allow_broadcast: bool,
    sock: Option<Socket>,
}

/// A socket that is ready for use.
struct Connected {
    io: socket2::Socket,
    family: Domain,
    remote: Option<Address>,
}

/// Keyword arguments. They have no effect once the future has been polled.
impl<F, P> CreateDatagramEndpoint<F, P> {
    fn options(&mut self, set: impl FnOnce(&mut Options)) {
        if let Stage::New(options) = &mut self.stage {
            set(options);
        }
    }

    /// Sets the local address. If it is text, the path of a Unix socket needs the
    /// [`family`](Self::family). A socket that was left behind at the path is removed.
    pub fn local_addr(mut self, address: impl ToAddress) -> Self {
        self.options(|options| options.local = Some(address.to_target()));
        self
    }

    /// Sets the remote address. The socket is connected, so it receives only from there, and `error_received` is
    /// called if nothing listens there. With [`allow_broadcast`](Self::allow_broadcast), the socket is not connected.
    pub fn remote_addr(mut self, address: impl ToAddress) -> Self {
        self.options(|options| options.remote = Some(address.to_target()));
        self
    }

    /// Allows only addresses of this family. Without an address, the socket has this family and no
    /// address.
    pub fn family(mut self, family: impl Into<Option<Domain>>) -> Self {
        self.options(|options| options.family = family.into());
        self
    }

    /// Allows only sockets of this protocol (Python's `proto`).
    pub fn protocol(mut self, protocol: impl Into<Option<Protocol>>) -> Self {
        self.options(|options| options.protocol = protocol.into());
        self
    }

    /// Sets the flags for [`getaddrinfo`](asyncio_sockets::getaddrinfo).
    pub fn flags(mut self, flags: i32) -> Self {
        self.options(|options| options.flags = flags);
        self
    }

    /// Sets whether other sockets with this option may have the same address (`SO_REUSEPORT`).
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.options(|options| options.reuse_port = on);
        self
    }

    /// Sets whether broadcast addresses may be sent to (`SO_BROADCAST`).
    pub fn allow_broadcast(mut self, on: bool) -> Self {
        self.options(|options| options.allow_broadcast = on);
        self
    }

    /// Sets an existing socket to use. It excludes all other arguments (`Value`), and must not be a
    /// stream socket. If it is connected, datagrams go to its peer, whatever address is given.
    ///
    /// A `SOCK_SEQPACKET` socket has a connection that can end. Then the protocol receives one empty
    /// datagram, and the endpoint is closed.
    pub fn sock(mut self, sock: Socket) -> Self {
        self.options(|options| options.sock = Some(sock));
        self
    }

    /// Sets the site at which the caller waits, for operations that are built on this one.
    #[doc(hidden)]
    pub fn at(mut self, site: WaitSite) -> Self {
        self.site = site;
        self
    }

    /// Returns the transport without the protocol. This future can be sent to another thread if the factory can.
    pub fn transport(self) -> CreateDatagramTransport<F, P> {
        let CreateDatagramEndpoint { factory, stage, site, .. } = self;
        CreateDatagramTransport { factory, stage, site, protocol: PhantomData }
    }
}

impl<F, P> Unpin for CreateDatagramEndpoint<F, P> {}

impl<F, P> std::future::Future for CreateDatagramEndpoint<F, P>
where
    F: FnOnce() -> P,
    P: DatagramProtocol,
{
    type Output = Result<(DatagramTransport, Rc<RefCell<P>>)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let CreateDatagramEndpoint { factory, protocol, stage, site, .. } = self.get_mut();
        let transport = ready!(stage.poll(cx, *site, factory, |made| *protocol = Some(made)))?;
        let protocol = protocol.take().ok_or_else(|| is_over(*site))?;
        Poll::Ready(Ok((transport, protocol)))
    }
}

impl<F, P> fmt::Debug for CreateDatagramEndpoint<F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CreateDatagramEndpoint").field(&self.stage).finish()
    }
}

/// The future that [`CreateDatagramEndpoint::transport`] returns.
#[must_use = "futures do nothing unless they are awaited"]
pub struct CreateDatagramTransport<F, P> {
    factory: Option<F>,
    stage: Stage,
    site: WaitSite,
    protocol: PhantomData<fn() -> P>,
}

impl<F, P> Unpin for CreateDatagramTransport<F, P> {}

impl<F, P> std::future::Future for CreateDatagramTransport<F, P>
where
    F: FnOnce() -> P,
    P: DatagramProtocol,
{
    type Output = Result<DatagramTransport>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let CreateDatagramTransport { factory, stage, site, .. } = self.get_mut();
        stage.poll::<F, P>(cx, *site, factory, drop)
    }
}

impl<F, P> fmt::Debug for CreateDatagramTransport<F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CreateDatagramTransport").field(&self.stage).finish()
    }
}

enum Stage {
    New(Box<Options>),
    Connecting(Pin<Box<dyn std::future::Future<Output = Result<Connected>> + Send>>),
    Making(Unclaimed, Future<()>),
    Over,
}

impl Stage {
    /// Connects a socket, and creates the protocol, which it `keep`s, and the endpoint.
    fn poll<F, P>(
        &mut self,
        cx: &mut Context<'_>,
        site: WaitSite,
        factory: &mut Option<F>,
        keep: impl FnOnce(Rc<RefCell<P>>),
    ) -> Poll<Result<DatagramTransport>>
    where
        F: FnOnce() -> P,
        P: DatagramProtocol,
    {
        if let Stage::New(options) = self {
            *self = Stage::Connecting(Box::pin(std::mem::take(options).connect(site)));
        }
        if let Stage::Connecting(connecting) = self {
            let connected = match needs_a_loop(site) {
                Ok(()) => ready!(connecting.as_mut().poll(cx)),
                Err(error) => Err(error),
            };
            *self = Stage::Over;
            let connected = connected?;
            let factory = factory.take().ok_or_else(|| is_over(site))?;
            let protocol = Rc::new(RefCell::new(factory()));
            let calls = into_calls(&protocol);
            *self = Stage::make(connected, calls, site)?;
            keep(protocol);
        }
        let Stage::Making(transport, made) = self else { return Poll::Ready(Err(is_over(site))) };
        let outcome = match ready!(Pin::new(made).poll(cx)) {
            Ok(()) => transport.0.take().ok_or_else(|| is_over(site)),
            Err(error) => Err(error),
        };
        *self = Stage::Over;
        Poll::Ready(outcome)
    }

    fn make(socket: Connected, calls: Rc<dyn Calls>, site: WaitSite) -> Result<Stage> {
        let Connected { io, family, remote } = socket;
        let transport = Endpoint::open(io, family, remote, calls).map_err(in_call(site))?;
        let made = Future::of_loop(site, None);
        transport.0.local.with(|endpoint| endpoint.start(Some(made.clone())));
        Ok(Stage::Making(Unclaimed(Some(transport)), made))
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stage::New(options) => options.fmt(f),
            Stage::Connecting(_) => f.write_str("connecting"),
            Stage::Making(making, _) => making.fmt(f),
            Stage::Over => f.write_str("over"),
        }
    }
}

/// A transport that is closed if it is not taken.
#[derive(Debug)]
struct Unclaimed(Option<DatagramTransport>);

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(transport) = &self.0 {
            transport.close();
        }
    }
}

/// The class of a socket.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Class {
    family: Domain,
    protocol: Option<Protocol>,
}

/// The local and the remote address of a socket.
#[derive(Debug, Default)]
struct Ends {
    local: Option<Address>,
    remote: Option<Address>,
}

impl Options {
    async fn connect(mut self, site: WaitSite) -> Result<Connected> {
        if let Some(sock) = self.sock.take() {
            return self.check(sock).map_err(in_call(site));
        }
        let candidates = self.candidates(site).await?;
        let none = || Error::value(format!("{}: can not get address information", site.what()));
        first_usable(candidates, |(class, ends)| self.socket(class, ends, site))
            .unwrap_or_else(|| Err(none()))
    }

    /// Checks the socket that was passed in.
    fn check(&self, sock: Socket) -> Result<Connected> {
        let Options { local, remote, family, protocol, flags, reuse_port, allow_broadcast, .. } =
            self;
        let said = [
            local.as_ref().map(|local| format!("local_addr={local:?}")),
            remote.as_ref().map(|remote| format!("remote_addr={remote:?}")),
            family.map(|family| format!("family={family:?}")),
            protocol.map(|protocol| format!("proto={protocol:?}")),
            (*flags != 0).then(|| format!("flags={flags}")),
            reuse_port.then(|| "reuse_port=true".to_owned()),
            allow_broadcast.then(|| "allow_broadcast=true".to_owned()),
        ];
        let said: Vec<_> = said.into_iter().flatten().collect();
        if !said.is_empty() {
            return Err(Error::value(format!(
                "socket modifier keyword arguments can not be used when sock is specified. ({})",
                said.join(", ")
            )));
        }
        if sock.get_ref().r#type()? == Type::STREAM {
            return Err(Error::value(format!("a datagram socket was expected, got {sock:?}")));
        }
        let family = sock.local_addr()?.as_sock_addr().domain();
        Ok(Connected { io: sock.into(), family, remote: None })
    }

    /// Returns every class of socket for which each given address was found, in the order of the
    /// look-up.
    async fn candidates(&mut self, site: WaitSite) -> Result<Vec<(Class, Ends)>> {
        let (local, remote) = (self.local.take(), self.remote.take());
        let wanted = (local.is_some(), remote.is_some());
        if wanted == (false, false) {
            let Some(family) = self.family else {
                let text = format!("{}: unexpected address family", site.what());
                return Err(Error::value(text));
            };
            return Ok(vec![(Class { family, protocol: self.protocol }, Ends::default())]);
        }
        let mut found: Vec<(Class, Ends)> = Vec::new();
        for (target, end) in [(local, End::Local), (remote, End::Remote)] {
            let Some(target) = target else { continue };
            let resolving = ensure_resolved(target).family(self.family).kind(Type::DGRAM);
            for info in resolving.protocol(self.protocol).flags(self.flags).at(site).await? {
                let class = Class { family: info.family, protocol: info.protocol };
                let place = found.iter().position(|(known, _)| *known == class);
                let place = place.unwrap_or_else(|| {
                    found.push((class, Ends::default()));
                    found.len() - 1
                });
                *end.of(&mut found[place].1) = Some(info.address);
            }
        }
        found.retain(|(_, ends)| (ends.local.is_some(), ends.remote.is_some()) == wanted);
        Ok(found)
    }

    fn socket(&self, class: Class, ends: Ends, site: WaitSite) -> Result<Connected> {
        let Class { family, protocol } = class;
        // As in asyncio, an empty path is not an address.
        let [local, remote] = [ends.local, ends.remote]
            .map(|end| end.filter(|address| !address.as_sock_addr().is_unnamed()));
        let failed = |address: &Address, error: io::Error| {
            described(format!("{}: {address}: {error}", site.what()), error)
        };
        let io: socket2::Socket =
            Socket::new(family, Type::DGRAM, protocol).map_err(in_call(site))?.into();
        if self.reuse_port {
            io.set_reuse_port(true).map_err(|error| {
                Error::value(format!("{}: reuse_port not supported: {error}", site.what()))
            })?;
        }
        if self.allow_broadcast {
            io.set_broadcast(true).map_err(|error| in_call(site)(error.into()))?;
        }
        if let Some(local) = &local {
            if let Some(path) = local.as_path() {
                remove_stale(path);
            }
            io.bind(local.as_sock_addr()).map_err(|error| failed(local, error))?;
        }
        if let Some(remote) = remote.as_ref().filter(|_| !self.allow_broadcast) {
            // Connecting a datagram socket does not wait.
            io.connect(remote.as_sock_addr()).map_err(|error| failed(remote, error))?;
        }
        Ok(Connected { io, family, remote })
    }
}

/// Returns the result of the first usable candidate. If there is none, returns the system's error for
/// the first candidate.
fn first_usable<C, T>(
    candidates: Vec<C>,
    mut attempt: impl FnMut(C) -> Result<T>,
) -> Option<Result<T>> {
    let mut first_error = None;
    for candidate in candidates {
        match attempt(candidate) {
            Err(Error::Io(error)) => first_error = first_error.or(Some(Err(Error::Io(error)))),
            outcome => return Some(outcome),
        }
    }
    first_error
}

#[derive(Clone, Copy, Debug)]
enum End {
    Local,
    Remote,
}

impl End {
    fn of(self, ends: &mut Ends) -> &mut Option<Address> {
        match self {
            End::Local => &mut ends.local,
            End::Remote => &mut ends.remote,
        }
    }
}

/// Removes the file that a socket has left behind.
fn remove_stale(path: &Path) {
    let removed = match path.metadata() {
        Ok(metadata) if metadata.file_type().is_socket() => std::fs::remove_file(path),
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = removed.or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    }) {
        let path = path.display();
        log(Level::Error, &format!("Unable to check or remove stale UNIX socket {path}: {error}"));
    }
}

/// Names the function in an error.
fn in_call(site: WaitSite) -> impl Fn(Error) -> Error {
    move |error| asyncio_sockets::in_call(site.what(), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_errors_the_first_is_raised() {
        let mut tried = Vec::new();
        let mut outcome = |candidates: Vec<i32>| {
            first_usable(candidates, |candidate| {
                tried.push(candidate);
                match candidate {
                    0 => Ok("usable"),
                    code @ 1.. => Err(io::Error::from_raw_os_error(code).into()),
                    _ => Err(Error::value("no candidate")),
                }
            })
        };
        let first = outcome(vec![13, 98]).unwrap().unwrap_err().downcast::<io::Error>().unwrap();
        assert_eq!(first.raw_os_error(), Some(13));
        assert_eq!(outcome(vec![98, 0, 13]).unwrap().unwrap(), "usable");
        assert_eq!(outcome(vec![98, -1, 0]).unwrap().unwrap_err().kind(), "ValueError");
        assert!(outcome(Vec::new()).is_none());
        assert_eq!(tried, [13, 98, 98, 0, 98, -1]);
    }
}
