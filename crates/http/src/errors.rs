//! Errors of services, bodies and connections.

use asyncio_core::Error;
use std::error::Error as StdError;

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// Returns the error and its sources.
pub(crate) fn sources(error: &Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(Some(&**error as &(dyn StdError + 'static)), |&error| error.source())
}
