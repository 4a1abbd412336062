//! tungstenite: WebSockets, their handshakes, and messages under limits.

use crate::support::{Around, HOUR, Joined, MS, ends, is_timeout, pair, run};
use asyncio::{Result, cancellable, create_task, sleep, wait_for};
use futures_util::{
    SinkExt, StreamExt,
    future::{join, try_join},
    stream::{SplitSink, SplitStream},
};
use std::future::pending;
use tokio::io::AsyncReadExt;
use tokio_tungstenite::{
    WebSocketStream, accept_async, client_async,
    tungstenite::{Error as SocketError, Message, protocol::Role},
};

pub(crate) type Socket = WebSocketStream<Joined>;

/// Both ends of a WebSocket, after their handshake.
pub(crate) async fn sockets() -> Result<(Socket, Socket)> {
    let (ours, theirs) = pair().await?;
    let client = client_async("ws://localhost/", ours);
    let (client, server) = join(client, accept_async(theirs)).await;
    Ok((client?.0, server?))
}

/// The next message. The end of the connection is an error.
pub(crate) async fn next(socket: &mut Socket) -> Result<Message> {
    Ok(socket.next().await.ok_or(SocketError::ConnectionClosed)??)
}

pub(crate) fn number(message: Message) -> u32 {
    message.to_text().ok().and_then(|text| text.parse().ok()).expect("it is a number")
}

#[test]
fn a_handshake_waits_for_its_answer() {
    ends(async |around| {
        let (ours, mut theirs) = pair().await?;
        around.clone().task(async move {
            theirs.read_u8().await?;
            around.reached();
            let _kept = theirs;
            pending::<Result<()>>().await
        });
        Ok(async move { Ok(client_async("ws://localhost/", ours).await?) })
    });
}

#[test]
fn a_server_waits_for_a_handshake() {
    ends(async |around| {
        let (ours, theirs) = pair().await?;
        around.keep(theirs);
        around.reached();
        Ok(async move { Ok(accept_async(ours).await?) })
    });
}

#[test]
fn an_end_waits_for_a_message() {
    ends(async |around| {
        let (mut ours, theirs) = sockets().await?;
        around.keep(theirs);
        around.reached();
        Ok(async move { next(&mut ours).await })
    });
}

#[test]
fn an_end_waits_for_the_rest_of_a_message() {
    ends(async |around| {
        use tokio::io::AsyncWriteExt;
        let (ours, mut theirs) = pair().await?;
        // A text of four bytes, of which three arrive.
        theirs.write_all(b"\x81\x04abc").await?;
        around.keep(theirs);
        around.reached();
        let mut ours = WebSocketStream::from_raw_socket(ours, Role::Client, None).await;
        Ok(async move { next(&mut ours).await })
    });
}

#[test]
fn an_end_waits_until_a_message_is_taken() {
    ends(async |around| {
        let (ours, mut theirs) = pair().await?;
        around.clone().task(async move {
            theirs.read_u8().await?;
            around.reached();
            let _kept = theirs;
            pending::<Result<()>>().await
        });
        let mut ours = WebSocketStream::from_raw_socket(ours, Role::Server, None).await;
        Ok(async move { Ok(ours.send(Message::binary(vec![7; 12_000_000])).await?) })
    });
}

#[test]
fn an_end_waits_for_the_answer_to_its_close() {
    ends(async |around| {
        let (mut ours, theirs) = sockets().await?;
        around.keep(theirs);
        around.reached();
        Ok(async move {
            ours.close(None).await?;
            while ours.next().await.transpose()?.is_some() {}
            Ok(())
        })
    });
}

/// Sends without end, with a wait of asyncio in between.
async fn ping(mut outgoing: SplitSink<Socket, Message>) -> Result<()> {
    loop {
        outgoing.send(Message::text("ping")).await?;
        sleep(MS).await?;
    }
}

async fn first(mut incoming: SplitStream<Socket>) -> Result<Message> {
    Ok(incoming.next().await.ok_or(SocketError::ConnectionClosed)??)
}

#[test]
fn halves_of_a_socket_wait_in_two_futures_of_a_task() {
    ends(async |around| {
        let (ours, theirs) = sockets().await?;
        around.keep(theirs);
        around.reached();
        let (outgoing, incoming) = ours.split();
        Ok(try_join(ping(outgoing), first(incoming)))
    });
}

/// `join` continues until both have ended, so the request has to reach both: each is a scope.
#[test]
fn halves_of_a_socket_wait_in_two_scopes_of_a_task() {
    ends(async |around| {
        let (ours, theirs) = sockets().await?;
        around.keep(theirs);
        around.reached();
        let (outgoing, incoming) = ours.split();
        Ok(async move {
            let both = join(cancellable(ping(outgoing)), cancellable(first(incoming)));
            let (sent, read) = both.await;
            sent?;
            read
        })
    });
}

