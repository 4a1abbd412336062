//! A class that is no protocol.

struct Echo;

fn main() {
    let _ = asyncio::create_server(|| Echo, ("127.0.0.1", 8888));
}
