//! Requests of HTTP/1 and 2, and their handlers.

use crate::support::{HOUR, LOOPBACK, MS, Raw, ended, run, run_virtual, started, url};
use asyncio::{AsyncContextManager, Error, TaskGroup, current_task, gather, sleep, wait_for};
use asyncio_http::{
    Client, Incoming, Request, Response, StatusCode, Version, serve, serve_unix, service_fn,
};
use axum::{Router, extract::Path, routing::get};
use std::{cell::Cell, collections::BTreeSet, convert::Infallible, rc::Rc};

#[test]
fn requests_follow_each_other_on_a_connection() {
    run(async |_| {
        let app = Router::new().route("/{n}", get(async |Path(n): Path<u32>| (n * 2).to_string()));
        let server = started(app).await?;
        let mut client = Raw::to(server.local_addr()).await?;
        for n in 0..3 {
            client.get(&format!("/{n}"));
            let (head, body) = client.response().await?;
            assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
            assert_eq!(body, (n * 2).to_string());
        }
        // The second request is sent before the first has been answered.
        client.get("/7");
        client.get("/8");
        assert_eq!(client.response().await?.1, "14");
        assert_eq!(client.response().await?.1, "16");
        client.send("GET /9 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        assert_eq!(client.response().await?.1, "18");
        assert!(client.is_over().await?);
        ended(server).await
    });
}

#[test]
fn without_keep_alive_a_connection_has_one_request() {
    run(async |_| {
        let app = Router::new().route("/", get(async || "hello"));
        let server = serve(app, LOOPBACK).keep_alive(false).await?;
        let mut client = Raw::to(server.local_addr()).await?;
        client.get("/");
        assert!(client.response().await?.0.contains("connection: close"));
        assert!(client.is_over().await?);
        ended(server).await
    });
}

#[test]
fn a_body_of_unknown_length_is_chunked_both_ways() {
    run(async |_| {
        let echo = async |request: Request<Incoming>| {
            Ok::<_, Infallible>(Response::new(request.into_body()))
        };
        let server = started(service_fn(echo)).await?;
        let mut client = Raw::to(server.local_addr()).await?;
        client.send("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n");
        assert!(client.head().await?.contains("transfer-encoding: chunked"));
        assert_eq!(client.0.reader().readuntil("one\r\n").await?, "3\r\none\r\n");
        client.send("4\r\n two\r\n0\r\n\r\n");
        assert_eq!(client.0.reader().readuntil("0\r\n\r\n").await?, "4\r\n two\r\n0\r\n\r\n");
        client.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nthree");
        assert_eq!(client.response().await?.1, "three");
        ended(server).await
    });
}

#[test]
fn a_handler_is_a_task_in_which_limits_and_groups_work() {
    run_virtual(async |_| {
        let tasks = Rc::new(std::cell::RefCell::new(BTreeSet::new()));
        let names = tasks.clone();
        let handler = move |_: Request<Incoming>| {
            let names = names.clone();
            async move {
                let task = current_task().ok_or_else(|| Error::msg("it is in a task"))?;
                names.borrow_mut().insert(task.name().to_string());
                let late = wait_for(sleep(HOUR), MS).await;
                assert!(late.is_err_and(|error| error.is_timeout()));
                let mut sum = 0;
                TaskGroup::new()
                    .with(async |group| {
                        let one = group.create_task(async { sleep(MS).result(1).await });
                        let two = group.create_task(async { sleep(MS).result(2).await });
                        sum = one.await? + two.await?;
                        Ok(())
                    })
                    .await?;
                Ok::<_, Error>(Response::new(sum.to_string()))
            }
        };
        let server = started(service_fn(handler)).await?;
        let mut client = Raw::to(server.local_addr()).await?;
        for _ in 0..3 {
            client.get("/");
            assert_eq!(client.response().await?.1, "3");
        }
        assert_eq!(tasks.borrow().len(), 3);
        ended(server).await
    });
}

#[test]
fn what_a_handler_shares_need_not_be_sent() {
    run(async |_| {
        let count = Rc::new(Cell::new(0));
        let counted = count.clone();
        let server = started(service_fn(move |_: Request<Incoming>| {
            counted.set(counted.get() + 1);
            let text = counted.get().to_string();
            async move { Ok::<_, Infallible>(Response::new(text)) }
        }))
        .await?;
        let client = Client::new();
        assert_eq!(client.get(url(&server, "/")).await?.text().await?, "1");
        assert_eq!(client.get(url(&server, "/")).await?.text().await?, "2");
        ended(server).await?;
        assert_eq!(Rc::strong_count(&count), 1);
        Ok(())
    });
}

#[test]
fn many_streams_of_http2_share_a_connection() {
    run(async |_| {
        let app = Router::new().route(
            "/{n}",
            get(async |Path(n): Path<u64>| {
                // Later requests are answered first.
                let _ = asyncio::sleep((200 - n as u32) * MS / 10).await;
                n.to_string()
            }),
        );
        let server = started(app).await?;
        let client = Client::builder().http2_only(true).build();
        let requests = (0..200).map(|n| {
            let request = client.get(url(&server, &format!("/{n}")));
            async move {
                let response = request.await?;
                assert_eq!(response.version(), Version::HTTP_2);
                Ok((n, response.text().await?))
            }
        });
        for (n, text) in gather(requests).await? {
            assert_eq!(text, n.to_string());
        }
        ended(server).await
    });
}

#[test]
fn a_socket_of_a_path_is_served() {
    run(async |_| {
        let path = std::env::temp_dir().join(format!("http-{}.socket", std::process::id()));
        let app = Router::new().route("/", get(async || "by path"));
        let server = serve_unix(app, &path).await?;
        let client = Client::builder().unix_socket(&path).build();
        let response = client.get("http://anything/").await?;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.text().await?, "by path");
        ended(server).await?;
        assert!(!path.exists());
        Ok(())
    });
}

#[test]
fn an_address_in_use_is_an_error() {
    run(async |_| {
        let server = started(Router::new()).await?;
        let error = serve(Router::new(), server.local_addr()).await.unwrap_err();
        assert!(matches!(error, Error::Io(_)), "{error:?}");
        ended(server).await
    });
}
