//! Readiness of I/O sources.

/// The sources of one loop.
#[derive(Debug, Default)]
pub(crate) struct Sources {}

impl Sources {
    pub(crate) const fn new() -> Sources {
        Sources {}
    }
}
