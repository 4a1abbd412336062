//! The load: connections that each have one request under way, by hand, and streams of HTTP/2, by hyper.

use crate::{echo::exchange, workload::Done};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Instant,
};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
const REQUESTS: usize = 20_000;

/// Requests of HTTP/1 on so many connections, and how much more `used` tells at their end.
pub(super) fn http1(
    address: SocketAddr,
    connections: usize,
    used: impl FnMut() -> io::Result<u64>,
) -> io::Result<Done> {
    let length = response_length(address)?;
    let is_right = |response: &[u8]| response.starts_with(b"HTTP/1.1 200 OK\r\n");
    exchange(address, connections, REQUEST, length, is_right, REQUESTS, used)
}

/// The size of a response, which is the same each time.
fn response_length(address: SocketAddr) -> io::Result<usize> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(&[&REQUEST[..REQUEST.len() - 2], b"connection: close\r\n\r\n"].concat())?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let closed = "connection: close\r\n";
    match response.contains(closed) && response.starts_with("HTTP/1.1 200 OK") {
        true => Ok(response.len() - closed.len()),
        false => Err(io::Error::other(format!("no response: {response}"))),
    }
}

/// The same with HTTP/2, on so many streams of a connection.
pub(super) fn http2(
    address: SocketAddr,
    streams: usize,
    mut used: impl FnMut() -> io::Result<u64>,
) -> io::Result<Done> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (requests, connection) = handshake.map_err(io::Error::other)?;
        tokio::spawn(connection);
        let url = format!("http://{address}/");
        let round = async |each: usize| {
            let streams = (0..streams).map(|_| {
                let (mut requests, url) = (requests.clone(), url.clone());
                async move {
                    let mut took = Vec::with_capacity(each);
                    for _ in 0..each {
                        let asked_at = Instant::now();
                        let request = Request::get(&url).body(Empty::<Bytes>::new())?;
                        let response = requests.send_request(request).await?;
                        let body = response.into_body().collect().await?.to_bytes();
                        assert_eq!(body, "hello");
                        took.push(asked_at.elapsed());
                    }
                    Ok::<_, Box<dyn std::error::Error + Send + Sync>>(took)
                }
            });
            let outcome = futures_util::future::try_join_all(streams).await;
            outcome.map_err(io::Error::other)
        };
        let each = REQUESTS / streams;
        round(each.div_ceil(4)).await?;
        let before = used()?;
        let took = round(each).await?.concat();
        let more = used()?.saturating_sub(before);
        Ok(Done::said(each * streams, more as f64).took(took))
    })
}
