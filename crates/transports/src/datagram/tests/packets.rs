//! `SOCK_SEQPACKET` sockets, which have a connection that can end.

use super::*;
use asyncio_sockets::{Socket, Type};
use std::net::Shutdown;

async fn packets(log: &Log) -> Result<(DatagramTransport, socket2::Socket)> {
    let (one, other) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
    let (transport, _) = create_datagram_endpoint(|| Recorder::new(log)).sock(one).await?;
    Ok((transport, other.into()))
}

#[test]
fn the_end_of_a_connection_is_one_empty_message_and_closes_the_endpoint() {
    run(async {
        for half in [false, true] {
            let log = Log::default();
            let (transport, other) = packets(&log).await?;
            for message in [&b"one"[..], b"", b"two"] {
                other.send(message)?;
            }
            let other = match half {
                true => other.shutdown(Shutdown::Write).map(|()| Some(other))?,
                false => {
                    drop(other);
                    None
                }
            };
            log.lost().await?;
            iterations(5).await?;
            assert_eq!(log.events(), "made <one> <> <two> <> lost");
            assert!(transport.is_closing());
            drop(other);
        }
        Ok(())
    });
}

#[test]
fn an_empty_message_does_not_end_a_connection_that_goes_on() {
    run(async {
        let log = Log::default();
        let (transport, other) = packets(&log).await?;
        other.send(b"")?;
        log.wait("<>").await?;
        other.send(b"more")?;
        log.wait("<more>").await?;
        assert!(!transport.is_closing());
        transport.sendto(b"back", None);
        let mut buffer = [0; 100];
        assert_eq!(io::Read::read(&mut &other, &mut buffer)?, 4);
        Ok(())
    });
}

#[test]
fn what_is_buffered_is_still_sent_when_the_other_side_has_ended() {
    run(async {
        let log = Log::default();
        let (transport, other) = packets(&log).await?;
        other.set_nonblocking(true)?;
        let mut sent = 0;
        while transport.get_write_buffer_size() == 0 {
            transport.sendto([b'.'; 1000], None);
            sent += 1;
        }
        other.shutdown(Shutdown::Write)?;
        log.wait("<>").await?;
        let mut received = 0;
        while received < sent {
            received += drain_full(&other);
            iterations(1).await?;
        }
        log.lost().await?;
        assert_eq!(received, sent);
        Ok(())
    });
}

/// Reads all messages and returns their number.
fn drain_full(socket: &socket2::Socket) -> usize {
    let mut buffer = [0; 4096];
    let mut count = 0;
    while matches!(io::Read::read(&mut &*socket, &mut buffer), Ok(1..)) {
        count += 1;
    }
    count
}
