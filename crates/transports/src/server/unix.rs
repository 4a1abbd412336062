//! [`create_unix_server`].

use super::{
    Server,
    binding::Bound,
    create::{CreatingServer, Serving},
};
use crate::protocols::IntoProtocol;
use asyncio_core::{
    Error, Result,
    log::{Level, log},
    wait_site::WaitSite,
};
use asyncio_sockets::{
    Address, Domain, Endpoint, Socket, ToEndpoint, Type, described, ensure_resolved, in_call,
};
use std::{
    fmt, fs,
    future::IntoFuture,
    io,
    marker::PhantomData,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

/// Creates a server for Unix sockets (`loop.create_unix_server`): `factory` is called for the
/// protocol of each incoming connection.
///
/// `endpoint` is a path, or a socket with a path. A socket that exists at the path is assumed to be
/// left behind, and is removed, even if another process listens there; any other file there is an
/// error. A path that begins with a null byte is a name of Linux's abstract namespace.
///
/// When the server or its loop is closed, the path is removed, unless another file has replaced it
/// meanwhile. The path of a socket that was passed in is kept, unless
/// [`cleanup_socket(true)`](CreateUnixServer::cleanup_socket) is set.
///
/// ```
/// use asyncio::{Protocol, Transport, create_unix_server};
/// use asyncio::Bytes;
///
/// struct Discard;
/// impl Protocol for Discard {
///     fn data_received(&mut self, _: &Transport, _: Bytes) {}
/// }
///
/// asyncio::run(async {
///     let path = std::env::temp_dir().join(format!("discard-{}", std::process::id()));
///     let server = create_unix_server(|| Discard, &*path).await?;
///     assert!(path.exists());
///     server.close();
///     assert!(!path.exists());
///     Ok(())
/// })?;
/// # Ok::<(), asyncio::Error>(())
/// ```
///
/// # Errors
/// `AddrInUse` if there is another file at the path; other errors of the system; `Value` for a socket
/// that is not a Unix stream socket, and for a path that is empty or contains a null byte; `Runtime`
/// without a running loop. In all these cases, nothing stays open.
///
/// # Cancellation
/// Sockets that were opened are closed.
#[doc(alias = "loop.create_unix_server")]
#[track_caller]
pub fn create_unix_server<F, P, Kind>(
    factory: F,
    endpoint: impl ToEndpoint,
) -> CreateUnixServer<F, P, Kind>
where
    F: FnMut() -> P,
    P: IntoProtocol<Kind>,
{
    CreateUnixServer {
        factory,
        endpoint: endpoint.to_endpoint(),
        serving: Serving::default(),
        cleanup_socket: None,
        site: WaitSite::here(&"create_unix_server"),
        kind: PhantomData,
    }
}

/// The value that [`create_unix_server`] returns, with its keyword arguments. Awaiting it creates
/// the server.
#[must_use = "nothing happens unless it is awaited"]
pub struct CreateUnixServer<F, P, Kind> {
    factory: F,
    endpoint: Endpoint,
    serving: Serving,
    /// `None` if not specified.
    cleanup_socket: Option<bool>,
    site: WaitSite,
    kind: PhantomData<fn() -> (P, Kind)>,
}

impl<F, P, Kind> CreateUnixServer<F, P, Kind> {
    /// Returns the arguments of TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn ssl_arguments(&mut self) -> &mut crate::ssl::Arguments {
        &mut self.serving.ssl
    }

    /// Same as [`CreateServer::backlog`](crate::CreateServer::backlog).
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.serving.backlog = backlog;
        self
    }

    /// Same as [`CreateServer::max_connections`](crate::CreateServer::max_connections).
    pub fn max_connections(mut self, max_connections: usize) -> Self {
        self.serving.max_connections = max_connections.max(1);
        self
    }

    /// Same as [`CreateServer::start_serving`](crate::CreateServer::start_serving).
    pub fn start_serving(mut self, on: bool) -> Self {
        self.serving.start = on;
        self
    }

    /// Sets whether the path is removed when the server is closed. The default is true for a path, and
    /// false for a socket, because another process may use the socket too (systemd's sockets, for
    /// example).
    pub fn cleanup_socket(mut self, on: bool) -> Self {
        self.cleanup_socket = Some(on);
        self
    }

    /// Sets the site at which the caller waits, for operations that are built on this one.
    #[doc(hidden)]
    pub fn at(mut self, site: WaitSite) -> Self {
        self.site = site;
        self
    }
}

