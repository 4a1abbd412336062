//! How an [`Error`] reads.

use super::Error;
use std::fmt;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_std(), f)
    }
}

/// The kind, the message, and below it what led here: sources first, then contexts.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self}", self.kind())?;
        let mut source = self.as_std().source();
        while let Some(error) = source {
            write!(f, "\n  caused by: {error}")?;
            source = error.source();
        }
        if let Error::Group(group) = self {
            for (n, error) in group.exceptions().iter().enumerate() {
                let nested = format!("{error:?}").replace('\n', "\n    ");
                write!(f, "\n  {}. {nested}", n + 1)?;
            }
        }
        if let Some(context) = self.context() {
            let nested = format!("{context:?}").replace('\n', "\n  ");
            write!(f, "\n  while handling: {nested}")?;
        }
        Ok(())
    }
}
