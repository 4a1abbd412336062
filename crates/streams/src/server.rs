//! Incoming connections: [`start_server`] and [`start_unix_server`].

use crate::{
    protocol::StreamReaderProtocol,
    reader::{DEFAULT_LIMIT, StreamReader},
    state::State,
    writer::StreamWriter,
};
use asyncio_core::{
    Error, Result,
    exception::ExceptionContext,
    raw::sync::{Arc, Mutex},
    wait_site::WaitSite,
};
use asyncio_sockets::{Domain, ToEndpoint};
use asyncio_task::Task;
use asyncio_transports::{
    CreateServer, CreateUnixServer, CreatingServer, Plain, Server, Transport, create_server,
    create_unix_server,
};
use std::{
    cell::Cell,
    fmt,
    future::{Future, IntoFuture},
    panic::Location,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

type Factory = Box<dyn FnMut() -> StreamReaderProtocol>;
type Create = CreateServer<Factory, StreamReaderProtocol, Plain>;
type CreateUnix = CreateUnixServer<Factory, StreamReaderProtocol, Plain>;
type Creating = CreatingServer<Factory, StreamReaderProtocol, Plain>;

/// Serves over TCP (`asyncio.start_server`): a task runs `client` for each incoming connection,
/// with its two halves.
///
/// `client` is an `async fn` or an async closure. An error that it returns goes to the loop's exception
/// handler, and the connection is closed. If its task is cancelled, the connection is closed silently. When it
/// returns, the halves are dropped unless it moved them elsewhere, which closes the connection after the buffered
/// data was sent. For a plain function instead, see
/// [`StreamReaderProtocol::with_callback`].
///
/// `endpoint` is an address to listen at, or a socket. The keyword arguments are those of
/// [`create_server`](asyncio_transports::create_server()), and [`limit`](StartServer::limit). If
/// the returned [`Server`] is dropped, it continues to serve.
///
/// ```
/// use asyncio::{StreamReader, StreamWriter, open_connection, start_server};
///
/// async fn echo(mut reader: StreamReader, writer: StreamWriter) -> asyncio::Result<()> {
///     loop {
///         let data = reader.read(1000).await?;
///         if data.is_empty() {
///             return Ok(());
///         }
///         writer.write(&data);
///         writer.drain().await?;
///     }
/// }
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let server = start_server(echo, ("127.0.0.1", 0)).backlog(1000).await?;
///     let (mut reader, writer) = open_connection(server.local_addr()).await?;
///     writer.write(b"hello");
///     writer.write_eof();
///     assert_eq!(reader.read_to_end().await?, "hello");
///     server.close();
///     Ok(())
/// }
/// ```
///
/// # Errors
/// The errors of [`create_server`](asyncio_transports::create_server()); `Value` for a limit of
/// zero.
///
/// # Cancellation
/// Sockets that were opened are closed.
#[doc(alias = "asyncio.start_server")]
#[track_caller]
pub fn start_server<H, T>(client: H, endpoint: impl ToEndpoint) -> StartServer
where
    H: AsyncFn(StreamReader, StreamWriter) -> Result<T> + 'static,
    T: 'static,
{
    let site = WaitSite::here(&"start_server");
    let limit = Limit::default();
    let factory = factory(client, limit.clone(), site.location());
    StartServer { create: create_server(factory, endpoint).at(site), limit }
}

/// The value that [`start_server`] returns, with its keyword arguments. Awaiting it creates the
/// server.
#[must_use = "nothing happens unless it is awaited"]
pub struct StartServer {
    pub(crate) create: Create,
    limit: Limit,
}

impl StartServer {
    /// Sets the longest line, 64 KiB by default. Twice as much is buffered before a client has to
    /// wait.
    pub fn limit(self, limit: usize) -> Self {
        self.limit.0.set(limit);
        self
    }

    /// Adds another address or socket to listen at.
    pub fn also_at(mut self, endpoint: impl ToEndpoint) -> Self {
        self.create = self.create.also_at(endpoint);
        self
    }

    /// Sets the family of the addresses to listen at. The default is both.
    pub fn family(mut self, family: Domain) -> Self {
        self.create = self.create.family(family);
        self
    }

    /// Same as [`CreateServer::flags`].
    pub fn flags(mut self, flags: i32) -> Self {
        self.create = self.create.flags(flags);
        self
    }

    /// Sets how many connections may wait to be accepted; 100 by default.
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.create = self.create.backlog(backlog);
        self
    }

    /// Same as [`CreateServer::max_connections`].
    ///
    /// ```
    /// # #[asyncio::main]
    /// # async fn main() -> asyncio::Result<()> {
    /// let hello = async |_, writer: asyncio::StreamWriter| Ok(writer.write("hello\n"));
    /// let server = asyncio::start_server(hello, ("127.0.0.1", 0)).max_connections(1000).await?;
    /// # server.close();
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_connections(mut self, max_connections: usize) -> Self {
        self.create = self.create.max_connections(max_connections);
        self
    }

    /// Same as [`CreateServer::reuse_address`]; true by default.
    pub fn reuse_address(mut self, on: bool) -> Self {
        self.create = self.create.reuse_address(on);
        self
    }

    /// Same as [`CreateServer::reuse_port`].
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.create = self.create.reuse_port(on);
        self
    }

    /// Same as [`CreateServer::keep_alive`].
    pub fn keep_alive(mut self, on: bool) -> Self {
        self.create = self.create.keep_alive(on);
        self
    }

    /// Sets whether the server accepts connections immediately, which is the default.
    pub fn start_serving(mut self, on: bool) -> Self {
        self.create = self.create.start_serving(on);
        self
    }
}

