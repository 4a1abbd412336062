//! `loop.call_soon(lambda: 5)`

fn main() {
    let event_loop = asyncio::new_event_loop().unwrap();
    let _ = event_loop.call_soon(|| 5);
}
