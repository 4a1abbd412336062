//! How TLS ends.

use super::*;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};

/// A client of rustls alone, which blocks.
type BlockingClient = StreamOwned<ClientConnection, TcpStream>;

fn blocking_client(port: u16) -> BlockingClient {
    let connection = ClientConnection::new(client_config(), HOST.try_into().unwrap()).unwrap();
    StreamOwned::new(connection, TcpStream::connect(("127.0.0.1", port)).unwrap())
}

/// The transport of the server's connection, as soon as it is made.
async fn accepted(log: &Log, server: &crate::Server) -> Result<Transport> {
    log.wait("made").await?;
    Ok(server.clients().remove(0))
}

/// A client that has sent "hello", and the server's end of the connection, where that has arrived.
struct Greeted {
    client: BlockingClient,
    transport: Transport,
    log: Log,
}

async fn greeted() -> Result<Greeted> {
    let log = Log::default();
    let server = serve(&log, server_context()).await?;
    let mut client = blocking_client(port_of(&server));
    let sending = asyncio_task::to_thread(move || {
        client.write_all(b"hello").unwrap();
        client
    });
    let client = sending.await?;
    log.wait("data").await?;
    Ok(Greeted { client, transport: accepted(&log, &server).await?, log })
}

#[test]
fn closing_sends_what_is_buffered_and_close_notify_and_waits_for_the_peers() {
    run(async {
        let Greeted { mut client, transport, log } = greeted().await?;
        let reading = asyncio_task::create_task(asyncio_task::to_thread(move || {
            let mut all = Vec::new();
            // An end without close_notify would be an error.
            client.read_to_end(&mut all).unwrap();
            client.conn.send_close_notify();
            client.flush().unwrap();
            all.len()
        }));
        transport.write(vec![7; 3_000_000]);
        transport.close();
        assert!(transport.is_closing() && !transport.is_reading());
        transport.close();
        assert_eq!(reading.await?, 3_000_000);
        log.lost().await?;
        let events = log.events();
        assert!(events.ends_with("eof lost"), "{events}");
        assert_eq!((log.count("lost"), log.count("eof")), (1, 1));
        Ok(())
    });
}

#[test]
fn a_peer_that_neither_reads_nor_closes_is_given_up_at_the_limit() {
    // So much is to be sent: nothing, or more than the system takes.
    for (length, events) in [(0, "made data"), (6_000_000, "made data pause")] {
        run_hours(async move {
            let Greeted { client, transport, log } = greeted().await?;
            transport.write(vec![7; length]);
            expires(&transport, &log, SSL_SHUTDOWN_TIMEOUT).await?;
            assert_eq!(log.events(), format!("{events} lost:SSL shutdown timed out"));
            drop(client);
            Ok(())
        });
    }
}

/// Closes a connection whose other side reads nothing, and expects it to end at the limit.
async fn expires(transport: &Transport, log: &Log, limit: Duration) -> Result<()> {
    let started = asyncio_loop::get_running_loop()?.time();
    transport.close();
    log.lost().await?;
    let took = asyncio_loop::get_running_loop()?.time() - started;
    assert!((limit..limit + Duration::from_secs(1)).contains(&took), "{took:?}");
    assert!(log.events().ends_with("lost:SSL shutdown timed out"), "{}", log.events());
    Ok(())
}

