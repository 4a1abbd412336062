//! [`SslContext`]: the settings and certificates of TLS.

use super::{
    certificates::{certificates_in, certified_key, pem_of},
    configuration::{self, Configured},
    error::SslError,
};
use asyncio_core::{Error, Result};
use rustls::{
    ClientConfig, ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer},
    sign::CertifiedKey,
};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

/// The purpose of a context (`ssl.Purpose`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A client, which authenticates its server.
    ServerAuth,
    /// A server, which may authenticate its clients.
    ClientAuth,
}

/// Whether the other side has to show a certificate (`ssl.VerifyMode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VerifyMode {
    /// A server asks for none (`CERT_NONE`).
    None,
    /// A server asks for one, and verifies it if there is one (`CERT_OPTIONAL`).
    Optional,
    /// There must be a valid one (`CERT_REQUIRED`).
    Required,
}

/// A version of TLS (`ssl.TLSVersion`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// Creates a context with secure defaults (`ssl.create_default_context`).
///
/// A client's context trusts the certificate authorities of the system, and checks the name of the
/// server. A server's context asks for no client certificate, and needs its own certificate:
/// [`load_cert_chain`](SslContext::load_cert_chain).
///
/// ```
/// use asyncio::ssl::{Purpose, create_default_context};
///
/// # fn example() -> asyncio::Result<()> {
/// let mut context = create_default_context(Purpose::ClientAuth);
/// context.load_cert_chain("server.pem", "server.key")?;
/// context.set_alpn_protocols(["h2", "http/1.1"])?;
/// # Ok(())
/// # }
/// ```
pub fn create_default_context(purpose: Purpose) -> SslContext {
    SslContext::with_settings(Settings::new(purpose))
}

/// How connections are secured (`ssl.SSLContext`).
///
/// Clones are cheap, and share the sessions that can be resumed; a change to one of them affects only it
/// and its later clones. Its certificates are prepared once, at the first connection.
///
/// A context can also be created from a finished configuration of rustls, with [`From`]; the
/// methods that change such a context return errors.
#[derive(Clone)]
pub struct SslContext {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    /// The configuration for rustls, created when it is needed.
    configured: OnceLock<Result<Configured>>,
}

/// Called with the server name that a client requests. Returns the context for the connection, or
/// `None` for the current one.
pub(super) type SniCallback = Arc<dyn Fn(Option<&str>) -> Option<SslContext> + Send + Sync>;

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) purpose: Purpose,
    pub(super) ready: Option<Configured>,
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) verify_mode: VerifyMode,
    pub(super) check_hostname: bool,
    /// Whether the system's certificate authorities are trusted, and which others.
    pub(super) trusts_system: bool,
    pub(super) roots: Vec<CertificateDer<'static>>,
    /// The certificates of this side. The first is used for clients that request no server name, or
    /// an unknown one.
    pub(super) keys: Vec<Arc<CertifiedKey>>,
    pub(super) alpn: Vec<Vec<u8>>,
    pub(super) minimum: TlsVersion,
    pub(super) maximum: TlsVersion,
    pub(super) sni_callback: Option<SniCallback>,
    pub(super) keylog: Option<PathBuf>,
    pub(super) resumes: bool,
}

impl Settings {
    fn new(purpose: Purpose) -> Settings {
        let is_client = purpose == Purpose::ServerAuth;
        Settings {
            purpose,
            ready: None,
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            verify_mode: if is_client { VerifyMode::Required } else { VerifyMode::None },
            check_hostname: is_client,
            trusts_system: is_client,
            roots: Vec::new(),
            keys: Vec::new(),
            alpn: Vec::new(),
            minimum: TlsVersion::Tls12,
            maximum: TlsVersion::Tls13,
            sni_callback: None,
            keylog: None,
            resumes: true,
        }
    }
}

