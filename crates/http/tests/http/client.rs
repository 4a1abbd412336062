//! The client: its pool, its limits, and the state after a request is dropped.

use crate::support::{
    HOUR, LOOPBACK, MS, Raw, SECOND, ended, iterations, outcome, run, run_virtual, started, until,
    url,
};
use asyncio::{
    Bytes, Error, Result, StreamReader, StreamWriter, create_task, gather, sleep, start_server,
    wait_for,
};
use asyncio_http::{
    Client, HttpServer, Incoming, Request, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, HeaderValue, USER_AGENT},
    serve, service_fn,
};
use http_body_util::{BodyExt, Full};
use std::{cell::Cell, collections::BTreeMap, rc::Rc};
use tower_service::Service;

/// Responds with the path, after the number of milliseconds in the query.
async fn echo(request: Request<Incoming>) -> Result<Response<String>> {
    if let Some(ms) = request.uri().query() {
        sleep(ms.parse::<u32>()? * MS).await?;
    }
    let text = request.uri().path().to_owned();
    // The client may drop the request before the whole body has arrived.
    drop(request.into_body().collect().await);
    Ok(Response::new(text))
}

async fn server() -> Result<HttpServer<'static>> {
    started(service_fn(echo)).await
}

#[test]
fn text_that_is_not_utf_8_is_refused_with_the_message_of_python() {
    run(async |_| {
        let handler = async |_: Request<Incoming>| {
            Ok::<_, Error>(Response::new(Full::new(Bytes::from_static(b"a\xff"))))
        };
        let server = started(service_fn(handler)).await?;
        let error = Client::new().get(url(&server, "/")).await?.text().await.unwrap_err();
        assert_eq!(error.kind(), "ValueError");
        assert!(error.to_string().contains("can't decode byte 0xff in position 1"), "{error}");
        ended(server).await
    });
}

#[test]
fn requests_that_follow_each_other_share_a_connection() {
    run(async |_| {
        // The server responds with the number of its connections so far.
        let count = Rc::new(Cell::new(0));
        let server = start_server(
            async move |reader, writer| {
                count.set(count.get() + 1);
                let mut client = Raw((reader, writer).into());
                while let Ok(head) = client.head().await {
                    let length = if head.starts_with("get /half") { 2 } else { 1 };
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                    client.send(&format!("{head}{}", count.get()));
                }
                Ok(())
            },
            ("127.0.0.1", 0),
        )
        .await?;
        let url = format!("http://{}/", server.local_addr());
        let client = Client::new();
        for _ in 0..5 {
            assert_eq!(client.get(&url).await?.text().await?, "1");
        }
        // A connection with an unread response is in use. It is not used again if the response is dropped.
        let half = client.get(format!("{url}half")).await?;
        assert_eq!(client.get(&url).await?.text().await?, "2");
        drop(half);
        let (one, other) = (client.get(&url), client.get(&url));
        let mut both = gather([one, other].map(|r| async { r.await?.text().await })).await?;
        both.sort();
        assert_eq!(both, ["2", "3"]);
        drop(client);
        server.close();
        server.wait_closed().await
    });
}

/// A request is cancelled after each number of iterations; the pool then serves the next one.
#[test]
fn a_request_may_be_given_up_at_any_point() {
    for http2 in [false, true] {
        run(async move |_| {
            let server = server().await?;
            let client = Client::builder().http2_only(http2).limit_per_host(2).build();
            let (mut late, mut n) = (0, 0);
            // Until requests end before they are cancelled.
            while late < 10 {
                let given_up =
                    client.post(url(&server, &format!("/given-up/{n}"))).body("x".repeat(100_000));
                let task = create_task(async move { given_up.await?.text().await });
                iterations(n).await?;
                match task.cancel() {
                    true => match outcome(&task).await? {
                        Err(error) => assert!(error.is_cancelled(), "{error:?}"),
                        Ok(text) => assert_eq!(text, format!("/given-up/{n}")),
                    },
                    false => late += 1,
                }
                for after in 0..3 {
                    let path = format!("/{n}/{after}");
                    assert_eq!(client.get(url(&server, &path)).await?.text().await?, path);
                }
                n += 1;
            }
            ended(server).await
        });
    }
}

#[test]
fn a_limit_that_passes_in_a_request_leaves_the_pool_alone() {
    run(async |_| {
        let server = server().await?;
        let client = Client::new();
        for ms in 0..20 {
            let request = client.get(url(&server, "/late?10"));
            let limited = wait_for(async { request.await?.text().await }, ms * MS).await;
            if let Err(error) = limited {
                assert!(error.is_timeout(), "{error:?}");
            }
            let path = format!("/{ms}");
            assert_eq!(client.get(url(&server, &path)).await?.text().await?, path);
        }
        ended(server).await
    });
}

