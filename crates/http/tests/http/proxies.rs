//! Proxies: http through them, tunnels for https, and the environment that names them.

use crate::support::{ended, run, started, url};
use asyncio::{Error, Result, create_subprocess_exec, subprocess::PIPE};
use asyncio_http::{Client, Incoming, Request, Response, service_fn};

/// The URL that [`a_client_of_the_environment`] requests.
const URL: &str = "ASYNCIO_HTTP_TEST_URL";
/// The certificate that it trusts, if there is one.
#[cfg(feature = "tls")]
const TRUSTED: &str = "ASYNCIO_HTTP_TEST_TRUSTED";

/// Runs in a separate process, with its own environment: see [`answer_in`].
#[test]
fn a_client_of_the_environment() {
    let Ok(url) = std::env::var(URL) else { return };
    run(async move |_| {
        let client = Client::builder().trust_env(true);
        #[cfg(feature = "tls")]
        let client = match std::env::var(TRUSTED) {
            Ok(pem) => client.ssl(crate::tls::trusting(&pem)?),
            Err(_) => client,
        };
        println!("answer: {}", client.build().get(url).await?.text().await?);
        Ok(())
    });
}

/// Returns the response to [`a_client_of_the_environment`] in this environment.
async fn answer_in(environment: &[(&str, &str)]) -> Result<String> {
    let arguments = ["--exact", "proxies::a_client_of_the_environment", "--nocapture"];
    let client = create_subprocess_exec(std::env::current_exe()?, arguments)
        .env(environment.iter().copied());
    let output = client.stdout(PIPE).await?.communicate(None).await?.stdout;
    let output = String::from_utf8_lossy(&output).into_owned();
    let answer = output.split("answer: ").nth(1).and_then(|rest| rest.lines().next());
    answer.map(str::to_owned).ok_or_else(|| Error::msg(output))
}

/// The server is also the proxy: as a proxy, it gets the whole URL.
#[test]
fn the_environment_names_the_proxies_for_http_and_what_needs_none() {
    run(async |_| {
        let server = started(service_fn(async |request: Request<Incoming>| {
            Ok::<_, Error>(Response::new(request.uri().to_string()))
        }))
        .await?;
        let (through, url) = (url(&server, ""), url(&server, "/page"));
        for (name, direct, expected) in [
            ("http_proxy", "", &*url),
            ("HTTP_PROXY", "example.org", &url),
            ("all_proxy", "10.0.0.0/8", &url),
            ("https_proxy", "", "/page"),
            ("http_proxy", "127.0.0.0/8", "/page"),
            ("http_proxy", "*", "/page"),
        ] {
            let environment = [(URL, &*url), (name, &through), ("no_proxy", direct)];
            assert_eq!(answer_in(&environment).await?, expected, "{name} {direct}");
        }
        ended(server).await
    });
}

#[test]
fn a_proxy_is_asked_for_http_as_it_is() {
    run(async |_| {
        let proxy = started(service_fn(async |request: Request<Incoming>| {
            let known = request.headers().get("proxy-authorization");
            let known = known.is_some_and(|value| value == "Basic bWU6cHc=");
            Ok::<_, Error>(Response::new(format!("{} {known}", request.uri())))
        }))
        .await?;
        let client =
            Client::builder().proxy(&format!("http://me:pw@{}", proxy.local_addr()))?.build();
        let text = client.get("http://example.org:8080/page?q").await?.text().await?;
        assert_eq!(text, "http://example.org:8080/page?q true");
        for (url, why) in [
            ("", "no URL of a proxy"),
            ("ftp://me:pw@host", "\"host\" is no URL of a proxy"),
            ("socks5://host:1080", "only http"),
            ("http://host:99999", "a port is"),
        ] {
            let error = Client::builder().proxy(url).unwrap_err();
            assert_eq!(error.kind(), "ValueError");
            assert!(error.to_string().contains(why), "{error}");
        }
        ended(proxy).await
    });
}

#[cfg(feature = "tls")]
mod tunnels {
    use super::{TRUSTED, URL, answer_in};
    use crate::{
        support::{LOOPBACK, Raw, ended, run},
        tls::{contexts, started, url},
    };
    use asyncio::{
        Address, Error, Result, StreamReader, StreamWriter, gather, open_connection,
        ssl::SslContext, start_server,
    };
    use asyncio_http::{Client, Version};
    use std::{cell::RefCell, rc::Rc};

    /// The requests to a proxy, in lower case.
    type Asked = Rc<RefCell<Vec<String>>>;

