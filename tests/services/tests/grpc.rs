//! tonic on both sides: its services behind `asyncio_http::serve`, and its client over `asyncio_http::Client`.

use crate::support::{
    HOUR, LOOPBACK, MS, come_and_go, connections, is_cancelled, is_timeout, run, stop_under_load,
};
use asyncio::{Error, Event, Result, create_task, gather, open_connection, sleep, wait_for};
use asyncio_http::{Client, HttpServer, Incoming, IntoService, OfHyper, serve, service_fn};
use bytes::{Buf, BufMut};
use futures_util::{Stream, StreamExt, future::LocalBoxFuture, stream};
use hyper::http;
use std::{
    cell::Cell,
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};
use tonic::{
    Code, Request, Response, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// A codec whose messages are numbers, so that no code has to be generated.
#[derive(Clone, Copy, Default)]
struct Numbers;

impl Codec for Numbers {
    type Encode = u64;
    type Decode = u64;
    type Encoder = Numbers;
    type Decoder = Numbers;

    fn encoder(&mut self) -> Numbers {
        Numbers
    }

    fn decoder(&mut self) -> Numbers {
        Numbers
    }
}

impl Encoder for Numbers {
    type Item = u64;
    type Error = Status;

    fn encode(&mut self, number: u64, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_u64(number);
        Ok(())
    }
}

impl Decoder for Numbers {
    type Item = u64;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<u64>, Status> {
        Ok((buffer.remaining() >= 8).then(|| buffer.get_u64()))
    }
}

/// Counts the calls that have begun, and those that were cancelled.
#[derive(Clone, Default)]
struct Seen {
    begun: Rc<Cell<u64>>,
    cancelled: Rc<Cell<u64>>,
}

/// Returns the square of a number after a few milliseconds; 7 is never answered, and 13 is refused.
struct Square(Seen);

impl tower_service::Service<Request<u64>> for Square {
    type Response = Response<u64>;
    type Error = Status;
    type Future = LocalBoxFuture<'static, Result<Response<u64>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<u64>) -> Self::Future {
        let (number, seen) = (request.into_inner(), self.0.clone());
        seen.begun.set(seen.begun.get() + 1);
        Box::pin(async move {
            let wait = match number {
                7 => Event::new().wait().await,
                13 => return Err(Status::invalid_argument("not 13")),
                _ => sleep(number as u32 % 5 * MS).await,
            };
            if let Err(error) = wait {
                seen.cancelled.set(seen.cancelled.get() + u64::from(error.is_cancelled()));
                return Err(Status::cancelled(error.to_string()));
            }
            Ok(Response::new(number * number))
        })
    }
}

/// Streams the numbers below the given one, with pauses.
struct Count;

impl tower_service::Service<Request<u64>> for Count {
    type Response = Response<Pin<Box<dyn Stream<Item = Result<u64, Status>> + Send>>>;
    type Error = Status;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<u64>) -> Self::Future {
        let numbers =
            stream::iter(0..request.into_inner()).then(async |number| match sleep(MS / 10).await {
                Ok(()) => Ok(number),
                Err(error) => Err(Status::cancelled(error.to_string())),
            });
        Box::pin(async { Ok(Response::new(Box::pin(numbers) as _)) })
    }
}

/// Selects one of the two services by the path.
fn service(seen: &Seen) -> impl IntoService<OfHyper> {
    let seen = seen.clone();
    service_fn(move |request: http::Request<Incoming>| {
        let seen = seen.clone();
        async move {
            let mut grpc = tonic::server::Grpc::new(Numbers);
            let response = match request.uri().path() {
                "/numbers/square" => grpc.unary(Square(seen), request).await,
                _ => grpc.server_streaming(Count, request).await,
            };
            Ok::<_, Infallible>(response)
        }
    })
}

/// A client whose calls share a connection of HTTP/2.
#[derive(Clone)]
struct Calls {
    client: Client,
    origin: String,
}

impl Calls {
    fn to(server: &HttpServer<'_>) -> Calls {
        let origin = format!("http://{}", server.local_addr());
        Calls { client: Client::builder().http2_only(true).build(), origin }
    }

    fn grpc(&self) -> Result<tonic::client::Grpc<Client>> {
        Ok(tonic::client::Grpc::with_origin(self.client.clone(), self.origin.parse()?))
    }

    async fn square(&self, number: u64) -> Result<u64> {
        let path = http::uri::PathAndQuery::from_static("/numbers/square");
        let mut grpc = self.grpc()?;
        Ok(grpc.unary(Request::new(number), path, Numbers).await?.into_inner())
    }

    async fn count(&self, number: u64) -> Result<tonic::Streaming<u64>> {
        let path = http::uri::PathAndQuery::from_static("/numbers/count");
        let mut grpc = self.grpc()?;
        Ok(grpc.server_streaming(Request::new(number), path, Numbers).await?.into_inner())
    }
}

