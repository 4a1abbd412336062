//! [`endless`]: a coroutine that returns no value, for the compiler.

use asyncio_core::Result;
use std::{convert::Infallible, future::IntoFuture};

/// Says of a coroutine that it never returns a value: it goes on until it fails or is cancelled. The
/// compiler cannot find out the type of a value that never comes; this names one.
///
/// # Cancellation
/// That of the coroutine.
///
/// ```
/// use std::time::Duration;
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let ticks = asyncio::create_task(asyncio::endless(async {
///         loop {
///             asyncio::sleep(Duration::from_millis(1)).await?;
///         }
///     }));
///     asyncio::sleep(Duration::from_millis(5)).await?;
///     ticks.cancel();
///     assert!(ticks.await.unwrap_err().is_cancelled());
///     Ok(())
/// }
/// ```
pub fn endless<F: IntoFuture<Output = Result<Infallible>>>(coroutine: F) -> F::IntoFuture {
    coroutine.into_future()
}
