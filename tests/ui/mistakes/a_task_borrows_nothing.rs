//! A task that uses a local variable.

#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    let text = String::from("text");
    asyncio::create_task(async {
        println!("{text}");
        Ok(())
    })
    .await
}
