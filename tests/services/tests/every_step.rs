//! Programs that would end by themselves are ended after one step of the loop, after two, and so on: while they
//! connect, in a handshake, between a request and its response, when data arrives. Each time, the outcome is their
//! own, or that of the cancellation.

use crate::{
    database::{answer_empty_queries, connect},
    http::{Tasks, get, hello, read, text},
    support::{
        Around, Joined, descriptors, iterations, listen, open, pair, run, until_descriptors,
    },
    websocket::{Socket, next, number, sockets},
};
use asyncio::{
    AsyncContextManager, Error, Result, TaskGroup, create_task, current_task, get_running_loop,
    timeout,
};
use axum::{Router, routing::get as on_get};
use futures_util::{SinkExt, StreamExt, future::try_join};
use hyper::{
    client::conn::{http1 as client1, http2 as client2},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use std::{
    cell::RefCell,
    future::Future,
    ops::{Deref, DerefMut},
    rc::Rc,
};
use tokio_tungstenite::{accept_async, client_async, tungstenite::Message};

/// How a program is ended.
#[derive(Clone, Copy, Debug)]
enum Way {
    Cancel,
    Timeout,
    Group,
}

/// Ends the program from `make` after each number of steps, until it ends earlier by itself.
#[track_caller]
fn at_every_step<F>(make: impl AsyncFn(Around) -> Result<F> + 'static)
where
    F: Future<Output = Result<()>> + 'static,
{
    let make = Rc::new(make);
    for way in [Way::Cancel, Way::Timeout, Way::Group] {
        let make = make.clone();
        run(async move {
            let mut ended_before = 0;
            // Several times, because one run may be faster than another.
            for steps in 0.. {
                let before = descriptors();
                let around = Around::default();
                let program = make(around.clone()).await?;
                let ended = end(way, steps, program).await;
                if ended.inspect_err(|_| eprintln!("{way:?} after {steps} steps"))? {
                    ended_before += 1;
                }
                assert_eq!(current_task().map(|task| task.cancelling()), Some(0));
                around.end().await?;
                until_descriptors(before).await?;
                if ended_before == 5 {
                    break;
                }
            }
            Ok(())
        });
    }
}

/// Whether it has ended by itself.
async fn end(
    way: Way,
    steps: usize,
    program: impl Future<Output = Result<()>> + 'static,
) -> Result<bool> {
    match way {
        Way::Cancel => {
            let task = create_task(program);
            iterations(steps).await?;
            task.cancel();
            match task.await {
                Ok(()) => Ok(true),
                Err(Error::Cancelled(_)) => Ok(false),
                Err(error) => Err(error),
            }
        }
        Way::Timeout => {
            let (timeout, watch) = timeout(None).watched();
            let expire = create_task(async move {
                iterations(steps).await?;
                watch.reschedule(get_running_loop()?.time())
            });
            let outcome = timeout.with(async |_| program.await).await;
            expire.cancel();
            match outcome {
                Ok(()) => Ok(true),
                Err(Error::Timeout(_)) => Ok(false),
                Err(error) => Err(error),
            }
        }
        Way::Group => {
            let mut inside = None;
            let outcome = TaskGroup::new().with(async |group| {
                inside = Some(group.create_task(program));
                iterations(steps).await?;
                Err::<(), _>(Error::msg("the body failed"))
            });
            let outcome = outcome.await;
            let Err(Error::Group(group)) = outcome else { panic!("{outcome:?}") };
            assert_eq!(group.exceptions().len(), 1, "{group:?}");
            match inside.expect("it was made").result() {
                Ok(()) => Ok(true),
                Err(Error::Cancelled(_)) => Ok(false),
                Err(error) => Err(error),
            }
        }
    }
}

/// Two requests one after the other, and the connection in the same task.
async fn ask1(io: Joined) -> Result<()> {
    let (mut requests, connection) = client1::handshake(TokioIo::new(io)).await?;
    let ask = async move {
        for _ in 0..2 {
            requests.ready().await?;
            assert_eq!(read(requests.send_request(get("/")).await?).await?, "hello");
        }
        Ok(())
    };
    try_join(ask, async { Ok(connection.await?) }).await.map(drop)
}

async fn ask2(io: Joined) -> Result<()> {
    let (mut requests, connection) = client2::handshake(Tasks, TokioIo::new(io)).await?;
    let ask = async move {
        for _ in 0..2 {
            assert_eq!(read(requests.send_request(get("/")).await?).await?, "hello");
        }
        Ok(())
    };
    try_join(ask, async { Ok(connection.await?) }).await.map(drop)
}

async fn serve1(io: Joined) -> Result<()> {
    let io = TokioIo::new(io);
    Ok(http1::Builder::new().serve_connection(io, service_fn(hello)).await?)
}

async fn serve2(io: Joined) -> Result<()> {
    let io = TokioIo::new(io);
    Ok(http2::Builder::new(Tasks).serve_connection(io, service_fn(hello)).await?)
}

/// Sends two numbers, receives them, and closes.
async fn talk(io: Joined) -> Result<()> {
    let (mut socket, _) = client_async("ws://localhost/", io).await?;
    for n in 0..2 {
        socket.send(Message::text(n.to_string())).await?;
        assert_eq!(number(next(&mut socket).await?), n);
    }
    socket.close(None).await?;
    while socket.next().await.transpose()?.is_some() {}
    Ok(())
}

/// Sends back what it receives.
async fn echo(io: Joined) -> Result<()> {
    let mut socket = accept_async(io).await?;
    while let Some(message) = socket.next().await.transpose()? {
        if let Message::Text(_) = message {
            socket.send(message).await?;
        }
    }
    Ok(())
}

/// Two empty queries, and the connection in the same task.
async fn query(io: Joined) -> Result<()> {
    let (client, connection) = connect(io).await?;
    let query = async move {
        for _ in 0..2 {
            client.simple_query("").await?;
        }
        Ok(())
    };
    try_join(query, async { Ok(connection.await?) }).await.map(drop)
}

#[test]
fn a_client_of_http1() {
    at_every_step(async |around| {
        let address = listen(&around, serve1).await?;
        Ok(async { ask1(open(address).await?).await })
    });
}

#[test]
fn a_client_of_http2() {
    at_every_step(async |around| {
        let address = listen(&around, serve2).await?;
        Ok(async { ask2(open(address).await?).await })
    });
}

#[test]
fn a_client_of_a_websocket() {
    at_every_step(async |around| {
        let address = listen(&around, echo).await?;
        Ok(async { talk(open(address).await?).await })
    });
}

#[test]
fn a_client_of_a_database() {
    at_every_step(async |around| {
        let address = listen(&around, answer_empty_queries).await?;
        Ok(async { query(open(address).await?).await })
    });
}

/// The client of a server that is ended: it may get an error.
fn against<F>(around: &Around, io: Joined, client: fn(Joined) -> F)
where
    F: Future<Output = Result<()>> + 'static,
{
    around.task(client(io));
}

#[test]
fn a_server_of_http1() {
    at_every_step(async |around| {
        let (ours, theirs) = pair().await?;
        against(&around, theirs, ask1);
        Ok(serve1(ours))
    });
}

#[test]
fn a_server_of_http1_whose_handler_waits_in_between() {
    at_every_step(async |around| {
        let (ours, theirs) = pair().await?;
        against(&around, theirs, ask1);
        Ok(async {
            let service = service_fn(|_| async {
                iterations(3).await?;
                Ok::<_, Error>(text("hello"))
            });
            Ok(http1::Builder::new().serve_connection(TokioIo::new(ours), service).await?)
        })
    });
}

#[test]
fn a_server_of_http2() {
    at_every_step(async |around| {
        let (ours, theirs) = pair().await?;
        against(&around, theirs, ask2);
        Ok(serve2(ours))
    });
}

#[test]
fn a_server_with_a_router() {
    at_every_step(async |around| {
        let (ours, theirs) = pair().await?;
        against(&around, theirs, ask1);
        Ok(async {
            let router = Router::new().route("/", on_get(async || "hello"));
            let service = TowerToHyperService::new(router);
            Ok(http1::Builder::new().serve_connection(TokioIo::new(ours), service).await?)
        })
    });
}

#[test]
fn a_server_of_a_websocket() {
    at_every_step(async |around| {
        let (ours, theirs) = pair().await?;
        against(&around, theirs, talk);
        Ok(echo(ours))
    });
}

// Messages are taken whole.

/// A reader is ended after each number of steps, in each of which data may arrive; the next reader continues.
#[test]
fn readers_that_take_turns_lose_no_message() {
    for way in [Way::Cancel, Way::Timeout, Way::Group] {
        for steps in 1..10 {
            eprintln!("{way:?} after {steps} steps");
            run(async move {
                const N: u32 = 40;
                let around = Around::default();
                let (ours, mut theirs) = sockets().await?;
                around.task(async move {
                    for n in 0..N {
                        iterations(n as usize % 5).await?;
                        theirs.send(Message::text(n.to_string())).await?;
                    }
                    theirs.next().await;
                    Ok(())
                });
                let socket = Rc::new(RefCell::new(Some(ours)));
                let heard = Rc::new(RefCell::new(Vec::new()));
                while heard.borrow().len() < N as usize {
                    let mut lent = Lent::new(&socket);
                    let list = heard.clone();
                    let reader = async move {
                        loop {
                            let message = next(&mut lent).await?;
                            list.borrow_mut().push(number(message));
                        }
                    };
                    assert!(!end(way, steps, reader).await?, "it reads for ever");
                }
                assert_eq!(*heard.borrow(), (0..N).collect::<Vec<_>>());
                around.end().await
            });
        }
    }
}

/// A socket that is put back when it is dropped.
struct Lent {
    socket: Option<Socket>,
    place: Rc<RefCell<Option<Socket>>>,
}

impl Lent {
    fn new(place: &Rc<RefCell<Option<Socket>>>) -> Lent {
        Lent { socket: place.take(), place: place.clone() }
    }
}

impl Deref for Lent {
    type Target = Socket;
    fn deref(&self) -> &Socket {
        self.socket.as_ref().expect("it is lent to one")
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Socket {
        self.socket.as_mut().expect("it is lent to one")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.place.replace(self.socket.take());
    }
}
