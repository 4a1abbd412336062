//! [`open_datagram_endpoint`]: datagrams without a protocol.

use asyncio_core::{Error, Result, wait_site::WaitSite};
use asyncio_locks::Event;
use asyncio_queues::{Fifo, Get, Queue};
use asyncio_sockets::{Address, Domain, Socket, ToAddress};
use asyncio_transports::{
    CreateDatagramEndpoint, CreateDatagramTransport, DatagramProtocol, DatagramTransport,
    ExtraInfo, PEERNAME, Recipient, SOCKNAME, create_datagram_endpoint,
};
use bytes::Bytes;
use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

/// The number of received datagrams that are kept until they are taken.
const LIMIT: usize = 256;

/// Opens a socket for datagrams that are awaited, without a protocol (asyncio has only
/// `create_datagram_endpoint`).
///
/// It needs a local address, a remote address, a family, or a socket: see the methods of the
/// [builder](OpenDatagramEndpoint).
///
/// # Errors
/// The errors of [`create_datagram_endpoint`](asyncio_transports::create_datagram_endpoint()); `Value` for a
/// limit of zero.
///
/// # Cancellation
/// The socket is closed.
///
/// ```
/// use asyncio::{create_task, open_datagram_endpoint};
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let server = open_datagram_endpoint().local_addr(("127.0.0.1", 0)).await?;
///     let address = server.local_addr();
///     let echo = create_task(async move {
///         while let Some(datagram) = server.next().await {
///             let (data, sender) = datagram?;
///             server.send_to(data, sender).await?;
///         }
///         Ok(())
///     });
///
///     let client = open_datagram_endpoint().remote_addr(address).await?;
///     client.send(b"hello").await?;
///     assert_eq!(client.recv_from().await?.0, "hello");
///     echo.cancel();
///     Ok(())
/// }
/// ```
#[track_caller]
#[doc(alias("udp", "datagram", "open_local_endpoint", "open_remote_endpoint"))]
pub fn open_datagram_endpoint() -> OpenDatagramEndpoint {
    let site = WaitSite::here(&"open_datagram_endpoint");
    let shared = Arc::new(Shared::with_limit(LIMIT));
    OpenDatagramEndpoint { create: create(&shared, site), shared, site }
}

type Factory = Box<dyn FnOnce() -> Arrivals + Send>;

fn create(shared: &Arc<Shared>, site: WaitSite) -> CreateDatagramEndpoint<Factory, Arrivals> {
    let arrivals = Arrivals(shared.clone());
    let factory: Factory = Box::new(move || arrivals);
    create_datagram_endpoint(factory).at(site)
}

/// The value that [`open_datagram_endpoint`] returns, with its keyword arguments. Awaiting it opens
/// the endpoint.
#[must_use = "nothing happens unless it is awaited"]
pub struct OpenDatagramEndpoint {
    create: CreateDatagramEndpoint<Factory, Arrivals>,
    shared: Arc<Shared>,
    site: WaitSite,
}

/// The other arguments are those of [`CreateDatagramEndpoint`].
impl OpenDatagramEndpoint {
    fn with(
        mut self,
        set: impl FnOnce(
            CreateDatagramEndpoint<Factory, Arrivals>,
        ) -> CreateDatagramEndpoint<Factory, Arrivals>,
    ) -> Self {
        self.create = set(self.create);
        self
    }

    /// Sets how many received datagrams are kept until they are taken; 256 by default. Datagrams beyond that are
    /// dropped, and [counted](DatagramEndpoint::dropped).
    pub fn limit(self, limit: usize) -> Self {
        self.shared.limit.store(limit as u64, Ordering::Relaxed);
        self
    }

    /// Sets the address to receive at.
    pub fn local_addr(self, address: impl ToAddress) -> Self {
        self.with(|create| create.local_addr(address))
    }

