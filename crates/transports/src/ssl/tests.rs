//! TLS over real sockets: how connections begin. Other files test reading and writing, the end of connections, and
//! peers of other libraries.

use super::*;
use crate::{
    PEERNAME, SOCKET, Transport, connect_accepted_socket, create_connection, create_server,
    create_unix_connection, create_unix_server, testing::*,
};
use asyncio_core::{Error, Result};
use asyncio_sockets::{Domain, Socket, Type};
use std::time::Duration;

mod certificates;
mod contexts;
mod ending;
mod failing;
mod moving;
mod pieces;
mod upgrading;

use certificates::*;

/// The host of the certificates.
pub(super) const HOST: &str = "localhost";

/// A server whose only connection writes down what happens in `log`.
async fn serve(log: &Log, context: SslContext) -> Result<crate::Server> {
    let log = log.clone();
    create_server(move || Recorder::new(&log), ("127.0.0.1", 0)).ssl(context).await
}

/// Two ends of a connection, and what happens to them.
struct Pair {
    client: Transport,
    ours: Log,
    theirs: Log,
    server: crate::Server,
}

/// A connection between two recorders.
async fn pair_of(ours: Recorder, server: SslContext, client: SslContext) -> Result<Pair> {
    let (log, theirs) = (ours.log.clone(), Log::default());
    let server = serve(&theirs, server).await?;
    let (client, _) = create_connection(move || ours, (HOST, port_of(&server))).ssl(client).await?;
    theirs.wait("made").await?;
    Ok(Pair { client, ours: log, theirs, server })
}

/// A connection between two recorders that trust each other.
async fn pair() -> Result<Pair> {
    pair_of(Recorder::new(&Log::default()), server_context(), client_context()).await
}

#[test]
fn true_is_the_default_context_which_trusts_the_system_alone() {
    run(async {
        let log = Log::default();
        let server = serve(&log, server_context()).await?;
        let connecting = create_connection(Recorder::default, (HOST, port_of(&server)));
        let error = connecting.ssl(true).await.map(drop).unwrap_err();
        assert!(error.to_string().contains("its issuer is not known here"), "{error}");
        let context = create_default_context(Purpose::ServerAuth);
        assert_eq!((context.verify_mode(), context.check_hostname()), (VerifyMode::Required, true));
        assert_eq!(context.minimum_version(), TlsVersion::Tls12);
        assert_eq!(log.events(), "");
        Ok(())
    });
}

#[test]
fn the_constants_are_those_of_asyncio() {
    assert_eq!(SSL_HANDSHAKE_TIMEOUT, Duration::from_secs(60));
    assert_eq!(SSL_SHUTDOWN_TIMEOUT, Duration::from_secs(30));
    assert_eq!(FLOW_CONTROL_HIGH_WATER_SSL_READ, 256 * 1024);
    assert_eq!(FLOW_CONTROL_HIGH_WATER_SSL_WRITE, 512 * 1024);
}

fn port_of(server: &crate::Server) -> u16 {
    server.local_addr().as_inet().unwrap().port()
}

#[test]
fn both_sides_are_made_after_the_handshake_and_say_what_was_agreed() {
    run(async {
        let pair = pair().await?;
        assert_eq!((&*pair.ours.events(), &*pair.theirs.events()), ("made", "made"));
        let object = pair.client.get_extra_info(SSL_OBJECT).unwrap();
        assert_eq!(object.version(), TlsVersion::Tls13);
        assert_eq!(object.server_hostname(), Some(HOST));
        assert!(!object.server_side() && !object.session_reused());
        assert_eq!(object.selected_alpn_protocol(), None);
        assert!(pair.client.get_extra_info(CIPHER).unwrap().name.starts_with("TLS13_"));
        let certificate = pair.client.get_extra_info(PEERCERT).unwrap();
        assert_eq!(certificate, object.get_unverified_chain()[0]);
        assert!(pair.client.get_extra_info(SSLCONTEXT).unwrap().check_hostname());
        assert_eq!(pair.client.get_extra_info(COMPRESSION), None);
        assert_eq!(pair.client.get_extra_info(PEERNAME), Some(pair.server.local_addr()));
        assert!(pair.client.get_extra_info(SOCKET).is_some());
        assert!(!pair.client.can_write_eof());
        pair.client.close();
        pair.ours.lost().await?;
        pair.theirs.lost().await?;
        assert_eq!(pair.ours.events(), "made eof lost");
        assert_eq!(pair.theirs.events(), "made eof lost");
        Ok(())
    });
}

