//! `asyncio.wait([f(), f()])`, which Python forbids as well.

async fn f() -> asyncio::Result<()> {
    Ok(())
}

fn main() {
    let _ = asyncio::wait([f(), f()]);
}
