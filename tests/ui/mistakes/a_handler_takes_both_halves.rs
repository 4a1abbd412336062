//! A handler that forgets the writer.

use asyncio::{Result, StreamReader, start_server};

async fn serve(_: StreamReader) -> Result<()> {
    Ok(())
}

fn main() {
    let _ = start_server(serve, ("127.0.0.1", 8888));
}
