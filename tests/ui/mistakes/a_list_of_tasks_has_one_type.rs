//! `asyncio.wait([number, text])`

#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    let number = asyncio::create_task(async { Ok(1) });
    let text = asyncio::create_task(async { Ok("x") });
    asyncio::wait([number, text]).await?;
    Ok(())
}
