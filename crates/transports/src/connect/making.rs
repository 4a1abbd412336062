//! From a connected socket to a transport: [`Connecting`].

use crate::{
    connection::Kind,
    extra_info::Names,
    protocols::IntoProtocol,
    slot::Calls,
    ssl::{Arguments, Plan},
    starting::{Side, Starting, is_over, needs_a_loop},
    transport::Transport,
};
use asyncio_core::{Error, Result, wait_site::WaitSite};
use asyncio_sockets::{Address, Socket, in_call};
use std::{
    cell::RefCell,
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// The future that makes a connection: of [`create_connection`](crate::create_connection()),
/// [`create_unix_connection`](crate::create_unix_connection()) and
/// [`connect_accepted_socket`](crate::connect_accepted_socket()).
#[must_use = "futures do nothing unless they are awaited"]
pub struct Connecting<F, P, Kind> {
    factory: Option<F>,
    protocol: Option<Rc<RefCell<P>>>,
    making: Making,
    kind: PhantomData<fn() -> Kind>,
}

impl<F, P, Kind> Connecting<F, P, Kind> {
    pub(super) fn new(
        factory: F,
        site: WaitSite,
        (side, ssl): (Side, Arguments),
        socket: impl Future<Output = Result<Socket>> + Send + 'static,
    ) -> Connecting<F, P, Kind> {
        let stage = Stage::New(Some(Box::pin(socket)));
        let making = Making { stage, site, side, ssl };
        Connecting { factory: Some(factory), protocol: None, making, kind: PhantomData }
    }

    /// Returns the arguments of TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn ssl_arguments(&mut self) -> &mut Arguments {
        &mut self.making.ssl
    }

    /// Returns the transport without the protocol. This future can be sent to another thread if the
    /// factory can.
    pub fn transport(self) -> ConnectingTransport<F, P, Kind> {
        let Connecting { factory, making, .. } = self;
        ConnectingTransport { factory, making, kind: PhantomData }
    }
}

impl<F, P, Kind> Unpin for Connecting<F, P, Kind> {}

impl<F, P, Kind> Future for Connecting<F, P, Kind>
where
    F: FnOnce() -> P,
    P: IntoProtocol<Kind>,
{
    type Output = Result<(Transport, Rc<RefCell<P>>)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Connecting { factory, protocol, making, .. } = self.get_mut();
        let transport = ready!(making.poll(cx, || {
            let made = Rc::new(RefCell::new(factory.take()?()));
            Some(P::into_calls(protocol.insert(made).clone()))
        }))?;
        let protocol = protocol.take().ok_or_else(|| making.is_over())?;
        Poll::Ready(Ok((transport, protocol)))
    }
}

impl<F, P, Kind> fmt::Debug for Connecting<F, P, Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Connecting {:?}>", self.making)
    }
}

/// The future of [`Connecting::transport`] and
/// [`CreateConnection::transport`](crate::CreateConnection::transport).
#[must_use = "futures do nothing unless they are awaited"]
pub struct ConnectingTransport<F, P, Kind> {
    factory: Option<F>,
    making: Making,
    kind: PhantomData<fn() -> (P, Kind)>,
}

impl<F, P, Kind> ConnectingTransport<F, P, Kind> {
    /// Returns the arguments of TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn ssl_arguments(&mut self) -> &mut Arguments {
        &mut self.making.ssl
    }
}

impl<F, P, Kind> Unpin for ConnectingTransport<F, P, Kind> {}

impl<F, P, Kind> Future for ConnectingTransport<F, P, Kind>
where
    F: FnOnce() -> P,
    P: IntoProtocol<Kind>,
{
    type Output = Result<Transport>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Transport>> {
        let ConnectingTransport { factory, making, .. } = self.get_mut();
        making.poll(cx, || {
            let protocol = factory.take()?();
            Some(P::into_calls(Rc::new(RefCell::new(protocol))))
        })
    }
}

impl<F, P, Kind> fmt::Debug for ConnectingTransport<F, P, Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<ConnectingTransport {:?}>", self.making)
    }
}

/// The state before there is a transport. If it is dropped, nothing stays open.
struct Making {
    stage: Stage,
    site: WaitSite,
    side: Side,
    ssl: Arguments,
}

/// The future of the socket.
type Connected = Pin<Box<dyn Future<Output = Result<Socket>> + Send>>;

enum Stage {
    /// Not polled yet: the arguments are not checked.
    New(Option<Connected>),
    Connecting(Connected, Plan),
    Starting(Starting),
    Over,
}

impl Making {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        protocol: impl FnOnce() -> Option<Calls>,
    ) -> Poll<Result<Transport>> {
        if let Stage::New(socket) = &mut self.stage {
            let socket = socket.take();
            self.stage = Stage::Over;
            let plan = self.ssl.plan(&self.side);
            let plan = plan.map_err(|error| in_call(self.site.what(), error))?;
            self.stage = socket.map_or(Stage::Over, |socket| Stage::Connecting(socket, plan));
        }
        if let Stage::Connecting(connecting, plan) = &mut self.stage {
            let socket = match needs_a_loop(self.site) {
                Ok(()) => ready!(connecting.as_mut().poll(cx)),
                Err(error) => Err(error),
            };
            let plan = plan.clone();
            self.stage = Stage::Over;
            let socket = socket?;
            let protocol = protocol().ok_or_else(|| self.is_over())?;
            self.stage = self.start(socket, protocol, &plan)?;
        }
        let Stage::Starting(starting) = &mut self.stage else {
            return Poll::Ready(Err(self.is_over()));
        };
        let transport = ready!(starting.poll(cx))?;
        self.stage = Stage::Over;
        Poll::Ready(Ok(transport))
    }

    fn start(&self, socket: Socket, protocol: Calls, plan: &Plan) -> Result<Stage> {
        let transport =
            open(socket, protocol, plan).map_err(|error| in_call(self.site.what(), error))?;
        Ok(Stage::Starting(Starting::begin(transport, self.site)))
    }

    fn is_over(&self) -> Error {
        is_over(self.site)
    }
}

impl fmt::Debug for Making {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::New(_) | Stage::Connecting(..) => "connecting",
            Stage::Starting(_) => "starting",
            Stage::Over => "over",
        };
        write!(f, "{} {stage}", self.site.what())
    }
}

/// Creates a transport over a connected stream socket, which is not started yet.
///
/// # Errors
/// `Runtime` if no loop runs, or if it is being closed; the errors of the arguments of TLS.
fn open(socket: Socket, protocol: Calls, plan: &Plan) -> Result<Transport> {
    let kind = Kind::Socket { is_tcp: socket.is_tcp() };
    let io = socket2::Socket::from(socket);
    let sock = io.local_addr().ok().map(Address::from);
    let peer = io.peer_addr().ok().map(Address::from);
    if sock.as_ref().is_some_and(|address| address.as_inet().is_some()) {
        // A socket that is not TCP does not have the option, and a connection that was reset may
        // refuse it.
        let _ = io.set_tcp_nodelay(true);
    }
    let names = Names { sock: sock.into(), peer: peer.into() };
    plan.open(io, kind, names, protocol)
}
