//! An authority, and the certificates that it has issued.

use crate::ssl::{Purpose, SslContext, configuration::Configured, create_default_context};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{ClientConfig, ServerConfig};
use std::sync::{Arc, OnceLock};

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub(crate) struct Certificate {
    pub(crate) pem: String,
    pub(crate) key: String,
}

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let pem = issuer.pem();
        Authority { issuer, pem }
    }

    /// A certificate for `names`, after `change`.
    pub(crate) fn issue(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "a test");
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Certificate { pem, key: key.serialize_pem() }
    }
}

/// The name of the authority of the tests.
pub(crate) const AUTHORITY_NAME: &str = "asyncio test authority";

/// The authority of the tests.
pub(crate) fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::new(AUTHORITY_NAME))
}

/// A certificate for this machine.
pub(crate) fn own() -> &'static Certificate {
    static OWN: OnceLock<Certificate> = OnceLock::new();
    OWN.get_or_init(|| authority().issue(&["localhost", "127.0.0.1"], |_| {}))
}

pub(crate) fn context_with(certificate: &Certificate) -> SslContext {
    let mut context = create_default_context(Purpose::ClientAuth);
    context.load_cert_chain_pem(certificate.pem.as_bytes(), certificate.key.as_bytes()).unwrap();
    context
}

/// The context of a server on this machine.
pub(crate) fn server_context() -> SslContext {
    context_with(own())
}

/// The context of a client that trusts the authority, and it alone.
pub(crate) fn client_context() -> SslContext {
    let mut context = create_default_context(Purpose::ServerAuth);
    context.clear_verify_locations().unwrap();
    context.load_verify_pem(authority().pem.as_bytes()).unwrap();
    context
}

/// What rustls is given for [`server_context`].
pub(crate) fn server_config() -> Arc<ServerConfig> {
    match server_context().configured() {
        Ok(Configured::Server(config)) => config,
        other => panic!("{other:?}"),
    }
}

/// What rustls is given for [`client_context`].
pub(crate) fn client_config() -> Arc<ClientConfig> {
    match client_context().configured() {
        Ok(Configured::Client(config)) => config,
        other => panic!("{other:?}"),
    }
}
