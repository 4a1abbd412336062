//! Code of the program that runs inside ours, where its panic must not come out: callbacks, wakers,
//! `Clone` and `Drop` of values, the text of errors.

use crate::{Error, Result, exception::ExceptionContext, home::LoopRef};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls code of the program. Its panic becomes an error.
///
/// # Errors
/// `Panic`.
#[inline]
pub fn caught<R>(call: impl FnOnce() -> R) -> Result<R> {
    catch_unwind(AssertUnwindSafe(call)).map_err(Error::from_panic)
}

/// Calls code of the program for its effect. Its panic is reported, as `message`, to the exception
/// handler of `home`.
#[inline]
pub fn reported(message: &'static str, home: Option<LoopRef>, call: impl FnOnce()) {
    if let Err(error) = caught(call) {
        ExceptionContext::new(message).with_exception(error).report(home);
    }
}
