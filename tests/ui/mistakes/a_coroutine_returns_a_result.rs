//! `async def f(): return 5`

fn main() {
    let _ = asyncio::create_task(async { 5 });
}
