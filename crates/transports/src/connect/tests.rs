//! Connections that succeed, and those that fail.

use crate::{
    BufferedProtocol, PEERNAME, SOCKET, SOCKNAME, Transport, connect_accepted_socket,
    create_connection, create_unix_connection,
    testing::{Log, Recorder, iterations, run, run_step_by_step, tcp_pair},
};
use asyncio_core::{Error, Result};
use asyncio_sockets::{Address, Domain, Protocol, Socket, Type, sock_connect};
use asyncio_task::create_task;
use std::{
    io::{self, Read, Write},
    net::{Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    rc::Rc,
};

mod failing;
mod racing;
mod stopping;

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Returns an address at which nothing listens.
fn refusing() -> SocketAddr {
    listener().1
}

/// Returns a port at which there are listeners for both families; `None` on a machine without IPv6.
fn both_families() -> Option<(TcpListener, TcpListener, u16)> {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        eprintln!("SKIPPED: there is no ::1");
        return None;
    }
    let tries = (0..100).find_map(|_| {
        let (v4, address) = listener();
        let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, address.port())).ok()?;
        Some((v4, v6, address.port()))
    });
    Some(tries.expect("a port that is free for both"))
}

/// Returns an address that neither accepts nor refuses: the backlog of its listener is full.
fn silent() -> (SocketAddr, Vec<socket2::Socket>) {
    let listener = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut sockets = vec![listener];
    for _ in 0..8 {
        let waiting = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        waiting.set_nonblocking(true).unwrap();
        let _ = waiting.connect(&address);
        sockets.push(waiting);
    }
    (address.as_socket().unwrap(), sockets)
}

fn kind(error: &Error) -> io::ErrorKind {
    match error {
        Error::Io(error) => error.kind(),
        other => panic!("no system error: {other:?}"),
    }
}

