//! Datagram endpoints on real sockets.

use super::*;
use asyncio_sockets::{Domain, Socket, Type};
use std::{net::UdpSocket, os::unix::net::UnixDatagram};

async fn local() -> Result<DatagramEndpoint> {
    open_datagram_endpoint().local_addr(("127.0.0.1", 0)).await
}

/// An endpoint whose send buffer is small, and the socket that it sends to, which is not read.
async fn endpoint_pair() -> Result<(DatagramEndpoint, UnixDatagram)> {
    let (ours, theirs) = Socket::pair(Domain::UNIX, Type::DGRAM, None)?;
    let endpoint = open_datagram_endpoint().sock(ours).await?;
    let theirs = socket2::Socket::from(theirs);
    theirs.set_nonblocking(false)?;
    Ok((endpoint, UnixDatagram::from(theirs)))
}

#[test]
fn an_echo_answers_until_it_is_closed() {
    run(async {
        let server = Rc::new(local().await?);
        let (address, serving) = (server.local_addr(), server.clone());
        let echo = create_task(async move {
            let mut count = 0;
            while let Some(datagram) = serving.next().await {
                let (data, sender) = datagram?;
                serving.send_to(data, sender).await?;
                count += 1;
            }
            Ok(count)
        });
        let client = open_datagram_endpoint().remote_addr(&address).await?;
        assert_eq!(client.peer_addr(), Some(address.clone()));
        for text in ["one", "", "two"] {
            client.send(text).await?;
            let (data, sender) = client.recv_from().await?;
            assert_eq!((&*data, &sender), (text.as_bytes(), &address));
        }
        server.close();
        assert_eq!(echo.await?, 3);
        server.wait_closed().await
    });
}

#[test]
fn what_had_arrived_comes_before_the_end() {
    run(async {
        let endpoint = local().await?;
        let sender = UdpSocket::bind("127.0.0.1:0")?;
        let address = endpoint.local_addr().as_inet().unwrap();
        sender.send_to(b"last", address)?;
        while endpoint.shared.arrived.empty() {
            iterations(1).await?;
        }
        endpoint.close();
        endpoint.wait_closed().await?;
        assert_eq!(endpoint.recv_from().await?.0, "last");
        assert!(endpoint.next().await.is_none());
        let error = endpoint.recv_from().await.unwrap_err();
        assert_eq!(error.to_string(), "DatagramEndpoint.recv_from: the endpoint is closed");
        let error = endpoint.send_to(b"x", address).await.unwrap_err();
        assert_eq!(error.to_string(), "DatagramEndpoint.send_to: the endpoint is closed");
        Ok(())
    });
}

#[test]
fn what_is_not_taken_in_time_is_dropped_and_counted() {
    run(async {
        let endpoint = open_datagram_endpoint().local_addr(("127.0.0.1", 0)).limit(2).await?;
        for n in 0..5 {
            endpoint.send_to([n], endpoint.local_addr()).await?;
        }
        while endpoint.dropped() < 3 {
            iterations(1).await?;
        }
        assert_eq!(endpoint.recv_from().await?.0, [0][..]);
        assert_eq!(endpoint.recv_from().await?.0, [1][..]);
        endpoint.send_to([9], endpoint.local_addr()).await?;
        assert_eq!(endpoint.recv_from().await?.0, [9][..]);
        assert_eq!(endpoint.dropped(), 3);
        Ok(())
    });
}

#[test]
fn a_cancelled_receive_takes_nothing() {
    run(async {
        let endpoint = Rc::new(local().await?);
        let waiting = endpoint.clone();
        let task = create_task(async move { waiting.recv_from().await.map(drop) });
        iterations(2).await?;
        endpoint.send_to(b"kept", endpoint.local_addr()).await?;
        while endpoint.shared.arrived.empty() {
            iterations(1).await?;
            task.cancel();
        }
        // Either it was cancelled first, or it was woken and gave the datagram back.
        assert!(is_cancelled(task.await));
        assert_eq!(endpoint.recv_from().await?.0, "kept");
        Ok(())
    });
}

#[test]
fn sending_waits_for_room_and_a_cancelled_send_sends_nothing() {
    run(async {
        let (endpoint, theirs) = endpoint_pair().await?;
        let mut sent = 0;
        // The buffer of the socket, and then ours.
        while endpoint.shared.room.is_set() {
            endpoint.send([1; 1024]).await?;
            sent += 1;
        }
        let late = wait_for(endpoint.send(b"cancelled"), Duration::from_millis(1)).await;
        assert_eq!(late.unwrap_err().kind(), "TimeoutError");
        let endpoint = Rc::new(endpoint);
        let waiting = endpoint.clone();
        let last = create_task(async move { waiting.send(b"last").await });
        iterations(2).await?;
        assert!(!last.done());
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            (0..sent + 1).map(|_| theirs.recv(&mut buffer).unwrap()).collect::<Vec<_>>()
        });
        last.await?;
        endpoint.close();
        endpoint.wait_closed().await?;
        let lengths = reader.join().unwrap();
        assert_eq!(lengths.iter().filter(|length| **length == 1024).count(), sent);
        assert_eq!(lengths.last(), Some(&4));
        Ok(())
    });
}

#[test]
fn errors_of_the_system_come_out_and_the_endpoint_stays_open() {
    run(async {
        let gone = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
        let endpoint = open_datagram_endpoint().remote_addr(gone).await?;
        endpoint.send(b"x").await?;
        let error = endpoint.recv_from().await.unwrap_err();
        assert!(error.to_string().contains("refused"), "{error}");
        assert!(!endpoint.is_closing());

        let endpoint = local().await?;
        let too_long = endpoint.send_to(vec![0; 70_000], endpoint.local_addr()).await;
        assert!(text(too_long).starts_with("DatagramEndpoint.send_to: "));
        let error = endpoint.send(b"x").await.unwrap_err();
        assert_eq!(error.kind(), "ValueError");
        let error = endpoint.send_to(b"x", ("localhost", 9)).await.unwrap_err();
        assert_eq!(error.kind(), "ValueError");
        Ok(())
    });
}

#[test]
fn its_arguments_are_checked() {
    run(async {
        let error = open_datagram_endpoint().await.unwrap_err();
        assert_eq!(error.to_string(), "open_datagram_endpoint: unexpected address family");
        let error = open_datagram_endpoint().family(Domain::IPV4).limit(0).await.unwrap_err();
        assert_eq!(error.to_string(), "open_datagram_endpoint: the limit must be at least 1");
        Ok(())
    });
}

#[test]
fn dropping_it_closes_it() {
    run(async {
        let endpoint = local().await?;
        let address = endpoint.local_addr().as_inet().unwrap();
        drop(endpoint);
        iterations(2).await?;
        UdpSocket::bind(address)?;
        Ok(())
    });
}
