//! A future of a library that is put aside: it has begun, and is not polled while the task waits for something
//! else. A limit on the second wait does not affect the first, and a scope around both ends both.

use crate::{
    http::{Answer, client1, get, read, text},
    support::{Around, HOUR, MS, ends, is_timeout, pair, run},
    websocket::{Socket, next, number, sockets},
};
use asyncio::{Error, Event, Result, sleep, wait_for};
use futures_util::{
    StreamExt,
    future::{LocalBoxFuture, poll_fn},
    stream::{self, FuturesUnordered},
};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    future::{Future, pending},
    task::Poll,
};
use tokio_tungstenite::tungstenite::Message;

/// A read of a socket, which has begun to wait.
async fn begun(mut socket: Socket) -> LocalBoxFuture<'static, Result<Message>> {
    let mut read: LocalBoxFuture<'static, _> = Box::pin(async move { next(&mut socket).await });
    let waits = poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx).is_pending())).await;
    assert!(waits);
    read
}

#[test]
fn a_task_waits_for_something_foreign_beside_a_read_put_aside() {
    ends(async |around| {
        let (ours, theirs) = sockets().await?;
        around.keep(theirs);
        around.reached();
        Ok(async move {
            let _read = begun(ours).await;
            pending::<Result<()>>().await
        })
    });
}

#[test]
fn a_task_waits_for_another_read_beside_one_put_aside() {
    ends(async |around| {
        let ((ours, theirs), (other, silent)) = (sockets().await?, sockets().await?);
        around.keep((theirs, silent));
        around.reached();
        Ok(async move {
            let _read = begun(ours).await;
            let mut other = other;
            next(&mut other).await
        })
    });
}

#[test]
fn a_task_waits_for_something_of_ours_beside_a_read_put_aside() {
    ends(async |around| {
        let (ours, theirs) = sockets().await?;
        around.keep(theirs);
        around.reached();
        Ok(async move {
            let _read = begun(ours).await;
            sleep(HOUR).await
        })
    });
}

#[test]
fn a_task_waits_for_a_read_beside_a_sleep_and_a_lock_put_aside() {
    ends(async |around| {
        let (mut ours, theirs) = sockets().await?;
        around.keep(theirs);
        around.reached();
        Ok(async move {
            let (event, mut pause) = (Event::new(), Box::pin(sleep(HOUR)));
            let mut wait = Box::pin(event.wait());
            poll_fn(|cx| {
                assert!(pause.as_mut().poll(cx).is_pending());
                assert!(wait.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            next(&mut ours).await
        })
    });
}

#[test]
fn a_read_put_aside_hears_nothing_of_a_limit_elsewhere() {
    run(async {
        let around = Around::default();
        let ((ours, mut theirs), (mut other, silent)) = (sockets().await?, sockets().await?);
        around.keep(silent);
        let mut read = begun(ours).await;
        is_timeout(wait_for(next(&mut other), 5 * MS).await.map(drop));
        is_timeout(wait_for(sleep(HOUR), 5 * MS).await);
        is_timeout(wait_for(pending::<Result<()>>(), 5 * MS).await);
        // The read is under a limit of its own for a while.
        is_timeout(wait_for(read.as_mut(), 5 * MS).await.map(drop));
        // Data that arrives meanwhile is there when it is polled again.
        futures_util::SinkExt::send(&mut theirs, Message::text("7")).await?;
        is_timeout(wait_for(next(&mut other), 5 * MS).await.map(drop));
        assert_eq!(number(read.await?), 7);
        around.end().await
    });
}

#[test]
fn requests_in_a_buffer_of_three_each_under_a_limit() {
    run(async {
        let around = Around::default();
        let mut clients = Vec::new();
        for _ in 0..12 {
            let (ours, theirs) = pair().await?;
            around.task(async move {
                let service = service_fn(|request: Request<Incoming>| async move {
                    match request.uri().path() {
                        "/never" => pending::<Result<Answer>>().await,
                        path => {
                            sleep(2 * MS).await?;
                            Ok::<_, Error>(text(path.to_owned()))
                        }
                    }
                });
                Ok(http1::Builder::new().serve_connection(TokioIo::new(theirs), service).await?)
            });
            clients.push(client1(TokioIo::new(ours), &around).await?);
        }
        let requests = stream::iter(clients.into_iter().enumerate()).map(|(n, mut client)| {
            let (path, limit) = if n % 4 == 1 { ("/never", 10 * MS) } else { ("/", HOUR) };
            let ask = async move { read(client.send_request(get(path)).await?).await };
            async move { (n, wait_for(ask, limit).await) }
        });
        let mut answers = requests.buffered(3);
        let mut next = 0;
        while let Some((n, outcome)) = answers.next().await {
            assert_eq!(n, next);
            next += 1;
            match n % 4 {
                1 => is_timeout(outcome.map(drop)),
                _ => assert_eq!(outcome?, "/"),
            }
        }
        assert_eq!(next, 12);
        around.end().await
    });
}

#[test]
fn a_crowd_of_reads_is_ended() {
    ends(async |around| {
        let mut reads = FuturesUnordered::new();
        for _ in 0..5 {
            let (ours, theirs) = sockets().await?;
            around.keep(theirs);
            reads.push(async move {
                let mut ours = ours;
                next(&mut ours).await
            });
        }
        around.reached();
        Ok(async move {
            match reads.next().await {
                Some(outcome) => outcome,
                None => Err(Error::msg("there are five")),
            }
        })
    });
}
