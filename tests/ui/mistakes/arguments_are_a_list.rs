//! A program and its arguments.
#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    asyncio::create_subprocess_exec("ls", "-l").await?;
    Ok(())
}
