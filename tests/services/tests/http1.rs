//! hyper's HTTP/1: connections of a server and of a client, requests, bodies.

use crate::{
    http::{Answer, Body, client1, get, hello, read, text},
    support::{Around, HOUR, Joined, MS, ends, hyper_pair, is_timeout, iterations, pair, run},
};
use asyncio::{Error, Event, Result, create_task, sleep, wait_for};
use futures_util::future::{join, select, try_join};
use http_body_util::BodyExt;
use hyper::{
    Request,
    body::Incoming,
    client::conn::http1::handshake,
    server::conn::http1,
    service::{HttpService, service_fn},
};
use hyper_util::rt::TokioIo;
use std::{
    cell::Cell,
    convert::Infallible,
    error::Error as StdError,
    future::{pending, ready},
    pin::pin,
    rc::Rc,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A connection of a server, until it ends.
async fn serve<S>(io: Joined, service: S) -> Result<()>
where
    S: HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    Ok(http1::Builder::new().serve_connection(TokioIo::new(io), service).await?)
}

/// Reads a request up to the end of its head.
async fn read_request(io: &mut Joined) -> Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(io.read_u8().await?);
    }
    Ok(())
}

// A server that is ended.

#[test]
fn a_server_waits_for_the_first_request() {
    ends(async |around| {
        let (ours, theirs) = pair().await?;
        around.keep(theirs);
        around.reached();
        Ok(serve(ours, service_fn(hello)))
    });
}

#[test]
fn a_server_waits_for_another_request() {
    ends(async |around| {
        let (ours, theirs) = pair().await?;
        let mut requests = client1(TokioIo::new(theirs), &around).await?;
        around.clone().task(async move {
            assert_eq!(read(requests.send_request(get("/")).await?).await?, "hello");
            around.reached();
            let _kept = requests;
            pending::<Result<()>>().await
        });
        Ok(serve(ours, service_fn(hello)))
    });
}

#[test]
fn a_server_waits_for_the_rest_of_a_request() {
    for part in ["POST / HT", "POST / HTTP/1.1\r\ncontent-length: 100\r\n\r\npart"] {
        ends(async move |around| {
            let (ours, mut theirs) = pair().await?;
            theirs.write_all(part.as_bytes()).await?;
            around.keep(theirs);
            around.reached();
            let service = service_fn(|request: Request<Incoming>| async {
                request.into_body().collect().await.map(|body| text(body.to_bytes()))
            });
            Ok(serve(ours, service))
        });
    }
}

#[test]
fn a_server_waits_until_its_answer_is_taken() {
    ends(async |around| {
        let (ours, mut theirs) = pair().await?;
        around.clone().task(async move {
            theirs.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
            theirs.read_u8().await?;
            around.reached();
            let _kept = theirs;
            pending::<Result<()>>().await
        });
        let service = service_fn(|_| ready(Ok::<_, Infallible>(text(vec![7; 30_000_000]))));
        Ok(serve(ours, service))
    });
}

#[test]
fn a_server_waits_for_a_handler_that_waits_for_something_of_ours() {
    ends(async |around| {
        let (ours, theirs) = pair().await?;
        let mut requests = client1(TokioIo::new(theirs), &around).await?;
        around.task(async move { Ok(requests.send_request(get("/")).await?) });
        let service = service_fn(move |_| {
            around.reached();
            async {
                Event::new().wait().await?;
                Ok::<_, Error>(text("never"))
            }
        });
        Ok(serve(ours, service))
    });
}

#[test]
fn a_server_waits_for_a_handler_that_waits_for_something_foreign() {
    ends(async |around| {
        let (ours, theirs) = pair().await?;
        let mut requests = client1(TokioIo::new(theirs), &around).await?;
        around.task(async move { Ok(requests.send_request(get("/")).await?) });
        let service = service_fn(move |_| {
            around.reached();
            pending::<Result<Answer, Infallible>>()
        });
        Ok(serve(ours, service))
    });
}

#[test]
fn a_server_waits_for_a_handler_that_asks_another_server() {
    ends(async |around| {
        let (ours, theirs) = pair().await?;
        let mut requests = client1(TokioIo::new(theirs), &around).await?;
        around.task(async move { Ok(requests.send_request(get("/")).await?) });
        let (behind, mut silent) = pair().await?;
        around.clone().task(async move {
            read_request(&mut silent).await?;
            around.reached();
            let _kept = silent;
            pending::<Result<()>>().await
        });
        let behind = Cell::new(Some(behind));
        let service = service_fn(move |_| {
            let behind = behind.take().expect("there is one request");
            async {
                let (mut requests, connection) = handshake(TokioIo::new(behind)).await?;
                let ask = pin!(requests.send_request(get("/")));
                let answer = match select(ask, pin!(connection)).await {
                    futures_util::future::Either::Left((answer, _)) => answer?,
                    futures_util::future::Either::Right((end, _)) => {
                        return Err(Error::msg(format!("the connection ended: {end:?}")));
                    }
                };
                Ok(text(read(answer).await?))
            }
        });
        Ok(serve(ours, service))
    });
}

// A client that is ended.

/// The other end reads a request, sends `answer`, and nothing more.
async fn answered(around: &Around, answer: &'static str) -> Result<Joined> {
    let (ours, mut theirs) = pair().await?;
    let around = around.clone();
    around.clone().task(async move {
        read_request(&mut theirs).await?;
        theirs.write_all(answer.as_bytes()).await?;
        around.reached();
        let _kept = theirs;
        pending::<Result<()>>().await
    });
    Ok(ours)
}

