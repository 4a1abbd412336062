//! The operations on real sockets, in real tasks. Streams and datagrams have files of their own.

use super::*;
use asyncio_core::{Error, Result};
use asyncio_loop::{EventLoop, get_running_loop, new_event_loop};
use asyncio_task::{Task, create_task, sleep};
use std::{
    fmt,
    future::Future,
    io,
    net::{Shutdown, SocketAddr},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

mod connections;
mod datagrams;
mod files;
mod messages;
mod names;
mod streams;
mod unread;

const YIELD: Duration = Duration::ZERO;

/// Runs `main` in its own loop.
fn run<F: Future<Output = Result<()>> + 'static>(main: F) {
    run_in(new_event_loop().unwrap(), main);
}

/// Does the same in a loop that polls for I/O in every iteration.
fn run_step_by_step<F: Future<Output = Result<()>> + 'static>(main: F) {
    run_in(EventLoop::builder().virtual_time(true).build().unwrap(), main);
}

fn run_in<F: Future<Output = Result<()>> + 'static>(event_loop: EventLoop, main: F) {
    let outcome = event_loop.run_until_complete(main);
    event_loop.close().unwrap();
    outcome.unwrap();
}

/// Creates two ends of a connection.
fn pair() -> (Rc<Socket>, Rc<Socket>) {
    let (one, other) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
    (Rc::new(one), Rc::new(other))
}

fn listener() -> Result<Socket> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    listener.bind(("127.0.0.1", 0))?;
    listener.listen(100)?;
    Ok(listener)
}

fn tcp() -> Result<Socket> {
    Socket::new(Domain::IPV4, Type::STREAM, None)
}

/// Creates a connection over TCP.
async fn connection() -> Result<(Rc<Socket>, Rc<Socket>)> {
    let (listener, client) = (listener()?, tcp()?);
    sock_connect(&client, listener.local_addr()?).await?;
    let (server, _) = sock_accept(&listener).await?;
    Ok((Rc::new(client), Rc::new(server)))
}

/// Starts a task that receives once.
fn receiver(socket: &Rc<Socket>, size: usize) -> Task<bytes::Bytes> {
    let socket = socket.clone();
    create_task(async move { sock_recv(&socket, size).await })
}

/// Lets every task run until it waits.
async fn settle() -> Result<()> {
    for _ in 0..5 {
        sleep(YIELD).await?;
    }
    Ok(())
}

fn is_cancelled<T>(result: Result<T>) -> bool {
    result.is_err_and(|error| error.is_cancelled())
}

fn kind<T: fmt::Debug>(result: Result<T>) -> io::ErrorKind {
    match result.unwrap_err() {
        Error::Io(error) => error.kind(),
        other => panic!("no system error: {other:?}"),
    }
}

#[test]
fn sockets_and_their_futures_can_be_sent() {
    fn check<T: Send>(_: &T) {}
    let (one, _other) = Socket::pair(Domain::UNIX, Type::DGRAM, None).unwrap();
    check(&one);
    check(&sock_recv(&one, 1));
    check(&sock_recv_into(&one, &mut [0]));
    check(&sock_recvfrom(&one, 1));
    check(&sock_recvfrom_into(&one, &mut [0]));
    check(&sock_sendall(&one, b""));
    check(&sock_sendto(&one, b"", "localhost:1"));
    check(&sock_connect(&one, "localhost:1"));
    check(&sock_accept(&one));
}

#[test]
fn every_kind_of_socket_becomes_one_and_goes_back() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stream = std::net::TcpStream::connect(address).unwrap();
    let socket = Socket::try_from(stream).unwrap();
    assert!(socket.get_ref().nonblocking().unwrap());
    assert_eq!(socket.peer_addr().unwrap().as_inet(), Some(address));
    let listener = Socket::try_from(listener).unwrap();
    assert!(format!("{listener:?}").contains(&format!("local={address}")));
    let again = std::net::TcpListener::from(OwnedFd::from(listener));
    assert_eq!(again.local_addr().unwrap(), address);
    assert!(Socket::try_from(std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).is_ok());
    assert!(Socket::try_from(UnixDatagram::unbound().unwrap()).is_ok());
}

