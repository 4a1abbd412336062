//! `asyncio.sleep(1)`

fn main() {
    let _ = asyncio::sleep(1);
}
