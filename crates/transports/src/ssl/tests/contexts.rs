//! What a context asks for, and what comes of it.

use super::*;
use rustls::{
    ClientConfig, ClientConnection, ServerConfig, StreamOwned,
    server::{ProducesTickets, ServerSessionMemoryCache},
};
use std::{
    io::{Read, Write},
    sync::Arc,
};

/// What the two sides agreed on.
async fn agreed(server: SslContext, client: SslContext) -> Result<(SslObject, Log, Log)> {
    let pair = pair_of(Recorder::new(&Log::default()), server, client).await?;
    let object = pair.client.get_extra_info(SSL_OBJECT).unwrap();
    pair.client.close();
    pair.ours.lost().await?;
    pair.server.close();
    Ok((object, pair.ours, pair.theirs))
}

#[test]
fn the_version_is_within_what_both_allow() {
    run(async {
        let mut old = client_context();
        old.set_maximum_version(TlsVersion::Tls12)?;
        let (object, ..) = agreed(server_context(), old.clone()).await?;
        assert_eq!(
            (object.version(), object.cipher().version),
            (TlsVersion::Tls12, TlsVersion::Tls12)
        );
        assert!(old.set_minimum_version(TlsVersion::Tls13).is_err(), "above the maximum");
        let mut new = server_context();
        new.set_minimum_version(TlsVersion::Tls13)?;
        let error = agreed(new, old).await.map(drop).unwrap_err();
        assert!(error.to_string().contains("none of the versions of TLS"), "{error}");
        Ok(())
    });
}

#[test]
fn the_server_picks_the_first_protocol_of_its_own_that_the_client_speaks() {
    run(async {
        let (mut server, mut client) = (server_context(), client_context());
        server.set_alpn_protocols(["h2", "http/1.1"])?;
        client.set_alpn_protocols(["http/1.1", "h2"])?;
        let (object, ..) = agreed(server.clone(), client.clone()).await?;
        assert_eq!(object.selected_alpn_protocol(), Some(&b"h2"[..]));
        client.set_alpn_protocols(["gopher"])?;
        let error = agreed(server, client.clone()).await.map(drop).unwrap_err();
        assert!(error.to_string().contains("see set_alpn_protocols"), "{error}");
        assert!(client.set_alpn_protocols([""]).is_err());
        Ok(())
    });
}

#[test]
fn sessions_are_resumed_unless_that_is_off() {
    run(async {
        for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
            let (server, mut client) = (server_context(), client_context());
            client.set_maximum_version(version)?;
            let reused = async |server: &SslContext, client: &SslContext| {
                let answer = Recorder::new(&Log::default());
                let pair = pair_of(answer, server.clone(), client.clone()).await?;
                let theirs = pair.server.clients().remove(0).get_extra_info(SSL_OBJECT).unwrap();
                assert_eq!(theirs.server_hostname(), Some(HOST));
                // The tickets of TLS 1.3 come with what the server sends first.
                pair.server.close_clients();
                pair.ours.lost().await?;
                let object = pair.client.get_extra_info(SSL_OBJECT).unwrap();
                Ok::<_, Error>(object.session_reused())
            };
            assert!(!reused(&server, &client).await?, "{version:?}");
            assert!(reused(&server, &client).await?, "{version:?}");
            let mut forgetful = server.clone();
            forgetful.set_session_resumption(false)?;
            assert!(!reused(&forgetful, &client).await?, "{version:?}");
            assert!(!reused(&forgetful, &client).await?, "{version:?}");
        }
        Ok(())
    });
}