#[test]
fn what_is_no_socket_is_an_error_that_names_the_function() {
    let file = std::fs::File::open("/dev/null").unwrap();
    let error = Socket::from_fd(file).unwrap_err().to_string();
    assert!(error.starts_with("Socket::from_fd: "), "{error}");
    let error = tcp().unwrap().peer_addr().unwrap_err().to_string();
    assert!(error.starts_with("Socket::peer_addr: "), "{error}");
    let error = tcp().unwrap().bind(("192.0.2.1", 0)).unwrap_err().to_string();
    assert!(error.starts_with("Socket::bind: 192.0.2.1:0: "), "{error}");
}

#[test]
fn an_error_of_the_system_keeps_its_kind_and_itself() {
    run(async {
        let (one, other) = pair();
        drop(other);
        let error = sock_sendall(&one, b"x").await.unwrap_err();
        assert!(error.to_string().starts_with("sock_sendall: "), "{error}");
        let Error::Io(error) = error else { panic!("{error:?}") };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        let source = std::error::Error::source(error.get()).unwrap();
        let source = source.downcast_ref::<io::Error>().unwrap();
        assert_eq!(source.raw_os_error(), Some(nix::libc::EPIPE));
        Ok(())
    });
}

#[test]
fn without_a_loop_only_what_need_not_wait_works() {
    use std::task::Waker;
    let (one, other) = pair();
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Err(error)) = Pin::new(&mut sock_recv(&one, 8)).poll(&mut cx) else {
        panic!("it waits without a loop");
    };
    assert_eq!(error.to_string(), "sock_recv: no running event loop");
    assert!(Pin::new(&mut sock_sendall(&other, b"x")).poll(&mut cx).is_ready());
    assert!(Pin::new(&mut sock_recv(&one, 8)).poll(&mut cx).is_ready());
}

#[test]
fn a_socket_of_another_loop_is_refused_until_that_is_closed() {
    let (one, other) = pair();
    let first = new_event_loop().unwrap();
    let waiting = receiver_in(&first, &one);
    let second = new_event_loop().unwrap();
    let copy = one.clone();
    let error = second.run_until_complete(async move { sock_recv(&copy, 8).await }).unwrap_err();
    assert_eq!(
        error.to_string(),
        "sock_recv: the socket or transport belongs to another event loop"
    );
    waiting.cancel();
    first.run_until_complete(async { sleep(YIELD).await }).unwrap();
    first.close().unwrap();
    second
        .run_until_complete(async move {
            let waiting = receiver(&one, 8);
            settle().await?;
            sock_sendall(&other, b"late").await?;
            assert_eq!(waiting.await?, "late");
            Ok(())
        })
        .unwrap();
    second.close().unwrap();
}

/// Starts a task of `event_loop` that waits on `socket`, in a loop that does not run.
fn receiver_in(event_loop: &EventLoop, socket: &Rc<Socket>) -> Task<bytes::Bytes> {
    let socket = socket.clone();
    event_loop
        .run_until_complete(async move {
            let task = receiver(&socket, 8);
            sleep(YIELD).await?;
            Ok(task)
        })
        .unwrap()
}

#[test]
fn a_waiting_task_tells_on_what_and_where() {
    run(async {
        let (one, _other) = pair();
        let line = line!() + 1;
        let task = create_task(async move { sock_recv(&one, 8).await });
        sleep(YIELD).await?;
        let site = task.wait_site().unwrap();
        assert_eq!((site.what(), site.location().line()), ("sock_recv", line));
        assert_eq!(site.location().file(), file!());
        task.cancel();
        assert!(is_cancelled(task.await));
        Ok(())
    });
}

#[test]
fn debug_mode_refuses_a_blocking_socket() {
    run(async {
        let (one, other) = pair();
        sock_sendall(&other, b"x").await?;
        one.get_ref().set_nonblocking(false)?;
        get_running_loop()?.set_debug(true);
        let error = sock_recv(&one, 1).await.unwrap_err();
        assert!(matches!(&error, Error::Value(_)), "{error:?}");
        assert_eq!(error.to_string(), "sock_recv: the socket must be non-blocking");
        get_running_loop()?.set_debug(false);
        assert_eq!(sock_recv(&one, 1).await?, "x");
        Ok(())
    });
}
