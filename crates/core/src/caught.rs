//! Calls of the program's code that must not let a panic out: callbacks, wakers, `Clone` and `Drop`
//! of values, the text of errors.

use crate::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls code of the program, and converts its panic to an error.
///
/// # Errors
/// `Panic` if the code panics.
#[inline]
pub fn caught<R>(call: impl FnOnce() -> R) -> Result<R> {
    catch_unwind(AssertUnwindSafe(call)).map_err(Error::from_panic)
}
