//! TLS: the keyword arguments of the functions that make streams, and [`StreamWriter::start_tls`].

use crate::{
    connect::{OpenConnection, OpenUnixConnection},
    protocol::StreamReaderProtocol,
    server::{StartServer, StartUnixServer},
    writer::{Draining, StreamWriter},
};
use asyncio_core::{Error, Result, wait_site::WaitSite};
use asyncio_transports::ssl::{self, Ssl, SslContext};
use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

/// The methods that set the arguments.
macro_rules! arguments {
    ($($builder:ident.$create:ident, $ssl:ty, $doc:literal;)*) => {$(
        impl $builder {
            #[doc = $doc]
            pub fn ssl(mut self, ssl: impl Into<$ssl>) -> Self {
                self.$create = self.$create.ssl(ssl);
                self
            }

            /// Sets how long the handshake may take. The default is 60 seconds.
            pub fn ssl_handshake_timeout(mut self, timeout: Duration) -> Self {
                self.$create = self.$create.ssl_handshake_timeout(timeout);
                self
            }

            /// Sets how long `close()` waits for the other side to close too. The default is 30
            /// seconds.
            pub fn ssl_shutdown_timeout(mut self, timeout: Duration) -> Self {
                self.$create = self.$create.ssl_shutdown_timeout(timeout);
                self
            }
        }
    )*};
}

arguments! {
    OpenConnection.create, Ssl, "Speaks TLS: with an `SslContext`, or `true` for the default one. The \
        certificate of the server must be for the host that is connected to, or for \
        [`server_hostname`](OpenConnection::server_hostname).";
    OpenUnixConnection.connecting, Ssl, "Speaks TLS: with an `SslContext`, or `true` for the default \
        one. [`server_hostname`](OpenUnixConnection::server_hostname) is needed with it.";
    StartServer.create, SslContext, "Speaks TLS with the clients.";
    StartUnixServer.create, SslContext, "Speaks TLS with the clients.";
}

macro_rules! server_hostname {
    ($($builder:ident.$create:ident)*) => {$(
        impl $builder {
            /// Sets the name that the certificate of the server must be for.
            pub fn server_hostname(mut self, name: impl Into<String>) -> Self {
                self.$create = self.$create.server_hostname(name);
                self
            }
        }
    )*};
}

server_hostname! { OpenConnection.create OpenUnixConnection.connecting }

impl StreamWriter {
    /// Upgrades the connection to TLS (`start_tls`), after buffered data has been sent: as the server
    /// if a server made the connection, else as the client. The reader then reads the decrypted data.
    ///
    /// Bytes that the reader has received and not given yet belong to TLS, since the other side may have
    /// begun at once. (asyncio does so on a server alone; on a client they would be plain text that
    /// passes for what came through TLS.)
    ///
    /// ```
    /// use asyncio::{StreamReader, StreamWriter};
    /// # #[allow(dead_code)]
    /// async fn upgrade(reader: &mut StreamReader, writer: &mut StreamWriter) -> asyncio::Result<()> {
    ///     writer.write(b"STARTTLS\r\n");
    ///     reader.readline().await?;
    ///     writer.start_tls(true).server_hostname("mail.example.org").await
    /// }
    /// ```
    ///
    /// # Errors
    /// As of [`drain`](StreamWriter::drain), and of the handshake, which closes the connection; `Value`
    /// if the arguments do not fit together; `Runtime` on another thread than the loop's.
    ///
    /// # Cancellation
    /// While it waits until everything has been sent: nothing has changed. Afterwards the connection is
    /// closed.
    #[track_caller]
    pub fn start_tls(&mut self, ssl: impl Into<Ssl>) -> StartTls<'_> {
        let site = WaitSite::here(&"StreamWriter.start_tls");
        let protocol = self.transport().get_protocol::<StreamReaderProtocol>();
        let upgrade = protocol.map(|protocol| {
            let upgrade = ssl::start_tls(self.transport(), protocol, ssl).at(site);
            upgrade.server_side(self.is_server())
        });
        StartTls { writer: self, upgrade, wait: Draining::default(), is_drained: false, site }
    }
}

/// The future of [`StreamWriter::start_tls`], with its keyword arguments.
#[must_use = "futures do nothing unless they are awaited"]
pub struct StartTls<'a> {
    writer: &'a mut StreamWriter,
    /// `None` where the connection is another thread's, or over.
    upgrade: Option<ssl::StartTls>,
    wait: Draining,
    is_drained: bool,
    site: WaitSite,
}

impl StartTls<'_> {
    /// Sets the name that the certificate of the server must be for. A client has to set it.
    pub fn server_hostname(self, name: impl Into<String>) -> Self {
        self.with(|upgrade| upgrade.server_hostname(name))
    }

    /// Sets how long the handshake may take. The default is 60 seconds.
    pub fn ssl_handshake_timeout(self, timeout: Duration) -> Self {
        self.with(|upgrade| upgrade.ssl_handshake_timeout(timeout))
    }

    /// Sets how long `close()` waits for the other side to close too. The default is 30 seconds.
    pub fn ssl_shutdown_timeout(self, timeout: Duration) -> Self {
        self.with(|upgrade| upgrade.ssl_shutdown_timeout(timeout))
    }

    fn with(mut self, f: impl FnOnce(ssl::StartTls) -> ssl::StartTls) -> Self {
        self.upgrade = self.upgrade.take().map(f);
        self
    }

    fn begin(&mut self) {
        let shared = self.writer.shared().clone();
        let take = move || {
            let mut state = shared.lock();
            state.paused = false;
            mem::take(&mut state.buffer).take_all()
        };
        self.upgrade = self.upgrade.take().map(|upgrade| upgrade.take_received(take));
    }
}

impl Future for StartTls<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        if !this.is_drained {
            ready!(this.writer.poll_drained_at(&mut this.wait, cx, this.site))?;
            this.is_drained = true;
            this.begin();
        }
        let Some(upgrade) = &mut this.upgrade else {
            let text =
                "StreamWriter.start_tls: the connection has ended, or belongs to another thread";
            return Poll::Ready(Err(Error::runtime(text)));
        };
        let transport = ready!(Pin::new(upgrade).poll(cx))?;
        this.writer.set_transport(transport);
        Poll::Ready(Ok(()))
    }
}

impl Drop for StartTls<'_> {
    fn drop(&mut self) {
        let shared = self.writer.shared().clone();
        self.wait.leave(&shared, |_| ());
    }
}

impl fmt::Debug for StartTls<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} of {:?}>", self.site, self.writer)
    }
}