impl IntoFuture for StartServer {
    type Output = Result<Server>;
    type IntoFuture = Starting;

    fn into_future(self) -> Starting {
        Starting { creating: self.create.into_future(), limit: self.limit }
    }
}

impl fmt::Debug for StartServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<start_server {:?}>", self.create)
    }
}

/// Serves on a Unix socket (`asyncio.start_unix_server`): a task runs `client` for each incoming
/// connection, with its two halves. Otherwise it works like [`start_server`].
///
/// `endpoint` is the path, or a socket. The keyword arguments are those of
/// [`create_unix_server`](asyncio_transports::create_unix_server()), and
/// [`limit`](StartUnixServer::limit).
///
/// ```
/// use asyncio::{StreamReader, StreamWriter, open_unix_connection, start_unix_server};
///
/// async fn shout(mut reader: StreamReader, writer: StreamWriter) -> asyncio::Result<()> {
///     writer.write(&reader.readline().await?.to_ascii_uppercase());
///     writer.drain().await
/// }
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let path = std::env::temp_dir().join(format!("start-unix-{}.socket", std::process::id()));
///     let server = start_unix_server(shout, &path).limit(1000).await?;
///     let (mut reader, writer) = open_unix_connection(&path).await?;
///     writer.write(b"hello\n");
///     assert_eq!(reader.readline().await?, "HELLO\n");
///     server.close();
///     assert!(!path.exists());
///     Ok(())
/// }
/// ```
///
/// # Errors
/// The errors of [`create_unix_server`](asyncio_transports::create_unix_server()); `Value` for a limit of
/// zero.
///
/// # Cancellation
/// Sockets that were opened are closed.
#[doc(alias = "asyncio.start_unix_server")]
#[track_caller]
pub fn start_unix_server<H, T>(client: H, endpoint: impl ToEndpoint) -> StartUnixServer
where
    H: AsyncFn(StreamReader, StreamWriter) -> Result<T> + 'static,
    T: 'static,
{
    let site = WaitSite::here(&"start_unix_server");
    let limit = Limit::default();
    let factory = factory(client, limit.clone(), site.location());
    StartUnixServer { create: create_unix_server(factory, endpoint).at(site), limit }
}

