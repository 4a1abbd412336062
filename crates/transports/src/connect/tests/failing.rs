//! Failures, and their errors.

use super::*;
use crate::{connect::attempts::Attempts, testing::errno};
use asyncio_core::wait_site::WaitSite;
use asyncio_sockets::{AddrInfo, ensure_resolved};
use nix::libc;

const SITE: WaitSite = WaitSite::here(&"create_connection");

async fn info(address: impl Into<Address>) -> AddrInfo {
    ensure_resolved(address.into()).await.unwrap().remove(0)
}

fn attempts(local: Vec<AddrInfo>) -> Attempts {
    Attempts { local: Some(local), failures: Default::default(), site: SITE }
}

fn text(error: &Error) -> String {
    match error {
        Error::Io(error) => format!("{:?}: {error}", error.kind()),
        error => format!("{}: {error}", error.kind()),
    }
}

#[test]
fn a_refused_connection_says_where() {
    run(async {
        let address = refusing();
        let refused = create_connection(Recorder::default, address).await.map(|_| ()).unwrap_err();
        let expected = format!("create_connection: Connect call failed ({address}): ");
        assert!(refused.to_string().starts_with(&expected), "{refused}");
        assert_eq!(kind(&refused), io::ErrorKind::ConnectionRefused);
        Ok(())
    });
}

#[test]
fn the_next_address_is_tried_and_if_none_answers_all_is_told() {
    let Some((v4, v6, port)) = both_families() else { return };
    run(async move {
        drop(v6);
        let (transport, _) = create_connection(Recorder::default, ("", port)).await?;
        let peer = transport.get_extra_info(PEERNAME).unwrap().to_string();
        assert_eq!(peer, format!("127.0.0.1:{port}"));
        transport.abort();
        drop(v4);
        let connect = || create_connection(Recorder::default, ("", port));
        let all = connect().await.map(drop).unwrap_err();
        let said = all.to_string();
        assert!(said.starts_with("Multiple exceptions: create_connection: Connect call"), "{said}");
        for address in [format!("(127.0.0.1:{port})"), format!("([::1]:{port})")] {
            assert!(said.contains(&address), "{said}");
        }
        assert_eq!(kind(&all), io::ErrorKind::ConnectionRefused);
        let Error::Group(group) = connect().all_errors(true).await.map(drop).unwrap_err() else {
            panic!("no group");
        };
        assert_eq!(group.message(), "create_connection failed");
        let kinds: Vec<_> = group.exceptions().iter().map(kind).collect();
        assert_eq!(kinds, [io::ErrorKind::ConnectionRefused; 2]);
        Ok(())
    });
}

#[test]
fn errors_that_say_the_same_are_one_and_none_is_a_timeout() {
    let failed = |failures: Vec<Vec<Error>>, all| {
        let attempts = attempts(Vec::new());
        *attempts.failures.lock() = failures;
        text(&attempts.failed(all))
    };
    let error = |kind, text: &str| Error::from(io::Error::new(kind, text.to_owned()));
    let refused = error(io::ErrorKind::ConnectionRefused, "no");
    let same = vec![vec![refused.clone()], vec![], vec![refused.clone(), refused.clone()]];
    assert_eq!(failed(same.clone(), false), "ConnectionRefused: no");
    assert_eq!(failed(same, true), "ExceptionGroup: create_connection failed (3 sub-exceptions)");
    assert_eq!(failed(vec![vec![refused.clone()]], false), "ConnectionRefused: no");
    let mixed = vec![vec![refused], vec![error(io::ErrorKind::NotFound, "where?")]];
    assert_eq!(failed(mixed, false), "Other: Multiple exceptions: no, where?");
    for all in [false, true] {
        assert_eq!(failed(vec![vec![]], all), "TimeoutError: create_connection failed");
    }
}

#[test]
fn what_is_no_address_and_names_that_are_not_found() {
    run(async {
        let connect = |to: &str| create_connection(Recorder::default, to.to_owned());
        let wrong = connect("nonsense").await.map(drop).unwrap_err();
        let expected = "ValueError: create_connection: \"nonsense\" is not of the form host:port";
        assert_eq!(text(&wrong), expected);
        let to = ("127.0.0.1", "70000");
        let wrong = create_connection(Recorder::default, to).await.map(drop).unwrap_err();
        let expected = "ValueError: create_connection: port must be 0-65535, not 70000";
        assert_eq!(text(&wrong), expected);
        // Only digits are allowed, so no name server is asked.
        let flags = asyncio_sockets::AI_NUMERICHOST;
        let missing = connect("name.invalid:1").flags(flags).await.map(drop).unwrap_err();
        let said = missing.to_string();
        assert!(said.starts_with("create_connection: name.invalid:1: "), "{said}");
        assert_eq!(kind(&missing), io::ErrorKind::NotFound);
        let other = connect("127.0.0.1:1").family(Domain::IPV6).await.map(drop).unwrap_err();
        let expected = "create_connection: 127.0.0.1:1 is not of the family AF_INET6";
        assert_eq!(other.to_string(), expected);
        Ok(())
    });
}

