//! Redirects: the new URL, and the headers and body that are sent to it.

use crate::support::{Raw, ended, run, started, url};
use asyncio::{Result, start_server};
use asyncio_http::{
    Client, ClientRequest, HttpServer, Incoming, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, LOCATION},
    service_fn,
};
use http_body_util::{BodyExt, Full};
use std::{cell::Cell, rc::Rc};

/// `/STATUS/PLACE` redirects to `/PLACE`, or to the URL in the query. Any other path returns a description of the
/// request.
async fn answer(request: Request<Incoming>) -> Result<Response<String>> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    if let Some((status, place)) = path[1..].split_once('/') {
        let place = head.uri.query().map_or_else(|| format!("/{place}"), str::to_owned);
        let response = Response::builder().status(status.parse::<u16>()?).header(LOCATION, place);
        return Ok(response.body("moved".to_owned())?);
    }
    let body = body.collect().await?.to_bytes();
    let sent = [AUTHORIZATION, CONTENT_TYPE, COOKIE].map(|name| match head.headers.get(&name) {
        Some(_) => format!(" {name}"),
        None => String::new(),
    });
    let body = String::from_utf8_lossy(&body);
    Ok(Response::new(format!("{} {path} {body}{}", head.method, sent.concat())))
}

async fn server() -> Result<HttpServer<'static>> {
    started(service_fn(answer)).await
}

fn with_secrets(request: ClientRequest) -> ClientRequest {
    request.header(AUTHORIZATION, "secret").header(COOKIE, "secret")
}

#[test]
fn the_method_and_the_body_are_kept_or_not_by_status() {
    run(async |_| {
        let (server, client) = (server().await?, Client::new());
        for (status, post, put) in [
            (301, "GET /there ", "PUT /there body"),
            (302, "GET /there ", "PUT /there body"),
            (303, "GET /there ", "GET /there "),
            (307, "POST /there body", "PUT /there body"),
            (308, "POST /there body", "PUT /there body"),
        ] {
            let url = url(&server, &format!("/{status}/there"));
            for (request, expected) in [(client.post(&url), post), (client.put(&url), put)] {
                let response = request.header(CONTENT_TYPE, "text/plain").body("body").await?;
                assert_eq!(response.url().path(), "/there");
                let kept = if expected.starts_with("GET") { "" } else { " content-type" };
                assert_eq!(response.text().await?, format!("{expected}{kept}"), "{status}");
            }
            let response = client.head(&url).await?;
            assert_eq!((response.status(), response.url().path()), (StatusCode::OK, "/there"));
        }
        ended(server).await
    });
}

#[test]
fn what_is_no_redirect_is_a_response() {
    run(async |_| {
        let (server, client) = (server().await?, Client::new());
        for status in [200, 300, 304, 404] {
            let response = client.get(url(&server, &format!("/{status}/there"))).await?;
            assert_eq!(response.status().as_u16(), status);
        }
        let moved = url(&server, "/302/there");
        let response = client.get(&moved).allow_redirects(false).await?;
        assert_eq!(response.status(), StatusCode::FOUND);
        assert_eq!(response.url().to_string(), moved);
        assert_eq!(response.text().await?, "moved");
        ended(server).await
    });
}

#[test]
fn secrets_stay_with_the_server_for_which_they_are() {
    run(async |_| {
        let (server, other, client) = (server().await?, server().await?, Client::new());
        let text = async |to: &str| {
            let request = with_secrets(client.get(url(&server, &format!("/302/?{to}"))));
            request.await?.text().await
        };
        assert_eq!(text("/here").await?, "GET /here  authorization cookie");
        let same = url(&server, "/here");
        assert_eq!(text(&same).await?, "GET /here  authorization cookie");
        assert_eq!(text(&url(&other, "/there")).await?, "GET /there ");
        // A `Host` header of the program is sent only to the first server.
        let request = client.get(url(&server, &format!("/302/?{}", url(&other, "/there"))));
        assert_eq!(request.header(HOST, "first").await?.text().await?, "GET /there ");
        ended(other).await?;
        ended(server).await
    });
}

#[test]
fn there_are_no_more_than_the_limit() {
    run(async |_| {
        let server = server().await?;
        let endless = url(&server, "/302/302/302/302/there");
        let most = |n| Client::builder().max_redirects(n).build();
        assert_eq!(most(4).get(&endless).await?.text().await?, "GET /there ");
        let error = most(3).get(&endless).await.unwrap_err();
        assert!(error.to_string().contains("more than 3 redirects"), "{error}");
        ended(server).await
    });
}

#[test]
fn a_streamed_body_is_sent_once() {
    run(async |_| {
        let (server, client) = (server().await?, Client::new());
        let post = |path: &str| client.post(url(&server, path)).stream(Full::from("body"));
        assert_eq!(post("/303/there").await?.text().await?, "GET /there ");
        let error = post("/307/there").await.unwrap_err();
        assert!(error.to_string().contains("cannot be sent again"), "{error}");
        let error = client.get(url(&server, "/302/?ftp://there/")).await.unwrap_err();
        assert!(format!("{error:?}").contains("only http"), "{error:?}");
        ended(server).await
    });
}

/// The next request uses the connection of the redirect.
#[test]
fn a_redirect_needs_no_further_connection() {
    run(async |_| {
        let connections = Rc::new(Cell::new(0));
        let count = connections.clone();
        let server = start_server(
            async move |reader, writer| {
                count.set(count.get() + 1);
                let mut client = Raw((reader, writer).into());
                while let Ok(head) = client.head().await {
                    let moved = head.starts_with("get /here");
                    let status = if moved { "302 Found\r\nlocation: there" } else { "200 OK" };
                    client.send(&format!("HTTP/1.1 {status}\r\ncontent-length: 5\r\n\r\nhello"));
                }
                Ok(())
            },
            ("127.0.0.1", 0),
        )
        .await?;
        let client = Client::builder().limit_per_host(1).build();
        let here = format!("http://{}/here", server.local_addr());
        let response = client.get(here).await?;
        assert_eq!((response.status(), response.url().path()), (StatusCode::OK, "/there"));
        response.read().await?;
        assert_eq!(connections.get(), 1);
        drop(client);
        server.close();
        server.wait_closed().await
    });
}
