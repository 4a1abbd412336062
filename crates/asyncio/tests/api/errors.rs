//! Errors of the application.

use super::*;

#[derive(Debug, thiserror::Error)]
enum AppError {
    #[error("asyncio: {0}")]
    Asyncio(#[from] asyncio::Error),
    #[error("io: {0}")]
    Io(#[from] std::io::Error),
}

async fn of_the_application() -> Result<(), AppError> {
    sleep(Duration::ZERO).await?;
    std::io::sink().write_all(b"fine")?;
    Err(Error::msg("no more"))?
}

#[asyncio::test(virtual_time = true)]
async fn of_an_application_hold_ours() {
    assert_eq!(of_the_application().await.unwrap_err().to_string(), "asyncio: no more");
}
