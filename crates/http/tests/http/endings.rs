//! Requests that fail: errors of handlers, and clients that disconnect.

use crate::support::{HOUR, Raw, Waiting, ended, outcome, run, started, until, url};
use asyncio::{Error, Event, Result, create_task, current_task, sleep};
use asyncio_http::{Client, Incoming, Request, Response, StatusCode, service_fn};
use axum::{Router, body::Body, routing::get};
use http_body_util::{BodyExt, Full};
use std::{cell::Cell, convert::Infallible, rc::Rc, sync::Arc};

#[test]
fn a_handler_that_panics_is_reported_and_answered() {
    run(async |reports| {
        let app = Router::new()
            .route("/", get(async || "hello"))
            .route("/panic", get(async || -> &'static str { panic!("what now?") }));
        let server = started(app).await?;
        let mut client = Raw::to(server.local_addr()).await?;
        for _ in 0..2 {
            client.get("/panic");
            let (head, body) = client.response().await?;
            assert!(head.starts_with("http/1.1 500 internal server error"), "{head}");
            assert_eq!(body, "");
            let [report] = &reports.take()[..] else { panic!("there is one report") };
            assert!(report.contains("GET /panic") && report.contains("what now?"), "{report}");
            client.get("/");
            assert_eq!(client.response().await?.1, "hello");
        }
        ended(server).await
    });
}

#[test]
fn an_error_of_a_handler_is_reported_and_answered() {
    run(async |reports| {
        let handler = async |request: Request<Incoming>| match request.uri().path() {
            "/" => Ok(Response::new("hello".to_owned())),
            // The handler fails before and after it has waited.
            "/early" => Err(Error::msg("too early")),
            _ => {
                sleep(std::time::Duration::ZERO).await?;
                Err(Error::msg("too late"))
            }
        };
        let server = started(service_fn(handler)).await?;
        for (client, kind) in
            [(Client::new(), "1"), (Client::builder().http2_only(true).build(), "2")]
        {
            for path in ["/early", "/late"] {
                let response = client.get(url(&server, path)).await?;
                assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{kind}");
                assert_eq!(response.read().await?, "");
                assert_eq!(reports.take().len(), 1);
            }
            let response = client.get(url(&server, "/")).await?.raise_for_status()?;
            assert_eq!(response.text().await?, "hello");
        }
        ended(server).await
    });
}

#[test]
fn the_body_of_a_response_that_fails_is_reported() {
    run(async |reports| {
        let app = Router::new().route(
            "/",
            get(async || {
                let parts = [Ok("begun"), Err(std::io::Error::other("broken off"))];
                Body::from_stream(futures_util::stream::iter(parts))
            }),
        );
        let server = started(app).await?;
        let mut client = Raw::to(server.local_addr()).await?;
        client.get("/");
        client.0.reader().read_to_end().await?;
        let [report] = &reports.take()[..] else { panic!("there is one report") };
        assert!(report.contains("broken off"), "{report}");
        ended(server).await
    });
}

#[test]
fn a_client_that_leaves_cancels_its_handler() {
    run(async |_| {
        let waiting = Waiting::default();
        let handler = waiting.clone();
        let server = started(service_fn(move |_: Request<Incoming>| {
            let waiting = handler.clone();
            async move {
                waiting.wait().await?;
                Ok::<_, Error>(Response::new(String::new()))
            }
        }))
        .await?;
        let mut client = Raw::to(server.local_addr()).await?;
        client.get("/");
        until(|| waiting.began() == 1).await?;
        drop(client);
        until(|| waiting.cancelled() == 1).await?;

        // One of two requests on an HTTP/2 connection.
        let client = Client::builder().http2_only(true).build();
        let [one, two] = [(); 2].map(|()| {
            let request = client.get(url(&server, "/"));
            create_task(async move { Ok(request.await?.status()) })
        });
        until(|| waiting.began() == 3).await?;
        one.cancel();
        assert!(outcome(&one).await?.unwrap_err().is_cancelled());
        until(|| waiting.cancelled() == 2).await?;
        assert!(!two.done());
        ended(server).await?;
        assert!(outcome(&two).await?.is_err());
        assert_eq!(waiting.cancelled(), 3);
        Ok(())
    });
}

#[test]
fn a_client_that_leaves_during_its_upload_is_not_reported() {
    run(async |reports| {
        let failed = Rc::new(Cell::new(0));
        let count = failed.clone();
        let server = started(service_fn(move |request: Request<Incoming>| {
            let failed = count.clone();
            async move {
                let body = request.into_body().collect().await;
                failed.set(failed.get() + usize::from(body.is_err()));
                Ok::<_, Error>(Response::new(Full::new(body?.to_bytes())))
            }
        }))
        .await?;
        for (count, end) in [(1, "length"), (2, "chunk")] {
            let mut client = Raw::to(server.local_addr()).await?;
            client.send("POST / HTTP/1.1\r\nhost: localhost\r\n");
            client.send(match end {
                "length" => "content-length: 9\r\n\r\nsome",
                _ => "transfer-encoding: chunked\r\n\r\n9\r\nsome",
            });
            drop(client);
            until(|| failed.get() == count).await?;
        }
        // What is no body is an error of a client that stays.
        let mut client = Raw::to(server.local_addr()).await?;
        client.send("POST / HTTP/1.1\r\nhost: localhost\r\n");
        client.send("transfer-encoding: chunked\r\n\r\nnine\r\n");
        assert!(client.response().await?.0.starts_with("http/1.1 500"));
        assert_eq!(reports.take().len(), 1);
        ended(server).await
    });
}

/// Without care, the system resets a connection that is closed with unread data.
#[test]
fn an_answer_arrives_at_a_client_that_still_sends() {
    use std::io::{Read, Write};
    const SIZE: usize = 20 << 20;
    run(async |_| {
        let handler = async |_: Request<Incoming>| {
            Ok::<_, Error>(Response::builder().status(413).body("too large".to_owned())?)
        };
        let server = started(service_fn(handler)).await?;
        let address = server.local_addr().as_inet().unwrap();
        for end in ["length", "chunk"] {
            let answer = asyncio::to_thread(move || {
                let mut client = std::net::TcpStream::connect(address)?;
                client.write_all(match end {
                    "length" => b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 20971520\r\n\r\n",
                    _ => {
                        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1400000\r\n"
                    }
                })?;
                client.write_all(&vec![0; SIZE])?;
                // As a client does that has no answer yet.
                let mut answer = [0; 1000];
                let length = client.read(&mut answer)?;
                let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
                Ok::<_, std::io::Error>((answer, client.read(&mut [0])?))
            });
            let (answer, rest) = answer.await??;
            assert!(
                answer.starts_with("HTTP/1.1 413") && answer.ends_with("too large"),
                "{answer}"
            );
            assert_eq!(rest, 0, "the server has ended its direction");
        }
        // A client that does not stop is not waited for when the server ends.
        let mut client = Raw::to(server.local_addr()).await?;
        client.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9000000000\r\n\r\n");
        client.0.writer().write(vec![0; 1 << 20]);
        client.head().await?;
        ended(server).await
    });
}

/// axum turns a cancellation into a response, which nothing receives any more.
#[test]
fn a_handler_of_axum_is_cancelled_at_a_foreign_wait_as_well() {
    struct Ends(Arc<Event>);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.set();
        }
    }
    run(async |_| {
        let (began, dropped) = (Arc::new(Event::new()), Arc::new(Event::new()));
        let (begins, ends) = (began.clone(), dropped.clone());
        let app = Router::new().route(
            "/",
            get(async move || {
                let _ends = Ends(ends.clone());
                begins.set();
                std::future::pending::<()>().await;
            }),
        );
        let server = started(app).await?;
        let mut client = Raw::to(server.local_addr()).await?;
        client.get("/");
        began.wait().await?;
        drop(client);
        dropped.wait().await?;
        ended(server).await
    });
}