#[test]
fn everything_that_speaks_tls_takes_a_limit_for_its_end() {
    const LIMIT: Duration = Duration::from_secs(2);
    run_hours(async {
        let path = std::env::temp_dir().join(format!("asyncio-tls-ends-{}", std::process::id()));
        for server_closes in [true, false] {
            let (ours, theirs, unix) = (Log::default(), Log::default(), Log::default());
            let (mine, log, other) = (ours.clone(), theirs.clone(), unix.clone());
            let server = create_server(move || Recorder::new(&log), ("127.0.0.1", 0));
            let server = server.ssl(server_context()).ssl_shutdown_timeout(LIMIT).await?;
            let connecting = create_connection(|| Recorder::new(&mine), (HOST, port_of(&server)));
            let connecting = connecting.ssl(client_context()).ssl_shutdown_timeout(LIMIT);
            let client = connecting.transport().await?;
            let accepted = accepted(&theirs, &server).await?;
            let (closes, reads, log) = match server_closes {
                true => (&accepted, &client, &theirs),
                false => (&client, &accepted, &ours),
            };
            reads.pause_reading();
            expires(closes, log, LIMIT).await?;

            let server = create_unix_server(move || Recorder::new(&other), &path);
            let server = server.ssl(server_context()).ssl_shutdown_timeout(LIMIT).await?;
            let connecting = create_unix_connection(Recorder::default, &path).server_hostname(HOST);
            let client = connecting.ssl(client_context()).transport().await?;
            client.pause_reading();
            unix.wait("made").await?;
            expires(&server.clients().remove(0), &unix, LIMIT).await?;
            server.close();
        }
        Ok(())
    });
}

#[test]
fn an_end_without_close_notify_is_an_end() {
    run(async {
        let Greeted { mut client, log, .. } = greeted().await?;
        client.sock.shutdown(std::net::Shutdown::Write)?;
        log.lost().await?;
        assert_eq!(log.events(), "made data eof lost");
        assert!(client.sock.read_to_end(&mut Vec::new()).is_ok());
        assert_eq!(log.received(), b"hello");
        Ok(())
    });
}

/// A protocol that has paused has got data and the end; then `then` is called.
async fn paused_before_the_end(then: impl FnOnce(&Transport)) -> Result<Log> {
    let log = Log::default();
    let hooked = log.clone();
    let factory = move || Recorder::new(&hooked).on("made", Transport::pause_reading);
    let server = create_server(factory, ("127.0.0.1", 0)).ssl(server_context()).await?;
    let mut client = blocking_client(port_of(&server));
    asyncio_task::to_thread(move || {
        client.write_all(b"hello").unwrap();
        client.sock.shutdown(std::net::Shutdown::Write).unwrap();
    })
    .await?;
    let transport = accepted(&log, &server).await?;
    while !transport.is_closing() {
        iterations(1).await?;
    }
    iterations(5).await?;
    assert_eq!(log.events(), "made");
    then(&transport);
    log.lost().await?;
    Ok(log)
}

#[test]
fn what_arrived_before_the_end_is_read_when_reading_goes_on() {
    run(async {
        let log = paused_before_the_end(Transport::resume_reading).await?;
        assert_eq!((&*log.events(), &*log.received()), ("made data eof lost", &b"hello"[..]));
        Ok(())
    });
}

#[test]
fn a_protocol_that_closes_without_reading_on_is_not_called_with_what_arrived() {
    run(async {
        let log = paused_before_the_end(Transport::close).await?;
        assert_eq!(log.events(), "made eof lost");
        Ok(())
    });
}

#[test]
fn aborting_ends_at_once_and_drops_what_is_buffered() {
    run(async {
        let pair = pair().await?;
        pair.client.write(vec![1; 5_000_000]);
        pair.client.abort();
        assert!(pair.client.is_closing());
        assert_eq!(pair.client.get_write_buffer_size(), 0);
        iterations(3).await?;
        assert_eq!(pair.ours.count("lost"), 1);
        pair.theirs.lost().await
    });
}

#[test]
fn data_after_closing_is_dropped_and_writes_are_lost() {
    run(async {
        let Greeted { mut client, transport, log } = greeted().await?;
        transport.close();
        transport.write(b"too late");
        let ending = asyncio_task::to_thread(move || {
            client.write_all(&[9; 100_000]).unwrap();
            client.conn.send_close_notify();
            client.flush().unwrap();
            let mut all = Vec::new();
            client.read_to_end(&mut all).map(|_| all).unwrap()
        });
        assert_eq!(ending.await?, b"");
        log.lost().await?;
        assert_eq!(log.events(), "made data eof lost");
        assert_eq!(log.received(), b"hello");
        Ok(())
    });
}

