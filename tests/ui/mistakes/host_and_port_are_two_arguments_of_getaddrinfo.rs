//! `loop.getaddrinfo(("localhost", 80))`

fn main() {
    let _ = asyncio::getaddrinfo(("localhost", 80), 0);
}
