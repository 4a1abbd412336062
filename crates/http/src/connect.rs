//! How the pool of a client gets its connections.

use crate::io::{Io, Side};
use asyncio_core::{Error, Result, scope::foreign};
use asyncio_streams::{Duplex, open_connection, open_unix_connection};
use hyper::Uri;
use hyper_util::client::{
    legacy::connect::{Connected, Connection},
    proxy::matcher::Matcher,
};
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
}

impl Connector {
    /// The pool moves what connects between tasks, and polls it through its own traits.
    async fn connect(self, uri: Uri) -> Result<Io<ClientSide>> {
        let proxy = self.proxies.as_ref().and_then(|proxies| proxies.intercept(&uri));
        let mut opening = match (self.unix_socket, &proxy) {
            (Some(path), _) => open_unix_connection(&**path).into_future(),
            (None, Some(proxy)) => open_connection(host_and_port(proxy.uri())?).into_future(),
            (None, None) => open_connection(host_and_port(&uri)?).into_future(),
        };
        let opened = poll_fn(|cx| foreign(|| Pin::new(&mut opening).poll(cx))).await?;
        let side = ClientSide { is_proxied: proxy.is_some() };
        Ok(Io { both: Duplex::from(opened), side })
    }
}

fn host_and_port(uri: &Uri) -> Result<(String, u16)> {
    if uri.scheme_str() != Some("http") {
        let text = format!("Client: {uri}: only http is supported, there is no TLS yet");
        return Err(Error::value(text));
    }
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok((host.to_owned(), uri.port_u16().unwrap_or(80)))
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
}

impl Side for ClientSide {}

impl Connection for Io<ClientSide> {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.side.is_proxied)
    }
}
