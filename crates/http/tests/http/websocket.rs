//! Connections that go on as WebSockets.

use crate::support::{HOUR, LOOPBACK, Raw, SECOND, ended, run, run_virtual, started, until};
use asyncio::{Error, Event, Result, streams::Duplex};
use asyncio_http::{
    HttpServer, Incoming, Request, Response, StatusCode, serve, service_fn, upgrade,
};
use axum::{Router, body::Body, routing::get};
use futures_util::{SinkExt, StreamExt};
use std::{cell::Cell, rc::Rc};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, handshake::server::create_response_with_body, protocol::Role},
};

async fn echo(both: Duplex) -> Result<()> {
    let mut socket = WebSocketStream::from_raw_socket(both, Role::Server, None).await;
    while let Some(message) = socket.next().await.transpose()? {
        if !message.is_close() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

fn accept<B>(mut request: Request<B>) -> Result<Response<String>> {
    drop(upgrade(&mut request, echo));
    Ok(create_response_with_body(&request, String::new)?)
}

async fn connected(server: &HttpServer<'_>) -> Result<WebSocketStream<Duplex>> {
    let both = Duplex::from(asyncio::open_connection(server.local_addr()).await?);
    Ok(client_async("ws://localhost/", both).await?.0)
}

async fn is_echoed(socket: &mut WebSocketStream<Duplex>) -> Result<()> {
    for text in ["one", "two"] {
        socket.send(Message::text(text)).await?;
        let answer = socket.next().await.ok_or_else(|| Error::msg("it is over"))??;
        assert_eq!(answer.to_text()?, text);
    }
    Ok(())
}

#[test]
fn a_service_of_hyper_accepts_a_websocket() {
    run(async |_| {
        let server =
            started(service_fn(async |request: Request<Incoming>| accept(request))).await?;
        let mut socket = connected(&server).await?;
        is_echoed(&mut socket).await?;
        socket.close(None).await?;
        while socket.next().await.transpose()?.is_some() {}
        ended(server).await
    });
}

#[test]
fn a_handler_of_axum_accepts_a_websocket() {
    run(async |_| {
        let handler = async |request: Request<Body>| match accept(request) {
            Ok(response) => response.map(Body::from),
            Err(error) => {
                let mut response = Response::new(Body::from(error.to_string()));
                *response.status_mut() = StatusCode::BAD_REQUEST;
                response
            }
        };
        let server = started(Router::new().route("/", get(handler))).await?;
        let mut socket = connected(&server).await?;
        is_echoed(&mut socket).await?;
        drop(socket);
        ended(server).await
    });
}

/// What the client has sent with its request is there.
#[test]
fn nothing_is_lost_that_follows_the_request() {
    run(async |_| {
        let service = service_fn(async |mut request: Request<Incoming>| {
            drop(upgrade(&mut request, async |both| {
                let (mut reader, writer) = both.into_split();
                let line = reader.readline().await?;
                writer.write(line.to_ascii_uppercase());
                writer.drain().await
            }));
            let response = Response::builder()
                .status(StatusCode::SWITCHING_PROTOCOLS)
                .header("connection", "upgrade")
                .header("upgrade", "shout");
            Ok::<_, Error>(response.body(String::new())?)
        });
        let server = started(service).await?;
        for line in ["early\n", "a".repeat(300_000).as_str()] {
            let mut client = Raw::to(server.local_addr()).await?;
            let head = "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: shout\r\n\r\n";
            match line.strip_suffix('\n') {
                Some(_) => client.send(&format!("{head}{line}")),
                // More than fits into one read, and its end later.
                None => {
                    client.send(&format!("{head}{}", &line[..60_000]));
                    client.send("\n");
                }
            }
            assert!(client.head().await?.starts_with("http/1.1 101"));
            let heard = client.0.reader().read_to_end().await?;
            assert_eq!(heard.len(), line.len().min(60_001));
            assert!(heard.iter().all(|byte| !byte.is_ascii_lowercase()));
        }
        ended(server).await
    });
}

#[test]
fn a_server_that_stops_gives_a_websocket_its_grace_and_then_cancels_it() {
    run_virtual(async |_| {
        let cancelled = Rc::new(Cell::new(0));
        let seen = cancelled.clone();
        let began = Rc::new(Event::new());
        let begins = began.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (seen, begins) = (seen.clone(), begins.clone());
            drop(upgrade(&mut request, async move |both| {
                begins.set();
                let outcome = asyncio::sleep(HOUR).await;
                drop(both);
                if outcome.as_ref().is_err_and(Error::is_cancelled) {
                    seen.set(seen.get() + 1);
                }
                outcome
            }));
            async move { Ok::<_, Error>(create_response_with_body(&request, String::new)?) }
        });
        let server = serve(service, LOOPBACK).max_connections(10).await?;
        let mut socket = connected(&server).await?;
        began.wait().await?;
        let before = asyncio::get_running_loop()?.time();
        server.shutdown(10 * SECOND).await?;
        let took = asyncio::get_running_loop()?.time() - before;
        assert!((10 * SECOND..11 * SECOND).contains(&took), "{took:?}");
        until(|| cancelled.get() == 1).await?;
        assert!(!matches!(socket.next().await, Some(Ok(_))));
        Ok(())
    });
}

#[test]
fn a_request_that_is_not_upgraded_leaves_nothing() {
    run(async |reports| {
        let service = service_fn(async |mut request: Request<Incoming>| {
            drop(upgrade(&mut request, async |_| panic!("it is not upgraded")));
            Ok::<_, Error>(Response::new("no".to_owned()))
        });
        let server = started(service).await?;
        let mut client = Raw::to(server.local_addr()).await?;
        client.send("GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
        assert_eq!(client.response().await?.1, "no");
        drop(client);
        // One that asks for none is an error of the program.
        let mut client = Raw::to(server.local_addr()).await?;
        client.get("/");
        assert_eq!(client.response().await?.1, "no");
        ended(server).await?;
        asyncio::sleep(std::time::Duration::ZERO).await?;
        let [report] = &reports.take()[..] else { panic!("there is one report") };
        assert!(report.contains("upgrade"), "{report}");
        Ok(())
    });
}
