//! `asyncio.start_server(serve, port=8888)`

use asyncio::{Result, StreamReader, StreamWriter, start_server};

async fn serve(_: StreamReader, _: StreamWriter) -> Result<()> {
    Ok(())
}

fn main() {
    let _ = start_server(serve, 8888);
}
