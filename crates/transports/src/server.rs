//! [`Server`]: listens, and creates a protocol for each incoming connection.
//!
//! A server goes through these stages, each at most once; they are kept in [`life`].
//!
//! ```text
//!   bound ── start_serving() ──► serving ── close() ──► closed ── the last client is lost ──► over
//!     └─────────────── close() ──────────────────────────►┘
//! ```
//!
//! The [`Acceptor`], which lives in the loop, listens, accepts and counts.

use crate::trsock::TransportSocket;
use acceptor::Acceptor;
use asyncio_core::{
    AsyncContextManager, Error, LoopHandle, Result,
    raw::{LoopLocal, LoopRef},
    wait::{Resume, Wait},
    wait_site::WaitSite,
};
use asyncio_sockets::{Address, in_call};
use life::Life;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

mod acceptor;
mod binding;
mod create;
mod life;
#[cfg(test)]
mod tests;
mod unix;
mod waiting;

pub use acceptor::ACCEPT_RETRY_DELAY;
pub use create::{CreateServer, CreatingServer, create_server};
pub use unix::{CreateUnixServer, create_unix_server};
pub use waiting::{ServeForever, StartServing, WaitClosed};

/// A handle to a server (`asyncio.Server`), from [`create_server`] and [`create_unix_server`].
///
/// Clones are handles to the same server. Dropping them does not end the server; it ends when it or its loop is
/// closed. To serve for the duration of a block, use it as an asynchronous context manager, which closes the server
/// and waits until the last client is gone:
///
/// ```
/// use asyncio::AsyncContextManager;
/// use asyncio::{Protocol, Transport, create_server};
/// use asyncio::Bytes;
///
/// struct Discard;
/// impl Protocol for Discard {
///     fn data_received(&mut self, _: &Transport, _: Bytes) {}
/// }
///
/// asyncio::run(async {
///     let server = create_server(|| Discard, ("127.0.0.1", 0)).await?;
///     println!("serving on {}", server.local_addr());
///     server.with(async |server| {
///         assert!(server.is_serving());
///         Ok(())
///     }).await
/// })?;
/// # Ok::<(), asyncio::Error>(())
/// ```
///
/// A handle may be used on any thread. On a thread other than the loop's, calls are passed to the loop and take
/// effect soon.
#[doc(alias = "asyncio.Server")]
#[derive(Clone)]
#[doc(alias("AbstractServer", "asyncio.base_events.Server"))]
pub struct Server {
    local: LoopLocal<Acceptor>,
    shared: Arc<Shared>,
}

/// The data that the handles and the acceptor share.
struct Shared {
    addresses: Vec<Address>,
    life: Life,
}

impl Server {
    /// Stops listening immediately, and cancels [`serve_forever`](Server::serve_forever) (`close`).
    /// Existing connections stay open. A second call does nothing.
    pub fn close(&self) {
        self.local.send(Acceptor::close);
    }

    /// [Closes](crate::Transport::close) the connection of each client (`close_clients`). If the
    /// server is listening, it continues to do so.
    pub fn close_clients(&self) {
        self.local.send(|acceptor| acceptor.each_client(crate::Transport::close));
    }

    /// [Aborts](crate::Transport::abort) the connection of each client (`abort_clients`). If the
    /// server is listening, it continues to do so.
    pub fn abort_clients(&self) {
        self.local.send(|acceptor| acceptor.each_client(crate::Transport::abort));
    }

    /// Returns the current connections.
    #[cfg(all(test, feature = "tls"))]
    pub(crate) fn clients(&self) -> Vec<crate::Transport> {
        self.local.with(Acceptor::all_clients).unwrap_or_default()
    }

    /// Stops like [`close`](Server::close), but connections that wait to be accepted are served.
    #[doc(hidden)] // For the HTTP crate.
    pub fn close_behind_the_last(&self) {
        self.local.send(Acceptor::close_behind_the_last);
    }

    /// Returns whether the server accepts connections (`is_serving`).
    pub fn is_serving(&self) -> bool {
        self.shared.life.is_serving()
    }

    /// Returns the listening sockets (`sockets`): none once the server is closed, and none on other
    /// threads than the loop's.
    pub fn sockets(&self) -> Vec<TransportSocket> {
        self.local.with(Acceptor::sockets).unwrap_or_default()
    }

    /// Returns the address of the first socket, with the port that the system chose if it was zero.
    /// It is also available after the server was closed.
    #[doc(alias = "getsockname")]
    pub fn local_addr(&self) -> Address {
        self.shared.addresses.first().expect("a server has a socket").clone()
    }

