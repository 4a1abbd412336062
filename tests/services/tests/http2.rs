//! hyper's HTTP/2: many requests over one connection; each handler runs in a task of asyncio.

use crate::{
    http::{Answer, Body, Tasks, client2, get, hello, read, text},
    support::{Around, HOUR, Joined, MS, ends, hyper_pair, is_timeout, pair, run},
};
use asyncio::{Error, Event, Result, create_task, sleep, wait_for};
use futures_util::{
    future::try_join,
    stream::{FuturesUnordered, StreamExt},
};
use hyper::{
    Request, body::Incoming, client::conn::http2::handshake, server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{
    cell::Cell,
    convert::Infallible,
    future::{pending, ready},
    rc::Rc,
};
use tokio::io::AsyncReadExt;

/// A connection of a server whose handlers never respond, with `n` requests.
async fn serve_never(around: &Around, n: usize, ours: Joined, theirs: Joined) -> Result<Serving> {
    let requests = client2(TokioIo::new(theirs), around).await?;
    for _ in 0..n {
        let mut requests = requests.clone();
        around.task(async move { Ok(requests.send_request(get("/")).await?) });
    }
    around.keep(requests);
    Ok(Serving { io: ours, around: around.clone(), left: Cell::new(n) })
}

struct Serving {
    io: Joined,
    around: Around,
    left: Cell<usize>,
}

impl Serving {
    async fn serve(self) -> Result<()> {
        let Serving { io, around, left } = self;
        if left.get() == 0 {
            around.reached();
        }
        let service = service_fn(|_| {
            left.set(left.get() - 1);
            if left.get() == 0 {
                around.reached();
            }
            async {
                Event::new().wait().await?;
                Ok::<_, Error>(text("never"))
            }
        });
        Ok(http2::Builder::new(Tasks).serve_connection(TokioIo::new(io), service).await?)
    }
}

#[test]
fn a_server_waits_for_the_preface() {
    ends(async |around| {
        let (ours, theirs) = hyper_pair().await?;
        around.keep(theirs);
        around.reached();
        let connection = http2::Builder::new(Tasks).serve_connection(ours, service_fn(hello));
        Ok(async move { Ok(connection.await?) })
    });
}

#[test]
fn a_server_waits_for_requests_and_while_its_handlers_wait() {
    for n in [0, 1, 3] {
        ends(async move |around| {
            let (ours, theirs) = pair().await?;
            Ok(serve_never(&around, n, ours, theirs).await?.serve())
        });
    }
}

#[test]
fn a_server_waits_until_its_answer_is_taken() {
    ends(async |around| {
        let (ours, theirs) = hyper_pair().await?;
        let mut requests = client2(theirs, &around).await?;
        around.clone().task(async move {
            let answer = requests.send_request(get("/")).await?;
            around.reached();
            // The client does not read the body, so the window of the stream is used up.
            let _kept = (answer, requests);
            pending::<Result<()>>().await
        });
        let service = service_fn(|_| ready(Ok::<_, Infallible>(text(vec![7; 10_000_000]))));
        let connection = http2::Builder::new(Tasks).serve_connection(ours, service);
        Ok(async move { Ok(connection.await?) })
    });
}

/// Runs a server that never responds beside the future.
async fn silent(around: &Around) -> Result<Joined> {
    let (ours, theirs) = pair().await?;
    let told = around.clone();
    around.task(async move {
        let service = service_fn(move |_| {
            told.reached();
            pending::<Result<Answer, Infallible>>()
        });
        let io = TokioIo::new(theirs);
        Ok(http2::Builder::new(Tasks).serve_connection(io, service).await?)
    });
    Ok(ours)
}

#[test]
fn a_request_waits_for_its_answer() {
    ends(async |around| {
        let io = silent(&around).await?;
        let mut requests = client2(TokioIo::new(io), &around).await?;
        Ok(async move { read(requests.send_request(get("/")).await?).await })
    });
}

#[test]
fn a_request_and_its_connection_wait_in_one_task() {
    ends(async |around| {
        let io = silent(&around).await?;
        Ok(async move {
            let (mut requests, connection) = handshake(Tasks, TokioIo::new(io)).await?;
            let ask = async { read(requests.send_request(get("/")).await?).await };
            try_join(ask, async { Ok(connection.await?) }).await
        })
    });
}

#[test]
fn a_connection_waits_while_a_request_does() {
    ends(async |around| {
        let io = silent(&around).await?;
        let (mut requests, connection) = handshake(Tasks, TokioIo::new(io)).await?;
        around.task(async move { Ok(requests.send_request(get("/")).await?) });
        Ok(async move { Ok(connection.await?) })
    });
}

#[test]
fn a_connection_waits_for_the_settings_of_a_silent_server() {
    ends(async |around| {
        let (ours, mut theirs) = pair().await?;
        around.clone().task(async move {
            theirs.read_u8().await?;
            around.reached();
            let _kept = theirs;
            pending::<Result<()>>().await
        });
        Ok(async move {
            let (requests, connection) = handshake::<_, _, Body>(Tasks, TokioIo::new(ours)).await?;
            connection.await?;
            drop(requests);
            Ok(())
        })
    });
}

// What continues.

#[test]
fn one_late_request_of_many_leaves_the_others_and_the_connection_alone() {
    run(async {
        let around = Around::default();
        let (ours, theirs) = hyper_pair().await?;
        let late = Rc::new(Cell::new(0));
        let count = late.clone();
        around.task(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let count = count.clone();
                async move {
                    match request.uri().path() {
                        "/never" => sleep(HOUR).await?,
                        "/late" => {
                            is_timeout(wait_for(sleep(HOUR), 5 * MS).await);
                            count.set(count.get() + 1);
                        }
                        _ => wait_for(sleep(MS), HOUR).await?,
                    }
                    Ok::<_, Error>(text(request.uri().path().to_owned()))
                }
            });
            Ok(http2::Builder::new(Tasks).serve_connection(theirs, service).await?)
        });
        let requests = client2(ours, &around).await?;
        for _ in 0..3 {
            let mut asked = FuturesUnordered::new();
            for n in 0..30 {
                let path = ["/", "/late", "/never"][n % 3];
                let mut requests = requests.clone();
                let ask = async move { read(requests.send_request(get(path)).await?).await };
                let limit = if path == "/never" { 20 * MS } else { HOUR };
                asked.push(async move { (path, wait_for(ask, limit).await) });
            }
            while let Some((path, outcome)) = asked.next().await {
                match path {
                    "/never" => is_timeout(outcome.map(drop)),
                    _ => assert_eq!(outcome?, path),
                }
            }
        }
        assert_eq!(late.get(), 30);
        drop(requests);
        around.end().await
    });
}

#[test]
fn a_connection_that_is_ended_ends_its_handlers() {
    run(async {
        let around = Around::default();
        let (ours, theirs) = pair().await?;
        let ended = Rc::new(Event::new());
        let told = ended.clone();
        struct Tell(Rc<Event>);
        impl Drop for Tell {
            fn drop(&mut self) {
                self.0.set();
            }
        }
        let server = create_task(async move {
            let service = service_fn(move |_| {
                let tell = Tell(told.clone());
                async move {
                    let _tell = tell;
                    pending::<Result<Answer, Infallible>>().await
                }
            });
            let io = TokioIo::new(ours);
            Ok(http2::Builder::new(Tasks).serve_connection(io, service).await?)
        });
        let mut requests = client2(TokioIo::new(theirs), &around).await?;
        let ask = async { Ok(requests.send_request(get("/")).await?) };
        is_timeout(wait_for(ask, 20 * MS).await.map(drop));
        // The stream was reset, so its handler has ended; the connection continues.
        ended.wait().await?;
        assert!(!server.done());
        server.cancel();
        assert!(server.await.is_err_and(|error| error.is_cancelled()));
        around.end().await
    });
}
