//! The parameters of a TLS connection, which are known after its handshake.

use super::{context::SslContext, context::TlsVersion};
use crate::extra_info::ExtraInfo;
use rustls::{CommonState, HandshakeKind, ProtocolVersion, pki_types::CertificateDer};
use std::sync::{Arc, OnceLock};

/// The results of the handshake (the getters of `ssl.SSLObject`).
#[derive(Clone, Debug)]
pub struct SslObject(Arc<Agreed>);

#[derive(Debug)]
struct Agreed {
    version: TlsVersion,
    alpn: Option<Vec<u8>>,
    server_hostname: Option<String>,
    server_side: bool,
    session_reused: bool,
    cipher: Cipher,
    certificates: Vec<CertificateDer<'static>>,
}

/// The cipher suite of a connection (`SSLSocket.cipher`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cipher {
    /// The name of the suite, such as `TLS13_AES_256_GCM_SHA384`.
    pub name: String,
    /// The version of TLS to which it belongs.
    pub version: TlsVersion,
    /// The bits of the secret key.
    pub secret_bits: usize,
}

impl SslObject {
    pub(super) fn of(
        connection: &CommonState,
        server_side: bool,
        server_hostname: Option<&str>,
    ) -> Option<SslObject> {
        let version = match connection.protocol_version()? {
            ProtocolVersion::TLSv1_2 => TlsVersion::Tls12,
            _ => TlsVersion::Tls13,
        };
        let suite = format!("{:?}", connection.negotiated_cipher_suite()?.suite());
        let cipher = Cipher { secret_bits: secret_bits(&suite), name: suite, version };
        Some(SslObject(Arc::new(Agreed {
            version,
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            server_hostname: server_hostname.map(str::to_owned),
            server_side,
            session_reused: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            cipher,
            certificates: connection
                .peer_certificates()
                .map(|chain| chain.iter().map(|one| one.clone().into_owned()).collect())
                .unwrap_or_default(),
        })))
    }

    /// Returns the version of TLS (`version`).
    pub fn version(&self) -> TlsVersion {
        self.0.version
    }

    /// Returns the application protocol, if both sides named one (`selected_alpn_protocol`): see
    /// [`SslContext::set_alpn_protocols`].
    pub fn selected_alpn_protocol(&self) -> Option<&[u8]> {
        self.0.alpn.as_deref()
    }

    /// Returns the name of the server that the client requested, if it did (`server_hostname`).
    pub fn server_hostname(&self) -> Option<&str> {
        self.0.server_hostname.as_deref()
    }

    /// Returns whether this side is the server (`server_side`).
    pub fn server_side(&self) -> bool {
        self.0.server_side
    }

    /// Returns whether the session was resumed from an earlier connection (`session_reused`).
    pub fn session_reused(&self) -> bool {
        self.0.session_reused
    }

    /// The cipher suite (`cipher`).
    pub fn cipher(&self) -> &Cipher {
        &self.0.cipher
    }

    /// Returns the certificates of the other side, its own first (`get_unverified_chain`).
    pub fn get_unverified_chain(&self) -> &[CertificateDer<'static>] {
        &self.0.certificates
    }
}

fn secret_bits(suite: &str) -> usize {
    if suite.contains("AES_128") { 128 } else { 256 }
}

/// The results of the handshake (`"ssl_object"`).
pub const SSL_OBJECT: ExtraInfo<SslObject> =
    ExtraInfo::new("ssl_object", |known| known.0.ssl()?.object().cloned());

/// The certificate of the other side (`"peercert"`), if it showed one.
pub const PEERCERT: ExtraInfo<CertificateDer<'static>> =
    ExtraInfo::new("peercert", |known| known.get(SSL_OBJECT)?.0.certificates.first().cloned());

/// The cipher suite (`"cipher"`).
pub const CIPHER: ExtraInfo<Cipher> =
    ExtraInfo::new("cipher", |known| Some(known.get(SSL_OBJECT)?.0.cipher.clone()));

/// How records are compressed (`"compression"`): never.
pub const COMPRESSION: ExtraInfo<&'static str> = ExtraInfo::new("compression", |_| None);

/// The context of the connection (`"sslcontext"`).
pub const SSLCONTEXT: ExtraInfo<SslContext> =
    ExtraInfo::new("sslcontext", |known| known.0.ssl()?.context().cloned());

/// The data of a TLS handle, in addition to that of the underlying connection.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) context: SslContext,
    /// Set at the end of the handshake.
    pub(super) object: OnceLock<SslObject>,
}
