//! Making connections for the pool of a client.

use crate::{
    io::{Io, Side},
    url::checked,
};
use asyncio_core::{Error, Result, scope::foreign};
use asyncio_streams::{Duplex, open_connection, open_unix_connection};
#[cfg(feature = "tls")]
use asyncio_task::{Task, create_task};
#[cfg(feature = "tls")]
use asyncio_transports::ssl;
use hyper::Uri;
#[cfg(feature = "tls")]
use hyper_util::client::{legacy::connect::proxy::Tunnel, proxy::matcher::Intercept};
use hyper_util::client::{
    legacy::connect::{Connected, Connection},
    proxy::matcher::Matcher,
};
#[cfg(feature = "tls")]
use std::sync::OnceLock;
use std::{
    future::{Future, IntoFuture, poll_fn},
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

#[derive(Clone, Debug, Default)]
pub(crate) struct Connector {
    pub(crate) unix_socket: Option<Arc<PathBuf>>,
    pub(crate) proxies: Option<Arc<Matcher>>,
    #[cfg(feature = "tls")]
    pub(crate) ssl: LazyContext,
}

impl Connector {
    /// The pool moves connectors between tasks, and polls them through its own traits.
    async fn connect(self, uri: Uri) -> Result<Io<ClientSide>> {
        let is_secure = self.is_secure(&uri)?;
        let proxies = self.proxies.as_ref().filter(|_| self.unix_socket.is_none());
        match proxies.and_then(|proxies| proxies.intercept(&uri)) {
            None => self.direct(&uri, is_secure).await,
            #[cfg(feature = "tls")]
            Some(proxy) if is_secure => self.tunnel(uri, proxy).await,
            Some(proxy) => {
                let mut io = self.for_proxies().call(proxy.uri().clone()).await?;
                io.side.is_proxied = true;
                Ok(io)
            }
        }
    }

    async fn direct(&self, uri: &Uri, is_secure: bool) -> Result<Io<ClientSide>> {
        let mut opening = match &self.unix_socket {
            Some(path) => {
                let open = open_unix_connection(&**path);
                #[cfg(feature = "tls")]
                let open = match is_secure {
                    true => open.ssl(self.ssl.context()).server_hostname(host(uri)),
                    false => open,
                };
                open.into_future()
            }
            None => {
                let default_port = if is_secure { 443 } else { 80 };
                let open = open_connection((host(uri), uri.port_u16().unwrap_or(default_port)));
                #[cfg(feature = "tls")]
                let open = if is_secure { open.ssl(self.ssl.context()) } else { open };
                open.into_future()
            }
        };
        let opened = poll_fn(|cx| foreign(|| Pin::new(&mut opening).poll(cx))).await?;
        Ok(Io::of(Duplex::from(opened)))
    }

    /// Asks a proxy to connect to the server, and speaks TLS through it.
    #[cfg(feature = "tls")]
    async fn tunnel(&self, uri: Uri, proxy: Intercept) -> Result<Io<ClientSide>> {
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.for_proxies());
        if let Some(authorization) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        let name = host(&uri).to_owned();
        let through = tunnel.call(uri).await.map_err(|error| {
            let proxy = proxy.uri();
            Error::from_boxed(error.into()).add_note(format!("Client: the proxy {proxy}"))
        })?;
        let context = self.ssl.context().clone();
        let mut handshake = Handshake(create_task(async move {
            let (reader, mut writer) = through.both.into_split();
            writer.start_tls(&context).server_hostname(name).await?;
            Ok(Duplex::from((reader, writer)))
        }));
        let both = poll_fn(|cx| foreign(|| Pin::new(&mut handshake.0).poll(cx))).await?;
        Ok(Io::of(both))
    }

    /// The connector to a proxy, which speaks HTTP/1 with it.
    fn for_proxies(&self) -> Connector {
        Connector {
            proxies: None,
            #[cfg(feature = "tls")]
            ssl: self.ssl.without_http2(),
            ..self.clone()
        }
    }

    /// Whether the connection is to be encrypted.
    fn is_secure(&self, uri: &Uri) -> Result<bool> {
        checked(uri)?;
        Ok(uri.scheme_str() == Some("https"))
    }
}

/// A handshake in a tunnel. It runs in its own task, because its future is not `Send`, which the pool
/// requires.
#[cfg(feature = "tls")]
struct Handshake(Task<Duplex>);

#[cfg(feature = "tls")]
impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

/// Whether the server has chosen HTTP/2 in the TLS handshake.
#[cfg(feature = "tls")]
fn is_http2(both: &Duplex) -> bool {
    let object = both.writer().get_extra_info(ssl::SSL_OBJECT);
    object.is_some_and(|object| object.selected_alpn_protocol() == Some(b"h2"))
}

#[cfg(not(feature = "tls"))]
fn is_http2(_: &Duplex) -> bool {
    false
}

/// The context of a client: the one from its builder, or one that is created when it is needed.
#[cfg(feature = "tls")]
#[derive(Clone, Debug, Default)]
pub(crate) struct LazyContext(Arc<OnceLock<ssl::SslContext>>);

#[cfg(feature = "tls")]
impl LazyContext {
    pub(crate) fn new(context: ssl::SslContext) -> LazyContext {
        LazyContext(Arc::new(context.into()))
    }

    fn without_http2(&self) -> LazyContext {
        let mut context = self.context().clone();
        // A finished configuration of rustls is not changed.
        let _ = context.set_alpn_protocols(["http/1.1"]);
        LazyContext::new(context)
    }

    fn context(&self) -> &ssl::SslContext {
        self.0.get_or_init(|| {
            let mut context = ssl::create_default_context(ssl::Purpose::ServerAuth);
            let both = context.set_alpn_protocols(["h2", "http/1.1"]);
            both.expect("a default context takes these names");
            context
        })
    }
}

impl Service<Uri> for Connector {
    type Response = Io<ClientSide>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Io<ClientSide>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// The side of the client.
pub(crate) struct ClientSide {
    is_proxied: bool,
    is_http2: bool,
}

impl Side for ClientSide {}

impl Io<ClientSide> {
    fn of(both: Duplex) -> Io<ClientSide> {
        let side = ClientSide { is_proxied: false, is_http2: is_http2(&both) };
        Io { both, side }
    }
}

impl Connection for Io<ClientSide> {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.side.is_proxied);
        if self.side.is_http2 { connected.negotiated_h2() } else { connected }
    }
}
