//! Handshakes that fail: no connection is made, and the error names the cause and what to do.

use super::*;
use rustls::ClientConfig;
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    sync::Arc,
};

/// What comes of connecting to a server with this context.
async fn error_of(server: SslContext, client: SslContext, name: &str) -> Result<Error> {
    let (theirs, ours) = (Log::default(), Log::default());
    let server = serve(&theirs, server).await?;
    let connecting = create_connection(|| Recorder::new(&ours), ("127.0.0.1", port_of(&server)));
    let outcome = connecting.ssl(client).server_hostname(name).await;
    server.close();
    server.wait_closed().await?;
    assert_eq!((&*ours.events(), &*theirs.events()), ("", ""), "no connection is made");
    Ok(outcome.map(drop).unwrap_err())
}

fn assert_says(error: &Error, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
    assert!(matches!(error, Error::Io(_)), "{error:?}");
}

#[test]
fn a_certificate_that_is_not_valid_is_refused_with_the_cause() {
    run(async {
        let error = error_of(server_context(), client_context(), "other.test").await?;
        assert_says(
            &error,
            &["create_connection: ", "\"other.test\"", "localhost", "server_hostname"],
        );
        assert!(SslError::of(&error).unwrap().is_verification());

        let unknown = context_with(&Authority::new("another").issue(&[HOST], |_| {}));
        let error = error_of(unknown, client_context(), HOST).await?;
        assert_says(&error, &["its issuer is not known", "load_verify_locations()"]);

        // What it trusts has the same name, and another key.
        let namesake = context_with(&Authority::new(AUTHORITY_NAME).issue(&[HOST], |_| {}));
        let error = error_of(namesake, client_context(), HOST).await?;
        assert_says(&error, &["has a different key", "load_verify_locations()"]);

        let root = authority().issue(&[HOST], |params| {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        });
        let error = error_of(context_with(&root), client_context(), HOST).await?;
        assert_says(&error, &["certificate authority's own", "has issued"]);

        let expired = authority().issue(&[HOST], |params| {
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        });
        let error = error_of(context_with(&expired), client_context(), HOST).await?;
        assert_says(&error, &["it has expired", "renew it"]);

        let early = authority().issue(&[HOST], |params| {
            params.not_before = rcgen::date_time_ymd(3000, 1, 1);
        });
        let error = error_of(context_with(&early), client_context(), HOST).await?;
        assert_says(&error, &["not valid yet", "clock"]);
        Ok(())
    });
}

/// A server without TLS, which answers with `answer` and closes.
fn plain_server(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(answer);
    });
    port
}

#[test]
fn what_speaks_no_tls_is_recognised() {
    run(async {
        for (answer, cause) in [
            (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "speaks no TLS, but plain text"),
            (b"220 mail.test ESMTP\r\n", "start_tls"),
            (b"\0\x01\x02\x03\x04\x05\x06\x07\x08", "not TLS"),
            (b"", "closed the connection during the TLS handshake"),
        ] {
            let address = ("127.0.0.1", plain_server(answer));
            let connecting = create_connection(Recorder::default, address);
            let error = connecting.ssl(client_context()).await.map(drop).unwrap_err();
            assert_says(&error, &[cause]);
        }
        Ok(())
    });
}

#[test]
fn a_server_survives_garbage_and_names_it_in_debug_mode() {
    run(async {
        let (theirs, handler) = (Log::default(), Log::default());
        handler.watch_handler()?;
        let server = serve(&theirs, server_context()).await?;
        for garbage in
            [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 0xff, 0xff, 1], &[0; 100], b""]
        {
            let mut stream = TcpStream::connect(("127.0.0.1", port_of(&server)))?;
            stream.write_all(garbage)?;
            stream.shutdown(std::net::Shutdown::Write)?;
            let read = asyncio_task::to_thread(move || stream.read_to_end(&mut Vec::new()));
            let _ = read.await?;
        }
        server.close();
        server.wait_closed().await?;
        assert_eq!((&*theirs.events(), &*handler.events()), ("", ""));
        Ok(())
    });
}

