//! Outgoing connections: [`open_connection`] and [`open_unix_connection`].

use crate::{
    protocol::StreamReaderProtocol,
    reader::{DEFAULT_LIMIT, StreamReader},
    state::{Shared, State},
    writer::StreamWriter,
};
use asyncio_core::{
    Result,
    limit::ToTimeout,
    raw::sync::{Arc, Mutex},
    wait_site::WaitSite,
};
use asyncio_sockets::{Domain, Protocol, ToAddress, ToEndpoint};
use asyncio_transports::{
    ConnectingTransport, CreateConnection, Plain, create_connection, create_unix_connection_at,
};
use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    task::{Context, Poll, ready},
};

type Factory = Box<dyn FnOnce() -> StreamReaderProtocol + Send>;
type Create = CreateConnection<Factory, StreamReaderProtocol, Plain>;
type Connecting = ConnectingTransport<Factory, StreamReaderProtocol, Plain>;

/// Connects to a server over TCP (`asyncio.open_connection`), and returns the two halves of the
/// connection.
///
/// `endpoint` is an address, such as `("example.org", 80)`, or a connected socket. The keyword
/// arguments are those of [`create_connection`](asyncio_transports::create_connection()), and
/// [`limit`](OpenConnection::limit).
///
/// ```
/// use asyncio::{StreamReader, StreamWriter, open_connection, start_server};
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let echo = async |mut reader: StreamReader, writer: StreamWriter| {
///         writer.write(&reader.readline().await?);
///         writer.drain().await
///     };
///     let server = start_server(echo, ("127.0.0.1", 0)).await?;
///
///     let (mut reader, writer) = open_connection(server.local_addr()).limit(1000).await?;
///     writer.write(b"hello\n");
///     writer.drain().await?;
///     assert_eq!(reader.readline().await?, "hello\n");
///     writer.close();
///     writer.wait_closed().await
/// }
/// ```
///
/// # Errors
/// The errors of [`create_connection`](asyncio_transports::create_connection()); `Value` for a limit of
/// zero.
///
/// # Cancellation
/// Sockets that were opened are closed.
#[doc(alias = "asyncio.open_connection")]
#[track_caller]
pub fn open_connection(endpoint: impl ToEndpoint) -> OpenConnection {
    let site = WaitSite::here(&"open_connection");
    let halves = Halves::new(site);
    let create = create_connection(halves.factory(), endpoint).at(site);
    OpenConnection { create, halves }
}

/// The value that [`open_connection`] returns, with its keyword arguments. Awaiting it connects.
#[must_use = "nothing happens unless it is awaited"]
pub struct OpenConnection {
    pub(crate) create: Create,
    halves: Halves,
}

impl OpenConnection {
    /// Sets the longest line, 64 KiB by default. Twice as much is buffered before the other side has
    /// to wait.
    pub fn limit(mut self, limit: usize) -> Self {
        self.halves.limit = limit;
        self
    }

    /// Allows only addresses of this family.
    pub fn family(mut self, family: impl Into<Option<Domain>>) -> Self {
        self.create = self.create.family(family);
        self
    }

    /// Sets the protocol of the socket (Python's `proto`).
    pub fn protocol(mut self, protocol: impl Into<Option<Protocol>>) -> Self {
        self.create = self.create.protocol(protocol);
        self
    }

    /// Sets the flags for the look-up of the name.
    pub fn flags(mut self, flags: i32) -> Self {
        self.create = self.create.flags(flags);
        self
    }

    /// Sets the address to connect from.
    pub fn local_addr(mut self, address: impl ToAddress) -> Self {
        self.create = self.create.local_addr(address);
        self
    }

    /// Same as [`CreateConnection::happy_eyeballs_delay`].
    pub fn happy_eyeballs_delay(mut self, delay: impl ToTimeout) -> Self {
        self.create = self.create.happy_eyeballs_delay(delay);
        self
    }

    /// Same as [`CreateConnection::interleave`].
    pub fn interleave(mut self, count: usize) -> Self {
        self.create = self.create.interleave(count);
        self
    }

    /// Sets whether the error is a `Group` of the errors of all attempts, if no address answers.
    pub fn all_errors(mut self, all: bool) -> Self {
        self.create = self.create.all_errors(all);
        self
    }
}

impl IntoFuture for OpenConnection {
    type Output = Result<(StreamReader, StreamWriter)>;
    type IntoFuture = Opening;

    fn into_future(self) -> Opening {
        let halves = self.halves.check();
        Opening { connecting: self.create.transport(), halves }
    }
}

impl fmt::Debug for OpenConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} {:?}>", self.halves.site, self.create)
    }
}