    /// Sets the only address to send to and to receive from. The endpoint is connected.
    pub fn remote_addr(self, address: impl ToAddress) -> Self {
        self.with(|create| create.remote_addr(address))
    }

    /// Allows only addresses of this family. Without an address, the socket has this family and no
    /// address.
    pub fn family(self, family: impl Into<Option<Domain>>) -> Self {
        self.with(|create| create.family(family))
    }

    /// Sets whether other sockets with this option may have the same address (`SO_REUSEPORT`).
    pub fn reuse_port(self, on: bool) -> Self {
        self.with(|create| create.reuse_port(on))
    }

    /// Sets whether broadcast addresses may be sent to (`SO_BROADCAST`).
    pub fn allow_broadcast(self, on: bool) -> Self {
        self.with(|create| create.allow_broadcast(on))
    }

    /// Sets an existing socket to use: see [`CreateDatagramEndpoint::sock`].
    pub fn sock(self, sock: Socket) -> Self {
        self.with(|create| create.sock(sock))
    }
}

impl IntoFuture for OpenDatagramEndpoint {
    type Output = Result<DatagramEndpoint>;
    type IntoFuture = OpeningDatagramEndpoint;

    fn into_future(self) -> OpeningDatagramEndpoint {
        OpeningDatagramEndpoint { create: self.create.transport(), shared: self.shared }
    }
}

impl fmt::Debug for OpenDatagramEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} {:?}>", self.site, self.create)
    }
}

/// The future of [`open_datagram_endpoint`]. It can be sent to another thread.
#[must_use = "futures do nothing unless they are awaited"]
pub struct OpeningDatagramEndpoint {
    create: CreateDatagramTransport<Factory, Arrivals>,
    shared: Arc<Shared>,
}

impl Future for OpeningDatagramEndpoint {
    type Output = Result<DatagramEndpoint>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let OpeningDatagramEndpoint { create, shared } = self.get_mut();
        if shared.limit.load(Ordering::Relaxed) == 0 {
            let text = "open_datagram_endpoint: the limit must be at least 1";
            return Poll::Ready(Err(Error::value(text)));
        }
        let transport = ready!(Pin::new(create).poll(cx))?;
        Poll::Ready(Ok(DatagramEndpoint { transport, shared: shared.clone() }))
    }
}

impl fmt::Debug for OpeningDatagramEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Opening {:?}>", self.create)
    }
}

/// The data that the endpoint and its protocol share.
pub(crate) struct Shared {
    /// Datagrams with their senders, and errors of the system, in the order of arrival. The queue is shut down
    /// when the endpoint is closed.
    pub(crate) arrived: Queue<Result<(Bytes, Address)>>,
    limit: AtomicU64,
    dropped: AtomicU64,
    /// Set while there is room in the send buffer, and when the endpoint is closed.
    pub(crate) room: Event,
    closed: Event,
}

impl Shared {
    fn with_limit(limit: usize) -> Shared {
        let room = Event::new();
        room.set();
        Shared {
            arrived: Queue::new(0),
            limit: AtomicU64::new(limit as u64),
            dropped: AtomicU64::new(0),
            room,
            closed: Event::new(),
        }
    }