#[test]
fn a_socket_of_the_wrong_kind_is_refused() {
    run(async {
        let udp = || Socket::try_from(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        let said = |error: Error| {
            assert_eq!(error.kind(), "ValueError");
            error.to_string().split(", got <Socket fd=").next().unwrap().to_owned()
        };
        let wrong = create_connection(Recorder::default, udp()).await.map(drop).unwrap_err();
        assert_eq!(said(wrong), "create_connection: A Stream Socket was expected");
        let wrong = connect_accepted_socket(Recorder::default, udp()).await.map(drop).unwrap_err();
        assert_eq!(said(wrong), "connect_accepted_socket: A Stream Socket was expected");
        let (_listener, address) = listener();
        let tcp = Socket::try_from(std::net::TcpStream::connect(address)?)?;
        let (datagrams, _) = Socket::pair(Domain::UNIX, Type::DGRAM, None)?;
        for socket in [tcp, datagrams] {
            let wrong =
                create_unix_connection(Recorder::default, socket).await.map(drop).unwrap_err();
            let expected = "create_unix_connection: A UNIX Domain Stream Socket was expected";
            assert_eq!(said(wrong), expected);
        }
        Ok(())
    });
}

#[test]
fn a_path_without_a_listener_is_an_error_that_names_it() {
    let scratch = Scratch::new("missing");
    let path = scratch.0.clone();
    run(async move {
        let connect = || create_unix_connection(Recorder::default, &path);
        let missing = connect().await.map(drop).unwrap_err();
        let expected =
            format!("create_unix_connection: Connect call failed ({}): ", path.display());
        assert!(missing.to_string().starts_with(&expected), "{missing}");
        assert_eq!(kind(&missing), io::ErrorKind::NotFound);
        drop(UnixListener::bind(&path)?);
        assert_eq!(kind(&connect().await.map(drop).unwrap_err()), io::ErrorKind::ConnectionRefused);
        let long = "x".repeat(200);
        let wrong = create_unix_connection(Recorder::default, long).await.map(drop).unwrap_err();
        assert!(wrong.to_string().starts_with("create_unix_connection: "), "{wrong}");
        let to = SocketAddr::from(([127, 0, 0, 1], 1));
        let wrong = create_unix_connection(Recorder::default, to).await.map(drop).unwrap_err();
        let expected = "create_unix_connection: 127.0.0.1:1 is not of the family AF_UNIX";
        assert_eq!(wrong.to_string(), expected);
        Ok(())
    });
}

#[test]
fn the_local_address_is_bound_before_connecting() {
    run(async {
        let (listener, address) = listener();
        let local = refusing();
        let (transport, _) =
            create_connection(Recorder::default, address).local_addr(local).await?;
        assert_eq!(listener.accept()?.1, local);
        assert_eq!(transport.get_extra_info(SOCKNAME), Some(local.into()));
        transport.abort();

        let used = listener.local_addr()?;
        let connecting = create_connection(Recorder::default, address).local_addr(used);
        let wrong = connecting.await.map(drop).unwrap_err();
        let expected =
            format!("create_connection: error while attempting to bind on address {used}: ");
        assert!(wrong.to_string().starts_with(&expected), "{wrong}");
        assert_eq!(kind(&wrong), io::ErrorKind::AddrInUse);

        let connecting = create_connection(Recorder::default, address).local_addr(("::1", 0));
        let wrong = connecting.await.map(drop).unwrap_err();
        let expected = "create_connection: no matching local address with family=AF_INET found";
        assert_eq!(wrong.to_string(), expected);
        Ok(())
    });
}

#[test]
fn local_addresses_of_another_family_are_passed_over() {
    let Some((_v4, _v6, port)) = both_families() else { return };
    run(async move {
        // The first address to connect to is that of IPv6, which has no match.
        let (transport, _) =
            create_connection(Recorder::default, ("", port)).local_addr(("127.0.0.1", 0)).await?;
        let peer = transport.get_extra_info(PEERNAME).unwrap().to_string();
        assert_eq!(peer, format!("127.0.0.1:{port}"));
        transport.abort();
        Ok(())
    });
}

#[test]
fn the_first_local_address_that_can_be_bound_is_taken_and_the_others_told_only_upon_failure() {
    run(async {
        let (_listener, used) = listener();
        let locals = |other: SocketAddr| async move {
            attempts(vec![info(used).await, info(([0; 16], 0)).await, info(other).await])
        };
        let free = locals(([127, 0, 0, 1], 0).into()).await;
        let socket = free.attempt(info(used).await).await?;
        assert_ne!(socket.local_addr()?, used.into());
        let refused = free.attempt(info(refusing()).await).await.unwrap_err();
        assert_eq!(kind(&refused), io::ErrorKind::ConnectionRefused);
        let said = free.failed(false).to_string();
        assert_eq!(said.matches("error while attempting to bind").count(), 2, "{said}");
        assert_eq!(said.matches("Connect call failed").count(), 1, "{said}");

        let taken = locals(used).await;
        let failed = taken.attempt(info(used).await).await.unwrap_err();
        assert_eq!(kind(&failed), io::ErrorKind::AddrInUse);
        assert_eq!(errno(&failed), Some(libc::EADDRINUSE));
        // Both failed in the same way.
        assert_eq!(taken.failures.lock()[0].len(), 2);
        assert_eq!(taken.failed(false).to_string(), failed.to_string());
        Ok(())
    });
}

#[test]
fn a_failed_connection_makes_no_protocol() {
    run(async {
        let factory = || -> Recorder { panic!("there is nothing for it to do") };
        let refused = create_connection(factory, refusing()).await.map(drop).unwrap_err();
        assert_eq!(kind(&refused), io::ErrorKind::ConnectionRefused);
        Ok(())
    });
}
