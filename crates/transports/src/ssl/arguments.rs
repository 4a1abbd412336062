//! The keyword arguments of TLS, and the plan that they make.

use super::{
    context::{Purpose, SslContext, create_default_context},
    protocol::SslProtocol,
    session::Session,
};
use crate::{
    connection::{Connection, Kind},
    extra_info::Names,
    io::Io,
    slot::Calls,
    starting::Side,
    transport::Transport,
};
use asyncio_core::{Error, Result};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{net::Ipv4Addr, sync::Arc, time::Duration};

/// The default limit of a handshake.
pub const SSL_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// The default limit for the other side to close too.
pub const SSL_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// The `ssl` argument of a client: a context, `true` for the default context, or `false` for none.
#[derive(Clone, Debug)]
pub struct Ssl(Option<Said>);

#[derive(Clone, Debug)]
enum Said {
    Default,
    Context(SslContext),
}

impl From<bool> for Ssl {
    fn from(on: bool) -> Ssl {
        Ssl(on.then_some(Said::Default))
    }
}

impl From<SslContext> for Ssl {
    fn from(context: SslContext) -> Ssl {
        Ssl(Some(Said::Context(context)))
    }
}

impl From<&SslContext> for Ssl {
    fn from(context: &SslContext) -> Ssl {
        context.clone().into()
    }
}

impl From<Option<SslContext>> for Ssl {
    fn from(context: Option<SslContext>) -> Ssl {
        Ssl(context.map(Said::Context))
    }
}

impl From<Arc<ClientConfig>> for Ssl {
    fn from(config: Arc<ClientConfig>) -> Ssl {
        SslContext::from(config).into()
    }
}

/// The values of the arguments.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments {
    ssl: Option<Said>,
    server_hostname: Option<String>,
    handshake_timeout: Option<Duration>,
    shutdown_timeout: Option<Duration>,
}

impl Arguments {
    pub(crate) fn set_ssl(&mut self, ssl: Ssl) {
        self.ssl = ssl.0;
    }

    pub(crate) fn set_server_hostname(&mut self, name: String) {
        self.server_hostname = Some(name);
    }

    pub(crate) fn set_handshake_timeout(&mut self, timeout: Duration) {
        self.handshake_timeout = Some(timeout);
    }

    pub(crate) fn set_shutdown_timeout(&mut self, timeout: Duration) {
        self.shutdown_timeout = Some(timeout);
    }

    /// Returns the plan that follows from them.
    ///
    /// # Errors
    /// `Value` if they do not fit together; the errors of the context.
    pub(crate) fn plan(&self, side: &Side) -> Result<Plan> {
        let Some(said) = &self.ssl else {
            let given = [
                ("server_hostname", self.server_hostname.is_some()),
                ("ssl_handshake_timeout", self.handshake_timeout.is_some()),
                ("ssl_shutdown_timeout", self.shutdown_timeout.is_some()),
            ];
            return match given.iter().find(|(_, is_given)| *is_given) {
                Some((name, _)) => Err(Error::value(format!("{name} is only meaningful with ssl"))),
                None => Ok(Plan(None)),
            };
        };
        let name = match side {
            Side::Client(host) => match self.server_hostname.as_ref().or(host.as_ref()) {
                Some(name) => Some(name.as_str()).filter(|name| !name.is_empty()),
                None => {
                    return Err(Error::value(
                        "server_hostname must be set when ssl is used without a host",
                    ));
                }
            },
            Side::Server => None,
        };
        let context = match said {
            Said::Context(context) => context.clone(),
            Said::Default => {
                let mut context = default_context();
                if name.is_none() {
                    context.set_check_hostname(false)?;
                }
                context
            }
        };
        let name_to_ask_for = server_name(&context, side, name)?;
        if context.settings().sni_callback.is_none() {
            // Errors in the context are reported before anything is done.
            context.configured()?;
        }
        Ok(Plan(Some(Secured {
            limits: Limits {
                handshake: limit(
                    "ssl_handshake_timeout",
                    self.handshake_timeout,
                    SSL_HANDSHAKE_TIMEOUT,
                )?,
                shutdown: limit(
                    "ssl_shutdown_timeout",
                    self.shutdown_timeout,
                    SSL_SHUTDOWN_TIMEOUT,
                )?,
            },
            name: name_to_ask_for,
            hostname: name.map(Arc::from),
            context,
        })))
    }
}

/// The context of `ssl(true)`. It is shared, so that sessions can be resumed.
fn default_context() -> SslContext {
    static CONTEXT: std::sync::OnceLock<SslContext> = std::sync::OnceLock::new();
    CONTEXT.get_or_init(|| create_default_context(Purpose::ServerAuth)).clone()
}

fn limit(what: &str, given: Option<Duration>, default: Duration) -> Result<Duration> {
    match given {
        Some(Duration::ZERO) => {
            Err(Error::value(format!("{what} should be a positive number, got 0.0")))
        }
        given => Ok(given.unwrap_or(default)),
    }
}

