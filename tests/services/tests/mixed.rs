//! Futures of libraries in more than one task and in more than one scope: ending one of them does not affect the
//! others, and clean-up may await a library too.

use crate::{
    http::{Answer, client1, get, hello, read, text},
    support::{
        Around, HOUR, Joined, MS, is_cancelled, is_timeout, iterations, listen, open, pair, run,
    },
    websocket::{Socket, next, number, sockets},
};
use asyncio::{
    AsyncContextManager, Error, Event, Queue, Result, TaskGroup, cancellable, create_task,
    current_task, eager_task_factory, gather, get_running_loop, shield, sleep, timeout, wait_for,
};
use futures_util::{
    FutureExt, SinkExt, StreamExt,
    future::{join, join_all},
};
use hyper::{
    Request, body::Incoming, client::conn::http1::handshake, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::{Future, pending, poll_fn},
    rc::Rc,
    task::Poll,
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

/// A connection whose other end sends nothing.
async fn silent(around: &Around) -> Result<Socket> {
    let (ours, theirs) = sockets().await?;
    around.keep(theirs);
    Ok(ours)
}

#[test]
fn halves_of_a_socket_in_two_tasks() {
    run(async {
        let (ours, mut theirs) = sockets().await?;
        let (mut outgoing, mut incoming) = ours.split();
        let reader = create_task(async move { Ok(incoming.next().await.transpose()?) });
        iterations(5).await?;
        for n in 0..3 {
            outgoing.send(Message::text(n.to_string())).await?;
            assert_eq!(number(next(&mut theirs).await?), n);
        }
        assert!(reader.cancel());
        is_cancelled(reader.await.map(drop));
        // The reader was dropped, and the half for writing continues.
        outgoing.send(Message::text("3")).await?;
        assert_eq!(number(next(&mut theirs).await?), 3);
        Ok(())
    });
}

#[test]
fn halves_of_a_connection_in_two_tasks() {
    run(async {
        let (ours, mut theirs) = pair().await?;
        let (mut incoming, mut outgoing) = tokio::io::split(ours);
        let heard = Rc::new(RefCell::new(Vec::new()));
        let list = heard.clone();
        let reader = create_task(async move {
            let first = cancellable(async { Ok(incoming.read_u8().await?) }).await;
            is_cancelled(first.map(drop));
            let byte = incoming.read_u8().await?;
            list.borrow_mut().push(byte);
            Ok(())
        });
        iterations(5).await?;
        reader.cancel();
        outgoing.write_all(b"a").await?;
        assert_eq!(theirs.read_u8().await?, b'a');
        theirs.write_all(b"b").await?;
        reader.await?;
        assert_eq!(*heard.borrow(), [b'b']);
        Ok(())
    });
}

#[test]
fn a_request_that_two_tasks_await() {
    run(async {
        let around = Around::default();
        let (ours, theirs) = pair().await?;
        let go = Rc::new(Event::new());
        let gone = go.clone();
        around.task(async move {
            let service = service_fn(|_| async {
                gone.wait().await?;
                Ok::<_, Error>(text("late"))
            });
            Ok(http1::Builder::new().serve_connection(TokioIo::new(theirs), service).await?)
        });
        let shared = async move {
            let (mut requests, connection) = handshake(TokioIo::new(ours)).await?;
            let ask = async { read(requests.send_request(get("/")).await?).await };
            tokio::select! {
                answer = ask => answer,
                ended = connection => Err(Error::msg(format!("{ended:?}"))),
            }
        };
        let shared = shared.boxed_local().shared();
        let one = create_task(shared.clone());
        let limited = create_task(wait_for(shared.clone(), 5 * MS));
        let other = create_task(shared);
        iterations(5).await?;
        one.cancel();
        is_cancelled(one.await.map(drop));
        is_timeout(limited.await.map(drop));
        assert!(!other.done());
        go.set();
        assert_eq!(other.await?, "late");
        around.end().await
    });
}

#[test]
fn two_limits_in_one_task_on_a_future_that_both_await() {
    run(async {
        let (mut ours, theirs) = pair().await?;
        let shared = async move { Ok::<_, Error>(ours.read_u8().await?) };
        let shared = shared.boxed_local().shared();
        let (longer, shorter) =
            join(wait_for(shared.clone(), 20 * MS), wait_for(shared.clone(), 5 * MS)).await;
        is_timeout(longer.map(drop));
        is_timeout(shorter.map(drop));
        drop((shared, theirs));
        Ok(())
    });
}

#[test]
fn a_read_that_was_begun_elsewhere() {
    run(async {
        let around = Around::default();
        let mut ours = silent(&around).await?;
        let mut read = Box::pin(async move { next(&mut ours).await });
        let begun = poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx).is_pending()));
        assert!(begun.await);
        // In another task the future belongs to that task, and to the limit there.
        let there = create_task(async move {
            is_timeout(wait_for(read.as_mut(), 5 * MS).await.map(drop));
            is_timeout(wait_for(read, 5 * MS).await.map(drop));
            Ok(())
        });
        there.await?;
        // The read has begun in a task that has ended.
        let mut ours = silent(&around).await?;
        let mut read = Box::pin(async move { next(&mut ours).await });
        let place = Rc::new(RefCell::new(None));
        let put = place.clone();
        let there = create_task(async move {
            let begun = poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx).is_pending()));
            assert!(begun.await);
            put.replace(Some(read));
            Ok(())
        });
        there.await?;
        let read = place.take().expect("it was put there");
        let task = create_task(read);
        iterations(3).await?;
        task.cancel();
        is_cancelled(task.await.map(drop));
        around.end().await
    });
}

