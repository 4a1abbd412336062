//! `asyncio.as_completed(f())`

async fn f() -> asyncio::Result<u32> {
    Ok(1)
}

fn main() {
    let _ = asyncio::as_completed(f());
}
