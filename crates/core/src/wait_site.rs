//! [`WaitSite`]: the operation that a task waits for, and its source line.

use std::{fmt, panic::Location};

/// The place at which a task is suspended: the operation, and the line of the program that called
/// it.
///
/// A composite operation hands its own site to the waits inside it, so that the report names what
/// the program called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitSite {
    /// A thin pointer, because a site is stored at each suspension and two words are cheaper than
    /// three.
    pub(crate) what: &'static &'static str,
    pub(crate) location: &'static Location<'static>,
}

/// The name of a future that the program created itself, and not for an operation.
pub static FUTURE: &str = "Future";

impl WaitSite {
    /// Returns whether the operation is the one that this static names.
    #[inline]
    pub fn is_of(&self, what: &'static &'static str) -> bool {
        std::ptr::eq(self.what, what)
    }

    /// Creates the site of `what`, called where the caller of this function was called.
    #[track_caller]
    #[inline]
    pub const fn here(what: &'static &'static str) -> WaitSite {
        WaitSite { what, location: Location::caller() }
    }

    /// Creates the site of `what`, called at `location`.
    pub const fn new(
        what: &'static &'static str,
        location: &'static Location<'static>,
    ) -> WaitSite {
        WaitSite { what, location }
    }

    /// Whether the location is of no use to a program, because a handle was polled there by this library (in
    /// a scope, or through `dyn Future`) or by the standard library (in a `Box`).
    pub(crate) fn is_in_a_library(&self) -> bool {
        is_in_a_library(self.location.file(), SOURCE)
    }

    /// Returns the operation, for example `"sleep"` or `"Lock.acquire"`.
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// Returns the line that called the operation.
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }
}

/// The path of this source file, from which the paths of the workspace's other files follow.
pub(crate) const SOURCE: &str = file!();

/// Returns whether a source file belongs to the standard library or to this library, and not to the
/// program. `source` is this library's file as the compiler of the program has read it.
#[doc(hidden)] // For asyncio-tools.
pub fn is_in_a_library(file: &str, source: &str) -> bool {
    let is_std =
        ["core", "alloc", "std"].iter().any(|of| file.contains(&format!("/library/{of}/src/")));
    is_std || is_ours(file, source)
}

/// Whether a source file belongs to a library crate of this workspace, and not to its tests or examples.
fn is_ours(file: &str, source: &str) -> bool {
    // `crates/core/src/wait_site.rs`, or `…/asyncio-core-0.1.0/src/wait_site.rs` of a registry.
    let Some((root, _)) = source.rsplit_once("core") else { return false };
    let Some((name, path)) = file.strip_prefix(root).and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let is_crate = ["core", "future", "task", "loop"].iter().any(|of| name.starts_with(of));
    is_crate && path.starts_with("src/") && !path.contains("test")
}

/// `sleep at src/main.rs:3:14`
impl fmt::Display for WaitSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.what, self.location)
    }
}
