//! A port from a configuration.

fn main() {
    let port: i32 = 80;
    let _ = asyncio::open_connection(("example.org", port));
}
