//! [`SslError`]: the cause of a failure, and its remedy.

use asyncio_core::{Error, wait_site::WaitSite};
use asyncio_sockets::described;
use rustls::{
    AlertDescription, CertificateError, Error as Tls, InvalidMessage, OtherError, PeerIncompatible,
};
use std::{error::Error as StdError, fmt, io};

/// The reason for which TLS failed (`ssl.SSLError`). The message names the cause and the remedy.
///
/// Operations on connections fail with an `Error::Io` that contains it; [`SslError::of`] finds it
/// there.
#[derive(Clone)]
pub struct SslError {
    text: String,
    source: Tls,
}

impl SslError {
    /// Creates an error. `first_bytes` are the first bytes from the peer: they show whether it speaks TLS at all.
    pub(super) fn new(source: Tls, is_server: bool, first_bytes: &[u8]) -> SslError {
        let text = match plaintext(&source, first_bytes) {
            Some(text) => text.to_owned(),
            None => describe(&source, is_server),
        };
        SslError { text, source }
    }

    /// The error of an argument.
    pub(super) fn value(what: &str, source: &Tls) -> Error {
        Error::value(format!("{what}: {}", describe(source, true)))
    }

    /// Returns the `SslError` inside `error`, if TLS caused the failure.
    pub fn of(error: &Error) -> Option<&SslError> {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&**error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            cause = match inner {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }

    /// Returns whether this side rejected the peer's certificate (`ssl.SSLCertVerificationError`).
    pub fn is_verification(&self) -> bool {
        matches!(self.source, Tls::InvalidCertificate(_))
    }

    /// Returns the error of rustls.
    pub fn rustls(&self) -> &Tls {
        &self.source
    }
}

impl From<SslError> for io::Error {
    fn from(error: SslError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

impl fmt::Display for SslError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SslError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SslError({:?})", self.text)
    }
}

impl StdError for SslError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.source)
    }
}

/// Adds the name of the operation to the error of its handshake.
pub(crate) fn named(site: WaitSite, error: Error) -> Error {
    let text = format!("{}: {error}", site.what());
    match (SslError::of(&error), &error) {
        (Some(found), _) => io::Error::from(SslError { text, source: found.source.clone() }).into(),
        (None, Error::Io(_)) => described(text, error.into()).into(),
        (None, _) => error,
    }
}

/// The protocol of a peer that does not speak TLS, guessed from its first bytes.
fn plaintext(error: &Tls, first_bytes: &[u8]) -> Option<&'static str> {
    let is_no_record = matches!(
        error,
        Tls::InvalidMessage(
            InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::MessageTooLarge
                | InvalidMessage::InvalidEmptyPayload
        )
    );
    if !is_no_record {
        return None;
    }
    const METHODS: [&[u8]; 6] = [b"GET ", b"POST ", b"HEAD ", b"PUT ", b"OPTIONS ", b"DELETE "];
    if METHODS.iter().any(|method| first_bytes.starts_with(method)) {
        return Some("the other side speaks HTTP without TLS; use an https:// address");
    }
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    if first_bytes.iter().all(is_text) {
        return Some(
            "the other side speaks no TLS, but plain text; connect to its TLS port, or without ssl \
             (if the protocol upgrades with STARTTLS, use start_tls)",
        );
    }
    Some("what the other side sent is not TLS")
}

fn describe(error: &Tls, is_server: bool) -> String {
    let (peer, this) = if is_server { ("client", "server") } else { ("server", "client") };
    match error {
        Tls::InvalidCertificate(error) => {
            format!("the certificate of the {peer} is not valid: {}", certificate(error))
        }
        Tls::AlertReceived(alert) => {
            format!("the {peer} refused with the alert {alert:?}{}", remedy(*alert, this))
        }
        Tls::PeerIncompatible(why) => match why {
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic => format!(
                "no version of TLS that both sides speak ({why:?}); this side speaks TLS 1.2 and 1.3, \
                 unless set_minimum_version or set_maximum_version said otherwise"
            ),
            _ => format!("the {peer} cannot do what this side needs ({why:?})"),
        },
        Tls::NoCertificatesPresented => {
            format!("the {peer} showed no certificate, which verify_mode requires")
        }
        Tls::NoApplicationProtocol => format!(
            "no application protocol that both sides speak; see set_alpn_protocols of the {this}"
        ),
        Tls::InconsistentKeys(_) => "the private key is not that of the certificate".to_owned(),
        Tls::DecryptError => "a record cannot be decrypted: it was changed on the way".to_owned(),
        other => other.to_string(),
    }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "its issuer is not known here; to trust it, call \
                                            load_verify_locations() with the issuer's certificate"
            .to_owned(),
        CertificateError::BadSignature => "a signature is wrong: probably the issuer of that name \
                                           that is trusted here has a different key; to trust this \
                                           issuer, call load_verify_locations() with its certificate"
            .to_owned(),
        // It has no variant of its own.
        CertificateError::Other(OtherError(cause)) if cause.to_string() == "CaUsedAsEndEntity" => {
            "it is a certificate authority's own (CA:TRUE); use a certificate that this authority has \
             issued"
                .to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("it has expired ({error}); renew it, or set the clock of this machine")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("it is not valid yet ({error}); set the clock of this machine")
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = match presented.is_empty() {
                true => "no name at all".to_owned(),
                false => presented.join(", "),
            };
            format!(
                "it is not for {:?}, but for {names}; connect to that name, or set server_hostname",
                expected.to_str()
            )
        }
        other => other.to_string(),
    }
}

/// What this side can do about the refusal.
fn remedy(alert: AlertDescription, this: &str) -> String {
    match alert {
        AlertDescription::UnknownCA => {
            format!(": it does not know the issuer of the certificate of this {this}")
        }
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate => {
            format!(": it does not accept the certificate of this {this}")
        }
        AlertDescription::CertificateExpired => format!(": the certificate of this {this} expired"),
        AlertDescription::CertificateRequired => {
            ": it wants a client certificate; call load_cert_chain()".to_owned()
        }
        AlertDescription::HandshakeFailure => {
            ": the two have no cipher suite in common, or it wants a client certificate \
             (load_cert_chain)"
                .to_owned()
        }
        AlertDescription::ProtocolVersion => {
            ": it speaks none of the versions of TLS that this side offers".to_owned()
        }
        AlertDescription::UnrecognisedName => {
            ": it has no certificate for that name; see server_hostname".to_owned()
        }
        AlertDescription::NoApplicationProtocol => {
            ": no common application protocol; see set_alpn_protocols".to_owned()
        }
        _ => String::new(),
    }
}