    /// Returns the addresses of all sockets. They are also available after the server was closed.
    pub fn local_addrs(&self) -> &[Address] {
        &self.shared.addresses
    }

    /// Returns the loop of the server (`Server.get_loop`).
    #[doc(alias = "asyncio.Server.get_loop")]
    pub fn get_loop(&self) -> LoopHandle {
        self.home().into()
    }

    /// Returns the loop. For the sibling crates.
    #[doc(hidden)]
    pub fn home(&self) -> LoopRef {
        self.local.home()
    }

    /// Starts to accept connections, if that was deferred with
    /// [`start_serving(false)`](CreateServer::start_serving), and yields once (`start_serving`). It
    /// does nothing if the server is already serving.
    ///
    /// # Errors
    /// `Runtime` if the server is closed, or belongs to another thread; the system's error if a socket cannot listen
    /// (another one may listen at its address), in which case the server is closed.
    ///
    /// # Cancellation
    /// The server accepts connections.
    #[track_caller]
    pub fn start_serving(&self) -> StartServing {
        StartServing::new(self.clone(), WaitSite::here(&"Server.start_serving"))
    }

    /// Serves until it is cancelled or the server is closed (`serve_forever`): it never returns a
    /// value. It starts to accept if necessary.
    ///
    /// # Errors
    /// `Cancelled` when the server is closed; `Runtime` if it is already closed, or if another task is
    /// already waiting here; the errors of [`start_serving`](Server::start_serving).
    ///
    /// # Cancellation
    /// Closes the server, waits until the last client is gone, and returns `Err(Cancelled)`. Dropping
    /// the future does not affect the server.
    #[track_caller]
    pub fn serve_forever(&self) -> ServeForever {
        ServeForever::new(self.clone(), WaitSite::here(&"Server.serve_forever"))
    }

    /// Waits until the server is closed and the last client is gone (`wait_closed`), in either
    /// order. It works on any thread and under any executor.
    ///
    /// # Cancellation
    /// Nothing happens to the server.
    #[track_caller]
    pub fn wait_closed(&self) -> WaitClosed {
        WaitClosed::new(self.clone(), WaitSite::here(&"Server.wait_closed"))
    }

    /// Starts to accept connections; closes the server if that fails.
    fn start(&self, what: &str) -> Result<()> {
        match self.local.with(Acceptor::start) {
            Some(outcome) => outcome.inspect_err(|_| self.close()),
            None if self.shared.life.is_closed() => Err(Error::runtime("the server is closed")),
            None => Err(Error::runtime("the server belongs to another thread")),
        }
        .map_err(|error| in_call(what, error))
    }
}

/// `async with server`: closes it at the end, and waits until the last client is gone.
impl AsyncContextManager for Server {
    type Target = Server;

    async fn enter(&mut self) -> Result<Server> {
        Ok(self.clone())
    }

    async fn exit(&mut self, server: Server, _error: Option<&Error>) -> Result<()> {
        server.close();
        server.wait_closed().await
    }
}

/// Handles of the same server are equal.
impl Server {
    /// Checks that the server's loop runs while a task waits for it.
    ///
    /// # Errors
    /// `Runtime` if it does not run.
    fn check_awaited_here(&self, site: WaitSite) -> Result<()> {
        self.local.home().check_awaited_here(site.what())
    }
}

impl PartialEq for Server {
    fn eq(&self, other: &Server) -> bool {
        self.local == other.local
    }
}

impl Eq for Server {}

/// `<Server 127.0.0.1:8888 serving>`
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<Server")?;
        for address in self.local_addrs() {
            write!(f, " {address}")?;
        }
        write!(f, " {}>", self.shared.life.stage())
    }
}

/// Waits for one iteration of the loop.
#[derive(Debug, Default)]
struct Yield(Wait);

impl Yield {
    fn poll(&mut self, cx: &Context<'_>, site: WaitSite) -> Poll<Result<()>> {
        let Yield(wait) = self;
        if !wait.is_armed() {
            wait.arm_woken(cx, site);
            return Poll::Pending;
        }
        // A future that was moved to another task has waited long enough.
        let replace = |waiter: asyncio_core::wait::Waiter| _ = waiter.wake_now();
        match wait.poll(cx, site, || None, replace) {
            Resume::Pending => Poll::Pending,
            Resume::Woken => Poll::Ready(Ok(())),
            Resume::Cancelled { error, .. } => Poll::Ready(Err(error)),
        }
    }
}