#[test]
fn the_timeout_counts_until_the_body_has_been_read() {
    run_virtual(async |_| {
        // The server sends half a response, after a while.
        let server = start_server(
            async |reader, writer| {
                let mut client = Raw((reader, writer).into());
                client.head().await?;
                sleep(4 * SECOND).await?;
                client.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
                client.is_over().await?;
                Ok(())
            },
            ("127.0.0.1", 0),
        )
        .await?;
        let url = format!("http://{}/", server.local_addr());
        let now = || asyncio::get_running_loop().map(|event_loop| event_loop.time());
        let client = Client::builder().timeout(3 * SECOND).build();
        let began = now()?;
        assert!(client.get(&url).await.unwrap_err().is_timeout());
        assert_eq!((now()? - began).as_secs(), 3);

        let began = now()?;
        let mut response = client.get(&url).timeout(10 * SECOND).await?;
        assert_eq!((now()? - began).as_secs(), 4);
        assert_eq!(response.chunk().await?.as_deref(), Some(&b"half"[..]));
        assert!(response.chunk().await.unwrap_err().is_timeout());
        assert_eq!((now()? - began).as_secs(), 10);
        drop(response);

        let response = client.get(&url).timeout(None).await?;
        assert!(wait_for(response.read(), HOUR).await.unwrap_err().is_timeout());
        server.close();
        server.wait_closed().await
    });
}

#[test]
fn no_more_requests_to_a_host_are_made_than_there_may_be() {
    run(async |_| {
        let (now, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (at_once, highest) = (now.clone(), most.clone());
        let server = started(service_fn(move |_: Request<Incoming>| {
            let (now, most) = (at_once.clone(), highest.clone());
            async move {
                now.set(now.get() + 1);
                most.set(most.get().max(now.get()));
                sleep(MS).await?;
                now.set(now.get() - 1);
                Ok::<_, Error>(Response::new("x".to_owned()))
            }
        }))
        .await?;
        let client = Client::builder().limit_per_host(3).build();
        let requests = (0..30).map(|_| {
            let request = client.get(url(&server, "/"));
            async move { request.await?.text().await }
        });
        gather(requests).await?;
        assert_eq!(most.get(), 3);
        // An unread response counts until it is dropped.
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(client.get(url(&server, "/")).await?);
        }
        let request = client.get(url(&server, "/"));
        assert!(wait_for(request, 20 * MS).await.unwrap_err().is_timeout());
        held.pop();
        client.get(url(&server, "/")).await?.read().await?;
        // However the host is written.
        let port = server.local_addr().as_inet().unwrap().port();
        let client = Client::builder().limit_per_host(1).build();
        let held = client.get(format!("http://me@LocalHost:{port}/")).await?;
        let request = client.get(format!("http://localhost:{port}/"));
        assert!(wait_for(request, 20 * MS).await.unwrap_err().is_timeout());
        drop(held);
        ended(server).await
    });
}

#[test]
fn default_headers_are_sent_unless_the_request_has_them() {
    run(async |_| {
        let handler = async |request: Request<Incoming>| {
            let all = request.headers().get_all(ACCEPT).iter().map(|it| it.to_str().unwrap());
            Ok::<_, Error>(Response::new(all.collect::<Vec<_>>().join(" ")))
        };
        let server = started(service_fn(handler)).await?;
        let client = Client::builder();
        let client = client.header(ACCEPT, HeaderValue::from_static("a"));
        let mut client = client.header(ACCEPT, HeaderValue::from_static("b")).build();
        let place = url(&server, "/");
        assert_eq!(client.get(&place).await?.text().await?, "a b");
        assert_eq!(client.get(&place).header(ACCEPT, "c").await?.text().await?, "c");
        // And for a library that uses the client as a service.
        for (own, expected) in [(None, "a b"), (Some("c"), "c")] {
            let request =
                own.into_iter().fold(Request::get(&place), |it, own| it.header(ACCEPT, own));
            let response = client.call(request.body(Full::default())?).await?;
            assert_eq!(response.into_body().collect().await?.to_bytes(), expected);
        }
        drop(client);
        ended(server).await
    });
}

