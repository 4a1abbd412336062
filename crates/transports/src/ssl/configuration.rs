//! Converts an [`SslContext`](super::SslContext) into a configuration of rustls.

use super::context::{Purpose, Settings, TlsVersion, VerifyMode};
use super::verify::Verifier;
use asyncio_core::{Error, Result};
use rustls::{
    ClientConfig, KeyLog, RootCertStore, ServerConfig, SupportedProtocolVersion,
    client::{ResolvesClientCert, Resumption, verify_server_name},
    pki_types::ServerName,
    server::{
        ClientHello, NoServerSessionStorage, ParsedCertificate, ProducesTickets,
        ResolvesServerCert, WebPkiClientVerifier,
    },
    sign::{CertifiedKey, SingleCertAndKey},
};
use std::{
    cell::Cell,
    fmt::Write as _,
    fs::File,
    io::Write as _,
    sync::{Arc, OnceLock},
};

/// The configuration of one side.
#[derive(Clone, Debug)]
pub(super) enum Configured {
    Client(Arc<ClientConfig>),
    Server(Arc<ServerConfig>),
}

pub(super) fn make(settings: &Settings) -> Result<Configured> {
    if let Some(ready) = &settings.ready {
        return Ok(ready.clone());
    }
    match settings.purpose {
        Purpose::ServerAuth => Ok(Configured::Client(Arc::new(client(settings)?))),
        Purpose::ClientAuth => Ok(Configured::Server(Arc::new(server(settings)?))),
    }
}

fn client(settings: &Settings) -> Result<ClientConfig> {
    let provider = settings.provider.clone();
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(settings))
        .map_err(of_rustls)?
        .dangerous();
    let roots = match settings.verify_mode {
        VerifyMode::None => None,
        _ => Some(roots(settings)?),
    };
    let builder = builder.with_custom_certificate_verifier(Arc::new(Verifier {
        roots,
        check_hostname: settings.check_hostname,
        algorithms: provider.signature_verification_algorithms,
    }));
    let mut config = match settings.keys.first() {
        Some(key) => {
            let key: Arc<dyn ResolvesClientCert> = Arc::new(SingleCertAndKey::from(key.clone()));
            builder.with_client_cert_resolver(key)
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = settings.alpn.clone();
    config.key_log = key_log(settings)?;
    if !settings.resumes {
        config.resumption = Resumption::disabled();
    }
    Ok(config)
}

fn server(settings: &Settings) -> Result<ServerConfig> {
    if settings.keys.is_empty() && settings.sni_callback.is_none() {
        return Err(Error::value(
            "ssl: the context of a server has no certificate; call load_cert_chain()",
        ));
    }
    let provider = settings.provider.clone();
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(settings))
        .map_err(of_rustls)?;
    let builder = match settings.verify_mode {
        VerifyMode::None => builder.with_no_client_auth(),
        mode => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots(settings)?, provider.clone());
            let verifier = match mode {
                VerifyMode::Optional => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            let verifier = verifier.build().map_err(|error| {
                Error::value(format!(
                    "ssl: client certificates cannot be verified: {error}; call \
                     load_verify_locations()"
                ))
            })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let by_name = Arc::new(ByName(settings.keys.clone()));
    let mut config = builder.with_cert_resolver(Arc::new(Noting(by_name)));
    config.alpn_protocols = settings.alpn.clone();
    config.key_log = key_log(settings)?;
    match settings.resumes {
        true => config.ticketer = ticketer()?,
        false => {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
    }
    Ok(config)
}

/// Sessions are kept by the clients, in tickets that only this process can read.
fn ticketer() -> Result<Arc<dyn ProducesTickets>> {
    rustls::crypto::ring::Ticketer::new().map_err(of_rustls)
}

fn versions(settings: &Settings) -> Vec<&'static SupportedProtocolVersion> {
    let all = [
        (TlsVersion::Tls13, &rustls::version::TLS13),
        (TlsVersion::Tls12, &rustls::version::TLS12),
    ];
    let spoken = settings.minimum..=settings.maximum;
    all.into_iter().filter(|(version, _)| spoken.contains(version)).map(|(_, of)| of).collect()
}

/// The trusted certificate authorities.
fn roots(settings: &Settings) -> Result<Arc<RootCertStore>> {
    if settings.trusts_system && settings.roots.is_empty() {
        return system_roots();
    }
    let mut roots = match settings.trusts_system {
        true => RootCertStore::clone(&*system_roots()?),
        false => RootCertStore::empty(),
    };
    for certificate in &settings.roots {
        roots.add(certificate.clone()).map_err(|error| {
            Error::value(format!("ssl: a certificate authority cannot be used: {error}"))
        })?;
    }
    if roots.is_empty() {
        return Err(Error::value(
            "ssl: no certificate authority is trusted, so no certificate can be verified; call \
             load_verify_locations()",
        ));
    }
    Ok(Arc::new(roots))
}

/// The certificate authorities of the system, which are read once.
pub(super) fn system_roots() -> Result<Arc<RootCertStore>> {
    static ROOTS: OnceLock<Result<Arc<RootCertStore>>> = OnceLock::new();
    ROOTS.get_or_init(read_system_roots).clone()
}

fn read_system_roots() -> Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    let loaded = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(loaded.certs);
    #[cfg(feature = "webpki-roots")]
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if roots.is_empty() {
        let mut text = "ssl: the system has no certificate authorities; set SSL_CERT_FILE, call \
                        load_verify_locations(), or use the feature webpki-roots"
            .to_owned();
        for error in loaded.errors {
            let _ = write!(text, ": {error}");
        }
        return Err(Error::value(text));
    }
    Ok(Arc::new(roots))
}

