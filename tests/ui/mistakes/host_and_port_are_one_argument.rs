//! `asyncio.open_connection("example.org", 80)`

fn main() {
    let _ = asyncio::open_connection("example.org", 80);
}