/// There is no response, and nothing has failed: the connection ends.
#[test]
fn a_handler_that_ends_cancelled_ends_its_connection() {
    run(async |_| {
        let handler = async |request: Request<Incoming>| {
            if request.uri().path() == "/cancelled" {
                current_task().ok_or_else(|| Error::msg("it is in a task"))?.cancel();
                sleep(HOUR).await?;
            }
            Ok::<_, Error>(Response::new("hello".to_owned()))
        };
        let server = started(service_fn(handler)).await?;
        let mut client = Raw::to(server.local_addr()).await?;
        client.get("/");
        assert_eq!(client.response().await?.1, "hello");
        client.get("/cancelled");
        assert!(client.is_over().await?);
        // In HTTP/2 only the stream of the request ends.
        let client = Client::builder().http2_only(true).build();
        let (cancelled, other) =
            (client.get(url(&server, "/cancelled")), client.get(url(&server, "/")));
        let (cancelled, other) = asyncio::join!(cancelled, other);
        assert!(cancelled.is_err());
        assert_eq!(other?.text().await?, "hello");
        ended(server).await
    });
}

#[test]
fn what_is_no_http_ends_its_connection_only() {
    run(async |_| {
        let server = started(Router::new().route("/", get(async || "hello"))).await?;
        let mut good = Raw::to(server.local_addr()).await?;
        for text in
            ["", "\r\n\r\n", "hello?\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nwhat", "PRI"]
        {
            let mut bad = Raw::to(server.local_addr()).await?;
            bad.send(text);
            bad.0.writer().write_eof();
            bad.0.reader().read_to_end().await.ok();
            good.get("/");
            assert_eq!(good.response().await?.1, "hello");
        }
        ended(server).await
    });
}

/// The end of a run cancels all tasks, including handlers, which may clean up.
#[test]
fn the_end_of_the_run_ends_a_server() {
    let waiting = Waiting::default();
    let handler = waiting.clone();
    let kept = Rc::new(std::cell::RefCell::new(None));
    let keep = kept.clone();
    let began = waiting.clone();
    run(async move |_| {
        let service = service_fn(move |_: Request<Incoming>| {
            let waiting = handler.clone();
            async move {
                waiting.wait().await?;
                sleep(HOUR).await?;
                Ok::<_, Error>(Response::new(String::new()))
            }
        });
        let server = started(service).await?;
        let mut client = Raw::to(server.local_addr()).await?;
        client.get("/");
        until(|| began.began() == 1).await?;
        keep.replace(Some(client));
        Ok(())
    });
    assert_eq!(waiting.cancelled(), 1);
    drop(kept);
}

#[test]
fn a_service_without_an_error_of_its_own_will_do() {
    run(async |_| {
        let hello =
            async |_: Request<Incoming>| Ok::<_, Infallible>(Response::new("hello".to_owned()));
        // All connections share the service, so it may be in an `Rc`.
        let server = started(Rc::new(service_fn(hello))).await?;
        assert_eq!(Client::new().get(url(&server, "/")).await?.text().await?, "hello");
        ended(server).await
    });
}

const _: fn() = || {
    fn is_send<T: Send>(_: T) {}
    let client = Client::new();
    is_send(
        async move { client.get("http://x").timeout(HOUR).await?.json::<u8>().await as Result<u8> },
    );
};
