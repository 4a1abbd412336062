//! A future of a library and a sleep of asyncio in `select!`, in a loop: the loser is put aside, or dropped and
//! created again, and nothing is lost.

use crate::{
    branches::silent,
    http::{client1, get, read, text},
    support::{Around, HOUR, MS, ends, is_cancelled, is_timeout, pair, run},
    websocket::{next, number, sending, sockets},
};
use asyncio::{Error, Queue, Result, create_task, sleep, wait_for};
use futures_util::{FutureExt, StreamExt, pin_mut, select, stream::FuturesUnordered};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{pin::pin, rc::Rc};
use tokio_tungstenite::tungstenite::Message;

const N: u32 = 200;

/// The same loops with the macros of tokio and of asyncio.
macro_rules! loops {
    ($($name:ident: $($select:ident)::*;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn messages_and_a_sleep_that_is_made_anew() {
                run(async {
                    let around = Around::default();
                    let (mut ours, theirs) = sockets().await?;
                    sending(&around, theirs, N);
                    let (mut heard, mut ticks) = (Vec::new(), 0);
                    loop {
                        $($select)::*! {
                            message = next(&mut ours) => match message? {
                                Message::Close(_) => break,
                                message => heard.push(number(message)),
                            },
                            slept = sleep(MS) => {
                                slept?;
                                ticks += 1;
                            }
                        }
                    }
                    assert_eq!(heard, (0..N).collect::<Vec<_>>());
                    assert!(ticks > 0);
                    around.end().await
                });
            }

            #[test]
            fn a_loop_over_messages_and_a_sleep_is_ended() {
                ends(async |around| {
                    let mut ours = silent(&around).await?;
                    let mut ticks = 0;
                    Ok(async move {
                        loop {
                            $($select)::*! {
                                message = next(&mut ours) => return message,
                                slept = sleep(MS) => {
                                    slept?;
                                    ticks += 1;
                                    if ticks == 3 {
                                        around.reached();
                                    }
                                }
                            }
                        }
                    })
                });
            }
        }
    )*};
}

loops! {
    with_tokio: tokio::select;
    with_asyncio: asyncio::select;
}

#[test]
fn messages_and_a_sleep_that_is_put_aside() {
    run(async {
        let around = Around::default();
        let (mut ours, theirs) = sockets().await?;
        sending(&around, theirs, N);
        let (mut heard, mut ticks) = (Vec::new(), 0);
        let tick = sleep(5 * MS);
        pin_mut!(tick);
        let mut tick = tick.fuse();
        loop {
            select! {
                message = ours.next().fuse() => match message.transpose()? {
                    None | Some(Message::Close(_)) => break,
                    Some(message) => heard.push(number(message)),
                },
                slept = tick => {
                    slept?;
                    ticks += 1;
                }
            }
        }
        assert_eq!(heard, (0..N).collect::<Vec<_>>());
        assert_eq!(ticks, 1);
        around.end().await
    });
}

/// The read is a borrowed future; the limit applies to the work in between.
#[test]
fn messages_and_limits_elsewhere_in_the_task() {
    run(async {
        let around = Around::default();
        let (ours, theirs) = sockets().await?;
        sending(&around, theirs, N);
        let mut heard = Vec::new();
        let mut late = 0;
        let mut ours = ours;
        'all: loop {
            let mut message = pin!(next(&mut ours));
            let message = loop {
                tokio::select! {
                    message = &mut message => break message?,
                    outcome = wait_for(sleep(HOUR), MS) => {
                        is_timeout(outcome);
                        late += 1;
                    }
                }
            };
            match message {
                Message::Close(_) => break 'all,
                message => heard.push(number(message)),
            }
        }
        assert_eq!(heard, (0..N).collect::<Vec<_>>());
        assert!(late > 0);
        around.end().await
    });
}

