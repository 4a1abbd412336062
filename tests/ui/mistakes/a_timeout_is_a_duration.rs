//! `asyncio.wait_for(f(), 1)`, `asyncio.timeout(0.5)`

fn main() {
    let _ = asyncio::wait_for(async { Ok(()) }, 1);
    let _ = asyncio::timeout(0.5);
}
