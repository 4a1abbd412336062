//! `create_datagram_endpoint`: its arguments and its errors.

use super::*;
use crate::{SOCKET, testing::errno};
use asyncio_sockets::{Socket, Type};
use nix::libc;
use std::{
    net::UdpSocket,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
};

/// A directory that is removed at the end of the test.
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new(name: &str) -> Directory {
        let name = format!("asyncio-datagram-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn refused<P: DatagramProtocol>(outcome: Result<(DatagramTransport, Rc<RefCell<P>>)>) -> Error {
    match outcome {
        Ok((transport, _)) => panic!("{transport:?}"),
        Err(error) => error,
    }
}

#[test]
fn without_an_address_there_has_to_be_a_family() {
    run(async {
        let error = refused(create_datagram_endpoint(Recorder::default).await);
        assert_eq!(error.kind(), "ValueError");
        assert_eq!(error.to_string(), "create_datagram_endpoint: unexpected address family");
        let log = Log::default();
        let (_there, address) = endpoint(Recorder::new(&log)).await?;
        let creating = create_datagram_endpoint(Recorder::default).family(Domain::IPV4);
        let (here, _) = creating.await?;
        here.sendto(b"x", &address);
        log.wait("<x>").await
    });
}

#[test]
fn a_socket_excludes_what_would_modify_it() {
    run(async {
        let udp = || Socket::try_from(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        let new = || create_datagram_endpoint(Recorder::default).sock(udp());
        let error = refused(new().reuse_port(true).family(Domain::IPV4).flags(4).await);
        assert_eq!(error.kind(), "ValueError");
        let text = error.to_string();
        let beginning = "create_datagram_endpoint: socket modifier keyword arguments can not be \
                         used when sock is specified. (";
        assert!(text.starts_with(beginning), "{text}");
        assert!(text.ends_with("flags=4, reuse_port=true)"), "{text}");
        assert!(text.contains("family="), "{text}");
        for (name, creating) in [
            ("(local_addr=127.0.0.1:0)", new().local_addr(("127.0.0.1", 0))),
            ("remote_addr=", new().remote_addr(("127.0.0.1", 1))),
            ("proto=", new().protocol(asyncio_sockets::Protocol::UDP)),
            ("allow_broadcast=true", new().allow_broadcast(true)),
        ] {
            let text = refused(creating.await).to_string();
            assert!(text.contains(name), "{text}");
        }
        let (there, _) = new().reuse_port(false).family(None).await?;
        assert_eq!(there.get_extra_info(SOCKET).unwrap().kind()?, Type::DGRAM);
        Ok(())
    });
}

#[test]
fn a_socket_of_streams_is_refused() {
    run(async {
        let (one, _other) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
        let error = refused(create_datagram_endpoint(Recorder::default).sock(one).await);
        assert_eq!(error.kind(), "ValueError");
        assert!(error.to_string().contains("a datagram socket was expected, got <Socket fd="));
        Ok(())
    });
}

#[test]
fn unix_sockets_know_the_sender_by_its_path() {
    run(async {
        let directory = Directory::new("echo");
        let (one, other) = (directory.path("one"), directory.path("other"));
        let (here, there) = (Log::default(), Log::default());
        let text = one.to_str().unwrap();
        let creating = create_datagram_endpoint(|| Recorder::new(&there)).family(Domain::UNIX);
        let (server, _) = creating.local_addr(text).await?;
        assert_eq!(name(&server).as_path(), Some(&*one));
        let creating = create_datagram_endpoint(|| Recorder::new(&here));
        let (client, _) = creating.local_addr(&*other).remote_addr(&*one).await?;
        client.sendto(b"ask", None);
        here.wait("<answer>").await?;
        // A sender without a name cannot be answered, which is an error like any other.
        UnixDatagram::unbound()?.send_to(b"ask", &one)?;
        there.until(|log| log.events().contains("error:")).await?;
        assert!(there.events().starts_with("made <ask> <ask> error:"), "{}", there.events());
        client.sendto(b"still there", None);
        there.wait("<still there>").await?;
        server.close();
        there.lost().await
    });
}

#[test]
fn a_connected_pair_sends_to_its_peer_whatever_is_said() {
    run(async {
        let log = Log::default();
        let (here, there) = pair(Recorder::new(&log)).await?;
        there.send(b"ask")?;
        log.wait("<ask>").await?;
        here.sendto(b"x", None);
        here.sendto(b"y", "/nonexistent");
        assert_eq!(drain(&there), ["answer", "x", "y"]);
        assert_eq!(log.events(), "made <ask>");
        Ok(())
    });
}

#[test]
fn a_socket_left_behind_is_removed_and_another_file_is_not() {
    run(async {
        let directory = Directory::new("stale");
        let (stale, file) = (directory.path("stale"), directory.path("file"));
        drop(UnixDatagram::bind(&stale)?);
        std::fs::write(&file, "precious")?;
        create_datagram_endpoint(Recorder::default).local_addr(&*stale).await?;
        let error = refused(create_datagram_endpoint(Recorder::default).local_addr(&*file).await);
        let text = error.to_string();
        assert!(text.starts_with("create_datagram_endpoint: ") && text.contains("file"), "{text}");
        assert_eq!(kind(error), io::ErrorKind::AddrInUse);
        assert_eq!(std::fs::read_to_string(&file)?, "precious");
        let nowhere = Path::new("/nonexistent/directory/socket");
        let error = refused(create_datagram_endpoint(Recorder::default).local_addr(nowhere).await);
        assert_eq!(kind(error), io::ErrorKind::NotFound);
        Ok(())
    });
}

#[test]
fn a_port_is_shared_if_both_say_so() {
    run(async {
        let new = || create_datagram_endpoint(Recorder::default);
        let (one, _) = new().local_addr(("127.0.0.1", 0)).reuse_port(true).await?;
        let (other, _) = new().local_addr(name(&one)).reuse_port(true).await?;
        assert_eq!(name(&one), name(&other));
        let error = refused(new().local_addr(name(&one)).await);
        let expected = format!("create_datagram_endpoint: {}: ", name(&one));
        assert!(error.to_string().starts_with(&expected), "{error}");
        assert_eq!(errno(&error), Some(libc::EADDRINUSE));
        assert_eq!(kind(error), io::ErrorKind::AddrInUse);
        Ok(())
    });
}

#[test]
fn names_are_looked_up_and_their_addresses_tried_in_turn() {
    run(async {
        let new = || create_datagram_endpoint(Recorder::default);
        let (there, _) = new().local_addr(("localhost", 0)).family(Domain::IPV4).await?;
        assert!(name(&there).as_inet().unwrap().ip().is_loopback());
        let (here, _) =
            new().remote_addr(("localhost", name(&there).as_inet().unwrap().port())).await?;
        here.close();
        // Local and remote addresses have to be of one family.
        let error = refused(new().local_addr(("127.0.0.1", 0)).remote_addr(("::1", 1)).await);
        assert_eq!(error.kind(), "ValueError");
        let text = "create_datagram_endpoint: can not get address information";
        assert_eq!(error.to_string(), text);
        let error = refused(new().local_addr("no address").await);
        assert_eq!(error.kind(), "ValueError");
        let error = refused(new().local_addr(("192.0.2.1", 0)).await);
        assert_eq!(kind(error), io::ErrorKind::AddrNotAvailable);
        Ok(())
    });
}

#[test]
fn without_the_protocol_it_can_be_sent() {
    fn check<T: Send>(future: T) -> T {
        future
    }
    run(async {
        let log = Log::default();
        let (_there, address) = endpoint(Recorder::new(&log)).await?;
        let creating = create_datagram_endpoint(|| Echo).local_addr(("127.0.0.1", 0));
        let here = check(creating.transport()).await?;
        here.sendto(b"ask", &address);
        log.wait("<ask>").await?;
        // The echo comes back unchanged.
        log.wait("<answer>").await?;
        Ok(())
    });
}

#[test]
fn outside_of_a_loop_it_is_an_error() {
    let mut creating =
        std::pin::pin!(create_datagram_endpoint(|| Echo).local_addr(("127.0.0.1", 0)));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(outcome) = creating.as_mut().poll(&mut cx) else { panic!() };
    let error = outcome.map(drop).unwrap_err();
    assert_eq!(error.to_string(), "create_datagram_endpoint: no running event loop");
    let std::task::Poll::Ready(outcome) = creating.as_mut().poll(&mut cx) else { panic!() };
    assert!(outcome.is_err());

    let directory = Directory::new("outside");
    let path = directory.path("taken");
    let taken = UnixDatagram::bind(&path).unwrap();
    let creating = create_datagram_endpoint(Recorder::default).local_addr(&*path);
    let error = refused(futures_lite::future::block_on(creating.into_future()));
    assert_eq!(error.to_string(), "create_datagram_endpoint: no running event loop");
    UnixDatagram::unbound().unwrap().connect(&path).unwrap();
    drop(taken);
}

#[test]
fn a_path_with_a_null_byte_inside_is_refused_and_no_other_is_bound() {
    run(async {
        let directory = Directory::new("null");
        let path = directory.path("a\0b");
        let new = || create_datagram_endpoint(Recorder::default).family(Domain::UNIX);
        for creating in [new().local_addr(path.clone()), new().remote_addr(path.clone())] {
            let error = refused(creating.await);
            assert_eq!(error.kind(), "ValueError");
            assert!(error.to_string().contains("has an embedded null byte"), "{error}");
        }
        let log = Log::default();
        let told = log.clone();
        get_running_loop()?.set_exception_handler(move |_, context| {
            told.add(context.exception().map(Error::to_string).unwrap_or_default());
        });
        let (transport, _) = new().await?;
        transport.sendto(b"x", &*path);
        transport.sendto(b"x", Address::from(socket2::SockAddr::unix(&path)?));
        assert_eq!(log.events().matches("has an embedded null byte").count(), 2);
        assert_eq!(std::fs::read_dir(&directory.0)?.count(), 0, "nothing is left behind");
        Ok(())
    });
}

#[test]
fn an_empty_path_is_none() {
    run(async {
        let creating = create_datagram_endpoint(Recorder::default).family(Domain::UNIX);
        let (transport, _) = creating.local_addr("").remote_addr("").await?;
        assert!(name(&transport).as_sock_addr().is_unnamed());
        Ok(())
    });
}
