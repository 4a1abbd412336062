//! [`AbstractEventLoop`]: what a loop gives beside scheduling.

use crate::Result;
use std::{any::Any, fmt};

/// Work for another thread.
pub type Job = Box<dyn FnOnce() + Send>;

/// What the loop that runs in this thread gives beside scheduling: threads for blocking work, and
/// (with [`crate::source`]) readiness of descriptors. Crates that need it reach it here, so that
/// they do not depend on a particular loop.
pub trait AbstractEventLoop: fmt::Debug {
    /// Runs `job` in the default executor. While it runs, the virtual clock stands still.
    ///
    /// # Errors
    /// `Runtime` after the executor was shut down; what the system says if it has no thread.
    fn submit(&self, job: Job) -> Result<()>;

    /// The loop as what it is.
    fn as_any(&self) -> &dyn Any;
}