/// The value that [`start_unix_server`] returns, with its keyword arguments. Awaiting it creates
/// the server.
#[must_use = "nothing happens unless it is awaited"]
pub struct StartUnixServer {
    pub(crate) create: CreateUnix,
    limit: Limit,
}

impl StartUnixServer {
    /// Same as [`StartServer::limit`].
    pub fn limit(self, limit: usize) -> Self {
        self.limit.0.set(limit);
        self
    }

    /// Same as [`StartServer::backlog`].
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.create = self.create.backlog(backlog);
        self
    }

    /// Same as [`CreateServer::max_connections`].
    pub fn max_connections(mut self, max_connections: usize) -> Self {
        self.create = self.create.max_connections(max_connections);
        self
    }

    /// Same as [`StartServer::start_serving`].
    pub fn start_serving(mut self, on: bool) -> Self {
        self.create = self.create.start_serving(on);
        self
    }

    /// Sets whether the path is removed when the server is closed. The default is true for a path, and
    /// false for a socket.
    pub fn cleanup_socket(mut self, on: bool) -> Self {
        self.create = self.create.cleanup_socket(on);
        self
    }
}

impl IntoFuture for StartUnixServer {
    type Output = Result<Server>;
    type IntoFuture = Starting;

    fn into_future(self) -> Starting {
        Starting { creating: self.create.into_future(), limit: self.limit }
    }
}

impl fmt::Debug for StartUnixServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<start_unix_server {:?}>", self.create)
    }
}

/// The future of [`start_server`] and [`start_unix_server`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Starting {
    creating: Creating,
    limit: Limit,
}

impl Future for Starting {
    type Output = Result<Server>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Server>> {
        State::check_limit(self.limit.0.get())?;
        Pin::new(&mut self.creating).poll(cx)
    }
}

impl fmt::Debug for Starting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Starting {:?}>", self.creating)
    }
}

/// The limit of the factory, which is set when the server has been created.
#[derive(Clone)]
struct Limit(Rc<Cell<usize>>);

impl Default for Limit {
    fn default() -> Limit {
        Limit(Rc::new(Cell::new(DEFAULT_LIMIT)))
    }
}

/// Returns the factory of protocols whose connections `client` serves.
fn factory<H, T>(client: H, limit: Limit, made_at: &'static Location<'static>) -> Factory
where
    H: AsyncFn(StreamReader, StreamWriter) -> Result<T> + 'static,
    T: 'static,
{
    let client = Rc::new(client);
    Box::new(move || {
        let client = client.clone();
        let shared = Arc::new(Mutex::new(State::with_limit(limit.0.get())));
        let reader = StreamReader::of(shared, made_at);
        StreamReaderProtocol::with_callback(reader, move |reader, writer| {
            serve(client, reader, writer, made_at);
        })
    })
}

/// Runs `client` in its own task.
fn serve<H, T>(
    client: Rc<H>,
    reader: StreamReader,
    writer: StreamWriter,
    made_at: &'static Location<'static>,
) where
    H: AsyncFn(StreamReader, StreamWriter) -> Result<T> + 'static,
    T: 'static,
{
    let (transport, shared) = (writer.transport().clone(), reader.shared().clone());
    let task =
        Task::builder().location(made_at).create(async move { client(reader, writer).await });
    // It fails if the loop is closed; then there is nothing left to do.
    let _ = task.add_done_callback(move |task| {
        // It may be another one, if the connection was upgraded meanwhile.
        let transport = shared.lock().transport.clone().unwrap_or(transport);
        served(task.exception(), &transport);
    });
}

fn served(outcome: Result<Option<Error>>, transport: &Transport) {
    match outcome {
        Ok(None) => return,
        Ok(Some(error)) => ExceptionContext::new("Unhandled exception in client_connected_cb")
            .with_exception(error)
            .with_note("transport", format_args!("{transport:?}"))
            .report(None),
        Err(_cancelled) => {}
    }
    transport.close();
}
