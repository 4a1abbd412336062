//! Errors that name the function they come from.

use asyncio_core::Error;
use std::{fmt, io};

/// The error of a wait, with the function that waited; a cancellation as it is.
pub(crate) fn in_call(what: &str, error: Error) -> Error {
    match error {
        Error::Runtime(error) => Error::runtime(format!("{what}: {error}")),
        other => other,
    }
}

/// A system error with the function that it comes from. The kind stays, and the error itself is the
/// source.
pub(crate) fn of_call(what: &'static str) -> impl FnOnce(io::Error) -> io::Error {
    move |error| {
        let text = format!("{what}: {error}");
        io::Error::new(error.kind(), Described { text, error })
    }
}

/// A system error with a text that tells more.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) text: String,
    pub(crate) error: io::Error,
}

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Described {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