#[test]
fn an_echoing_server_waits_within_a_stream() {
    ends(async |around| {
        let (ours, mut theirs) = sockets().await?;
        around.clone().task(async move {
            theirs.send(Message::text("7")).await?;
            assert_eq!(number(next(&mut theirs).await?), 7);
            around.reached();
            let _kept = theirs;
            pending::<Result<()>>().await
        });
        let (outgoing, incoming) = ours.split();
        Ok(async move { Ok(incoming.forward(outgoing).await?) })
    });
}

// What continues.

/// The other end sends a number of messages, each with a longer pause than the previous one, and closes.
pub(crate) fn sending(around: &Around, mut socket: Socket, n: u32) {
    around.task(async move {
        for i in 0..n {
            // Longer and shorter than the limits, which therefore pass before, while and after a message arrives.
            sleep((i % 4) * MS).await?;
            socket.send(Message::text(i.to_string())).await?;
        }
        socket.close(None).await?;
        Ok(())
    });
}

#[test]
fn a_limit_on_each_read_loses_no_message() {
    for limit in [0, 1, 2, 3, 10] {
        run(async move {
            let around = Around::default();
            let (mut ours, theirs) = sockets().await?;
            sending(&around, theirs, 200);
            let mut heard = Vec::new();
            loop {
                match wait_for(next(&mut ours), limit * MS).await {
                    Ok(Message::Close(_)) => break,
                    Ok(message) => heard.push(number(message)),
                    Err(error) => {
                        is_timeout(Err(error));
                        // With a limit of zero the read does not begin.
                        if limit == 0 {
                            heard.push(number(wait_for(next(&mut ours), HOUR).await?));
                            if heard.len() == 200 {
                                break;
                            }
                        }
                    }
                }
            }
            assert_eq!(heard, (0..200).collect::<Vec<_>>());
            around.end().await
        });
    }
}

#[test]
fn a_limit_on_each_read_cuts_no_message_in_two() {
    run(async {
        use tokio::io::AsyncWriteExt;
        let around = Around::default();
        let (ours, mut theirs) = pair().await?;
        around.task(async move {
            for i in 0..20 {
                for byte in [0x81, 2, b'0' + i / 10, b'0' + i % 10] {
                    sleep(MS).await?;
                    theirs.write_u8(byte).await?;
                }
            }
            theirs.shutdown().await?;
            Ok(())
        });
        let mut ours = WebSocketStream::from_raw_socket(ours, Role::Client, None).await;
        let mut heard = Vec::new();
        let mut late = 0;
        while heard.len() < 20 {
            match wait_for(next(&mut ours), MS).await {
                Ok(message) => heard.push(number(message)),
                Err(error) => {
                    is_timeout(Err(error));
                    late += 1;
                }
            }
        }
        assert_eq!(heard, (0..20).collect::<Vec<_>>());
        assert!(late > 0);
        around.end().await
    });
}

#[test]
fn a_limit_on_each_write_sends_every_byte_once() {
    run(async {
        let around = Around::default();
        let (ours, theirs) = pair().await?;
        const SIZE: usize = 3_000_000;
        let mut ours = WebSocketStream::from_raw_socket(ours, Role::Server, None).await;
        let mut theirs = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
        let reading = create_task(async move {
            // Only after the writer has reached its limit.
            sleep(30 * MS).await?;
            let mut sizes = Vec::new();
            while let Some(message) = theirs.next().await.transpose()? {
                match message {
                    Message::Binary(data) => sizes.push((data.len(), data[0], data[SIZE - 1])),
                    _ => break,
                }
            }
            Ok(sizes)
        });
        let mut late = 0;
        for i in 0..4 {
            ours.feed(Message::binary(vec![i; SIZE])).await?;
            // A flush continues where a dropped one has stopped.
            while let Err(error) = wait_for(async { Ok(ours.flush().await?) }, 5 * MS).await {
                is_timeout(Err(error));
                late += 1;
            }
        }
        ours.close(None).await?;
        assert_eq!(reading.await?, (0..4).map(|i| (SIZE, i, i)).collect::<Vec<_>>());
        assert!(late > 0, "it never had to wait");
        around.end().await
    });
}

#[test]
fn a_cancelled_reader_leaves_its_socket_to_the_next() {
    run(async {
        let around = Around::default();
        let (ours, theirs) = sockets().await?;
        sending(&around, theirs, 100);
        let socket = std::rc::Rc::new(asyncio::Lock::new(ours));
        let heard = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        while heard.borrow().len() < 100 {
            let (socket, list) = (socket.clone(), heard.clone());
            let reader = create_task(async move {
                let mut socket = socket.acquire().await?;
                loop {
                    match next(&mut socket).await? {
                        Message::Close(_) => return Ok(()),
                        message => list.borrow_mut().push(number(message)),
                    }
                }
            });
            sleep(3 * MS).await?;
            // The reader may have read everything by now.
            if reader.cancel() {
                assert!(reader.await.is_err_and(|error| error.is_cancelled()));
            }
        }
        assert_eq!(*heard.borrow(), (0..100).collect::<Vec<_>>());
        around.end().await
    });
}
