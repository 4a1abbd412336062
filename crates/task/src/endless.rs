//! [`endless`]: gives a type to a coroutine that returns no value.

use asyncio_core::Result;
use std::{convert::Infallible, future::IntoFuture};

/// Marks a coroutine as one that never returns a value: it runs until it fails or is cancelled. The
/// compiler cannot infer the type of a value that is never returned; this function names one.
///
/// # Cancellation
/// The cancellation goes to the coroutine.
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