/// Certificates.
impl SslContext {
    /// Adds a certificate of this side, with those of its issuers, and its private key
    /// (`load_cert_chain`): both from PEM files, which may be the same file. If there are several
    /// certificates, a server uses the first that is valid for the requested name, or else the first.
    ///
    /// # Errors
    /// `Io` if a file cannot be read; `Value` if it has no certificate or no key, if the key is not the
    /// certificate's, or if the context is [made from a configuration](SslContext#impl-From<Arc<ServerConfig>>-for-SslContext).
    pub fn load_cert_chain(
        &mut self,
        certfile: impl AsRef<Path>,
        keyfile: impl AsRef<Path>,
    ) -> Result<()> {
        const WHAT: &str = "load_cert_chain";
        let chain = pem_of(WHAT, certfile.as_ref())?;
        let key = pem_of(WHAT, keyfile.as_ref())?;
        self.add_key(WHAT, certified_key(WHAT, &chain, &key, &self.settings().provider)?)
    }

    /// Does the same as [`load_cert_chain`](SslContext::load_cert_chain), with the text of the PEM
    /// files.
    ///
    /// # Errors
    /// As for `load_cert_chain`, except `Io`.
    pub fn load_cert_chain_pem(&mut self, chain: &[u8], key: &[u8]) -> Result<()> {
        const WHAT: &str = "load_cert_chain_pem";
        self.add_key(WHAT, certified_key(WHAT, chain, key, &self.settings().provider)?)
    }

    /// Does the same as [`load_cert_chain`](SslContext::load_cert_chain), with a parsed certificate
    /// and key.
    ///
    /// # Errors
    /// `Value` if the key is not the certificate's, or cannot be used.
    pub fn load_cert_chain_der(
        &mut self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<()> {
        const WHAT: &str = "load_cert_chain_der";
        let key = CertifiedKey::from_der(chain, key, &self.settings().provider);
        self.add_key(WHAT, key.map_err(|error| SslError::value(WHAT, &error))?)
    }

    fn add_key(&mut self, what: &str, key: CertifiedKey) -> Result<()> {
        self.settings_mut(what)?.keys.push(Arc::new(key));
        Ok(())
    }

    /// Trusts the certificate authorities in a PEM file, or in all files of a directory
    /// (`load_verify_locations`), in addition to those that are already trusted.
    ///
    /// # Errors
    /// `Io` if it cannot be read; `Value` if there is no certificate in it.
    pub fn load_verify_locations(&mut self, location: impl AsRef<Path>) -> Result<()> {
        const WHAT: &str = "load_verify_locations";
        let found = certificates_in(WHAT, location.as_ref())?;
        self.settings_mut(WHAT)?.roots.extend(found);
        Ok(())
    }

    /// Does the same as [`load_verify_locations`](SslContext::load_verify_locations), with the text of
    /// a PEM file (`cadata`).
    ///
    /// # Errors
    /// `Value` if there is no certificate in it.
    pub fn load_verify_pem(&mut self, pem: &[u8]) -> Result<()> {
        const WHAT: &str = "load_verify_pem";
        let found = super::certificates::chain(WHAT, pem)?;
        self.settings_mut(WHAT)?.roots.extend(found);
        Ok(())
    }

    /// Trusts the certificate authorities of the system (`load_default_certs`), as a client's context
    /// does by default.
    ///
    /// # Errors
    /// `Value` for a context made from a configuration.
    pub fn load_default_certs(&mut self) -> Result<()> {
        self.settings_mut("load_default_certs")?.trusts_system = true;
        Ok(())
    }

    /// Clears all trusted certificates, for a client that trusts only certain servers. Follow it
    /// with [`load_verify_locations`](SslContext::load_verify_locations).
    ///
    /// # Errors
    /// `Value` for a context made from a configuration.
    pub fn clear_verify_locations(&mut self) -> Result<()> {
        let settings = self.settings_mut("clear_verify_locations")?;
        settings.trusts_system = false;
        settings.roots.clear();
        Ok(())
    }
}

/// Requirements for the other side.
impl SslContext {
    /// Returns whether the other side has to show a certificate (`verify_mode`).
    pub fn verify_mode(&self) -> VerifyMode {
        self.settings().verify_mode
    }