#[test]
fn over_unix_sockets_and_accepted_ones() {
    run(async {
        let path = std::env::temp_dir().join(format!("asyncio-tls-{}", std::process::id()));
        let theirs = Log::default();
        let log = theirs.clone();
        let factory = move || Recorder::new(&log);
        let server = create_unix_server(factory, &path).ssl(server_context()).await?;
        let ours = Log::default();
        let log = ours.clone();
        let connecting = create_unix_connection(move || Recorder::new(&log), &path);
        let (client, _) = connecting.ssl(client_context()).server_hostname(HOST).await?;
        client.write(b"hello");
        theirs.wait("data").await?;
        server.close();
        client.close();
        theirs.lost().await?;
        assert_eq!(theirs.received(), b"hello");

        let (one, other) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
        let (ours, theirs) = (Log::default(), Log::default());
        let log = theirs.clone();
        let accepting = asyncio_task::create_task(async move {
            let accepted = connect_accepted_socket(move || Recorder::new(&log), one);
            Ok(accepted.ssl(server_context()).await?.0)
        });
        let log = ours.clone();
        let client = create_unix_connection(move || Recorder::new(&log), other)
            .ssl(client_context())
            .server_hostname(HOST)
            .transport()
            .await?;
        accepting.await?.write(b"hello");
        ours.wait("data").await?;
        client.abort();
        theirs.lost().await
    });
}

#[test]
fn arguments_that_do_not_fit_are_refused_before_anything_is_done() {
    run(async {
        let connect = || create_connection(Recorder::default, ("127.0.0.1", 1));
        let text = |error: Error| {
            assert!(matches!(error, Error::Value(_)), "{error:?}");
            error.to_string()
        };
        let refused = connect().server_hostname("x").await.map(drop).unwrap_err();
        assert_eq!(text(refused), "create_connection: server_hostname is only meaningful with ssl");
        let refused = connect().ssl_handshake_timeout(Duration::from_secs(1)).await;
        let expected = "create_connection: ssl_handshake_timeout is only meaningful with ssl";
        assert_eq!(text(refused.map(drop).unwrap_err()), expected);
        let refused = connect().ssl(true).ssl_shutdown_timeout(Duration::ZERO).await;
        let expected =
            "create_connection: ssl_shutdown_timeout should be a positive number, got 0.0";
        assert_eq!(text(refused.map(drop).unwrap_err()), expected);
        let refused = connect().ssl(client_context()).server_hostname("").await;
        let expected = "create_connection: check_hostname requires server_hostname";
        assert_eq!(text(refused.map(drop).unwrap_err()), expected);
        let refused = connect().ssl(client_context()).server_hostname("not a name").await;
        assert!(text(refused.map(drop).unwrap_err()).contains("neither a host name nor an IP"));
        let refused = connect().ssl(server_context()).await;
        assert!(text(refused.map(drop).unwrap_err()).contains("needs a context for Purpose::S"));
        let unix = create_unix_connection(Recorder::default, "/nowhere").ssl(true).await;
        let expected = "create_unix_connection: server_hostname must be set when ssl is used without a \
                        host";
        assert_eq!(text(unix.map(drop).unwrap_err()), expected);
        let server = create_server(Recorder::default, ("127.0.0.1", 0)).ssl(client_context());
        assert!(
            text(server.await.unwrap_err()).contains("needs a context for Purpose::ClientAuth")
        );
        let empty = create_default_context(Purpose::ClientAuth);
        let server = create_server(Recorder::default, ("127.0.0.1", 0)).ssl(empty);
        assert!(text(server.await.unwrap_err()).contains("call load_cert_chain()"));
        Ok(())
    });
}
