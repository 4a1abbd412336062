//! tungstenite on both sides of `asyncio_http::serve`.

use crate::support::{HOUR, LOOPBACK, MS, come_and_go, connections, is_timeout, run};
use asyncio::{
    Address, Error, Event, Result, create_task, gather, open_connection, sleep, streams::Duplex,
    wait_for,
};
use asyncio_http::{HttpServer, Incoming, Request, Response, serve, service_fn, upgrade};
use axum::{Router, body::Body, routing::get};
use futures_util::{SinkExt, StreamExt};
use std::{cell::Cell, rc::Rc, time::Duration};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, handshake::server::create_response_with_body, protocol::Role},
};

/// Sends each message back, until the client closes.
async fn echo(both: Duplex) -> Result<()> {
    let mut socket = WebSocketStream::from_raw_socket(both, Role::Server, None).await;
    while let Some(message) = socket.next().await.transpose()? {
        if !message.is_close() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

async fn accept<B>(mut request: Request<B>) -> Result<Response<String>> {
    let echoing = upgrade(&mut request, echo);
    // A client that disconnects is not an error here.
    drop(create_task(async move {
        drop(echoing.await);
        Ok(())
    }));
    Ok(create_response_with_body(&request, String::new)?)
}

async fn server(address: impl asyncio::ToEndpoint) -> Result<HttpServer<'static>> {
    serve(service_fn(accept::<Incoming>), address).await
}

async fn connect(address: &Address) -> Result<WebSocketStream<Duplex>> {
    let both = Duplex::from(open_connection(address.clone()).await?);
    Ok(client_async("ws://localhost/", both).await?.0)
}

async fn ask(socket: &mut WebSocketStream<Duplex>, text: &str) -> Result<()> {
    socket.send(Message::text(text)).await?;
    let answer = socket.next().await.ok_or_else(|| Error::msg("it is over"))??;
    assert_eq!(answer.to_text()?, text);
    Ok(())
}

#[test]
fn a_service_of_hyper_and_a_router_of_axum_accept() {
    run(async {
        let handler = async |request: Request<Body>| match accept(request).await {
            Ok(response) => response.map(Body::from),
            Err(error) => Response::new(Body::from(error.to_string())),
        };
        let router = serve(Router::new().route("/", get(handler)), LOOPBACK).await?;
        for server in [server(LOOPBACK).await?, router] {
            let mut socket = connect(&server.local_addr()).await?;
            ask(&mut socket, "one").await?;
            ask(&mut socket, "two").await?;
            socket.close(None).await?;
            while socket.next().await.transpose()?.is_some() {}
            server.shutdown(Duration::ZERO).await?;
        }
        Ok(())
    });
}

#[test]
fn a_server_that_dies_is_noticed_and_comes_back() {
    run(async {
        let first = server(LOOPBACK).await?;
        let address = first.local_addr();
        let mut socket = connect(&address).await?;
        ask(&mut socket, "one").await?;
        let waiting = create_task(wait_for(async move { Ok(socket.next().await) }, HOUR));
        sleep(MS).await?;
        first.shutdown(Duration::ZERO).await?;
        // The read returns the end or an error of the connection, and neither a timeout nor a cancellation.
        assert!(!matches!(waiting.await?, Some(Ok(_))));
        assert!(connect(&address).await.is_err());
        let again = server(address.clone()).await?;
        let mut socket = connect(&address).await?;
        ask(&mut socket, "two").await?;
        drop(socket);
        again.shutdown(Duration::ZERO).await
    });
}

/// Clients that are connected when the server stops are served until they close.
#[test]
fn under_load_a_stop_loses_no_message() {
    run(async {
        let stop = Event::new();
        let server = serve(service_fn(accept::<Incoming>), LOOPBACK).graceful(&stop, HOUR).await?;
        let (address, answers) = (server.local_addr(), Rc::new(Cell::new(0)));
        let connected = Rc::new(Cell::new(0));
        let clients: Vec<_> = (0..20)
            .map(|n| {
                let (address, answers) = (address.clone(), answers.clone());
                let connected = connected.clone();
                create_task(async move {
                    let mut socket = connect(&address).await?;
                    connected.set(connected.get() + 1);
                    for m in 0..50 {
                        ask(&mut socket, &format!("{n} {m}")).await?;
                        answers.set(answers.get() + 1);
                    }
                    socket.close(None).await?;
                    while socket.next().await.transpose()?.is_some() {}
                    Ok(())
                })
            })
            .collect();
        while answers.get() < 100 || connected.get() < 20 {
            sleep(Duration::ZERO).await?;
        }
        assert!(answers.get() < 1000);
        stop.set();
        server.serve_forever().await?;
        gather(clients).await?;
        assert_eq!(answers.get(), 1000);
        Ok(())
    });
}

/// Clients disconnect in every state: nothing sent, half of the handshake, connected, half a frame, waiting,
/// answered, closed.
#[test]
fn many_connections_come_and_go() {
    run(async {
        let server = server(LOOPBACK).await?;
        let address = server.local_addr();
        come_and_go(connections(1000), 100, move |state| {
            let address = address.clone();
            async move {
                if state % 7 < 2 {
                    let (_reader, writer) = open_connection(address).await?;
                    if state % 7 == 1 {
                        writer.write("GET / HTTP/1.1\r\nupgrade: webso");
                    }
                    return Ok(());
                }
                let mut socket = connect(&address).await?;
                match state % 7 {
                    2 => {}
                    3 => socket.get_ref().writer().write([0x81, 0x85, 1, 2]),
                    4 => {
                        let next = async { Ok(socket.next().await) };
                        is_timeout(wait_for(next, MS).await.map(drop));
                    }
                    5 => ask(&mut socket, "hello").await?,
                    _ => {
                        socket.close(None).await?;
                        while socket.next().await.transpose()?.is_some() {}
                    }
                }
                Ok(())
            }
        })
        .await?;
        server.shutdown(Duration::ZERO).await
    });
}