    /// Sets [`verify_mode`](SslContext::verify_mode). A client always verifies, unless
    /// [`dangerously_disable_verification`](SslContext::dangerously_disable_verification) is called.
    ///
    /// # Errors
    /// `Value` for any mode other than `Required` on a client.
    pub fn set_verify_mode(&mut self, mode: VerifyMode) -> Result<()> {
        let settings = self.settings_mut("set_verify_mode")?;
        if settings.purpose == Purpose::ServerAuth && mode != VerifyMode::Required {
            return Err(Error::value(
                "set_verify_mode: a client verifies the certificate of its server; call \
                 dangerously_disable_verification() to connect to any server",
            ));
        }
        settings.verify_mode = mode;
        Ok(())
    }

    /// Returns whether a client compares the name of the server with its certificate
    /// (`check_hostname`).
    pub fn check_hostname(&self) -> bool {
        self.settings().check_hostname
    }

    /// Sets [`check_hostname`](SslContext::check_hostname). Without it, any server that has a certificate of a
    /// trusted authority for any name can pretend to be the server.
    ///
    /// # Errors
    /// `Value` for a server.
    pub fn set_check_hostname(&mut self, on: bool) -> Result<()> {
        let settings = self.settings_mut("set_check_hostname")?;
        if on && settings.purpose == Purpose::ClientAuth {
            return Err(Error::value("set_check_hostname: a server has no name to check"));
        }
        settings.check_hostname = on;
        Ok(())
    }

    /// Makes a client accept any certificate, from any issuer and for any name: then
    /// anyone on the network path can read and change everything.
    ///
    /// # Errors
    /// `Value` for a server, and for a context made from a configuration.
    pub fn dangerously_disable_verification(&mut self) -> Result<()> {
        let settings = self.settings_mut("dangerously_disable_verification")?;
        if settings.purpose == Purpose::ClientAuth {
            return Err(Error::value(
                "dangerously_disable_verification: it is for clients; a server that wants no \
                 certificate has set_verify_mode(VerifyMode::None)",
            ));
        }
        settings.check_hostname = false;
        settings.verify_mode = VerifyMode::None;
        Ok(())
    }

    /// Returns the lowest accepted version of TLS (`minimum_version`).
    pub fn minimum_version(&self) -> TlsVersion {
        self.settings().minimum
    }

    /// Sets [`minimum_version`](SslContext::minimum_version).
    ///
    /// # Errors
    /// `Value` if it is higher than the maximum.
    pub fn set_minimum_version(&mut self, version: TlsVersion) -> Result<()> {
        const WHAT: &str = "set_minimum_version";
        let settings = self.settings_mut(WHAT)?;
        check_versions(WHAT, version, settings.maximum)?;
        settings.minimum = version;
        Ok(())
    }

    /// Returns the highest accepted version of TLS (`maximum_version`).
    pub fn maximum_version(&self) -> TlsVersion {
        self.settings().maximum
    }

    /// Sets [`maximum_version`](SslContext::maximum_version).
    ///
    /// # Errors
    /// `Value` if it is lower than the minimum.
    pub fn set_maximum_version(&mut self, version: TlsVersion) -> Result<()> {
        const WHAT: &str = "set_maximum_version";
        let settings = self.settings_mut(WHAT)?;
        check_versions(WHAT, settings.minimum, version)?;
        settings.maximum = version;
        Ok(())
    }

    /// Sets the application protocols of this side, in order of preference (`set_alpn_protocols`):
    /// see [`SslObject::selected_alpn_protocol`](super::SslObject::selected_alpn_protocol).
    ///
    /// # Errors
    /// `Value` if one is empty or longer than 255 bytes.
    pub fn set_alpn_protocols<I>(&mut self, protocols: I) -> Result<()>
    where
        I: IntoIterator<Item: AsRef<[u8]>>,
    {
        let protocols: Vec<Vec<u8>> =
            protocols.into_iter().map(|protocol| protocol.as_ref().to_vec()).collect();
        if let Some(bad) = protocols.iter().find(|p| p.is_empty() || p.len() > 255) {
            let text = "set_alpn_protocols: the name of a protocol has 1 to 255 bytes";
            return Err(Error::value(format!("{text}, got {}", bad.len())));
        }
        self.settings_mut("set_alpn_protocols")?.alpn = protocols;
        Ok(())
    }
}

/// Other settings.
impl SslContext {
    /// Makes a server call `callback` with the name that each client requests (`sni_callback`), before
    /// it answers. The connection continues with the context that the callback returns; `None` means
    /// this context.
    ///
    /// # Errors
    /// `Value` for a client.
    pub fn set_sni_callback(
        &mut self,
        callback: impl Fn(Option<&str>) -> Option<SslContext> + Send + Sync + 'static,
    ) -> Result<()> {
        let settings = self.settings_mut("set_sni_callback")?;
        if settings.purpose == Purpose::ServerAuth {
            return Err(Error::value("set_sni_callback: it is for servers"));
        }
        settings.sni_callback = Some(Arc::new(callback));
        Ok(())
    }

