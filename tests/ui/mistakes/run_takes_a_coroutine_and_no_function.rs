//! `asyncio.run(main)`

async fn program() -> asyncio::Result<()> {
    Ok(())
}

fn main() {
    let _ = asyncio::run(program);
}