#[test]
fn a_client_certificate_is_wanted_required_or_wrong() {
    run(async {
        let mut wants = server_context();
        wants.load_verify_pem(authority().pem.as_bytes())?;
        wants.set_verify_mode(VerifyMode::Optional)?;
        let mut requires = wants.clone();
        requires.set_verify_mode(VerifyMode::Required)?;
        let with = |certificate: &Certificate| {
            let mut context = client_context();
            let (pem, key) = (certificate.pem.as_bytes(), certificate.key.as_bytes());
            context.load_cert_chain_pem(pem, key).map(|()| context)
        };
        let known = with(&authority().issue(&["a client"], |_| {}))?;
        let unknown = with(&Authority::new("another authority").issue(&["a client"], |_| {}))?;
        agreed(wants.clone(), client_context()).await?;
        agreed(wants, known.clone()).await?;
        agreed(requires.clone(), known).await?;
        let refusals = [
            (client_context(), ["alert CertificateRequired", "call load_cert_chain()"]),
            (unknown, ["alert UnknownCA", "the issuer of the certificate of this client"]),
        ];
        for (client, causes) in refusals {
            let (theirs, ours) = (Log::default(), Log::default());
            let server = serve(&theirs, requires.clone()).await?;
            let log = ours.clone();
            let connecting = create_connection(|| Ends(log), (HOST, port_of(&server)));
            // With TLS 1.3 the client's handshake is over before the server has seen its certificate.
            let made = connecting.ssl(client.clone()).await?;
            ours.lost().await?;
            drop(made);
            for cause in causes {
                assert!(ours.events().contains(cause), "{cause}: {}", ours.events());
            }
            assert_eq!(theirs.events(), "");

            let mut old = client;
            old.set_maximum_version(TlsVersion::Tls12)?;
            let connecting = create_connection(Recorder::default, (HOST, port_of(&server)));
            let error = connecting.ssl(old).await.map(drop).unwrap_err();
            assert!(error.to_string().contains("the server refused with the alert"), "{error}");
        }
        Ok(())
    });
}

/// Writes down why its connection ends.
struct Ends(Log);

impl crate::Protocol for Ends {
    fn data_received(&mut self, _: &Transport, _: bytes::Bytes) {}

    fn connection_lost(&mut self, _: &Transport, error: Option<Error>) {
        self.0.add(format!("lost: {}", error.map_or_else(String::new, |error| error.to_string())));
    }
}

#[test]
fn a_server_has_several_certificates_and_several_contexts() {
    run(async {
        let (one, other) =
            (authority().issue(&["one.test"], |_| {}), authority().issue(&["*.two.test"], |_| {}));
        let mut several = context_with(&one);
        several.load_cert_chain_pem(other.pem.as_bytes(), other.key.as_bytes())?;
        let mut chosen = context_with(&authority().issue(&["three.test"], |_| {}));
        chosen.set_alpn_protocols(["chosen"])?;
        several
            .set_sni_callback(move |name| (name == Some("three.test")).then(|| chosen.clone()))?;
        let log = Log::default();
        let server = serve(&log, several).await?;
        for name in ["one.test", "x.two.test", "three.test"] {
            let mut client = client_context();
            client.set_alpn_protocols(["chosen"])?;
            let connecting = create_connection(Recorder::default, ("127.0.0.1", port_of(&server)));
            let (transport, _) = connecting.ssl(client).server_hostname(name).await?;
            let object = transport.get_extra_info(SSL_OBJECT).unwrap();
            let expected = (name == "three.test").then_some(&b"chosen"[..]);
            assert_eq!(object.selected_alpn_protocol(), expected, "{name}");
            log.wait("made").await?;
            let theirs = server.clients().remove(0).get_extra_info(SSL_OBJECT).unwrap();
            assert!(theirs.server_side());
            assert_eq!(theirs.server_hostname(), Some(name));
            transport.abort();
            log.lost().await?;
            log.forget();
        }
        Ok(())
    });
}

#[test]
fn checks_are_off_only_if_that_is_said() {
    run(async {
        let other =
            context_with(&Authority::new("another authority").issue(&["other.test"], |_| {}));
        let mut client = client_context();
        assert!(client.set_verify_mode(VerifyMode::None).is_err());
        client.dangerously_disable_verification()?;
        assert_eq!((client.verify_mode(), client.check_hostname()), (VerifyMode::None, false));
        agreed(other, client).await?;

        let nameless = context_with(&authority().issue(&["other.test"], |_| {}));
        let mut client = client_context();
        client.set_check_hostname(false)?;
        agreed(nameless.clone(), client.clone()).await?;
        let log = Log::default();
        let server = serve(&log, nameless).await?;
        let connecting = create_connection(Recorder::default, ("127.0.0.1", port_of(&server)));
        let (transport, _) = connecting.ssl(client).server_hostname("").await?;
        assert_eq!(transport.get_extra_info(SSL_OBJECT).unwrap().server_hostname(), None);
        transport.abort();
        Ok(())
    });
}