#[test]
fn headers_and_bodies_arrive() {
    run(async |_| {
        let server = started(service_fn(async |request: Request<Incoming>| {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let of = |name: &str| {
                head.headers
                    .get(name)
                    .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            };
            let text = format!(
                "{} {:?} {:?} {:?}",
                head.method,
                of("content-type"),
                of("user-agent"),
                of("x")
            );
            let mut response = Response::new(text + " " + &String::from_utf8_lossy(&body));
            response.headers_mut().insert("seen", HeaderValue::from_static("yes"));
            Ok::<_, Error>(response)
        }))
        .await?;
        let client = Client::builder().header(USER_AGENT, HeaderValue::from_static("me")).build();
        let url = url(&server, "/");
        let response = client.put(&url).header("x", "y").json(&BTreeMap::from([("a", 1)])).await?;
        assert_eq!(response.headers()["seen"], "yes");
        assert_eq!(
            response.text().await?,
            r#"PUT Some("application/json") Some("me") Some("y") {"a":1}"#
        );
        let text = client.delete(&url).header(USER_AGENT, "you").body("text").await?.text().await?;
        assert_eq!(text, r#"DELETE None Some("you") None text"#);
        let response = client.head(&url).await?;
        assert_eq!((response.status(), response.read().await?.len()), (StatusCode::OK, 0));
        ended(server).await
    });
}

#[test]
fn what_is_asked_for_wrongly_is_an_error_that_says_so() {
    run(async |_| {
        let client = Client::new();
        let text =
            async |request: asyncio_http::ClientRequest| request.await.unwrap_err().to_string();
        assert!(text(client.get("http://a b/")).await.contains("URL"));
        assert!(text(client.get("http://x/").header("a b", "c")).await.contains("header"));
        assert!(text(client.get("http://x/").header(AUTHORIZATION, "\n")).await.contains("header"));
        for url in ["ftp://localhost/", "https://localhost/"]
            .into_iter()
            .take(if cfg!(feature = "tls") { 1 } else { 2 })
        {
            let error = client.get(url).await.unwrap_err();
            assert!(format!("{error:?}").contains("only http"), "{error:?}");
        }
        assert!(client.get("/path").await.is_err());
        let server = server().await?;
        let gone = url(&server, "/");
        ended(server).await?;
        let with_password = gone.replace("http://", "http://me:secret@");
        let error = client.get(with_password).await.unwrap_err();
        assert_eq!(error.notes(), [format!("Client: GET {gone}")]);
        Ok(())
    });
}

/// `raise_for_status` returns an error for some statuses, and invalid text or JSON is an error.
#[test]
fn a_request_that_a_server_of_http2_has_not_looked_at_is_sent_again() {
    run(async |_| {
        // The client learns how many streams there may be when it has opened more.
        let server = serve(service_fn(echo), LOOPBACK)
            .protocol(|it| _ = it.http2().max_concurrent_streams(3));
        let server = server.await?;
        let client = Client::builder().http2_only(true).build();
        let requests = (0..50).map(|_| {
            let request = client.get(url(&server, "/here?1"));
            async { request.await?.text().await }
        });
        assert_eq!(gather(requests).await?, ["/here"; 50]);
        drop(client);
        ended(server).await?;

        // Its first connection is closed by the server, with no stream that it has seen.
        const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        /// The status 200, and the end of the stream 1.
        const HEADERS: [u8; 10] = [0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88];
        let count = Rc::new(Cell::new(0));
        let counted = count.clone();
        let handler = async move |mut reader: StreamReader, writer: StreamWriter| {
            counted.set(counted.get() + 1);
            let is_refused = counted.get() % 2 == 1;
            writer.write(SETTINGS);
            // The preface of the client, and its request.
            reader.readexactly(100).await?;
            writer.write(if is_refused { &GOAWAY[..] } else { &HEADERS });
            reader.read_to_end().await.map(drop)
        };
        let server = start_server(handler, LOOPBACK).await?;
        let client = Client::builder().http2_only(true).build();
        let place = format!("http://{}/", server.local_addr());
        assert_eq!(client.post(&place).body("again").await?.status(), StatusCode::OK);
        assert_eq!(count.get(), 2);
        drop(client);
        // A body that is generated cannot be sent again.
        let client = Client::builder().http2_only(true).build();
        let error = client.post(&place).stream(Full::from("once")).await.unwrap_err();
        assert_eq!((count.get(), error.kind()), (3, "Error"));
        drop(client);
        server.close();
        server.wait_closed().await
    });
}

#[test]
fn a_response_is_checked() {
    run(async |_| {
        let server = started(service_fn(async |request: Request<Incoming>| {
            let status = request.uri().path()[1..].parse::<u16>()?;
            let mut response =
                Response::new(http_body_util::Full::new(bytes::Bytes::from_static(b"\xff")));
            *response.status_mut() = StatusCode::from_u16(status)?;
            Ok::<_, Error>(response)
        }))
        .await?;
        let client = Client::new();
        for (status, fails) in [(200, false), (302, false), (404, true), (500, true)] {
            let response = client.get(url(&server, &format!("/{status}"))).await?;
            assert_eq!(response.status().as_u16(), status);
            let checked = response.raise_for_status();
            assert_eq!(checked.is_err(), fails);
            if let Err(error) = checked {
                assert!(error.to_string().contains(&status.to_string()));
            }
        }
        assert!(client.get(url(&server, "/200")).await?.text().await.is_err());
        assert!(client.get(url(&server, "/200")).await?.json::<String>().await.is_err());
        ended(server).await
    });
}

/// After a server was restarted at the same address, the client connects again.
#[test]
fn a_server_that_comes_back_is_asked_again() {
    run(async |_| {
        let client = Client::new();
        let first = server().await?;
        let address = first.local_addr();
        assert_eq!(client.get(url(&first, "/1")).await?.text().await?, "/1");
        ended(first).await?;
        assert!(client.get(format!("http://{address}/2")).await.is_err());
        let again = asyncio_http::serve(service_fn(echo), address).await?;
        assert_eq!(client.get(url(&again, "/3")).await?.text().await?, "/3");
        drop(client);
        until(|| asyncio::all_tasks().is_ok_and(|tasks| tasks.len() == 1)).await?;
        ended(again).await
    });
}
