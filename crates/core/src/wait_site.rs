//! [`WaitSite`]: on what a task waits, and at which source line.

use std::{fmt, panic::Location};

/// Where a task is suspended: the operation, and the line of the program that called it.
///
/// A composite operation hands its own site to the waits inside it, so that the report names what
/// the program called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitSite {
    /// A thin pointer: a site is stored at each suspension, and two words are cheaper than three.
    pub(crate) what: &'static &'static str,
    pub(crate) location: &'static Location<'static>,
}

impl WaitSite {
    /// The site of `what`, called where the caller of this function was called.
    #[track_caller]
    #[inline]
    pub const fn here(what: &'static &'static str) -> WaitSite {
        WaitSite { what, location: Location::caller() }
    }

    /// The site of `what`, called at `location`.
    pub const fn new(
        what: &'static &'static str,
        location: &'static Location<'static>,
    ) -> WaitSite {
        WaitSite { what, location }
    }

    /// The operation, for example `"sleep"` or `"Lock.acquire"`.
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// The line that called it.
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }
}

/// `sleep at src/main.rs:3:14`
impl fmt::Display for WaitSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.what, self.location)
    }
}