/// Returns a ready-made configuration with a resolver that notes the requested server name.
pub(super) fn noting(config: &ServerConfig) -> Arc<ServerConfig> {
    let mut config = config.clone();
    config.cert_resolver = Arc::new(Noting(config.cert_resolver));
    Arc::new(config)
}

thread_local! {
    static ASKED_FOR: Cell<Option<Arc<str>>> = const { Cell::new(None) };
}

/// Takes the server name that a client has requested in the last step of a handshake on this thread.
pub(super) fn asked_for() -> Option<Arc<str>> {
    ASKED_FOR.take()
}

/// Notes the server name that a client requests, because an unbuffered connection of rustls does not report it.
#[derive(Debug)]
struct Noting(Arc<dyn ResolvesServerCert>);

impl ResolvesServerCert for Noting {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        ASKED_FOR.set(hello.server_name().map(Arc::from));
        self.0.resolve(hello)
    }

    fn only_raw_public_keys(&self) -> bool {
        self.0.only_raw_public_keys()
    }
}

/// The certificates of a server.
#[derive(Debug)]
struct ByName(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().filter(|_| self.0.len() > 1);
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        let fits = |key: &&Arc<CertifiedKey>| {
            let certificate = key.end_entity_cert().and_then(ParsedCertificate::try_from).ok();
            let of = certificate.as_ref().zip(name.as_ref());
            of.is_some_and(|(certificate, name)| verify_server_name(certificate, name).is_ok())
        };
        self.0.iter().find(fits).or_else(|| self.0.first()).cloned()
    }
}

fn key_log(settings: &Settings) -> Result<Arc<dyn KeyLog>> {
    let Some(path) = &settings.keylog else { return Ok(Arc::new(rustls::NoKeyLog)) };
    let file = File::options().append(true).create(true).open(path);
    let file = file.map_err(|error| {
        asyncio_sockets::described(format!("ssl: key log {}: {error}", path.display()), error)
    })?;
    Ok(Arc::new(KeyLogFile(file)))
}

/// A file with a line for each secret.
#[derive(Debug)]
struct KeyLogFile(File);

impl KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        // The connection does not depend on the log.
        let _ = (&self.0).write_all(line.as_bytes());
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn of_rustls(error: rustls::Error) -> Error {
    Error::value(format!("ssl: {error}"))
}