#[test]
fn neighbours_in_one_task() {
    run(async {
        let around = Around::default();
        let (mut late, mut later) = (silent(&around).await?, silent(&around).await?);
        let (mut fine, mut theirs) = sockets().await?;
        around.task(async move {
            sleep(30 * MS).await?;
            theirs.send(Message::text("7")).await?;
            Ok(theirs.next().await)
        });
        let reads = [(&mut late, 5 * MS), (&mut fine, HOUR), (&mut later, 10 * MS)];
        let reads = reads.map(|(socket, limit)| wait_for(next(socket), limit));
        let [late, fine, later] = join_all(reads).await.try_into().expect("there are three");
        is_timeout(late.map(drop));
        is_timeout(later.map(drop));
        assert_eq!(number(fine?), 7);
        assert_eq!(current_task().map(|task| task.cancelling()), Some(0));
        around.end().await
    });
}

#[test]
fn limits_inside_of_limits() {
    run(async {
        let around = Around::default();
        for (outer, inner) in [(5, 500), (50, 5), (5, 5)] {
            let mut ours = silent(&around).await?;
            let inside = async {
                match wait_for(next(&mut ours), inner * MS).await {
                    Err(error) if error.is_timeout() => sleep(HOUR).await,
                    // The timeout is that of the outer limit, even if both pass together.
                    outcome => outcome.map(drop),
                }
            };
            is_timeout(wait_for(inside, outer * MS).await);
            assert_eq!(current_task().map(|task| task.cancelling()), Some(0));
        }
        let mut ours = silent(&around).await?;
        is_timeout(wait_for(next(&mut ours), Duration::ZERO).await.map(drop));
        around.end().await
    });
}

#[test]
fn a_message_of_a_cancellation() {
    run(async {
        let around = Around::default();
        let mut ours = silent(&around).await?;
        let task = create_task(async move {
            match cancellable(next(&mut ours)).await {
                Err(Error::Cancelled(error)) => Ok(error.message().map(str::to_owned)),
                other => panic!("not cancelled: {other:?}"),
            }
        });
        iterations(5).await?;
        task.cancel_with("first");
        task.cancel_with("why");
        assert_eq!(task.await?.as_deref(), Some("why"));
        around.end().await
    });
}

/// Closes a WebSocket when its body has ended, with any outcome.
struct Goodbye(Option<Socket>, Rc<Cell<bool>>);

