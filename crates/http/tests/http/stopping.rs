//! Graceful shutdown: no request is lost, and requests that take too long are ended.

use crate::support::{
    HOUR, LOOPBACK, MS, Raw, SECOND, Waiting, iterations, outcome, run, run_virtual, started,
    until, url,
};
use asyncio::{AsyncContextManager, Error, Event, Result, create_task, get_running_loop, sleep};
use asyncio_http::{Client, Incoming, Request, Response, serve, service_fn};
use axum::{Router, routing::get};
use std::{cell::Cell, convert::Infallible, rc::Rc, time::Duration};

fn slowly() -> Router {
    Router::new().route(
        "/",
        get(async || {
            let _ = asyncio::sleep(2 * MS).await;
            "hello"
        }),
    )
}

/// A client that sends one request after another, on one connection while the server keeps it open, and counts the
/// responses. It ends when it cannot connect. If a connection is closed before its request is answered, that is an
/// error.
async fn asking(address: asyncio::Address, answers: Rc<Cell<usize>>) -> Result<()> {
    loop {
        let Ok(mut client) = Raw::to(address.clone()).await else { return Ok(()) };
        loop {
            client.get("/");
            let (head, body) = client.response().await?;
            assert_eq!(body, "hello");
            answers.set(answers.get() + 1);
            if head.contains("connection: close") {
                assert!(client.is_over().await?);
                break;
            }
        }
    }
}

#[test]
fn under_load_no_request_is_lost() {
    run(async |_| {
        let stop = Event::new();
        let server = serve(slowly(), LOOPBACK).graceful(&stop, 60 * SECOND).await?;
        let answers = Rc::new(Cell::new(0));
        let clients: Vec<_> =
            (0..50).map(|_| create_task(asking(server.local_addr(), answers.clone()))).collect();
        until(|| answers.get() > 200).await?;
        stop.set();
        server.serve_forever().await?;
        for client in clients {
            client.await?;
        }
        assert!(answers.get() >= 250);
        Ok(())
    });
}

/// A request that arrives too late for its connection is refused. No handler has seen it, so the client may send it
/// again.
#[test]
fn under_load_of_http2_no_request_is_lost() {
    run(async |_| {
        let (stop, begun) = (Event::new(), Rc::new(Cell::new(0)));
        let count = begun.clone();
        let service = service_fn(move |_: Request<Incoming>| {
            count.set(count.get() + 1);
            async {
                sleep(2 * MS).await?;
                Ok::<_, Error>(Response::new("hello".to_owned()))
            }
        });
        let server = serve(service, LOOPBACK).graceful(&stop, 60 * SECOND).await?;
        let client = Client::builder().http2_only(true).build();
        let answers = Rc::new(Cell::new(0));
        let clients: Vec<_> = (0..50)
            .map(|_| {
                let (client, url, answers) = (client.clone(), url(&server, "/"), answers.clone());
                create_task(async move {
                    while let Ok(response) = client.get(&url).await {
                        assert_eq!(response.text().await?, "hello");
                        answers.set(answers.get() + 1);
                    }
                    Ok(())
                })
            })
            .collect();
        until(|| answers.get() > 200).await?;
        stop.set();
        server.serve_forever().await?;
        for client in clients {
            client.await?;
        }
        assert_eq!(begun.get(), answers.get());
        Ok(())
    });
}

#[test]
fn connections_that_wait_to_be_accepted_are_answered() {
    run(async |_| {
        let server = started(slowly()).await?;
        let address = server.local_addr().as_inet().expect("it is of the internet");
        // This is one step, so the server accepts nothing meanwhile.
        let mut clients: Vec<_> = (0..20)
            .map(|_| {
                use std::io::Write;
                let mut client = std::net::TcpStream::connect(address)?;
                client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")?;
                Ok(client)
            })
            .collect::<Result<_>>()?;
        server.shutdown(60 * SECOND).await?;
        for client in &mut clients {
            let mut text = String::new();
            std::io::Read::read_to_string(client, &mut text)?;
            assert!(text.ends_with("hello"), "{text}");
        }
        Ok(())
    });
}

#[test]
fn open_requests_are_answered_and_longer_connections_are_ended() {
    run_virtual(async |_| {
        let waiting = Waiting::default();
        let handler = waiting.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let waiting = handler.clone();
            async move {
                match request.uri().path() {
                    "/slow" => sleep(5 * SECOND).await?,
                    _ => waiting.wait().await?,
                }
                Ok::<_, Error>(Response::new("at last".to_owned()))
            }
        });
        let stop = Event::new();
        let server = serve(service, LOOPBACK).graceful(&stop, 10 * SECOND).await?;
        let mut slow = Raw::to(server.local_addr()).await?;
        slow.get("/slow");
        let mut stays = Raw::to(server.local_addr()).await?;
        stays.get("/stay");
        let mut idle = Raw::to(server.local_addr()).await?;
        until(|| waiting.began() == 1).await?;
        let began = get_running_loop()?.time();
        stop.set();
        server.serve_forever().await?;
        let took = get_running_loop()?.time() - began;
        assert!((10 * SECOND..11 * SECOND).contains(&took), "{took:?}");
        let (head, body) = slow.response().await?;
        assert!(head.contains("connection: close") && body == "at last", "{head}");
        assert_eq!(waiting.cancelled(), 1);
        for client in [&mut slow, &mut stays, &mut idle] {
            assert!(client.is_over().await?);
        }
        assert!(Raw::to(server.local_addr()).await.is_err());
        Ok(())
    });
}

#[test]
fn a_client_that_takes_nothing_does_not_keep_a_server_from_its_end() {
    run_virtual(async |_| {
        let large =
            async |_: Request<Incoming>| Ok::<_, Infallible>(Response::new("x".repeat(50 << 20)));
        let server = started(service_fn(large)).await?;
        let mut client = Raw::to(server.local_addr()).await?;
        client.get("/");
        client.head().await?;
        server.shutdown(SECOND).await?;
        Ok(())
    });
}

#[test]
fn a_server_that_is_cancelled_stops_in_the_same_way() {
    run_virtual(async |_| {
        let waiting = Waiting::default();
        let handler = waiting.clone();
        let serving = create_task(async move {
            let service = service_fn(move |_: Request<Incoming>| {
                let waiting = handler.clone();
                async move {
                    waiting.wait().await?;
                    Ok::<_, Error>(Response::new(String::new()))
                }
            });
            let stop = Event::new();
            let server = serve(service, LOOPBACK).graceful(&stop, HOUR).await?;
            let mut client = Raw::to(server.local_addr()).await?;
            client.get("/");
            server.serve_forever().await
        });
        until(|| waiting.began() == 1).await?;
        assert!(serving.cancel());
        sleep(30 * 60 * SECOND).await?;
        assert!(!serving.done());
        assert!(serving.cancel());
        assert!(outcome(&serving).await?.unwrap_err().is_cancelled());
        until(|| waiting.cancelled() == 1).await?;
        iterations(10).await
    });
}

#[test]
fn as_a_context_manager_it_ends_with_its_body() {
    run(async |_| {
        let client = Client::new();
        let asked = client.clone();
        let address = started(slowly())
            .await?
            .with(async move |address| {
                let response = asked.get(format!("http://{address}/")).await?;
                assert_eq!(response.text().await?, "hello");
                Ok(address.clone())
            })
            .await?;
        let error = client.get(format!("http://{address}/")).timeout(Duration::from_secs(60)).await;
        assert!(!error.unwrap_err().is_timeout());
        Ok(())
    });
}
