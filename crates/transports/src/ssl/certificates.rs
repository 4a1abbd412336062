//! Reads certificates and keys from PEM files.

use super::error::SslError;
use asyncio_core::{Error, Result};
use asyncio_sockets::described;
use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use std::{fs, io, path::Path};

/// The text of a PEM file.
pub(super) fn pem_of(what: &str, path: &Path) -> Result<Vec<u8>> {
    Ok(fs::read(path).map_err(|error| unreadable(what, path, error))?)
}

fn unreadable(what: &str, path: &Path, error: io::Error) -> io::Error {
    described(format!("{what}: {}: {error}", path.display()), error)
}

/// All certificates in a PEM file, or in the files of a directory.
pub(super) fn certificates_in(what: &str, location: &Path) -> Result<Vec<CertificateDer<'static>>> {
    if !location.is_dir() {
        return chain(what, &pem_of(what, location)?);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(location).map_err(|error| unreadable(what, location, error))? {
        let path = entry.map_err(|error| unreadable(what, location, error))?.path();
        // The directory may contain other files.
        if let Ok(certificates) = pem_of(what, &path).and_then(|pem| chain(what, &pem)) {
            found.extend(certificates);
        }
    }
    match found.is_empty() {
        true => Err(Error::value(format!("{what}: no certificate in {}", location.display()))),
        false => Ok(found),
    }
}

/// The certificates in the text of a PEM file.
pub(super) fn chain(what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Error::value(format!(
            "{what}: no certificate: a PEM file with \"-----BEGIN CERTIFICATE-----\" was expected"
        ))),
        Err(error) => Err(Error::value(format!("{what}: no valid PEM: {error}"))),
    }
}

/// A certificate with its issuers and its key.
pub(super) fn certified_key(
    what: &str,
    certificates: &[u8],
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey> {
    let chain = chain(what, certificates)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
        Error::value(format!(
            "{what}: no private key: {error}; an unencrypted PEM key (PKCS#8, PKCS#1 or SEC1) was \
             expected"
        ))
    })?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| SslError::value(what, &error))
}