impl AsyncContextManager for Goodbye {
    type Target = Socket;

    async fn enter(&mut self) -> Result<Socket> {
        Ok(self.0.take().expect("it is entered once"))
    }

    async fn exit(&mut self, mut socket: Socket, _: Option<&Error>) -> Result<()> {
        socket.close(None).await?;
        while socket.next().await.transpose()?.is_some() {}
        self.1.set(true);
        Ok(())
    }
}

#[test]
fn clean_up_that_awaits_a_library_runs_to_its_end() {
    run(async {
        let around = Around::default();
        for way in 0..4 {
            let (ours, mut theirs) = sockets().await?;
            around.task(async move {
                let close = theirs.next().await;
                sleep(10 * MS).await?;
                // The next read sends the response to it.
                Ok((close, theirs.next().await))
            });
            let said = Rc::new(Cell::new(false));
            let goodbye = Goodbye(Some(ours), said.clone());
            let talk = goodbye.with(async |socket| next(socket).await);
            match way {
                0 => is_timeout(wait_for(talk, 5 * MS).await.map(drop)),
                1 => is_timeout(timeout(5 * MS).with(async |_| talk.await).await.map(drop)),
                2 => {
                    let task = create_task(talk);
                    iterations(5).await?;
                    task.cancel();
                    is_cancelled(task.await.map(drop));
                }
                _ => {
                    let failed = TaskGroup::new().with(async |group| {
                        drop(group.create_task(talk));
                        iterations(5).await?;
                        Err::<(), _>(Error::msg("it fails"))
                    });
                    assert!(matches!(failed.await, Err(Error::Group(_))));
                }
            }
            assert!(said.get());
        }
        around.end().await
    });
}

#[test]
fn a_cancellation_that_is_the_librarys_own_is_an_ordinary_error() {
    run(async {
        let (ours, theirs) = pair().await?;
        let (mut requests, connection) = handshake(TokioIo::new(ours)).await?;
        let connection = create_task(async move { Ok(connection.await?) });
        let asked = create_task(async move { Ok(requests.send_request(get("/")).await?) });
        iterations(5).await?;
        // The connection is closed, and hyper reports that the request "was canceled".
        connection.cancel();
        is_cancelled(connection.await);
        let error = asked.await.expect_err("there is no answer");
        assert!(!error.is_cancelled(), "{error:?}");
        assert!(!error.is_timeout(), "{error:?}");
        drop(theirs);
        Ok(())
    });
}

#[test]
fn a_shielded_request_goes_on() {
    run(async {
        let around = Around::default();
        let (ours, theirs) = pair().await?;
        let asked = Rc::new(Event::new());
        let (tell, go) = (asked.clone(), Rc::new(Event::new()));
        let gone = go.clone();
        around.task(async move {
            let service = service_fn(|_| async {
                tell.set();
                gone.wait().await?;
                Ok::<_, Error>(text("late"))
            });
            Ok(http1::Builder::new().serve_connection(TokioIo::new(theirs), service).await?)
        });
        let mut requests = client1(TokioIo::new(ours), &around).await?;
        let answers = Rc::new(Queue::new(0));
        let answered = answers.clone();
        let request = async move {
            let answer = read(requests.send_request(get("/")).await?).await?;
            answered.put(answer).await
        };
        is_timeout(wait_for(shield(request), 5 * MS).await);
        asked.wait().await?;
        go.set();
        assert_eq!(answers.get().await?, "late");
        around.end().await
    });
}

#[test]
fn reads_that_are_gathered_are_cancelled_together() {
    run(async {
        let around = Around::default();
        let mut sockets = Vec::new();
        for _ in 0..5 {
            sockets.push(silent(&around).await?);
        }
        let reads = sockets.into_iter().map(|mut socket| async move { next(&mut socket).await });
        is_timeout(wait_for(gather(reads), 10 * MS).await.map(drop));
        around.end().await
    });
}

