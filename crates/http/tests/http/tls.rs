//! HTTP/1 and 2 over TLS.

use crate::support::{LOOPBACK, ended, iterations, outcome, run};
use asyncio::{
    Result, create_task, gather,
    ssl::{Purpose, SslContext, create_default_context},
};
use asyncio_http::{
    Client, HttpServer, Incoming, Request, Response, Version, serve, serve_unix, service_fn,
};
use std::convert::Infallible;

/// The contexts of a server and of a client that trusts it, which offer these protocols.
pub(crate) fn contexts(server: &[&str], client: &[&str]) -> Result<(SslContext, SslContext)> {
    let (ours, theirs, _) = contexts_and_certificate(server, client)?;
    Ok((ours, theirs))
}

pub(crate) fn contexts_and_certificate(
    server: &[&str],
    client: &[&str],
) -> Result<(SslContext, SslContext, String)> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let mut ours = create_default_context(Purpose::ClientAuth);
    ours.load_cert_chain_pem(certificate.as_bytes(), key.as_bytes())?;
    ours.set_alpn_protocols(server)?;
    let mut theirs = trusting(&certificate)?;
    theirs.set_alpn_protocols(client)?;
    Ok((ours, theirs, certificate))
}

/// A client's context that trusts this certificate alone.
pub(crate) fn trusting(pem: &str) -> Result<SslContext> {
    let mut context = create_default_context(Purpose::ServerAuth);
    context.clear_verify_locations()?;
    context.load_verify_pem(pem.as_bytes())?;
    Ok(context)
}

async fn echo(request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    Ok(Response::new(request.uri().path().to_owned()))
}

pub(crate) async fn started(context: SslContext) -> Result<HttpServer<'static>> {
    serve(service_fn(echo), LOOPBACK).ssl(context).await
}

pub(crate) fn url(server: &HttpServer<'_>, n: u32) -> Result<String> {
    let address =
        server.local_addr().as_inet().ok_or_else(|| asyncio::Error::msg("of the internet"))?;
    Ok(format!("https://localhost:{}/{n}", address.port()))
}

#[test]
fn the_version_is_chosen_in_the_handshake() {
    run(async |_| {
        let (both, one) = (["h2", "http/1.1"], ["http/1.1"]);
        for (ours, theirs, version) in [
            (&both[..], &both[..], Version::HTTP_2),
            (&one, &both, Version::HTTP_11),
            (&both, &one, Version::HTTP_11),
            (&[], &[], Version::HTTP_11),
        ] {
            let (ours, theirs) = contexts(ours, theirs)?;
            let server = started(ours).await?;
            let client = Client::builder().ssl(theirs).build();
            let requests = (0..20).map(|n| {
                let (client, url) = (client.clone(), url(&server, n));
                async move {
                    let response = client.get(url?).await?;
                    assert_eq!(response.version(), version);
                    assert_eq!(response.text().await?, format!("/{n}"));
                    Ok(())
                }
            });
            gather(requests).await?;
            drop(client);
            ended(server).await?;
        }
        Ok(())
    });
}

#[test]
fn a_socket_of_a_path_is_served_over_tls() {
    run(async |_| {
        let (ours, theirs) = contexts(&["h2"], &["h2"])?;
        let path = std::env::temp_dir().join(format!("https-{}.socket", std::process::id()));
        let server = serve_unix(service_fn(echo), &path).ssl(ours).await?;
        let client = Client::builder().ssl(theirs).unix_socket(&path).build();
        let response = client.get("https://localhost/7").await?;
        assert_eq!(response.version(), Version::HTTP_2);
        assert_eq!(response.text().await?, "/7");
        drop(client);
        ended(server).await
    });
}

#[test]
fn a_server_that_is_not_trusted_is_not_spoken_to() {
    run(async |_| {
        let (ours, _) = contexts(&[], &[])?;
        let (_, other) = contexts(&[], &[])?;
        let server = started(ours).await?;
        let error = Client::builder().ssl(other).build().get(url(&server, 1)?).await.unwrap_err();
        assert!(format!("{error:?}").contains("certificate"), "{error:?}");
        ended(server).await
    });
}

/// A request is cancelled at each point of the handshake, and nothing is reported.
#[test]
fn a_handshake_may_be_given_up_at_any_point() {
    run(async |_| {
        let (ours, theirs) = contexts(&["h2"], &["h2"])?;
        let server = started(ours).await?;
        let (mut n, mut is_in_time) = (0, false);
        while !is_in_time {
            let client = Client::builder().ssl(theirs.clone()).build();
            let request = client.get(url(&server, n)?);
            let task = create_task(async move { request.await?.text().await });
            iterations(n as usize).await?;
            is_in_time = !task.cancel();
            if let Err(error) = outcome(&task).await? {
                assert!(error.is_cancelled(), "{error:?}");
            }
            n += 1;
        }
        ended(server).await
    });
}
