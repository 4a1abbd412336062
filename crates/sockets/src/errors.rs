//! Errors that name the function they come from.

use asyncio_core::Error;
use std::{fmt, io};

/// Adds the function in which an error arose; a cancellation stays as it is. For the crates that
/// are built on this one.
pub fn in_call(what: &str, error: Error) -> Error {
    match error {
        Error::Runtime(error) => Error::runtime(format!("{what}: {error}")),
        Error::Value(error) => Error::value(format!("{what}: {error}")),
        Error::Io(_) => match error.downcast::<io::Error>() {
            Ok(error) => of_call(what)(error).into(),
            Err(error) => error,
        },
        other => other,
    }
}

/// Adds the function to a system error. The kind stays, and the original error is the source.
pub(crate) fn of_call(what: &str) -> impl FnOnce(io::Error) -> io::Error {
    move |error| {
        let text = format!("{what}: {error}");
        described(text, error)
    }
}

/// Adds a message to a system error. The error keeps its kind, and the original error is its
/// source, where [`raw_os_error`](asyncio_core::IoError::raw_os_error) finds the number. Like
/// [`in_call`], this is for the crates that are built on this one.
pub fn described(text: String, error: io::Error) -> io::Error {
    described_as(error.kind(), text, error)
}

/// Does what [`described`] does, with another kind.
pub fn described_as(kind: io::ErrorKind, text: String, error: io::Error) -> io::Error {
    io::Error::new(kind, Described { text, error })
}

#[derive(Debug)]
struct Described {
    text: String,
    error: io::Error,
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