    fn arrives(&self, item: Result<(Bytes, Address)>) {
        let is_full = self.arrived.qsize() as u64 >= self.limit.load(Ordering::Relaxed);
        if is_full || self.arrived.put_nowait(item).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The protocol of an endpoint.
struct Arrivals(Arc<Shared>);

impl DatagramProtocol for Arrivals {
    fn datagram_received(&mut self, _: &DatagramTransport, data: Bytes, addr: Address) {
        self.0.arrives(Ok((data, addr)));
    }

    fn error_received(&mut self, _: &DatagramTransport, error: Error) {
        self.0.arrives(Err(error));
    }

    fn pause_writing(&mut self, _: &DatagramTransport) {
        self.0.room.clear();
    }

    fn resume_writing(&mut self, _: &DatagramTransport) {
        self.0.room.set();
    }

    fn connection_lost(&mut self, _: &DatagramTransport, error: Option<Error>) {
        if let Some(error) = error {
            self.0.arrives(Err(error));
        }
        self.0.arrived.shutdown(false);
        self.0.room.set();
        self.0.closed.set();
    }
}

/// A socket for datagrams that are awaited: see [`open_datagram_endpoint`].
///
/// Several tasks may use it at the same time, through an `Rc` or a reference: each datagram goes to one of them.
/// Dropping it closes the socket. If datagrams arrive faster than they are taken, those above the
/// [`limit`](OpenDatagramEndpoint::limit) are dropped.
pub struct DatagramEndpoint {
    transport: DatagramTransport,
    pub(crate) shared: Arc<Shared>,
}

impl DatagramEndpoint {
    /// Waits for the next datagram, which may be empty, and returns it with its sender.
    ///
    /// # Errors
    /// The system's error; the endpoint stays open. Usually an earlier datagram found no receiver
    /// (`ConnectionRefused`), which is only reported to a connected endpoint. `Runtime` if the endpoint is closed
    /// and everything that had arrived was taken. `Cancelled`.
    ///
    /// # Cancellation
    /// No datagram was taken. Dropping the future does the same.
    #[track_caller]
    pub fn recv_from(&self) -> RecvFrom<'_> {
        let site = WaitSite::here(&"DatagramEndpoint.recv_from");
        RecvFrom(self.shared.arrived.get_at(site))
    }

    /// Waits for the next datagram, and returns it with its sender; `None` when the endpoint is closed and everything
    /// that had arrived was taken (`async for`).
    ///
    /// # Errors
    /// As for [`recv_from`](DatagramEndpoint::recv_from), as an item. The iteration continues after a system error.
    ///
    /// # Cancellation
    /// No datagram was taken. Dropping the future does the same.
    #[track_caller]
    #[doc(alias("async for", "__anext__"))]
    pub fn next(&self) -> NextDatagram<'_> {
        NextDatagram(self.shared.arrived.get_at(WaitSite::here(&"DatagramEndpoint.next")))
    }

