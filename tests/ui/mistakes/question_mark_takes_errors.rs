//! An error that does not implement `std::error::Error`, as anyhow's does not.

struct NoError;

fn fails() -> Result<(), NoError> {
    Err(NoError)
}

fn main() {
    let _: asyncio::Result<()> = (|| Ok(fails()?))();
    let _ = asyncio::create_task(async { Ok(fails()?) });
}
