//! Where servers listen.

use super::*;
use crate::create_connection;
use asyncio_sockets::AI_NUMERICHOST;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

fn recorder() -> Recorder {
    Recorder::default()
}

fn inet(server: &Server) -> Vec<SocketAddr> {
    server.local_addrs().iter().map(|address| address.as_inet().unwrap()).collect()
}

fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}

#[test]
fn no_host_is_every_interface_of_either_family() {
    run(async {
        let log = Log::default();
        let seen = log.clone();
        let server = create_server(move || Recorder::new(&seen), ("", 0)).await?;
        let mut ips: Vec<IpAddr> = inet(&server).iter().map(SocketAddr::ip).collect();
        ips.sort();
        let mut expected: Vec<IpAddr> = vec![Ipv4Addr::UNSPECIFIED.into()];
        if has_ipv6() {
            expected.push(Ipv6Addr::UNSPECIFIED.into());
        }
        assert_eq!(ips, expected);
        for (socket, address) in server.sockets().iter().zip(inet(&server)) {
            let near: IpAddr = match address {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => {
                    assert!(socket.with(|socket| socket.only_v6())?);
                    Ipv6Addr::LOCALHOST.into()
                }
            };
            let before = log.count("made");
            let client = TcpStream::connect((near, address.port())).unwrap();
            log.until(|log| log.count("made") > before).await?;
            drop(client);
        }
        server.close();
        server.wait_closed().await
    });
}

#[test]
fn one_family_can_be_asked_for() {
    run(async {
        for host in ["", "localhost"] {
            let server = create_server(recorder, (host, 0)).family(Domain::IPV4).await?;
            assert!(inet(&server).len() == 1 && inet(&server)[0].is_ipv4());
            server.close();
        }
        if has_ipv6() {
            let server = create_server(recorder, ("", 0)).family(Domain::IPV6).await?;
            assert!(inet(&server).len() == 1 && inet(&server)[0].is_ipv6());
            server.close();
        }
        let server = create_server(recorder, LOCALHOST).family(Domain::IPV6).await;
        assert!(text(server).starts_with("create_server: "));
        Ok(())
    });
}

#[test]
fn flags_of_the_look_up_take_the_place_of_those_that_are_usual() {
    run(async {
        let server = create_server(recorder, ("", 0)).flags(0).await?;
        assert!(inet(&server).iter().all(|address| address.ip().is_loopback()), "{server:?}");
        server.close();
        let outcome = create_server(recorder, ("localhost", 0)).flags(AI_NUMERICHOST).await;
        assert!(text(outcome).starts_with("create_server: localhost:0: "));
        Ok(())
    });
}

#[test]
fn an_address_is_bound_once_however_often_it_is_named() {
    run(async {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = create_server(recorder, ("127.0.0.1", port))
            .also_at(("localhost", port))
            .also_at(("127.0.0.1", port))
            .family(Domain::IPV4)
            .await?;
        assert_eq!(inet(&server), [SocketAddr::from(([127, 0, 0, 1], port))]);
        assert_eq!(server.local_addr().to_string(), format!("127.0.0.1:{port}"));
        server.close();
        Ok(())
    });
}

#[test]
fn a_server_may_have_several_addresses() {
    run(async {
        let log = Log::default();
        let seen = log.clone();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = create_server(move || Recorder::new(&seen), LOCALHOST).also_at(free).await?;
        assert_eq!((inet(&server).len(), server.sockets().len()), (2, 2));
        let clients: Vec<_> =
            inet(&server).into_iter().map(|to| TcpStream::connect(to).unwrap()).collect();
        log.until(|log| log.count("made") == 2).await?;
        assert_eq!(format!("{server:?}").matches("127.0.0.1:").count(), 2);
        drop(clients);
        server.close();
        server.wait_closed().await
    });
}

