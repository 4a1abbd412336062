//! `main` with a value.

#[asyncio::main]
async fn main() -> u32 {
    5
}