#[test]
fn files_are_read_and_what_is_wrong_with_them_is_said() {
    run(async {
        let directory =
            std::env::temp_dir().join(format!("asyncio-tls-{}-files", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let path = |name: &str| directory.join(name);
        std::fs::write(path("server.pem"), own().pem.clone() + &own().key)?;
        std::fs::create_dir_all(path("trusted"))?;
        std::fs::write(path("trusted").join("ca.pem"), &authority().pem)?;
        std::fs::write(path("empty"), "")?;
        let mut server = create_default_context(Purpose::ClientAuth);
        server.load_cert_chain(path("server.pem"), path("server.pem"))?;
        let mut client = create_default_context(Purpose::ServerAuth);
        client.clear_verify_locations()?;
        client.load_verify_locations(path("trusted"))?;
        client.set_keylog_filename(path("keys"))?;
        agreed(server.clone(), client.clone()).await?;
        assert!(std::fs::read_to_string(path("keys"))?.contains("CLIENT_TRAFFIC_SECRET_0 "));

        let text = |outcome: Result<()>| outcome.unwrap_err().to_string();
        let missing = text(client.load_verify_locations(path("missing")));
        assert!(
            missing.starts_with("load_verify_locations: /") && missing.contains("missing: No such")
        );
        assert!(text(client.load_verify_locations(path("empty"))).contains("BEGIN CERTIFICATE"));
        assert!(
            text(server.load_cert_chain(path("server.pem"), path("empty")))
                .contains("no private key")
        );
        let other = authority().issue(&[HOST], |_| {});
        let mismatch = server.load_cert_chain_pem(own().pem.as_bytes(), other.key.as_bytes());
        assert!(text(mismatch).contains("the private key is not that of the certificate"));
        Ok(std::fs::remove_dir_all(&directory)?)
    });
}

#[test]
fn another_provider_of_cryptography_takes_the_place_of_ring() {
    run(async {
        let mut provider = rustls::crypto::ring::default_provider();
        provider
            .cipher_suites
            .retain(|suite| suite.suite() == rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
        let mut client = client_context();
        client.set_crypto_provider(provider.into())?;
        let (object, ..) = agreed(server_context(), client).await?;
        assert_eq!(object.cipher().name, "TLS13_CHACHA20_POLY1305_SHA256");
        assert_eq!(object.cipher().secret_bits, 256);
        Ok(())
    });
}

#[cfg(feature = "webpki-roots")]
#[test]
fn the_roots_of_mozilla_are_trusted_with_the_feature() {
    let roots = configuration::system_roots().unwrap();
    assert!(webpki_roots::TLS_SERVER_ROOTS.iter().all(|root| roots.roots.contains(root)));
}

#[test]
fn a_configuration_of_rustls_is_taken_as_it_is() {
    run(async {
        let mut ready = SslContext::from(server_config());
        assert!(ready.set_session_resumption(false).is_err(), "everything is decided");
        agreed(ready, client_config().into()).await?;
        Ok(())
    });
}

#[test]
fn early_data_that_a_ready_configuration_permits_is_the_beginning_of_what_is_received() {
    run(async {
        let mut ready = ServerConfig::clone(&server_config());
        ready.max_early_data_size = 1000;
        ready.session_storage = ServerSessionMemoryCache::new(10);
        ready.ticketer = Arc::new(NoTickets);
        let log = Log::default();
        let server = serve(&log, Arc::new(ready).into()).await?;
        let mut config = ClientConfig::clone(&client_config());
        config.enable_early_data = true;
        let (config, port) = (Arc::new(config), port_of(&server));
        for is_early in [false, true] {
            let config = config.clone();
            asyncio_task::to_thread(move || {
                let connection = ClientConnection::new(config, HOST.try_into().unwrap()).unwrap();
                let socket = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
                let mut client = StreamOwned::new(connection, socket);
                if let Some(mut early) = client.conn.early_data() {
                    early.write_all(b"early ").unwrap();
                }
                client.write_all(b"late").unwrap();
                client.conn.send_close_notify();
                client.flush().unwrap();
                client.read_to_end(&mut Vec::new()).unwrap();
                assert_eq!(client.conn.is_early_data_accepted(), is_early);
            })
            .await?;
            log.lost().await?;
            let expected: &[u8] = if is_early { b"early late" } else { b"late" };
            assert_eq!((&*log.received(), &*log.events()), (expected, "made data eof lost"));
            log.forget();
        }
        Ok(())
    });
}

/// Sessions are kept by the server.
#[derive(Debug)]
struct NoTickets;

impl ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}