#[test]
fn a_request_waits_for_its_answer() {
    for answer in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart"] {
        ends(async move |around| {
            let io = answered(&around, answer).await?;
            let mut requests = client1(TokioIo::new(io), &around).await?;
            Ok(async move { read(requests.send_request(get("/")).await?).await })
        });
    }
}

#[test]
fn a_request_and_its_connection_wait_in_one_task() {
    for answer in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart"] {
        ends(async move |around| {
            let io = answered(&around, answer).await?;
            Ok(async move {
                let (mut requests, connection) = handshake(TokioIo::new(io)).await?;
                let ask = async { read(requests.send_request(get("/")).await?).await };
                let moved = async { Ok(connection.await?) };
                try_join(ask, moved).await?;
                Ok(())
            })
        });
    }
}

#[test]
fn a_connection_waits_while_a_request_does() {
    ends(async |around| {
        let io = answered(&around, "").await?;
        let (mut requests, connection) = handshake(TokioIo::new(io)).await?;
        around.task(async move { Ok(requests.send_request(get("/")).await?) });
        Ok(async move { Ok(connection.await?) })
    });
}

#[test]
fn a_connection_waits_for_requests() {
    ends(async |around| {
        let (ours, theirs) = hyper_pair().await?;
        let (requests, connection) = handshake::<_, Body>(ours).await?;
        around.keep((requests, theirs));
        around.reached();
        Ok(async move { Ok(connection.await?) })
    });
}

// What continues.

#[test]
fn a_limit_in_a_handler_leaves_the_connection_alone() {
    run(async {
        let around = Around::default();
        let (ours, theirs) = pair().await?;
        let handled = Rc::new(Cell::new(0));
        let count = handled.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            count.set(count.get() + 1);
            async move {
                if request.uri().path() == "/late" {
                    is_timeout(wait_for(pending(), 5 * MS).await);
                    is_timeout(wait_for(sleep(HOUR), 5 * MS).await);
                    return Ok(text("late"));
                }
                wait_for(sleep(MS), HOUR).await?;
                Ok::<_, Error>(text("in time"))
            }
        });
        let server = create_task(serve(ours, service));
        let mut requests = client1(TokioIo::new(theirs), &around).await?;
        for (path, answer) in [("/late", "late"), ("/", "in time"), ("/late", "late")] {
            requests.ready().await?;
            assert_eq!(read(requests.send_request(get(path)).await?).await?, answer);
        }
        assert_eq!(handled.get(), 3);
        drop(requests);
        server.await
    });
}

#[test]
fn a_limit_of_one_request_leaves_its_neighbour_in_the_task_alone() {
    run(async {
        let around = Around::default();
        let mut asked = Vec::new();
        for _ in 0..2 {
            let (ours, theirs) = pair().await?;
            let service = service_fn(|request: Request<Incoming>| async move {
                if request.uri().path() == "/late" {
                    sleep(HOUR).await?;
                }
                sleep(30 * MS).await?;
                Ok::<_, Error>(text("in time"))
            });
            around.task(serve(theirs, service));
            asked.push(client1(TokioIo::new(ours), &around).await?);
        }
        let [one, other] = &mut asked[..] else { unreachable!("there are two") };
        let ask = async { read(one.send_request(get("/late")).await?).await };
        let late = wait_for(ask, 5 * MS);
        let ask = async { read(other.send_request(get("/")).await?).await };
        let (late, fine) = join(late, wait_for(ask, HOUR)).await;
        is_timeout(late.map(drop));
        assert_eq!(fine?, "in time");
        around.end().await
    });
}

#[test]
fn a_request_that_was_given_up_closes_its_connection_only() {
    run(async {
        let around = Around::default();
        for _ in 0..3 {
            let (ours, theirs) = pair().await?;
            let served = Rc::new(Cell::new(None));
            let outcome = served.clone();
            around.task(async move {
                let never = service_fn(|_| pending::<Result<Answer, Infallible>>());
                outcome.set(Some(serve(theirs, never).await.is_err()));
                Ok(())
            });
            let mut requests = client1(TokioIo::new(ours), &around).await?;
            let ask = async { Ok(requests.send_request(get("/")).await?) };
            is_timeout(wait_for(ask, 20 * MS).await.map(drop));
            drop(requests);
            while served.get().is_none() {
                iterations(1).await?;
            }
        }
        around.end().await
    });
}

#[test]
fn a_server_is_asked_to_end_under_a_limit() {
    run(async {
        let around = Around::default();
        let (ours, theirs) = hyper_pair().await?;
        let mut requests = client1(theirs, &around).await?;
        let stop = Rc::new(Event::new());
        let stopped = stop.clone();
        let server = create_task(async move {
            let mut connection =
                pin!(http1::Builder::new().serve_connection(ours, service_fn(hello)));
            // The limit borrows the connection, which continues after it.
            let limited = wait_for(async { Ok(connection.as_mut().await?) }, 20 * MS).await;
            is_timeout(limited);
            stopped.wait().await?;
            connection.as_mut().graceful_shutdown();
            Ok(connection.await?)
        });
        assert_eq!(read(requests.send_request(get("/")).await?).await?, "hello");
        sleep(40 * MS).await?;
        stop.set();
        server.await?;
        around.end().await
    });
}