#[test]
fn a_request_and_ticks() {
    run(async {
        let around = Around::default();
        let (ours, theirs) = pair().await?;
        let go = Rc::new(Queue::new(0));
        let gone = go.clone();
        around.task(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let gone = gone.clone();
                async move {
                    let n: u32 = gone.get().await?;
                    Ok::<_, Error>(text(format!("{} {n}", request.uri().path())))
                }
            });
            let io = TokioIo::new(theirs);
            Ok(http1::Builder::new().serve_connection(io, service).await?)
        });
        let mut requests = client1(TokioIo::new(ours), &around).await?;
        for n in 0..20 {
            requests.ready().await?;
            let mut answer = pin!(requests.send_request(get("/")));
            let mut ticks = 0;
            let answer = loop {
                tokio::select! {
                    answer = &mut answer => break answer?,
                    slept = wait_for(sleep(MS), HOUR) => {
                        slept?;
                        ticks += 1;
                        // The response arrives after the first of them.
                        go.put(n).await?;
                    }
                }
            };
            assert_eq!(read(answer).await?, format!("/ {n}"));
            assert!(ticks > 0);
            while go.get_nowait().is_ok() {}
        }
        around.end().await
    });
}

/// The loop is ended before the sleep that is put aside has lost for the first time.
#[test]
fn a_loop_with_a_sleep_put_aside_is_ended() {
    ends(async |around| {
        let (ours, theirs) = sockets().await?;
        let (mut outgoing, mut incoming) = ours.split();
        around.keep(theirs);
        around.reached();
        Ok(async move {
            let mut pause = pin!(sleep(HOUR));
            loop {
                tokio::select! {
                    message = incoming.next() => return Ok(message.transpose()?),
                    slept = &mut pause => slept?,
                    sent = futures_util::SinkExt::send(&mut outgoing, Message::text("ping")) => {
                        sent?;
                        // The task waits in a foreign future alone, with the sleep put aside.
                        incoming.next().await.transpose()?;
                    }
                }
            }
        })
    });
}

#[test]
fn a_limit_in_one_arm_leaves_the_task_of_another_alone() {
    run(async {
        let around = Around::default();
        let (mut ours, theirs) = sockets().await?;
        sending(&around, theirs, N);
        let jobs = Rc::new(Queue::new(0));
        let given = jobs.clone();
        let mut worker = create_task(async move {
            loop {
                match next(&mut ours).await? {
                    Message::Close(_) => return Ok(N),
                    message => given.put(number(message)).await?,
                }
            }
        });
        let (mut done, mut late) = (Vec::new(), 0);
        let ended = loop {
            tokio::select! {
                biased;
                job = jobs.get() => {
                    let job = job?;
                    if job % 10 == 0 {
                        is_timeout(wait_for(sleep(HOUR), MS).await);
                        late += 1;
                    }
                    done.push(job);
                }
                ended = &mut worker => break ended?,
            }
        };
        assert_eq!((ended, late), (N, N / 10));
        assert_eq!(done, (0..N).collect::<Vec<_>>());
        around.end().await
    });
}

#[test]
fn a_crowd_of_sockets_in_one_task_each_under_a_limit() {
    run(async {
        let around = Around::default();
        let mut reads = FuturesUnordered::new();
        for silent in [false, true, false, true, false] {
            let (mut ours, theirs) = sockets().await?;
            match silent {
                true => around.keep(theirs),
                false => sending(&around, theirs, 20),
            }
            reads.push(async move {
                let mut heard = Vec::new();
                loop {
                    match wait_for(next(&mut ours), if silent { 10 * MS } else { HOUR }).await {
                        Ok(Message::Close(_)) => break,
                        Ok(message) => heard.push(number(message)),
                        Err(error) => {
                            is_timeout(Err(error));
                            break;
                        }
                    }
                }
                (silent, heard)
            });
        }
        while let Some((silent, heard)) = reads.next().await {
            assert_eq!(heard, (0..if silent { 0 } else { 20 }).collect::<Vec<_>>());
        }
        drop(reads);
        around.end().await
    });
}

#[test]
fn a_task_that_is_cancelled_in_the_middle_has_taken_whole_messages_only() {
    run(async {
        let around = Around::default();
        let (mut ours, theirs) = sockets().await?;
        sending(&around, theirs, N);
        let mut heard = Vec::new();
        while heard.len() < N as usize {
            // Each round is one task, which owns the socket and the list meanwhile.
            let round = create_task(async move {
                let outcome = async {
                    loop {
                        tokio::select! {
                            biased;
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
            sleep(3 * MS).await?;
            let asked = round.cancel();
            let outcome;
            (ours, heard, outcome) = round.await?;
            if asked {
                is_cancelled(outcome);
            }
        }
        assert_eq!(heard, (0..N).collect::<Vec<_>>());
        around.end().await
    });
}
