//! Futures of libraries in `join!`, `try_join!` and `select!`: each is a scope, so a request reaches each.

use crate::{
    http::{client1, get, hello, read, text},
    support::{
        Around, HOUR, Joined, Left, MS, ends, is_cancelled, is_timeout, iterations, pair, run,
    },
    websocket::{Socket, next, number, sending, sockets},
};
use asyncio::{
    AsyncContextManager, Error, Queue, Result, create_task, join, select, sleep, try_join, wait_for,
};
use hyper::{client::conn::http1::handshake, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{cell::Cell, future::pending, pin::pin, rc::Rc};
use tokio_tungstenite::tungstenite::Message;

const N: u32 = 200;

/// A connection whose other end sends nothing.
pub(crate) async fn silent(around: &Around) -> Result<Socket> {
    let (ours, theirs) = sockets().await?;
    around.keep(theirs);
    Ok(ours)
}

#[test]
fn reads_that_are_joined_are_ended() {
    ends(async |around| {
        let (mut one, mut other) = (silent(&around).await?, silent(&around).await?);
        around.reached();
        Ok(async move {
            let (one, other) = join!(next(&mut one), next(&mut other));
            one.and(other)
        })
    });
}

#[test]
fn a_read_beside_something_of_ours_is_ended() {
    ends(async |around| {
        let mut ours = silent(&around).await?;
        around.reached();
        Ok(async move {
            let (slept, read) = join!(sleep(HOUR), next(&mut ours));
            slept.and(read)
        })
    });
}

#[test]
fn a_read_beside_an_inner_scope_is_ended() {
    let left = Rc::new(Cell::new(0));
    let told = left.clone();
    ends(async move |around| {
        let mut ours = silent(&around).await?;
        around.reached();
        let left = Left(told.clone());
        Ok(async move {
            let inner = left.with(async |()| pending::<Result<()>>().await);
            let (inner, read) = join!(inner, next(&mut ours));
            inner.and(read.map(drop))
        })
    });
    // In every way except by dropping it.
    assert_eq!(left.get(), 10);
}

#[test]
fn a_request_and_its_connection_are_ended() {
    ends(async |around| {
        let (ours, theirs) = pair().await?;
        around.keep(theirs);
        around.reached();
        Ok(async move {
            let (mut requests, connection) = handshake(TokioIo::new(ours)).await?;
            let ask = async { read(requests.send_request(get("/")).await?).await };
            let moved = async { Ok(connection.await?) };
            try_join!(ask, moved).map(drop)
        })
    });
}

#[test]
fn a_server_beside_a_stop_is_ended() {
    ends(async |around| {
        let (ours, theirs) = pair().await?;
        around.keep(theirs);
        around.reached();
        Ok(async move {
            let stop = Queue::<()>::new(0);
            let service = service_fn(hello);
            let connection = http1::Builder::new().serve_connection(TokioIo::new(ours), service);
            let mut connection = pin!(connection);
            loop {
                select! {
                    // A branch that returns no `asyncio::Result` cannot report its cancellation.
                    ended = connection.as_mut() => return Ok(ended?),
                    asked = stop.get() => {
                        asked?;
                        connection.as_mut().graceful_shutdown();
                    }
                }
            }
        })
    });
}

#[test]
fn messages_that_are_lent_and_limits_beside_them() {
    run(async {
        let around = Around::default();
        let (mut ours, theirs) = sockets().await?;
        sending(&around, theirs, N);
        let (mut heard, mut late) = (Vec::new(), 0);
        'all: loop {
            let mut message = pin!(next(&mut ours));
            loop {
                select! {
                    message = message.as_mut() => {
                        match message? {
                            Message::Close(_) => break 'all,
                            message => heard.push(number(message)),
                        }
                        break;
                    }
                    outcome = wait_for(sleep(HOUR), MS) => {
                        is_timeout(outcome);
                        late += 1;
                    }
                }
            }
        }
        assert_eq!(heard, (0..N).collect::<Vec<_>>());
        assert!(late > 0);
        around.end().await
    });
}

#[test]
fn neighbours_each_under_a_limit() {
    run(async {
        let around = Around::default();
        let (mut late, mut later) = (silent(&around).await?, silent(&around).await?);
        let (mut fine, theirs) = sockets().await?;
        sending(&around, theirs, 20);
        let all = async {
            let mut heard = Vec::new();
            loop {
                match next(&mut fine).await? {
                    Message::Close(_) => return Ok(heard),
                    message => heard.push(number(message)),
                }
            }
        };
        let (late, heard, later) = join!(
            wait_for(next(&mut late), 3 * MS),
            wait_for(all, HOUR),
            wait_for(next(&mut later), 6 * MS),
        );
        is_timeout(late.map(drop));
        is_timeout(later.map(drop));
        assert_eq!(heard?, (0..20).collect::<Vec<_>>());
        around.end().await
    });
}

/// The branch that loses is a request of hyper inside a scope of the program, which cleans up first.
#[test]
fn a_request_that_loses_is_cleaned_up() {
    run(async {
        let around = Around::default();
        for n in 1..=3 {
            let (ours, theirs) = pair().await?;
            around.task(serve_late(theirs));
            let mut requests = client1(TokioIo::new(ours), &around).await?;
            let left = Rc::new(Cell::new(0));
            let ask = Left(left.clone()).with(async |()| {
                wait_for(async { Ok(requests.send_request(get("/")).await?) }, HOUR).await
            });
            select! {
                answer = ask => panic!("{answer:?}"),
                slept = sleep(n * MS) => slept?,
            }
            assert_eq!(left.get(), 1);
        }
        around.end().await
    });
}

async fn serve_late(io: Joined) -> Result<()> {
    let service = service_fn(|_| async {
        sleep(HOUR).await?;
        Ok::<_, Error>(text("late"))
    });
    Ok(http1::Builder::new().serve_connection(TokioIo::new(io), service).await?)
}

#[test]
fn a_task_that_is_cancelled_in_a_select_has_taken_whole_messages_only() {
    run(async {
        let around = Around::default();
        let (mut ours, theirs) = sockets().await?;
        sending(&around, theirs, N);
        let mut heard = Vec::new();
        for steps in (3..20).cycle() {
            let round = create_task(async move {
                let outcome = async {
                    loop {
                        select! {
                            message = next(&mut ours) => match message? {
                                Message::Close(_) => return Ok(()),
                                message => heard.push(number(message)),
                            },
                            slept = sleep(HOUR) => slept?,
                        }
                    }
                };
                let outcome: Result<()> = outcome.await;
                Ok((ours, heard, outcome))
            });
            iterations(steps).await?;
            let asked = round.cancel();
            let outcome;
            (ours, heard, outcome) = round.await?;
            match asked {
                true => is_cancelled(outcome),
                false => break,
            }
            if heard.len() == N as usize {
                break;
            }
        }
        assert_eq!(heard, (0..N).collect::<Vec<_>>());
        around.end().await
    });
}
