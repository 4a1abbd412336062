//! A server and a client that trust each other, with a certificate made on the spot. The module `ssl` is that of
//! the crate under test: this file is also part of the tests of streams.

use super::ssl::{Purpose, SslContext, create_default_context};

/// The contexts of a server called `localhost` and of a client that trusts it.
pub(crate) fn contexts() -> (SslContext, SslContext) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let mut server = create_default_context(Purpose::ClientAuth);
    server.load_cert_chain_pem(pem.as_bytes(), key.as_bytes()).unwrap();
    let mut client = create_default_context(Purpose::ServerAuth);
    client.clear_verify_locations().unwrap();
    client.load_verify_pem(pem.as_bytes()).unwrap();
    (server, client)
}
