//! `sock_recvfrom`, `sock_recvfrom_into` and `sock_sendto`.

use super::*;

fn udp() -> Result<Rc<Socket>> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.bind(("127.0.0.1", 0))?;
    Ok(Rc::new(socket))
}

#[test]
fn a_datagram_comes_with_its_sender() {
    run(async {
        let (one, other) = (udp()?, udp()?);
        let waiting = {
            let one = one.clone();
            create_task(async move { sock_recvfrom(&one, 4096).await })
        };
        settle().await?;
        assert_eq!(sock_sendto(&other, b"hello", one.local_addr()?).await?, 5);
        assert_eq!(waiting.await?, ("hello".into(), other.local_addr()?));
        // By name, and an empty datagram.
        let port = one.local_addr()?.as_inet().unwrap().port();
        assert_eq!(sock_sendto(&other, b"", ("localhost", port)).await?, 0);
        assert_eq!(sock_recvfrom(&one, 4096).await?.0, "");
        Ok(())
    });
}

#[test]
fn datagrams_that_are_shorter_than_the_buffer_are_all_found() {
    run(async {
        let (one, other) = (udp()?, udp()?);
        let waiting = {
            let one = one.clone();
            create_task(async move {
                let mut all = Vec::new();
                for _ in 0..3 {
                    all.push(sock_recv(&one, 4096).await?);
                }
                Ok(all)
            })
        };
        settle().await?;
        for data in [b"a", b"b", b"c"] {
            sock_sendto(&other, data, one.local_addr()?).await?;
        }
        assert_eq!(waiting.await?, ["a", "b", "c"]);
        Ok(())
    });
}

#[test]
fn a_wrong_size_loses_no_datagram() {
    run(async {
        let (one, other) = (udp()?, udp()?);
        sock_sendto(&other, b"hello", one.local_addr()?).await?;
        let mut buffer = [0; 8];
        let error = sock_recvfrom_into(&one, &mut buffer).nbytes(9).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            ("ValueError", "sock_recvfrom_into: nbytes is greater than the length of the buffer")
        );
        let (length, sender) = sock_recvfrom_into(&one, &mut buffer).nbytes(3).await?;
        assert_eq!((length, sender), (3, other.local_addr()?));
        assert_eq!(&buffer[..4], b"hel\0");
        sock_sendto(&other, b"all of it", one.local_addr()?).await?;
        assert_eq!(sock_recvfrom_into(&one, &mut buffer).await?.0, 8);
        assert_eq!(&buffer, b"all of i");
        Ok(())
    });
}

#[test]
fn a_full_socket_is_waited_for() {
    run(async {
        let (one, other) = Socket::pair(Domain::UNIX, Type::DGRAM, None)?;
        let one = Rc::new(one);
        let mut count = 0_u32;
        while one.get_ref().send(&count.to_be_bytes()).is_ok() {
            count += 1;
        }
        let sending = {
            let one = one.clone();
            create_task(async move { sock_sendall(&one, &count.to_be_bytes()).await })
        };
        settle().await?;
        assert!(!sending.done());
        for n in 0..=count {
            assert_eq!(&sock_recv(&other, 1000).await?[..], n.to_be_bytes());
        }
        sending.await
    });
}

#[test]
fn a_refusal_does_not_stop_what_comes_later() {
    run(async {
        let (one, other) = (udp()?, udp()?);
        let closed = udp()?.local_addr()?;
        sock_connect(&one, &closed).await?;
        sock_sendall(&one, b"anyone?").await?;
        assert_eq!(kind(sock_recv(&one, 16).await), io::ErrorKind::ConnectionRefused);
        sock_connect(&one, other.local_addr()?).await?;
        let waiting = receiver(&one, 16);
        settle().await?;
        sock_sendto(&other, b"yes", one.local_addr()?).await?;
        assert_eq!(waiting.await?, "yes");
        Ok(())
    });
}

#[test]
fn to_send_nothing_is_to_send_an_empty_datagram_and_may_fail() {
    run(async {
        let (one, other) = Socket::pair(Domain::UNIX, Type::DGRAM, None)?;
        sock_sendall(&one, b"").await?;
        let mut buffer = [0; 8];
        assert_eq!(sock_recvfrom_into(&other, &mut buffer).await?.0, 0);
        let unconnected = kind(sock_sendall(&tcp()?, b"").await);
        assert!(matches!(unconnected, io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected));
        Ok(())
    });
}