    /// A proxy that requires `Proxy-Authorization: Basic bWU6cHc=`.
    async fn proxy(ssl: Option<SslContext>) -> Result<(asyncio::Server, Asked)> {
        let asked = Asked::default();
        let told = asked.clone();
        let serve = async move |reader, writer| {
            let mut client = Raw((reader, writer).into());
            let head = client.head().await?;
            let line = head.lines().next().unwrap_or_default().to_owned();
            told.borrow_mut().push(line.clone());
            if !head.contains("proxy-authorization: basic bwu6chc=") {
                client.send("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
                return Ok(());
            }
            let port = line.split([':', ' ']).nth(2).unwrap_or_default().parse::<u16>()?;
            let (from, to) = open_connection(("127.0.0.1", port)).await?;
            client.send("HTTP/1.1 200 Connection established\r\n\r\n");
            let (reader, writer) = client.0.into_split();
            let both: [Copy; 2] = [Box::pin(copy(reader, to)), Box::pin(copy(from, writer))];
            gather(both).await.map(drop)
        };
        let server = start_server(serve, LOOPBACK);
        let server = match ssl {
            Some(context) => server.ssl(context).await?,
            None => server.await?,
        };
        Ok((server, asked))
    }

    type Copy = std::pin::Pin<Box<dyn Future<Output = Result<()>>>>;

    async fn copy(mut from: StreamReader, to: StreamWriter) -> Result<()> {
        loop {
            let data = from.read(64 * 1024).await?;
            if data.is_empty() {
                to.close();
                return Ok(());
            }
            to.write(&data);
            to.drain().await?;
        }
    }

    fn port(address: Address) -> Result<u16> {
        Ok(address.as_inet().ok_or_else(|| Error::msg("of the internet"))?.port())
    }

    #[test]
    fn https_goes_through_a_tunnel() {
        let versions =
            [(&["h2", "http/1.1"][..], Version::HTTP_2), (&["http/1.1"], Version::HTTP_11)];
        for (protocols, version) in versions {
            run(async move |_| {
                let (ours, theirs) = contexts(protocols, &["h2", "http/1.1"])?;
                let server = started(ours).await?;
                let (proxy, asked) = proxy(None).await?;
                let through = format!("http://me:pw@{}", proxy.local_addr());
                let client = Client::builder().ssl(theirs.clone()).proxy(&through)?.build();
                for n in 0..3 {
                    let response = client.get(url(&server, n)?).await?;
                    assert_eq!(response.version(), version);
                    assert_eq!(response.text().await?, format!("/{n}"));
                }
                let port = port(server.local_addr())?;
                assert_eq!(*asked.borrow(), [format!("connect localhost:{port} http/1.1")]);
                // Without authorization the proxy refuses the request, and the error reports that.
                let stranger = format!("http://{}", proxy.local_addr());
                let stranger = Client::builder().ssl(theirs).proxy(&stranger)?.build();
                let error = format!("{:?}", stranger.get(url(&server, 0)?).await.unwrap_err());
                assert!(error.contains("authorization required"), "{error}");
                drop((client, stranger));
                proxy.close();
                proxy.wait_closed().await?;
                ended(server).await
            });
        }
    }

    /// The certificate in the tunnel has to be the server's.
    #[test]
    fn a_tunnel_to_a_server_that_is_not_trusted_is_not_used() {
        run(async |_| {
            let (ours, _) = contexts(&[], &[])?;
            let (_, other) = contexts(&[], &[])?;
            let server = started(ours).await?;
            let (proxy, asked) = proxy(None).await?;
            let through = format!("http://me:pw@{}", proxy.local_addr());
            let client = Client::builder().ssl(other).proxy(&through)?.build();
            let error = client.get(url(&server, 1)?).await.unwrap_err();
            assert!(format!("{error:?}").contains("certificate"), "{error:?}");
            assert_eq!(asked.borrow().len(), 1);
            proxy.close();
            proxy.wait_closed().await?;
            ended(server).await
        });
    }

    /// TLS with the proxy, and TLS with the server inside that.
    #[test]
    fn a_proxy_may_speak_tls_itself() {
        run(async |_| {
            let (ours, theirs) = contexts(&["h2", "http/1.1"], &["h2", "http/1.1"])?;
            let server = started(ours.clone()).await?;
            let (proxy, asked) = proxy(Some(ours)).await?;
            let through = format!("https://me:pw@localhost:{}", port(proxy.local_addr())?);
            let client = Client::builder().ssl(theirs).proxy(&through)?.build();
            assert_eq!(client.get(url(&server, 7)?).await?.text().await?, "/7");
            assert_eq!(asked.borrow().len(), 1);
            drop(client);
            proxy.close();
            proxy.wait_closed().await?;
            ended(server).await
        });
    }

    #[test]
    fn the_environment_names_the_proxies_for_https() {
        run(async |_| {
            let (ours, _, pem) = crate::tls::contexts_and_certificate(&[], &[])?;
            let server = started(ours).await?;
            let (proxy, asked) = proxy(None).await?;
            let through = format!("http://me:pw@{}", proxy.local_addr());
            let url = format!("https://localhost:{}/through", port(server.local_addr())?);
            for (name, direct, times) in [
                ("HTTPS_PROXY", "", 1),
                ("https_proxy", "example.org", 2),
                ("ALL_PROXY", "127.0.0.0/8", 3),
                ("HTTPS_PROXY", "localhost", 3),
                ("HTTPS_PROXY", "*", 3),
                ("HTTP_PROXY", "", 3),
            ] {
                let environment =
                    [(URL, &*url), (TRUSTED, &*pem), (name, &*through), ("NO_PROXY", direct)];
                assert_eq!(answer_in(&environment).await?, "/through", "{name} {direct}");
                assert_eq!(asked.borrow().len(), times, "{name} {direct}");
            }
            proxy.close();
            proxy.wait_closed().await?;
            ended(server).await
        });
    }
}