#[test]
fn tasks_that_begin_at_once() {
    run(async {
        get_running_loop()?.set_task_factory(Some(eager_task_factory));
        let around = Around::default();
        let mut ours = silent(&around).await?;
        let task = create_task(async move { next(&mut ours).await });
        iterations(5).await?;
        task.cancel();
        is_cancelled(task.await.map(drop));
        let mut ours = silent(&around).await?;
        is_timeout(wait_for(next(&mut ours), 5 * MS).await.map(drop));
        let mut ours = silent(&around).await?;
        let failed = TaskGroup::new().with(async |group| {
            drop(group.create_task(async move { next(&mut ours).await }));
            Err::<(), _>(Error::msg("it fails"))
        });
        assert!(matches!(failed.await, Err(Error::Group(_))));
        around.end().await
    });
}

#[test]
fn a_handler_that_is_a_program_of_its_own() {
    run(async {
        let around = Around::default();
        let behind = listen(&around, |io: Joined| async {
            let never = service_fn(|_| pending::<Result<Answer, Infallible>>());
            Ok(http1::Builder::new().serve_connection(TokioIo::new(io), never).await?)
        });
        let behind = behind.await?;
        let (ours, theirs) = pair().await?;
        let service = service_fn(move |_| {
            let behind = behind.clone();
            async move {
                // Three requests without a response, a child that fails, and a limit around all.
                let mut tasks = Vec::new();
                let group = TaskGroup::new().with(async |group| {
                    for _ in 0..3 {
                        let behind = behind.clone();
                        tasks.push(group.create_task(async move {
                            let io = TokioIo::new(open(behind).await?);
                            let (mut requests, connection) = handshake(io).await?;
                            let ask = requests.send_request(get("/"));
                            let (answer, moved) = join(ask, connection).await;
                            moved?;
                            read(answer?).await
                        }));
                    }
                    sleep(5 * MS).await?;
                    Err::<(), _>(Error::msg("it fails"))
                });
                let failed = wait_for(group, HOUR).await;
                assert!(matches!(failed, Err(Error::Group(_))), "{failed:?}");
                assert!(tasks.iter().all(|task| task.cancelled()));
                Ok::<_, Error>(text("survived"))
            }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(theirs), service);
        let server = create_task(async move { Ok(connection.await?) });
        let mut requests = client1(TokioIo::new(ours), &around).await?;
        for _ in 0..3 {
            requests.ready().await?;
            assert_eq!(read(requests.send_request(get("/")).await?).await?, "survived");
        }
        drop(requests);
        server.await?;
        around.end().await
    });
}

#[test]
fn a_crowd_of_clients_of_which_each_third_is_late() {
    run(async {
        let around = Around::default();
        let address = listen(&around, |io: Joined| async {
            let service = service_fn(|request: Request<Incoming>| async {
                match request.uri().path() {
                    "/never" => pending().await,
                    _ => hello(request).await,
                }
            });
            Ok(http1::Builder::new().serve_connection(TokioIo::new(io), service).await?)
        });
        let address = address.await?;
        let late = Rc::new(Cell::new(0));
        let group = TaskGroup::new().with(async |group| {
            for n in 0..60 {
                let (address, late) = (address.clone(), late.clone());
                drop(group.create_task(async move {
                    let io = TokioIo::new(open(address).await?);
                    let (mut requests, connection) = handshake(io).await?;
                    let ask = async {
                        let path = if n % 3 == 0 { "/never" } else { "/" };
                        let limit = if n % 3 == 0 { 20 * MS } else { HOUR };
                        let ask = async { read(requests.send_request(get(path)).await?).await };
                        match wait_for(ask, limit).await {
                            Ok(answer) => assert_eq!(answer, "hello"),
                            Err(error) => {
                                is_timeout(Err(error));
                                late.set(late.get() + 1);
                            }
                        }
                        drop(requests);
                        Ok(())
                    };
                    // A request ends with its connection.
                    let (asked, _) = join(ask, connection).await;
                    asked
                }));
            }
            Ok(())
        });
        group.await?;
        assert_eq!(late.get(), 20);
        around.end().await
    });
}