#[test]
fn closing_from_every_callback_is_in_order() {
    run(async {
        for event in ["made", "data", "eof"] {
            for end in [Transport::close, Transport::abort] {
                let recorder = Recorder::new(&Log::default()).on(event, end);
                let pair = pair_of(recorder, server_context(), client_context()).await?;
                for transport in pair.server.clients() {
                    transport.write(b"hello");
                    transport.close();
                }
                pair.ours.lost().await?;
                pair.theirs.lost().await?;
                assert_eq!((pair.ours.count("made"), pair.ours.count("lost")), (1, 1));
                assert!(pair.ours.count("eof") <= 1);
            }
        }
        Ok(())
    });
}

#[test]
fn a_record_that_was_changed_on_the_way_ends_the_connection_with_the_cause() {
    run(async {
        let Greeted { mut client, log, .. } = greeted().await?;
        client.sock.write_all(&[0x17, 3, 3, 0, 20])?;
        client.sock.write_all(&[0; 20])?;
        log.lost().await?;
        assert_eq!(log.events(), "made data lost:InvalidData");
        Ok(())
    });
}

#[test]
fn what_panics_ends_the_connection_and_is_reported() {
    run(async {
        let log = Log::default();
        log.watch_handler()?;
        let recorder = Recorder::new(&log).on("data", |_| panic!("oh"));
        let pair = pair_of(recorder, server_context(), client_context()).await?;
        for transport in pair.server.clients() {
            transport.write(b"hello");
        }
        log.lost().await?;
        assert!(
            log.events().contains("handler: Fatal error on SSL protocol: "),
            "{}",
            log.events()
        );
        Ok(())
    });
}

#[test]
fn the_end_of_one_direction_is_refused() {
    run(async {
        let log = Log::default();
        log.watch_handler()?;
        let pair = pair_of(Recorder::new(&log), server_context(), client_context()).await?;
        pair.client.write_eof();
        assert!(log.events().contains("handler: transport.write_eof() failed: TLS has no end"));
        assert!(!pair.client.is_closing());
        pair.client.abort();
        log.lost().await
    });
}

#[test]
fn what_is_buffered_arrives_even_if_the_other_side_has_closed_already() {
    const MUCH: usize = 6_000_000;
    for says_so in [true, false] {
        run(async move {
            let Greeted { mut client, transport, log } = greeted().await?;
            transport.write(vec![7; MUCH]);
            assert!(transport.get_write_buffer_size() > 0);
            if says_so {
                client.conn.send_close_notify();
                client.conn.write_tls(&mut client.sock)?;
            } else {
                client.sock.shutdown(std::net::Shutdown::Write)?;
            }
            while !transport.is_closing() {
                iterations(1).await?;
            }
            let reading = asyncio_task::to_thread(move || {
                let (mut all, mut block) = (0, vec![0; 100_000]);
                loop {
                    match client.read(&mut block) {
                        Ok(length @ 1..) => all += length,
                        // With close_notify if that was said to the other side.
                        end => return (all, end.is_ok()),
                    }
                }
            });
            assert_eq!(reading.await?, (MUCH, says_so));
            log.lost().await?;
            let order = if says_so { "eof resume" } else { "resume eof" };
            assert_eq!(log.events(), format!("made data pause {order} lost"));
            Ok(())
        });
    }
}

#[test]
fn a_connection_that_is_over_keeps_nothing_of_its_context() {
    run(async {
        let config = Arc::new(ClientConfig::clone(&client_config()));
        let theirs = Log::default();
        let server = serve(&theirs, server_context()).await?;
        let connect = |name: &str| {
            let connecting = create_connection(Recorder::default, ("127.0.0.1", port_of(&server)));
            connecting.ssl(config.clone()).server_hostname(name)
        };
        // One that ends in order, one that fails, one that is given up while it shakes hands.
        connect(HOST).transport().await?.close();
        assert!(connect("other.test").transport().await.is_err());
        let shaking = connect(HOST).transport();
        let limit = asyncio_task::wait_for(shaking.into_future(), Duration::ZERO).await;
        assert!(limit.is_err());
        theirs.lost().await?;
        server.close();
        server.wait_closed().await?;
        iterations(5).await?;
        assert_eq!(Arc::strong_count(&config), 1);
        Ok(())
    });
}
