//! Code of the program that runs inside ours, where its panic must not come out: callbacks, wakers,
//! `Clone` and `Drop` of values, the text of errors.

use crate::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls code of the program. Its panic becomes an error.
///
/// # Errors
/// `Panic`.
#[inline]
pub fn caught<R>(call: impl FnOnce() -> R) -> Result<R> {
    catch_unwind(AssertUnwindSafe(call)).map_err(Error::from_panic)
}
