//! [`retry`]: tries an operation again, with increasing pauses.

use crate::sleep::sleep_at;
use asyncio_core::{Error, Result};
use std::{
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    panic::Location,
    pin::Pin,
    time::Duration,
};

/// Runs `operation` until it succeeds, at most five times, with pauses in between: 100 ms, and twice as
/// long each time, up to ten seconds. The methods of the returned value change these defaults. asyncio has
/// no counterpart.
///
/// A cancellation or a panic is never retried.
///
/// # Errors
/// The error of the last attempt, or of an attempt for which [`only_if`](Retry::only_if) returns
/// false.
///
/// # Cancellation
/// A cancellation ends the attempt or the pause; there is no further attempt.
///
/// ```
/// use std::{cell::Cell, time::Duration};
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let attempts = Cell::new(0);
///     let answer = asyncio::retry(async || {
///         attempts.set(attempts.get() + 1);
///         if attempts.get() < 3 { Err(asyncio::Error::msg("busy")) } else { Ok("answer") }
///     });
///     assert_eq!(answer.delay(Duration::from_millis(1)).await?, "answer");
///     Ok(())
/// }
/// ```
#[track_caller]
pub fn retry<'a, F, T>(operation: F) -> Retry<'a, F>
where
    F: AsyncFnMut() -> Result<T> + 'a,
{
    Retry {
        operation,
        attempts: 5,
        delay: Duration::from_millis(100),
        factor: 2,
        max_delay: Duration::from_secs(10),
        only_if: |_| true,
        location: Location::caller(),
        borrows: PhantomData,
    }
}

/// The value that [`retry`] returns. Awaiting it runs the operation.
#[must_use = "nothing runs unless this is awaited"]
pub struct Retry<'a, F, P = fn(&Error) -> bool> {
    operation: F,
    attempts: u32,
    delay: Duration,
    factor: u32,
    max_delay: Duration,
    only_if: P,
    location: &'static Location<'static>,
    /// The operation may borrow.
    borrows: PhantomData<&'a ()>,
}

impl<'a, F, P> Retry<'a, F, P> {
    /// Sets how often the operation is tried; at least once.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets the first pause.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sets the factor by which each pause is longer than the previous one.
    pub fn factor(mut self, factor: u32) -> Self {
        self.factor = factor;
        self
    }

    /// Sets the longest pause.
    pub fn max_delay(mut self, max_delay: Duration) -> Self {
        self.max_delay = max_delay;
        self
    }

    /// Sets the errors after which the operation is tried again.
    pub fn only_if<Q: FnMut(&Error) -> bool>(self, only_if: Q) -> Retry<'a, F, Q> {
        let Retry { operation, attempts, delay, factor, max_delay, location, borrows, .. } = self;
        Retry { operation, attempts, delay, factor, max_delay, only_if, location, borrows }
    }
}

impl<'a, F, P, T> IntoFuture for Retry<'a, F, P>
where
    F: AsyncFnMut() -> Result<T> + 'a,
    P: FnMut(&Error) -> bool + 'a,
    T: 'a,
{
    type Output = Result<T>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(run(self))
    }
}

async fn run<F, P, T>(mut retry: Retry<'_, F, P>) -> Result<T>
where
    F: AsyncFnMut() -> Result<T>,
    P: FnMut(&Error) -> bool,
{
    let mut delay = retry.delay.min(retry.max_delay);
    for _ in 1..retry.attempts {
        match (retry.operation)().await {
            Err(error) if is_transient(&error) && (retry.only_if)(&error) => {}
            outcome => return outcome,
        }
        sleep_at(delay, retry.location).await?;
        delay = delay.saturating_mul(retry.factor).min(retry.max_delay);
    }
    (retry.operation)().await
}

fn is_transient(error: &Error) -> bool {
    !error.is_cancelled() && !matches!(error, Error::Panic(_) | Error::KeyboardInterrupt(_))
}

impl<F, P> fmt::Debug for Retry<'_, F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("attempts", &self.attempts)
            .field("delay", &self.delay)
            .field("factor", &self.factor)
            .field("max_delay", &self.max_delay)
            .finish_non_exhaustive()
    }
}