    /// Appends the secrets of each connection to a file (`keylog_filename`), so that programs such
    /// as Wireshark can decrypt it.
    ///
    /// # Errors
    /// `Value` for a context made from a configuration. If the file cannot be opened, the first
    /// connection fails.
    pub fn set_keylog_filename(&mut self, path: impl Into<PathBuf>) -> Result<()> {
        self.settings_mut("set_keylog_filename")?.keylog = Some(path.into());
        Ok(())
    }

    /// Sets whether sessions can be resumed, which saves most of the handshake of a returning client;
    /// true by default.
    ///
    /// # Errors
    /// `Value` for a context made from a configuration.
    pub fn set_session_resumption(&mut self, on: bool) -> Result<()> {
        self.settings_mut("set_session_resumption")?.resumes = on;
        Ok(())
    }

    /// Replaces the cryptography of `ring`. Call it before certificates are loaded.
    ///
    /// # Errors
    /// `Value` for a context made from a configuration.
    pub fn set_crypto_provider(&mut self, provider: Arc<CryptoProvider>) -> Result<()> {
        self.settings_mut("set_crypto_provider")?.provider = provider;
        Ok(())
    }

    fn with_settings(settings: Settings) -> SslContext {
        SslContext { inner: Arc::new(Inner { settings, configured: OnceLock::new() }) }
    }

    /// Returns the settings for a change, and discards the prepared configuration.
    fn settings_mut(&mut self, what: &str) -> Result<&mut Settings> {
        if self.settings().ready.is_some() {
            let text = "the context was made from a configuration of rustls, which decides this";
            return Err(Error::value(format!("{what}: {text}")));
        }
        if Arc::get_mut(&mut self.inner).is_none() {
            *self = SslContext::with_settings(self.settings().clone());
        }
        let inner = Arc::get_mut(&mut self.inner).expect("just made");
        inner.configured.take();
        Ok(&mut inner.settings)
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Returns the configuration for rustls.
    ///
    /// # Errors
    /// `Value` if something is missing or does not fit; `Io` if the system's certificates cannot be
    /// read.
    pub(super) fn configured(&self) -> Result<Configured> {
        let make = || configuration::make(self.settings());
        self.inner.configured.get_or_init(make).clone()
    }
}

fn check_versions(what: &str, minimum: TlsVersion, maximum: TlsVersion) -> Result<()> {
    match minimum <= maximum {
        true => Ok(()),
        false => Err(Error::value(format!("{what}: the minimum {minimum:?} is above {maximum:?}"))),
    }
}

/// The context of a client whose configuration is ready.
impl From<Arc<ClientConfig>> for SslContext {
    fn from(config: Arc<ClientConfig>) -> SslContext {
        let mut settings = Settings::new(Purpose::ServerAuth);
        settings.ready = Some(Configured::Client(config));
        SslContext::with_settings(settings)
    }
}

/// The context of a server whose configuration is ready.
impl From<Arc<ServerConfig>> for SslContext {
    fn from(config: Arc<ServerConfig>) -> SslContext {
        let mut settings = Settings::new(Purpose::ClientAuth);
        settings.ready = Some(Configured::Server(configuration::noting(&config)));
        SslContext::with_settings(settings)
    }
}

impl From<&SslContext> for SslContext {
    fn from(context: &SslContext) -> SslContext {
        context.clone()
    }
}

impl fmt::Debug for SslContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.settings();
        f.debug_struct("SslContext")
            .field("purpose", &settings.purpose)
            .field("verify_mode", &settings.verify_mode)
            .field("check_hostname", &settings.check_hostname)
            .field("certificates", &settings.keys.len())
            .finish_non_exhaustive()
    }
}
