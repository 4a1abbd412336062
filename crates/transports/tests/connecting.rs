//! The descriptors that are open after connections that failed, were cancelled or lost a race; in a
//! process of its own, where nothing else opens any.
#![cfg(target_os = "linux")]

use asyncio_core::Result;
use asyncio_loop::{EventLoop, get_running_loop};
use asyncio_sockets::{Domain, Socket, Type};
use asyncio_task::{create_task, sleep, wait_for};
use asyncio_transports::{
    Protocol, Transport, connect_accepted_socket, create_connection, create_unix_connection,
};
use bytes::Bytes;
use std::{
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

struct Discard;

impl Protocol for Discard {
    fn data_received(&mut self, _: &Transport, _: Bytes) {}
}

fn open() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Returns an address that neither accepts nor refuses: the backlog of its listener is full.
fn silent(host: &str, port: u16) -> (SocketAddr, Vec<socket2::Socket>) {
    let address = SocketAddr::new(host.parse().unwrap(), port);
    let socket = || socket2::Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    let listener = socket();
    listener.set_reuse_address(true).unwrap();
    listener.bind(&address.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut sockets = vec![listener];
    for _ in 0..8 {
        let waiting = socket();
        waiting.set_nonblocking(true).unwrap();
        let _ = waiting.connect(&address);
        sockets.push(waiting);
    }
    (address.as_socket().unwrap(), sockets)
}

async fn settle() -> Result<()> {
    for _ in 0..5 {
        sleep(Duration::ZERO).await?;
    }
    Ok(())
}

async fn failed_connections_leave_nothing_open() -> Result<()> {
    let refusing = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let before = open();
    assert!(create_connection(|| Discard, refusing).await.is_err());
    let local = create_connection(|| Discard, refusing).local_addr(("::1", 0));
    assert!(local.await.is_err());
    let racing = create_connection(|| Discard, ("", refusing.port()));
    assert!(racing.happy_eyeballs_delay(Duration::from_secs(1)).await.is_err());
    assert!(create_unix_connection(|| Discard, "/nobody/is/here").await.is_err());
    let udp = Socket::try_from(UdpSocket::bind("127.0.0.1:0")?)?;
    assert!(create_connection(|| Discard, udp).await.is_err());
    assert_eq!(open(), before);
    Ok(())
}

async fn connections_that_are_given_up_leave_nothing_open() -> Result<()> {
    let (silent, _full) = silent("127.0.0.1", 0);
    let before = open();
    for delay in [None, Some(Duration::from_secs(1))] {
        let connect = move || create_connection(|| Discard, silent).happy_eyeballs_delay(delay);
        let connecting = create_task(async move { connect().await.map(drop) });
        settle().await?;
        assert_eq!(open(), before + 1, "it connects");
        connecting.cancel();
        assert!(connecting.await.unwrap_err().is_cancelled());
        assert_eq!(open(), before);

        let outcome = wait_for(connect(), Duration::from_millis(10)).await;
        assert!(outcome.map(drop).unwrap_err().is_timeout());
        assert_eq!(open(), before);

        let mut dropped = Box::pin(connect().transport());
        std::future::poll_fn(|cx| {
            assert!(dropped.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        settle().await?;
        assert_eq!(open(), before + 1, "it connects");
        drop(dropped);
        settle().await?;
        assert_eq!(open(), before);
    }
    Ok(())
}

async fn the_loser_of_a_race_leaves_nothing_open() -> Result<()> {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        eprintln!("SKIPPED: there is no ::1");
        return Ok(());
    };
    let v4 = TcpListener::bind("127.0.0.1:0")?;
    let port = v4.local_addr()?.port();
    drop(listener);
    let (_, _full) = silent("::1", port);
    let before = open();
    let start = get_running_loop()?.time();
    let delay = Duration::from_millis(250);
    let connecting = create_connection(|| Discard, ("", port)).happy_eyeballs_delay(delay);
    let (transport, _) = connecting.await?;
    assert_eq!(get_running_loop()?.time() - start, delay);
    assert_eq!(open(), before + 1, "the connection alone");
    transport.abort();
    settle().await?;
    assert_eq!(open(), before);
    Ok(())
}

async fn connections_given_up_before_their_protocol_is_called_leave_nothing_open() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let _client = TcpStream::connect(listener.local_addr()?)?;
    let before = open();
    let accepted = Socket::try_from(listener.accept()?.0)?;
    let connecting =
        create_task(async move { connect_accepted_socket(|| Discard, accepted).await.map(drop) });
    sleep(Duration::ZERO).await?;
    connecting.cancel();
    assert!(connecting.await.unwrap_err().is_cancelled());
    settle().await?;
    assert_eq!(open(), before);
    Ok(())
}

/// One after another, because each one counts.
#[test]
fn what_comes_to_nothing_leaves_nothing_open() {
    let event_loop = EventLoop::builder().virtual_time(true).build().unwrap();
    let outcome = event_loop.run_until_complete(async {
        // From here on, the executor has its threads and their descriptors.
        asyncio_task::to_thread(|| ()).await?;
        failed_connections_leave_nothing_open().await?;
        connections_that_are_given_up_leave_nothing_open().await?;
        the_loser_of_a_race_leaves_nothing_open().await?;
        connections_given_up_before_their_protocol_is_called_leave_nothing_open().await
    });
    event_loop.close().unwrap();
    outcome.unwrap();
}
