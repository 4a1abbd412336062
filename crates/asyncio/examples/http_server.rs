//! An HTTP/1.1 server in a few lines of streams: keep-alive, time limits, and a count of its visitors.
//!
//! ```sh
//! cargo run --example http_server
//! curl -v http://127.0.0.1:8000/hello
//! ```
//!
//! For more than this, hyper runs on the same streams: see `hyper_server.rs`.

use asyncio::{AsyncContextManager, Error, StreamReader, StreamWriter, start_server, timeout};
use std::{cell::Cell, rc::Rc, time::Duration};

/// The longest time that a connection may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest number of headers of a request.
const MOST_HEADERS: usize = 100;

struct Request {
    method: String,
    path: String,
    keep_alive: bool,
    length: usize,
}

/// Reads the next request on a connection; `None` when there will be none.
async fn read_request(reader: &mut StreamReader) -> asyncio::Result<Option<Request>> {
    let line = reader.readline().await?;
    if line.is_empty() {
        return Ok(None);
    }
    let line = String::from_utf8_lossy(&line).into_owned();
    let mut words = line.split_whitespace();
    let (Some(method), Some(path), Some(version)) = (words.next(), words.next(), words.next())
    else {
        return Err(Error::value("this is no HTTP"));
    };
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        keep_alive: version == "HTTP/1.1",
        length: 0,
    };
    for _ in 0..MOST_HEADERS {
        let line = reader.readline().await?;
        let line = String::from_utf8_lossy(line.trim_ascii_end()).to_ascii_lowercase();
        match line.split_once(':') {
            Some(("connection", value)) => request.keep_alive = value.trim() != "close",
            Some(("content-length", value)) => request.length = value.trim().parse()?,
            Some(_) => {}
            None => return Ok(Some(request)),
        }
    }
    Err(Error::value("too many headers"))
}

async fn serve(
    visitors: Rc<Cell<u32>>,
    mut reader: StreamReader,
    writer: StreamWriter,
) -> asyncio::Result<()> {
    visitors.set(visitors.get() + 1);
    loop {
        let request = match timeout(PATIENCE).with(async |_| read_request(&mut reader).await).await
        {
            Ok(Some(request)) => request,
            Err(error) if error.is_cancelled() => return Err(error),
            Ok(None) | Err(Error::Timeout(_)) => return Ok(()),
            Err(error) => {
                writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
                eprintln!("{error}");
                return writer.drain().await;
            }
        };
        let body = reader.readexactly(request.length).await?;
        let Request { method, path, .. } = &request;
        let text =
            format!("{method} {path} with {} bytes, from visitor {}\n", body.len(), visitors.get());
        let connection = if request.keep_alive { "keep-alive" } else { "close" };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nContent-Type: text/plain\r\n\
             Connection: {connection}\r\n\r\n",
            text.len()
        );
        writer.writelines([head, text]);
        writer.drain().await?;
        if !request.keep_alive {
            return Ok(());
        }
    }
}

#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let visitors = Rc::new(Cell::new(0));
    let server =
        start_server(move |reader, writer| serve(visitors.clone(), reader, writer), address)
            .await?;
    println!("http://{}", server.local_addr());
    server.with(async |server| server.serve_forever().await).await
}
