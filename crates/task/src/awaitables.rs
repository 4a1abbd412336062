//! [`Awaitables`]: the lists that `gather` and `as_completed` take.

use asyncio_core::Result;
use std::future::{Future, IntoFuture};

/// A list of coroutines, tasks or futures of one type, whose results are `Result<T>`: an array, a `Vec`, or anything
/// else that can be iterated over.
///
/// ```
/// async fn double(n: u32) -> asyncio::Result<u32> {
///     Ok(2 * n)
/// }
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     assert_eq!(asyncio::gather([double(1), double(2)]).await?, [2, 4]);
///     assert_eq!(asyncio::gather((1..4).map(double)).await?, [2, 4, 6]);
///     Ok(())
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a list of coroutines, tasks or futures",
    label = "a list is expected",
    note = "to run several that are written out, use the macro: `gather!(f(), g())`",
    note = "a list has one type: `[f(1), f(2)]`, a `Vec`, or an iterator such as `items.into_iter().map(f)`"
)]
pub trait Awaitables<T> {
    /// The type of the coroutines, tasks or futures.
    type Awaitable: IntoFuture<Output = Result<T>, IntoFuture = Self::Future>;
    /// The futures that they become.
    type Future: Future<Output = Result<T>> + 'static;

    /// Returns them one by one.
    fn into_awaitables(self) -> impl Iterator<Item = Self::Awaitable>;
}

impl<I, T> Awaitables<T> for I
where
    I: IntoIterator,
    I::Item: IntoFuture<Output = Result<T>, IntoFuture: 'static>,
{
    type Awaitable = I::Item;
    type Future = <I::Item as IntoFuture>::IntoFuture;

    fn into_awaitables(self) -> impl Iterator<Item = I::Item> {
        self.into_iter()
    }
}
