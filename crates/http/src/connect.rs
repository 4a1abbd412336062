//! How the pool of a client gets its connections.

use crate::io::{Io, Side};
use asyncio_core::{Error, Result, scope::foreign};
use asyncio_streams::{Duplex, open_connection, open_unix_connection};
#[cfg(feature = "tls")]
use asyncio_transports::ssl;
use hyper::Uri;
use hyper_util::client::{
    legacy::connect::{Connected, Connection},
    proxy::matcher::{Intercept, Matcher},
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

#[derive(Clone, Debug, Default)]
pub(crate) struct Connector {
    pub(crate) unix_socket: Option<Arc<PathBuf>>,
    pub(crate) proxies: Option<Arc<Matcher>>,
    #[cfg(feature = "tls")]
    pub(crate) ssl: LazyContext,
}

impl Connector {
    /// The pool moves what connects between tasks, and polls it through its own traits.
    async fn connect(self, uri: Uri) -> Result<Io<ClientSide>> {
        let is_secure = self.check(&uri)?;
        let proxy = self.proxies.as_ref().and_then(|proxies| proxies.intercept(&uri));
        if is_secure && proxy.is_some() {
            let text = format!("Client: {uri}: only http goes through a proxy, https does not yet");
            return Err(Error::value(text));
        }
        let opening = match (&self.unix_socket, &proxy) {
            (Some(path), _) => {
                let open = open_unix_connection(&**path);
                #[cfg(feature = "tls")]
                let open = match is_secure {
                    true => open.ssl(self.ssl.context()).server_hostname(host(&uri)),
                    false => open,
                };
                open.into_future()
            }
            (None, proxy) => {
                let to = proxy.as_ref().map_or(&uri, Intercept::uri);
                let default_port = if is_secure { 443 } else { 80 };
                let open = open_connection((host(to), to.port_u16().unwrap_or(default_port)));
                #[cfg(feature = "tls")]
                let open = if is_secure { open.ssl(self.ssl.context()) } else { open };
                open.into_future()
            }
        };
        let mut opening = opening;
        let opened = poll_fn(|cx| foreign(|| Pin::new(&mut opening).poll(cx))).await?;
        let both = Duplex::from(opened);
        let side = ClientSide { is_proxied: proxy.is_some(), is_http2: is_http2(&both) };
        Ok(Io { both, side })
    }

    /// Whether it is to be encrypted.
    fn check(&self, uri: &Uri) -> Result<bool> {
        match uri.scheme_str() {
            Some("http") => Ok(false),
            Some("https") if cfg!(feature = "tls") => Ok(true),
            _ => {
                let text = "only http and, with the feature tls, https are supported";
                Err(Error::value(format!("Client: {uri}: {text}")))
            }
        }
    }
}

fn host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

/// Whether the server has chosen HTTP/2 in the handshake of TLS.
#[cfg(feature = "tls")]
fn is_http2(both: &Duplex) -> bool {
    let object = both.writer().get_extra_info(ssl::SSL_OBJECT);
    object.is_some_and(|object| object.selected_alpn_protocol() == Some(b"h2"))
}

#[cfg(not(feature = "tls"))]
fn is_http2(_: &Duplex) -> bool {
    false
}

/// The context of a client: the one that was given, or one that is made when it is needed.
#[cfg(feature = "tls")]
#[derive(Clone, Debug, Default)]
pub(crate) struct LazyContext(Arc<OnceLock<ssl::SslContext>>);

#[cfg(feature = "tls")]
impl LazyContext {
    pub(crate) fn new(context: ssl::SslContext) -> LazyContext {
        LazyContext(Arc::new(context.into()))
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

impl tower_service::Service<Uri> for Connector {
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

impl Connection for Io<ClientSide> {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.side.is_proxied);
        if self.side.is_http2 { connected.negotiated_h2() } else { connected }
    }
}