/// A path that is removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let name = format!("asyncio-connect-{}-{name}", std::process::id());
        Scratch(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn the_names_of_both_ends_are_known_even_after_the_end() {
    run(async {
        let (listener, address) = listener();
        let log = Log::default();
        let (transport, _) = create_connection(|| Recorder::new(&log), address).await?;
        let (_peer, from) = listener.accept()?;
        let names = || (transport.get_extra_info(PEERNAME), transport.get_extra_info(SOCKNAME));
        let expected = (Some(address.into()), Some(from.into()));
        assert_eq!(names(), expected);
        transport.close();
        log.lost().await?;
        iterations(1).await?;
        assert_eq!(names(), expected);
        Ok(())
    });
}

#[test]
fn small_writes_of_a_tcp_connection_do_not_wait_for_more() {
    run(async {
        let (listener, address) = listener();
        let (ours, _) = create_connection(Recorder::default, address).await?;
        let accepted = Socket::try_from(listener.accept()?.0)?;
        let (theirs, _) = connect_accepted_socket(Recorder::default, accepted).await?;
        for transport in [ours, theirs] {
            let socket = transport.get_extra_info(SOCKET).unwrap();
            assert!(socket.with(socket2::Socket::tcp_nodelay)?);
        }
        Ok(())
    });
}

#[test]
fn connection_made_was_called_when_it_returns() {
    run(async {
        let (listener, address) = listener();
        let log = Log::default();
        let (transport, protocol) = create_connection(|| Recorder::new(&log), address).await?;
        assert_eq!(log.events(), "made");
        let same = transport.get_protocol::<Recorder>().unwrap();
        assert!(Rc::ptr_eq(&protocol, &same));

        let (mut peer, from) = listener.accept()?;
        assert_eq!(transport.get_extra_info(PEERNAME), Some(address.into()));
        assert_eq!(transport.get_extra_info(SOCKNAME), Some(from.into()));

        peer.write_all(b"hello")?;
        log.wait("data").await?;
        assert_eq!(log.received(), b"hello");
        transport.write(b"goodbye");
        transport.close();
        log.lost().await?;
        assert_eq!(log.events(), "made data lost");
        let mut all = String::new();
        peer.read_to_string(&mut all)?;
        assert_eq!(all, "goodbye");
        Ok(())
    });
}

#[test]
fn a_name_and_a_service_are_looked_up() {
    run(async {
        let (_listener, address) = listener();
        let to = ("localhost", address.port());
        let (transport, _) = create_connection(Recorder::default, to).family(Domain::IPV4).await?;
        assert_eq!(transport.get_extra_info(PEERNAME), Some(address.into()));
        transport.close();
        // It does not matter what runs at that port, if anything.
        match create_connection(Recorder::default, ("127.0.0.1", "discard")).await {
            Ok((transport, _)) => transport.abort(),
            Err(error) => assert!(error.to_string().contains("(127.0.0.1:9)"), "{error}"),
        }
        Ok(())
    });
}

#[test]
fn an_address_of_ipv6_is_connected_to() {
    let Some((_v4, _v6, port)) = both_families() else { return };
    run(async move {
        for to in [format!("[::1]:{port}"), format!("[::1%0]:{port}")] {
            let (transport, _) = create_connection(Recorder::default, to).await?;
            let peer = transport.get_extra_info(PEERNAME).unwrap();
            assert_eq!(peer.to_string(), format!("[::1]:{port}"));
            transport.close();
        }
        // The name of this machine has both families; the first one answers.
        for (family, peer) in [(Domain::IPV4, "127.0.0.1"), (Domain::IPV6, "[::1]")] {
            let (transport, _) =
                create_connection(Recorder::default, ("", port)).family(family).await?;
            let found = transport.get_extra_info(PEERNAME).unwrap().to_string();
            assert_eq!(found, format!("{peer}:{port}"));
            transport.close();
        }
        Ok(())
    });
}

#[test]
fn the_transport_alone_can_be_sent() {
    fn check<T: Send>(value: T) -> T {
        value
    }
    run(async {
        let (listener, address) = listener();
        let connecting = create_connection(Recorder::default, address)
            .local_addr(("127.0.0.1", 0))
            .happy_eyeballs_delay(std::time::Duration::from_secs(1))
            .transport();
        let transport = check(connecting).await?;
        assert!(transport.get_protocol::<Recorder>().is_some());
        transport.close();
        let (accepted, _) = listener.accept()?;
        let accepted = Socket::try_from(accepted)?;
        check(connect_accepted_socket(Recorder::default, accepted).transport()).await?.close();
        let (ours, _theirs) = UnixStream::pair()?;
        let ours = Socket::try_from(ours)?;
        check(create_unix_connection(Recorder::default, ours).transport()).await?.close();
        Ok(())
    });
}

struct Buffer {
    place: [u8; 4],
    received: Vec<u8>,
    log: Log,
}

impl BufferedProtocol for Buffer {
    fn get_buffer(&mut self, _: &Transport) -> &mut [u8] {
        &mut self.place
    }

    fn buffer_updated(&mut self, _: &Transport, nbytes: usize) {
        self.received.extend_from_slice(&self.place[..nbytes]);
    }

    fn connection_lost(&mut self, _: &Transport, _: Option<Error>) {
        self.log.add("lost");
    }
}

#[test]
fn a_buffered_protocol_is_one_too() {
    run(async {
        let (listener, address) = listener();
        let log = Log::default();
        let buffer = || Buffer { place: [0; 4], received: Vec::new(), log: log.clone() };
        let (_transport, protocol) = create_connection(buffer, address).await?;
        listener.accept()?.0.write_all(b"more than four")?;
        log.lost().await?;
        assert_eq!(protocol.borrow().received, b"more than four");
        Ok(())
    });
}

#[test]
fn a_socket_that_is_connected_is_taken_over() {
    run(async {
        let (listener, address) = listener();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        sock_connect(&socket, address).await?;
        let log = Log::default();
        let (transport, _) = create_connection(|| Recorder::new(&log), socket).await?;
        assert_eq!(transport.get_extra_info(PEERNAME), Some(address.into()));
        let (accepted, _) = listener.accept()?;
        let accepted = Socket::try_from(accepted)?;
        let there = Log::default();
        let (other, _) = connect_accepted_socket(|| Recorder::new(&there), accepted).await?;
        transport.write(b"ping");
        there.wait("data").await?;
        other.write(b"pong");
        log.wait("data").await?;
        other.close();
        log.lost().await?;
        there.lost().await?;
        assert_eq!((log.received(), there.received()), (b"pong".to_vec(), b"ping".to_vec()));
        Ok(())
    });
}

#[test]
fn a_unix_socket_is_connected_by_its_path() {
    let scratch = Scratch::new("path");
    let path = scratch.0.clone();
    run(async move {
        let listener = UnixListener::bind(&path)?;
        let log = Log::default();
        let (transport, _) = create_unix_connection(|| Recorder::new(&log), &path).await?;
        assert_eq!(log.events(), "made");
        let peer = transport.get_extra_info(PEERNAME).unwrap();
        assert_eq!(peer.as_path(), Some(&*path));
        listener.accept()?.0.write_all(b"hello")?;
        log.lost().await?;
        assert_eq!(
            (log.received(), log.events()),
            (b"hello".to_vec(), "made data eof lost".into())
        );
        let text = path.to_str().unwrap();
        create_unix_connection(Recorder::default, text).await?.0.close();
        let address = Address::from_path(&path)?;
        create_unix_connection(Recorder::default, address).await?.0.close();
        let connected = Socket::try_from(UnixStream::connect(&path)?)?;
        create_unix_connection(Recorder::default, connected).await?.0.close();
        Ok(())
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_begins_with_a_null_byte_is_abstract() {
    use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
    run(async {
        let name = format!("asyncio-connect-{}", std::process::id());
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        let (transport, _) = create_unix_connection(Recorder::default, format!("\0{name}")).await?;
        let peer = transport.get_extra_info(PEERNAME).unwrap().to_string();
        assert_eq!(peer, format!("@{name}"));
        drop(listener);
        Ok(())
    });
}
