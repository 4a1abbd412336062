//! curl as a client, where it is installed.

use crate::support::{ended, run, started, url};
use asyncio::{Result, create_subprocess_exec, subprocess::PIPE};
use asyncio_http::{HttpServer, Incoming, Request, Response, service_fn, upgrade};
use bytes::Bytes;
use futures_util::SinkExt;
use http_body_util::{BodyExt, Full};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::server::create_response_with_body, protocol::Role},
};

/// Returns the output of curl; `None` if it is not installed, or does not know an option.
async fn curl(server: &HttpServer<'_>, options: &[&str], paths: &[&str]) -> Result<Option<String>> {
    let urls = paths.iter().map(|path| url(server, path));
    let arguments = options.iter().map(|option| (*option).to_owned()).chain(urls);
    let curl = create_subprocess_exec("curl", arguments).stdout(PIPE).await;
    let mut curl = match curl {
        Ok(curl) => curl,
        Err(error) => {
            eprintln!("SKIPPED: curl: {error}");
            return Ok(None);
        }
    };
    let output = curl.communicate(None).await?;
    // Exit code 2: this version does not know the option.
    if curl.returncode() == Some(2) {
        eprintln!("SKIPPED: curl does not know {options:?}");
        return Ok(None);
    }
    assert_eq!(curl.returncode(), Some(0), "curl {options:?}");
    Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let version = request.version();
    if request.uri().path() == "/large" {
        return Ok(Response::new(Full::new(vec![b'x'; 100 << 20].into())));
    }
    let (mut size, mut body) = (0, request.into_body());
    while let Some(frame) = body.frame().await.transpose()? {
        size += frame.data_ref().map_or(0, Bytes::len);
    }
    Ok(Response::new(Full::new(format!("{version:?} {size}\n").into())))
}

#[test]
fn curl_is_answered_in_both_versions() {
    run(async |_| {
        let server = started(service_fn(answer)).await?;
        let told = "%{num_connects} %{size_download}\n";
        // The file is a hole, and takes no space.
        let file = std::env::temp_dir().join(format!("asyncio-http-{}", std::process::id()));
        std::fs::File::create(&file)?.set_len(100 << 20)?;
        let file = file.to_string_lossy().into_owned();
        for (option, version) in [
            ("--http1.1", "HTTP/1.1"),
            ("--http1.0", "HTTP/1.0"),
            ("--http2-prior-knowledge", "HTTP/2.0"),
        ] {
            let upload = format!("@{}", env!("CARGO_MANIFEST_PATH"));
            let size = std::fs::metadata(env!("CARGO_MANIFEST_PATH"))?.len();
            let arguments = ["-sS", option, "-w", told, "--data-binary", &upload];
            // curl 7.88 cannot use such a connection of HTTP/2 twice.
            let paths = if version == "HTTP/2.0" { &["/"][..] } else { &["/", "/"] };
            let Some(text) = curl(&server, &arguments, paths).await? else { continue };
            let answer = format!("{version} {size}\n");
            let again = usize::from(version == "HTTP/1.0");
            let expected = [1, again].map(|count| format!("{answer}{count} {}\n", answer.len()));
            assert_eq!(text, expected[..paths.len()].concat());
            let chunked = ["-sS", option, "-H", "transfer-encoding: chunked", "-d", "12345"];
            if version == "HTTP/1.1" {
                assert_eq!(curl(&server, &chunked, &["/"]).await?.as_deref(), Some("HTTP/1.1 5\n"));
            }
            let large = ["-sS", option, "-w", told, "-o", "/dev/null"];
            let text = curl(&server, &large, &["/large"]).await?;
            assert_eq!(text.as_deref(), Some(&*format!("1 {}\n", 100 << 20)));
            let text = curl(&server, &["-sS", option, "-T", &file], &["/"]).await?;
            assert_eq!(text.as_deref(), Some(&*format!("{version} {}\n", 100 << 20)));
        }
        std::fs::remove_file(file)?;
        ended(server).await
    });
}

/// curl requests the upgrade by headers, and prints the raw frames. Only some builds of curl know `ws://`.
#[test]
fn curl_is_answered_by_a_websocket() {
    run(async |_| {
        let server = started(service_fn(async |mut request: Request<Incoming>| {
            drop(upgrade(&mut request, async |both| {
                let mut socket = WebSocketStream::from_raw_socket(both, Role::Server, None).await;
                socket.send(Message::text("hello")).await?;
                Ok(socket.close(None).await?)
            }));
            Ok::<_, asyncio::Error>(create_response_with_body(&request, String::new)?)
        }))
        .await?;
        let mut options = vec!["-sS", "--http1.1", "-w", "%{http_code}"];
        for header in [
            "connection: upgrade",
            "upgrade: websocket",
            "sec-websocket-version: 13",
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        ] {
            options.extend(["-H", header]);
        }
        if let Some(text) = curl(&server, &options, &["/"]).await? {
            // A text frame, and a close frame.
            assert_eq!(text, "\u{fffd}\u{5}hello\u{fffd}\u{0}101");
        }
        ended(server).await
    });
}