    /// Sends `data` as one datagram to `addr`, as soon as there is room in the send buffer. It does not suspend
    /// if there is room.
    ///
    /// On a thread other than the loop's, the datagram is first passed to the loop. It then neither waits for room
    /// nor returns a system error.
    ///
    /// # Errors
    /// `Value` for an address that cannot be sent to: a host name (use `getaddrinfo`), or any address except the
    /// remote one if the endpoint is connected. The system's error, for example that the datagram is too long.
    /// `Runtime` if the endpoint is closed. `Cancelled`.
    ///
    /// # Cancellation
    /// Nothing was sent. Dropping the future does the same.
    ///
    /// ```
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let endpoint = asyncio::open_datagram_endpoint().local_addr(("127.0.0.1", 0)).await?;
    ///     endpoint.send_to("to myself", endpoint.local_addr()).await?;
    ///     let (data, sender) = endpoint.recv_from().await?;
    ///     assert_eq!((&*data, sender), (&b"to myself"[..], endpoint.local_addr()));
    ///     Ok(())
    /// }
    /// ```
    #[track_caller]
    #[doc(alias = "sendto")]
    pub fn send_to<'a>(
        &'a self,
        data: impl AsRef<[u8]> + 'a,
        addr: impl Recipient + 'a,
    ) -> impl Future<Output = Result<()>> + 'a {
        self.send_at(data, addr, WaitSite::here(&"DatagramEndpoint.send_to"))
    }

    /// Sends `data` as one datagram to the remote address of a connected endpoint: see
    /// [`send_to`](DatagramEndpoint::send_to).
    ///
    /// # Errors
    /// As for [`send_to`](DatagramEndpoint::send_to); `Value` if the endpoint is not connected.
    ///
    /// # Cancellation
    /// Nothing was sent. Dropping the future does the same.
    #[track_caller]
    pub fn send<'a>(
        &'a self,
        data: impl AsRef<[u8]> + 'a,
    ) -> impl Future<Output = Result<()>> + 'a {
        self.send_at(data, None, WaitSite::here(&"DatagramEndpoint.send"))
    }

    async fn send_at(
        &self,
        data: impl AsRef<[u8]>,
        addr: impl Recipient,
        site: WaitSite,
    ) -> Result<()> {
        self.shared.room.wait_at(site).await?;
        if self.is_closing() {
            return Err(Error::runtime(format!("{}: the endpoint is closed", site.what())));
        }
        let sent = self.transport.try_sendto(data, addr);
        sent.map_err(|error| asyncio_sockets::in_call(site.what(), error))
    }

    /// Returns how many datagrams and errors were dropped because the
    /// [`limit`](OpenDatagramEndpoint::limit) was reached. Datagrams that the system dropped are not
    /// counted.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Returns the address to receive at, with the port that the system chose if it was zero.
    #[doc(alias = "getsockname")]
    pub fn local_addr(&self) -> Address {
        self.get_extra_info(SOCKNAME).expect("a socket has a name, even if it is empty")
    }

    /// Returns the remote address, if the endpoint is connected.
    #[doc(alias = "getpeername")]
    pub fn peer_addr(&self) -> Option<Address> {
        self.get_extra_info(PEERNAME)
    }

    /// Returns information about the endpoint: see [`DatagramTransport::get_extra_info`].
    pub fn get_extra_info<T>(&self, what: ExtraInfo<T>) -> Option<T> {
        self.transport.get_extra_info(what)
    }

    /// Closes the endpoint: nothing more is received, buffered datagrams are sent, and
    /// [`next`](DatagramEndpoint::next) ends after the datagrams that had arrived.
    pub fn close(&self) {
        self.transport.close();
    }

    /// Returns whether [`close`](DatagramEndpoint::close) was called, or the endpoint is lost.
    pub fn is_closing(&self) -> bool {
        self.transport.is_closing()
    }

    /// Waits until the endpoint is closed and buffered datagrams are sent.
    ///
    /// # Errors
    /// Only `Cancelled`.
    ///
    /// # Cancellation
    /// Leaves nothing behind. The endpoint continues to close.
    #[track_caller]
    pub fn wait_closed(&self) -> impl Future<Output = Result<()>> + '_ {
        self.shared.closed.wait_at(WaitSite::here(&"DatagramEndpoint.wait_closed"))
    }
}

impl Drop for DatagramEndpoint {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for DatagramEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<DatagramEndpoint {:?}>", self.transport)
    }
}

type GetArrived<'a> = Get<'a, Fifo<Result<(Bytes, Address)>>>;

/// The future of [`DatagramEndpoint::recv_from`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct RecvFrom<'a>(GetArrived<'a>);

impl asyncio_core::wait::Leaf for RecvFrom<'_> {}

impl Future for RecvFrom<'_> {
    type Output = Result<(Bytes, Address)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(Pin::new(&mut self.0).poll(cx)) {
            Ok(item) => item,
            Err(Error::QueueShutDown(_)) => {
                Err(Error::runtime("DatagramEndpoint.recv_from: the endpoint is closed"))
            }
            Err(error) => Err(error),
        })
    }
}

/// The future of [`DatagramEndpoint::next`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct NextDatagram<'a>(GetArrived<'a>);

impl asyncio_core::wait::Leaf for NextDatagram<'_> {}

impl Future for NextDatagram<'_> {
    type Output = Option<Result<(Bytes, Address)>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(Pin::new(&mut self.0).poll(cx)) {
            Err(Error::QueueShutDown(_)) => None,
            item => Some(item.and_then(|item| item)),
        })
    }
}