fn code(error: &Error) -> Option<Code> {
    error.downcast_ref::<Status>().map(Status::code)
}

#[test]
fn calls_and_streams_are_answered() {
    run(async {
        let server = serve(service(&Seen::default()), LOOPBACK).await?;
        let calls = Calls::to(&server);
        let all = (100..200_u64).map(|n| {
            let calls = calls.clone();
            async move {
                assert_eq!(calls.square(n).await?, n * n);
                Ok(())
            }
        });
        gather(all).await?;
        let mut numbers = calls.count(500).await?;
        for n in 0..500 {
            assert_eq!(numbers.next().await.transpose()?, Some(n));
        }
        assert!(numbers.next().await.is_none());
        assert_eq!(code(&calls.square(13).await.unwrap_err()), Some(Code::InvalidArgument));
        drop((numbers, calls));
        server.shutdown(Duration::ZERO).await
    });
}

/// Dropping a call cancels its handler, and dropping a stream ends it; the connection continues.
#[test]
fn calls_that_were_given_up_leave_the_connection_to_others() {
    run(async {
        let seen = Seen::default();
        let server = serve(service(&seen), LOOPBACK).await?;
        let calls = Calls::to(&server);
        for n in 0..20_u32 {
            let begun = seen.begun.get();
            match n % 2 {
                0 => {
                    is_timeout(wait_for(calls.square(7), (1 + n % 5) * MS).await.map(drop));
                }
                _ => {
                    let asked = calls.clone();
                    let task = create_task(async move { asked.square(7).await.map(drop) });
                    while seen.begun.get() == begun {
                        sleep(Duration::ZERO).await?;
                    }
                    task.cancel();
                    is_cancelled(task.await);
                }
            }
            let mut numbers = calls.count(1_000_000).await?;
            for n in 0..10 {
                assert_eq!(numbers.next().await.transpose()?, Some(n));
            }
            drop(numbers);
            assert_eq!(calls.square(12).await?, 144);
        }
        // All calls that began are cancelled, except those that were answered.
        while seen.cancelled.get() + 20 < seen.begun.get() {
            sleep(MS).await?;
        }
        drop(calls);
        server.shutdown(Duration::ZERO).await
    });
}

#[test]
fn a_server_that_dies_is_noticed_and_comes_back() {
    run(async {
        let seen = Seen::default();
        let first = serve(service(&seen), LOOPBACK).await?;
        let (calls, address) = (Calls::to(&first), first.local_addr());
        let asked = calls.clone();
        let waiting = create_task(wait_for(async move { asked.square(7).await }, HOUR));
        while seen.begun.get() == 0 {
            sleep(MS).await?;
        }
        first.shutdown(Duration::ZERO).await?;
        let error = waiting.await.unwrap_err();
        assert!(!error.is_timeout(), "{error:?}");
        assert!(code(&error).is_some(), "{error:?}");
        assert!(calls.square(1).await.is_err());
        let again = serve(service(&seen), address).await?;
        assert_eq!(calls.square(3).await?, 9);
        drop(calls);
        again.shutdown(Duration::ZERO).await
    });
}

#[test]
fn under_load_a_stop_loses_no_call() {
    run(async {
        let (seen, stop) = (Seen::default(), Event::new());
        let server = serve(service(&seen), LOOPBACK).graceful(&stop, HOUR).await?;
        let calls = Calls::to(&server);
        let answers = stop_under_load(&server, &stop, move |client| {
            let (calls, number) = (calls.clone(), 20 + client);
            async move {
                assert_eq!(calls.square(number).await?, number * number);
                Ok(())
            }
        });
        assert_eq!(answers.await?, seen.begun.get());
        Ok(())
    });
}

/// Clients disconnect in every state: nothing sent, half of the preface, answered, waiting, in the middle of a
/// stream.
#[test]
fn many_connections_come_and_go() {
    run(async {
        let server = Rc::new(serve(service(&Seen::default()), LOOPBACK).await?);
        let serving = server.clone();
        come_and_go(connections(1000), 100, move |state| {
            let server = serving.clone();
            async move {
                let calls = Calls::to(&server);
                match state % 5 {
                    0 => drop(open_connection(server.local_addr()).await?),
                    1 => open_connection(server.local_addr()).await?.1.write("PRI * HT"),
                    2 => assert_eq!(calls.square(5).await?, 25),
                    3 => is_timeout(wait_for(calls.square(7), 10 * MS).await.map(drop)),
                    _ => {
                        let mut numbers = calls.count(1_000_000).await?;
                        assert_eq!(numbers.next().await.transpose()?, Some(0));
                    }
                }
                Ok(())
            }
        })
        .await?;
        assert_eq!(Calls::to(&server).square(6).await?, 36);
        server.shutdown(Duration::ZERO).await
    });
}