#[test]
fn a_handshake_that_takes_too_long_ends_at_its_limit() {
    run_hours(async {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let started = asyncio_loop::get_running_loop()?.time();
        let connecting = create_connection(Recorder::default, listener.local_addr()?);
        let error =
            connecting.ssl(client_context()).server_hostname(HOST).await.map(drop).unwrap_err();
        let took = asyncio_loop::get_running_loop()?.time() - started;
        assert!((60.0..61.0).contains(&took.as_secs_f64()), "{took:?}");
        assert_says(
            &error,
            &["SSL handshake is taking longer than 60.0 seconds: aborting the connection"],
        );
        Ok(())
    });
}

/// Returns for how long the only connection of the server exists.
async fn time_of_a_client(server: crate::Server) -> Result<Duration> {
    while server.clients().is_empty() {
        iterations(1).await?;
    }
    let event_loop = asyncio_loop::get_running_loop()?;
    let started = event_loop.time();
    server.close();
    server.wait_closed().await?;
    Ok(event_loop.time() - started)
}

#[test]
fn a_server_gives_a_silent_client_the_time_of_its_limit() {
    const LIMIT: Duration = Duration::from_secs(5);
    run_hours(async {
        let (log, reports) = (Log::default(), Log::default());
        reports.watch_handler()?;
        let recorder = || {
            let log = log.clone();
            move || Recorder::new(&log)
        };
        let path = std::env::temp_dir().join(format!("asyncio-silent-{}", std::process::id()));
        for (limit, expected) in [(None, SSL_HANDSHAKE_TIMEOUT), (Some(LIMIT), LIMIT)] {
            let mut tcp = create_server(recorder(), ("127.0.0.1", 0)).ssl(server_context());
            let mut unix = create_unix_server(recorder(), &path).ssl(server_context());
            if let Some(limit) = limit {
                tcp = tcp.ssl_handshake_timeout(limit);
                unix = unix.ssl_handshake_timeout(limit);
            }
            let (tcp, unix) = (tcp.await?, unix.await?);
            let _silent = TcpStream::connect(("127.0.0.1", port_of(&tcp)))?;
            assert_eq!(time_of_a_client(tcp).await?, expected);
            let _silent = UnixStream::connect(&path)?;
            assert_eq!(time_of_a_client(unix).await?, expected);
        }
        assert_eq!((&*log.events(), &*reports.events()), ("", ""));
        Ok(())
    });
}

#[test]
fn everything_that_shakes_hands_takes_a_limit() {
    run_hours(async {
        const LIMIT: Duration = Duration::from_secs(2);
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let connecting = create_connection(Recorder::default, listener.local_addr()?);
        let connecting = connecting.ssl(client_context()).server_hostname(HOST);
        let mut outcomes = vec![connecting.ssl_handshake_timeout(LIMIT).transport().await];

        let (ours, _silent) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
        let connecting = create_unix_connection(Recorder::default, ours);
        let connecting = connecting.ssl(client_context()).server_hostname(HOST);
        outcomes.push(connecting.ssl_handshake_timeout(LIMIT).transport().await);

        let (ours, _silent) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
        let accepting = connect_accepted_socket(Recorder::default, ours).ssl(server_context());
        outcomes.push(accepting.ssl_handshake_timeout(LIMIT).transport().await);

        let (ours, _silent) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
        let (plain, protocol) = connect_accepted_socket(Recorder::default, ours).await?;
        let upgrading = start_tls(&plain, protocol, server_context()).server_side(true);
        outcomes.push(upgrading.ssl_handshake_timeout(LIMIT).await);
        for outcome in outcomes {
            assert_says(&outcome.unwrap_err(), &["taking longer than 2.0 seconds"]);
        }
        Ok(())
    });
}

#[test]
fn a_side_that_gives_up_during_the_handshake_leaves_nothing_behind() {
    run(async {
        let server = serve(&Log::default(), server_context()).await?;
        let config = Arc::new(ClientConfig::clone(&client_config()));
        for steps in 0..40 {
            let (port, config) = (port_of(&server), config.clone());
            let connecting = asyncio_task::create_task(async move {
                let connecting = create_connection(Recorder::default, (HOST, port));
                connecting.ssl(config).await.map(drop)
            });
            iterations(steps).await?;
            connecting.cancel();
            let outcome = connecting.await;
            assert!(outcome.is_ok() || outcome.is_err_and(|error| error.is_cancelled()));
        }
        server.close();
        server.abort_clients();
        server.wait_closed().await?;
        // The sessions of clients whose handshake was over end with their connections.
        while Arc::strong_count(&config) > 1 {
            iterations(1).await?;
        }
        Ok(())
    });
}