#[test]
fn an_address_in_use_is_named_and_what_was_bound_is_closed() {
    run(async {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = create_server(recorder, free).also_at(address).await.unwrap_err();
        let expected =
            format!("create_server: error while attempting to bind on address {address}: ");
        assert!(error.to_string().starts_with(&expected), "{error}");
        assert_eq!(errno(&error), Some(libc::EADDRINUSE));
        let error = error.downcast::<std::io::Error>().unwrap();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        // Nothing is left of the first one.
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&free.into()).unwrap();
        Ok(())
    });
}

#[test]
fn an_address_of_another_machine_is_passed_over_unless_it_is_the_only_one() {
    // From a block that is reserved for documentation.
    const ELSEWHERE: (&str, u16) = ("192.0.2.1", 0);
    run(async {
        let server = create_server(recorder, ELSEWHERE).also_at(LOCALHOST).await?;
        assert_eq!(inet(&server).len(), 1);
        server.close();
        let outcome = create_server(recorder, ELSEWHERE).await;
        let expected = "create_server: could not bind on any address out of [192.0.2.1:0]";
        assert_eq!(text(outcome), expected);
        Ok(())
    });
}

#[test]
fn several_servers_may_share_a_port() {
    run(async {
        let one = create_server(recorder, LOCALHOST).reuse_port(true).await?;
        let address = one.local_addr();
        let other = create_server(recorder, &address).reuse_port(true).await?;
        assert_eq!(other.local_addr(), address);
        assert!(create_server(recorder, &address).await.is_err());
        one.close();
        other.close();
        Ok(())
    });
}

#[test]
fn an_address_where_connections_linger_is_bound_again_by_default() {
    run(async {
        let log = Log::default();
        let server = recording_server(&log).await?;
        let address = server.local_addr();
        let mut client = clients(&server, &log, 1).await?.remove(0);
        // The side that closes first lingers.
        server.close();
        server.close_clients();
        server.wait_closed().await?;
        assert!(is_ended(&mut client));
        drop(client);
        let outcome = create_server(recorder, &address).reuse_address(false).await;
        assert!(text(outcome).contains("in use"));
        create_server(recorder, &address).await?.close();
        Ok(())
    });
}

#[test]
fn a_socket_may_be_given() {
    run(async {
        let log = Log::default();
        let seen = log.clone();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(LOCALHOST)?;
        let address = socket.local_addr()?;
        let server = create_server(move || Recorder::new(&seen), socket).await?;
        assert_eq!(server.local_addr(), address);
        let client = client(&server);
        log.wait("made").await?;
        drop(client);
        server.close();
        server.wait_closed().await?;

        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        let outcome = create_server(recorder, socket).await;
        assert!(text(outcome).starts_with("create_server: a stream socket was expected"));
        Ok(())
    });
}

#[test]
fn a_socket_that_cannot_listen_ends_the_server() {
    run(async {
        let server = create_server(recorder, LOCALHOST).start_serving(false).await?;
        let address = server.local_addr();
        let server2 = create_server(recorder, &address).await?;
        let error = server.start_serving().await.unwrap_err();
        assert!(error.to_string().starts_with("Server.start_serving: "), "{error}");
        assert!(server.sockets().is_empty() && server2.is_serving());
        server2.close();
        Ok(())
    });
}

#[test]
fn what_is_no_address_is_an_error() {
    run(async {
        let outcome = create_server(recorder, "localhost").await;
        assert!(text(outcome).starts_with("create_server: \"localhost\" is not of the form"));
        let outcome = create_server(recorder, std::path::Path::new("/tmp/x")).await;
        assert_eq!(text(outcome), "create_server: /tmp/x is not an internet address");
        Ok(())
    });
}

#[test]
fn without_a_loop_there_is_no_server() {
    let outcome = futures_lite::future::block_on(create_server(recorder, LOCALHOST).into_future());
    assert_eq!(text(outcome), "create_server: no running event loop");
}

#[test]
fn a_socket_that_has_no_address_yet_gets_one_that_is_told() {
    run(async {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        let server = create_server(Recorder::default, socket).await?;
        let port = server.local_addr().as_inet().unwrap().port();
        assert_ne!(port, 0);
        create_connection(Recorder::default, ("127.0.0.1", port)).await?.0.close();
        server.close();
        Ok(())
    });
}