/// The name for which the server's certificate must be valid; `None` on a server.
fn server_name(
    context: &SslContext,
    side: &Side,
    name: Option<&str>,
) -> Result<Option<ServerName<'static>>> {
    let (is_client, purpose) = (matches!(side, Side::Client(_)), context.settings().purpose);
    if is_client != (purpose == Purpose::ServerAuth) {
        let (needed, got) = match is_client {
            true => ("a client needs a context for", "ServerAuth, and this one is for ClientAuth"),
            false => ("a server needs a context for", "ClientAuth, and this one is for ServerAuth"),
        };
        return Err(Error::value(format!("ssl: {needed} Purpose::{got}")));
    }
    match name {
        Some(name) => match ServerName::try_from(name.to_owned()) {
            Ok(name) => Ok(Some(name)),
            Err(_) => Err(Error::value(format!(
                "server_hostname: {name:?} is neither a host name nor an IP address"
            ))),
        },
        None if is_client && context.check_hostname() => {
            Err(Error::value("check_hostname requires server_hostname"))
        }
        // rustls requires a name. It does not send an IP address.
        None => {
            Ok(is_client.then(|| ServerName::from(std::net::IpAddr::from(Ipv4Addr::UNSPECIFIED))))
        }
    }
}

/// The plan by which connections are opened.
#[derive(Clone, Debug)]
pub(crate) struct Plan(Option<Secured>);

/// The TLS part of a plan.
#[derive(Clone, Debug)]
pub(super) struct Secured {
    pub(super) context: SslContext,
    pub(super) name: Option<ServerName<'static>>,
    pub(super) hostname: Option<Arc<str>>,
    pub(super) limits: Limits,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) handshake: Duration,
    pub(super) shutdown: Duration,
}

impl Plan {
    /// The TLS part of the plan.
    pub(super) fn secured(self) -> Option<Secured> {
        self.0
    }

    /// A transport over `io`, not started yet.
    ///
    /// # Errors
    /// `Runtime` if no loop runs, or it is being closed; the errors of the context.
    pub(crate) fn open(
        &self,
        io: socket2::Socket,
        kind: Kind,
        names: Names,
        protocol: Calls,
    ) -> Result<Transport> {
        let Some(secured) = &self.0 else {
            return Connection::open(Io::Socket(io), kind, names, protocol);
        };
        let session = Session::new(secured)?;
        let ssl = SslProtocol::new(session, secured, protocol);
        let lower = Connection::open(Io::Socket(io), kind, names, Calls::Buffered(ssl.clone()))?;
        ssl.over(&lower, secured)
    }
}

/// The builder methods that set the arguments.
macro_rules! arguments {
    ($($builder:ident, $ssl:ty, $doc:literal;)*) => {$(
        impl<F, P, Kind> crate::$builder<F, P, Kind> {
            #[doc = $doc]
            pub fn ssl(mut self, ssl: impl Into<$ssl>) -> Self {
                self.ssl_arguments().set_ssl(ssl.into().into());
                self
            }

            /// Sets how long the handshake may take; 60 seconds by default. After that, the
            /// connection is aborted, with an `Io` error of the kind `ConnectionAborted`.
            pub fn ssl_handshake_timeout(mut self, timeout: Duration) -> Self {
                self.ssl_arguments().set_handshake_timeout(timeout);
                self
            }

            /// Sets how long `close()` waits for the other side to close too; 30 seconds by default.
            /// After that, the connection is lost with a `Timeout`.
            pub fn ssl_shutdown_timeout(mut self, timeout: Duration) -> Self {
                self.ssl_arguments().set_shutdown_timeout(timeout);
                self
            }
        }
    )*};
}

arguments! {
    CreateConnection, Ssl, "Speaks TLS: with an [`SslContext`](crate::ssl::SslContext), or `true` for \
        the default one. The certificate of the server must be for the host that is connected to, or \
        for [`server_hostname`](Self::server_hostname).";
    Connecting, Ssl, "Speaks TLS: with an [`SslContext`](crate::ssl::SslContext), or, as a client, \
        `true` for the default one. A Unix socket has no host, so \
        [`server_hostname`](Self::server_hostname) is needed with it.";
    ConnectingTransport, Ssl, "As [`Connecting::ssl`](crate::Connecting::ssl).";
    CreateServer, SslContext, "Speaks TLS with the clients.";
    CreateUnixServer, SslContext, "Speaks TLS with the clients.";
}

macro_rules! server_hostname {
    ($($builder:ident)*) => {$(
        impl<F, P, Kind> crate::$builder<F, P, Kind> {
            /// Sets the name for which the server's certificate must be valid; by default, it is the
            /// host of the connection. If it is empty, no name is requested or checked, which a
            /// context with `check_hostname` does not permit.
            pub fn server_hostname(mut self, name: impl Into<String>) -> Self {
                self.ssl_arguments().set_server_hostname(name.into());
                self
            }
        }
    )*};
}

server_hostname! { CreateConnection Connecting ConnectingTransport }
