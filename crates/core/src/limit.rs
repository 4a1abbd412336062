//! [`ToTimeout`]: the types that are accepted as a timeout.

use std::time::Duration;

/// A type that is accepted as a timeout: a `Duration`, or `None` for no limit.
///
/// ```
/// use std::time::Duration;
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let nap = || asyncio::sleep(Duration::from_millis(1));
///     asyncio::wait_for(nap(), Duration::from_secs(60)).await?;
///     asyncio::wait_for(nap(), None).await
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a timeout",
    label = "write a `Duration`, or `None` for no limit",
    note = "seconds are `Duration::from_secs(1)`, parts of one `Duration::from_millis(500)` or \
            `Duration::from_secs_f64(0.5)`, of `std::time`"
)]
pub trait ToTimeout {
    /// Returns the limit, if there is one.
    fn to_timeout(self) -> Option<Duration>;
}

impl ToTimeout for Duration {
    fn to_timeout(self) -> Option<Duration> {
        Some(self)
    }
}

impl ToTimeout for Option<Duration> {
    fn to_timeout(self) -> Option<Duration> {
        self
    }
}
