//! Limits for idle connections, slow heads and the number of connections. Under the virtual clock, a limit passes
//! when nothing else can happen.

use crate::support::{
    HOUR, LOOPBACK, MS, Raw, SECOND, Waiting, ended, iterations, run, run_virtual, until, url,
};
use asyncio::{Error, Result, create_task, get_running_loop, sleep};
use asyncio_http::{Client, HttpServer, Incoming, Request, Response, serve, service_fn};
use axum::{Router, extract::Path, routing::get};
use std::time::Duration;

fn now() -> Duration {
    get_running_loop().expect("a loop runs").time()
}

/// Returns how long the connection lasts, in seconds.
async fn lasts(client: &mut Raw) -> Result<u64> {
    let began = now();
    assert!(client.is_over().await?);
    Ok((now() - began).as_secs())
}

async fn server() -> Result<HttpServer<'static>> {
    let sleeping = async |Path(seconds): Path<u32>| {
        sleep(seconds * SECOND)
            .await
            .map_or_else(|error| error.to_string(), |()| "slept".to_owned())
    };
    let app = Router::new().route("/{seconds}", get(sleeping));
    serve(app, LOOPBACK).header_timeout(10 * SECOND).idle_timeout(60 * SECOND).await
}

#[test]
fn a_connection_without_a_request_is_closed() {
    run_virtual(async |_| {
        let server = server().await?;
        let mut client = Raw::to(server.local_addr()).await?;
        assert_eq!(lasts(&mut client).await?, 60);
        // The limit restarts after each response; a handler may take longer.
        let mut client = Raw::to(server.local_addr()).await?;
        for _ in 0..3 {
            client.get("/100");
            assert_eq!(client.response().await?.1, "slept");
            sleep(50 * SECOND).await?;
        }
        client.get("/0");
        client.response().await?;
        assert_eq!(lasts(&mut client).await?, 60);
        ended(server).await
    });
}

#[test]
fn a_head_that_takes_too_long_closes_its_connection() {
    run_virtual(async |_| {
        let server = server().await?;
        for begin in ["G", "GET / HTTP/1.1\r\n", "PRI * HT"] {
            let mut client = Raw::to(server.local_addr()).await?;
            sleep(50 * SECOND).await?;
            client.send(begin);
            assert_eq!(lasts(&mut client).await?, 10, "{begin}");
        }
        // The same for a second request that arrives byte by byte.
        let mut client = Raw::to(server.local_addr()).await?;
        client.get("/0");
        client.response().await?;
        for byte in ["G", "E", "T", " "] {
            client.send(byte);
            sleep(2 * SECOND).await?;
        }
        assert_eq!(lasts(&mut client).await?, 2);
        ended(server).await
    });
}

#[test]
fn no_limit_is_one_too() {
    run_virtual(async |_| {
        let app = Router::new().route("/", get(async || "hello"));
        let server = serve(app, LOOPBACK).header_timeout(None).idle_timeout(None).await?;
        let mut client = Raw::to(server.local_addr()).await?;
        sleep(100 * HOUR).await?;
        client.send("GET / HTTP/1.1\r\n");
        sleep(100 * HOUR).await?;
        client.send("host: x\r\n\r\n");
        assert_eq!(client.response().await?.1, "hello");
        ended(server).await
    });
}

#[test]
fn an_idle_connection_of_http2_is_taken_leave_of() {
    run_virtual(async |_| {
        let server = server().await?;
        let client = Client::builder().http2_only(true).idle_timeout(None).build();
        assert_eq!(client.get(url(&server, "/100")).await?.text().await?, "slept");
        sleep(59 * SECOND).await?;
        assert_eq!(client.get(url(&server, "/0")).await?.text().await?, "slept");
        sleep(61 * SECOND).await?;
        // The client uses a new connection.
        assert_eq!(client.get(url(&server, "/0")).await?.text().await?, "slept");
        ended(server).await
    });
}

#[test]
fn no_more_connections_are_served_than_there_may_be() {
    run(async |_| {
        let waiting = Waiting::default();
        let handler = waiting.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let waiting = handler.clone();
            async move {
                if request.uri().path() == "/wait" {
                    waiting.wait().await?;
                }
                Ok::<_, Error>(Response::new("hello".to_owned()))
            }
        });
        let server = serve(service, LOOPBACK).max_connections(2).await?;
        let mut clients = Vec::new();
        for _ in 0..4 {
            let mut client = Raw::to(server.local_addr()).await?;
            client.get("/wait");
            clients.push(client);
        }
        until(|| waiting.began() == 2).await?;
        iterations(50).await?;
        assert_eq!(waiting.began(), 2);
        drop(clients.remove(0));
        until(|| waiting.began() == 3).await?;
        iterations(50).await?;
        assert_eq!(waiting.began(), 3);
        drop(clients);
        until(|| waiting.cancelled() == 4).await?;
        let mut client = Raw::to(server.local_addr()).await?;
        client.get("/");
        assert_eq!(client.response().await?.1, "hello");
        ended(server).await
    });
}

/// The timer follows the loop's clock, and a cancellation does not end it.
#[test]
fn a_timer_of_hyper_is_not_ended_by_a_cancellation() {
    use asyncio_http::LoopTimer;
    use hyper::rt::Timer;
    run_virtual(async |_| {
        LoopTimer.sleep(HOUR).await;
        assert!(now() >= HOUR);
        let task = create_task(async {
            LoopTimer.sleep_until(std::time::Instant::now() + HOUR).await;
            panic!("the time is not up");
            #[allow(unreachable_code)]
            Ok(())
        });
        sleep(MS).await?;
        assert!(task.cancel());
        assert!(task.await.unwrap_err().is_cancelled());
        Ok(())
    });
}