impl<F, P, Kind> IntoFuture for CreateUnixServer<F, P, Kind>
where
    F: FnMut() -> P + 'static,
    P: IntoProtocol<Kind>,
{
    type Output = Result<Server>;
    type IntoFuture = CreatingServer<F, P, Kind>;

    fn into_future(self) -> CreatingServer<F, P, Kind> {
        let CreateUnixServer { factory, endpoint, serving, cleanup_socket, site, .. } = self;
        let binding =
            Box::pin(async move { Ok(vec![bind(endpoint, cleanup_socket, site).await?]) });
        CreatingServer::new(factory, binding, serving, site)
    }
}

impl<F, P, Kind> fmt::Debug for CreateUnixServer<F, P, Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateUnixServer")
            .field("endpoint", &self.endpoint)
            .field("serving", &self.serving)
            .field("cleanup_socket", &self.cleanup_socket)
            .finish_non_exhaustive()
    }
}

async fn bind(endpoint: Endpoint, cleanup: Option<bool>, site: WaitSite) -> Result<Bound> {
    let is_ours = matches!(endpoint, Endpoint::Address(_));
    let bound = match endpoint {
        Endpoint::Address(target) => {
            let resolving = ensure_resolved(target).family(Domain::UNIX);
            match resolving.at(site).await?.pop() {
                Some(found) => bind_path(found.address),
                None => Err(Error::value("no path was given")),
            }
        }
        Endpoint::Socket(socket) => given(socket),
    };
    let mut bound = bound.map_err(|error| in_call(site.what(), error))?;
    if cleanup.unwrap_or(is_ours) {
        bound.path = bound.address.as_path().and_then(OwnPath::of);
    }
    Ok(bound)
}

fn given(socket: Socket) -> Result<Bound> {
    let bound = Bound::given(socket)?;
    if bound.address.as_sock_addr().domain() != Domain::UNIX {
        let text = format!("a Unix socket was expected, not one at {}", bound.address);
        return Err(Error::value(text));
    }
    Ok(bound)
}

fn bind_path(address: Address) -> Result<Bound> {
    if address.as_sock_addr().is_unnamed() {
        let text =
            "the path is empty; to listen at a name that the system chooses, bind a Socket to \"\"";
        return Err(Error::value(text));
    }
    if let Some(path) = address.as_path() {
        remove_stale(path);
    }
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(address.as_sock_addr()).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            described(format!("Address {address} is already in use"), error)
        }
        _ => described(format!("{address}: {error}"), error),
    })?;
    Ok(Bound { socket, address, path: None })
}

/// Removes a socket that was left behind.
fn remove_stale(path: &Path) {
    let outcome = fs::metadata(path).and_then(|found| match found.file_type().is_socket() {
        true => fs::remove_file(path),
        false => Ok(()),
    });
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let path = path.display();
            let text = format!("Unable to check or remove stale UNIX socket {path}: {error}");
            log(Level::Error, &text);
        }
        _ => {}
    }
}

/// The path of a socket, which is removed when this is dropped, if it is still the same file.
#[derive(Debug)]
pub(super) struct OwnPath {
    /// It is absolute, because the program may change its directory.
    path: PathBuf,
    file: (u64, u64),
}

impl OwnPath {
    fn of(path: &Path) -> Option<OwnPath> {
        let path = std::path::absolute(path).ok()?;
        let file = identity(&path).ok()?;
        Some(OwnPath { path, file })
    }
}

impl Drop for OwnPath {
    fn drop(&mut self) {
        let OwnPath { path, file } = self;
        let outcome = identity(path).and_then(|found| match found == *file {
            true => fs::remove_file(&*path),
            false => Ok(()),
        });
        match outcome {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let path = path.display();
                let text = format!("Unable to clean up listening UNIX socket {path}: {error}");
                log(Level::Error, &text);
            }
            _ => {}
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}
