//! `asyncio.gather(f(), g())`

async fn f() -> asyncio::Result<u32> {
    Ok(1)
}

async fn g() -> asyncio::Result<u32> {
    Ok(2)
}

fn main() {
    let _ = asyncio::gather(f(), g());
}