/// Connects to a Unix socket (`asyncio.open_unix_connection`), and returns the two halves of the
/// connection.
///
/// `endpoint` is the path, or a connected socket.
///
/// ```
/// use asyncio::{StreamWriter, open_unix_connection, start_unix_server};
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let path = std::env::temp_dir().join(format!("open-unix-{}.socket", std::process::id()));
///     let greet = async |_, writer: StreamWriter| Ok(writer.write(b"welcome\n"));
///     let server = start_unix_server(greet, &path).await?;
///     let (mut reader, _writer) = open_unix_connection(&path).await?;
///     assert_eq!(reader.readline().await?, "welcome\n");
///     server.close();
///     Ok(())
/// }
/// ```
///
/// # Errors
/// The errors of [`create_unix_connection`](asyncio_transports::create_unix_connection()); `Value` for a
/// limit of zero.
///
/// # Cancellation
/// Sockets that were opened are closed.
#[doc(alias = "asyncio.open_unix_connection")]
#[track_caller]
pub fn open_unix_connection(endpoint: impl ToEndpoint) -> OpenUnixConnection {
    let site = WaitSite::here(&"open_unix_connection");
    let halves = Halves::new(site);
    let connecting = create_unix_connection_at(halves.factory(), endpoint, site).transport();
    OpenUnixConnection { connecting, halves }
}

/// The value that [`open_unix_connection`] returns, with its keyword arguments. Awaiting it
/// connects.
#[must_use = "nothing happens unless it is awaited"]
pub struct OpenUnixConnection {
    pub(crate) connecting: Connecting,
    halves: Halves,
}

impl OpenUnixConnection {
    /// Same as [`OpenConnection::limit`].
    pub fn limit(mut self, limit: usize) -> Self {
        self.halves.limit = limit;
        self
    }
}

impl IntoFuture for OpenUnixConnection {
    type Output = Result<(StreamReader, StreamWriter)>;
    type IntoFuture = Opening;

    fn into_future(self) -> Opening {
        let halves = self.halves.check();
        Opening { connecting: self.connecting, halves }
    }
}

impl fmt::Debug for OpenUnixConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} {:?}>", self.halves.site, self.connecting)
    }
}

/// The future of [`open_connection`] and [`open_unix_connection`]. It can be sent to another thread.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Opening {
    connecting: Connecting,
    halves: Result<Halves>,
}

impl Future for Opening {
    type Output = Result<(StreamReader, StreamWriter)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Opening { connecting, halves } = &mut *self;
        let halves = halves.as_ref().map_err(Clone::clone)?;
        let transport = ready!(Pin::new(connecting).poll(cx))?;
        let (shared, made_at) = (&halves.shared, halves.site.location());
        let reader = StreamReader::of(shared.clone(), made_at);
        Poll::Ready(Ok((reader, StreamWriter::of(transport, shared.clone(), made_at))))
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Opening {:?}>", self.connecting)
    }
}

/// The state that becomes the two halves. It is not a reader yet, because dropping a reader would
/// be reported.
struct Halves {
    shared: Shared,
    limit: usize,
    site: WaitSite,
}

impl Halves {
    fn new(site: WaitSite) -> Halves {
        let shared = Arc::new(Mutex::new(State::with_limit(DEFAULT_LIMIT)));
        Halves { shared, limit: DEFAULT_LIMIT, site }
    }

    fn factory(&self) -> Factory {
        let shared = self.shared.clone();
        Box::new(move || StreamReaderProtocol::of(shared))
    }

    /// # Errors
    /// `Value` for a limit of zero.
    fn check(self) -> Result<Halves> {
        self.shared.lock().limit = State::check_limit(self.limit)?;
        Ok(self)
    }
}
