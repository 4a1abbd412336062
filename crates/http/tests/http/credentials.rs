//! A user name and password in a URL.

use crate::support::{ended, run, started};
use asyncio::{Error, Result};
use asyncio_http::{
    Client, HttpServer, Incoming, Request, Response,
    header::{AUTHORIZATION, HeaderValue, LOCATION},
    service_fn,
};
use http_body_util::Empty;
use tower_service::Service;

/// Redirects to the URL in the query, or answers with the URI of the request, its host and its credentials.
async fn answer(request: Request<Incoming>) -> Result<Response<String>> {
    if let Some(place) = request.uri().query() {
        return Ok(Response::builder().status(307).header(LOCATION, place).body(String::new())?);
    }
    let header = |name| request.headers().get(name).map_or("none", |it| it.to_str().unwrap());
    Ok(Response::new(format!("{} {} {}", request.uri(), header("host"), header("authorization"))))
}

async fn server() -> Result<HttpServer<'static>> {
    started(service_fn(answer)).await
}

async fn text(client: &Client, url: String) -> Result<String> {
    client.get(url).await?.text().await
}

#[test]
fn they_are_sent_as_basic_authentication() {
    run(async |_| {
        let (server, client) = (server().await?, Client::new());
        let at = server.local_addr();
        let response = client.get(format!("http://m%65:p%77@{at}/page")).await?;
        assert_eq!(response.url().to_string(), format!("http://{at}/page"));
        assert_eq!(response.text().await?, format!("/page {at} Basic bWU6cHc="));
        // A proxy gets the URL without them.
        let proxied = Client::builder().proxy(&format!("http://{at}"))?.build();
        let answer = text(&proxied, "http://me:pw@example.org/".to_owned()).await?;
        assert_eq!(answer, "http://example.org/ example.org Basic bWU6cHc=");
        let error = client.get(format!("http://a%3Ab:pw@{at}/")).await.unwrap_err();
        assert_eq!(error.kind(), "ValueError");
        ended(server).await
    });
}

#[test]
fn the_header_of_the_program_comes_first() {
    run(async |_| {
        let (server, client) = (server().await?, Client::new());
        let at = server.local_addr();
        let own = client.get(format!("http://me:pw@{at}/")).header(AUTHORIZATION, "mine");
        assert_eq!(own.await?.text().await?, format!("/ {at} mine"));
        let moved = client.get(format!("http://{at}/?http://me:pw@{at}/"));
        let moved = moved.header(AUTHORIZATION, "mine").await?.text().await?;
        assert_eq!(moved, format!("/ {at} mine"));
        let default = HeaderValue::from_static("default");
        let client = Client::builder().header(AUTHORIZATION, default).build();
        assert_eq!(text(&client, format!("http://me:pw@{at}/")).await?, format!("/ {at} default"));
        ended(server).await
    });
}

#[test]
fn a_redirect_takes_them_along_to_the_same_server_only() {
    run(async |_| {
        let (server, other, client) = (server().await?, server().await?, Client::new());
        let (at, there) = (server.local_addr(), other.local_addr());
        let answer = async |to: String| text(&client, format!("http://me:pw@{at}/?{to}")).await;
        assert_eq!(answer("/here".to_owned()).await?, format!("/here {at} Basic bWU6cHc="));
        assert_eq!(answer(format!("http://{at}/")).await?, format!("/ {at} Basic bWU6cHc="));
        assert_eq!(answer(format!("http://{there}/")).await?, format!("/ {there} none"));
        // The redirect may name others.
        let others = answer(format!("http://you:x@{at}/")).await?;
        assert_eq!(others, format!("/ {at} Basic eW91Ong="));
        let others = answer(format!("http://you:x@{there}/")).await?;
        assert_eq!(others, format!("/ {there} Basic eW91Ong="));
        ended(other).await?;
        ended(server).await
    });
}

#[test]
fn they_are_sent_for_a_library_that_uses_the_client_as_a_service() {
    run(async |_| {
        let (server, mut client) = (server().await?, Client::new());
        let at = server.local_addr();
        let request = Request::get(format!("http://me:pw@{at}/page")).body(Empty::new())?;
        let response = client.call(request).await?;
        let body = http_body_util::BodyExt::collect(response.into_body()).await?.to_bytes();
        assert_eq!(body, format!("/page {at} Basic bWU6cHc="));
        let request = Request::get(format!("http://a%3Ab@{at}/")).body(Empty::new())?;
        let refused: Error = client.call(request).await.unwrap_err();
        assert_eq!(refused.kind(), "ValueError");
        drop(client);
        ended(server).await
    });
}
