//! A port forwarder: each connection to one address becomes a connection to another.
//!
//! ```sh
//! cargo run --example port_forwarder -- 127.0.0.1:8080 example.com:80
//! ```

use asyncio::{
    AsyncContextManager, StreamReader, StreamWriter, TaskGroup, open_connection, start_server,
};

/// Carries bytes one way. The end is passed on as an end; the other way may go on.
async fn pump(mut from: StreamReader, to: &StreamWriter) -> asyncio::Result<u64> {
    let mut count = 0;
    loop {
        let data = from.read(256 * 1024).await?;
        if data.is_empty() {
            break;
        }
        count += data.len() as u64;
        to.write(&data);
        // A sender that is faster than the other side waits here.
        to.drain().await?;
    }
    to.write_eof();
    Ok(count)
}

async fn forward(target: String, client: (StreamReader, StreamWriter)) -> asyncio::Result<()> {
    let server = match open_connection(target.clone()).await {
        Ok(server) => server,
        Err(error) if error.is_cancelled() => return Err(error),
        Err(error) => {
            eprintln!("{target}: {error}");
            return Ok(());
        }
    };
    let outcome = TaskGroup::new()
        .with(async |group| {
            let (from_client, to_client) = client;
            let (from_server, to_server) = server;
            let up = group.create_task(async move { pump(from_client, &to_server).await });
            let down = group.create_task(async move { pump(from_server, &to_client).await });
            Ok((up.await?, down.await?))
        })
        .await;
    match outcome {
        Ok((up, down)) => println!("{up} bytes to {target}, {down} back"),
        Err(error) if error.is_cancelled() => return Err(error),
        // One side was cut off: so is the other.
        Err(error) => eprintln!("{target}: {error}"),
    }
    Ok(())
}

#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(here), Some(target)) = (arguments.next(), arguments.next()) else {
        return Err(asyncio::Error::value("usage: port_forwarder HERE:PORT THERE:PORT"));
    };
    let there = target.clone();
    let server =
        start_server(move |reader, writer| forward(there.clone(), (reader, writer)), here).await?;
    println!("{} leads to {target}", server.local_addr());
    server.with(async |server| server.serve_forever().await).await
}
