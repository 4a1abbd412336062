//! An HTTP/1.1 client in a few lines of streams: prints the headers of a page, and its size.
//!
//! ```sh
//! cargo run --example http_server &
//! cargo run --example http_client -- http://127.0.0.1:8000/hello
//! ```
//!
//! For more than this, hyper runs on the same streams: see `hyper_client.rs`.

use asyncio::AsyncContextManager;
use asyncio::{Error, StreamReader, open_connection, timeout};
use std::time::Duration;

struct Url<'a> {
    host: &'a str,
    port: u16,
    path: &'a str,
}

fn parse(url: &str) -> asyncio::Result<Url<'_>> {
    let rest =
        url.strip_prefix("http://").ok_or_else(|| Error::value("only http:// is supported"))?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse()?),
        None => (authority, 80),
    };
    Ok(Url { host, port, path: if path.is_empty() { "/" } else { path } })
}

/// The head of the answer, line by line; the last one is empty.
async fn read_head(reader: &mut StreamReader) -> asyncio::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let line = reader.readuntil(b"\r\n").await?;
        let line = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
        if line.is_empty() {
            return Ok(lines);
        }
        lines.push(line);
    }
}

async fn read_body(reader: &mut StreamReader, head: &[String]) -> asyncio::Result<usize> {
    let header = |name: &str| {
        head.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        let mut total = 0;
        loop {
            let line = reader.readuntil(b"\r\n").await?;
            let digits = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
            let size = usize::from_str_radix(digits.split(';').next().unwrap_or("0").trim(), 16)?;
            reader.readexactly(size + 2).await?;
            if size == 0 {
                return Ok(total);
            }
            total += size;
        }
    }
    match header("content-length") {
        Some(length) => Ok(reader.readexactly(length.parse()?).await?.len()),
        None => Ok(reader.read_to_end().await?.len()),
    }
}

async fn get(url: &str) -> asyncio::Result<()> {
    let Url { host, port, path } = parse(url)?;
    let (mut reader, writer) = open_connection((host, port)).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nUser-Agent: asyncio\r\n\r\n"
    );
    writer.write(request.as_bytes());
    writer.drain().await?;
    let head = read_head(&mut reader).await?;
    head.iter().for_each(|line| println!("{line}"));
    println!("\n{} bytes", read_body(&mut reader, &head).await?);
    writer.close();
    writer.wait_closed().await
}

#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:8000/".to_owned());
    timeout(Duration::from_secs(10)).with(async |_| get(&url).await).await
}
