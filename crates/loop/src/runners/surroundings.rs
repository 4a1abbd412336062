//! [`Surroundings`]: a context around a program.

use asyncio_core::Result;
use std::{fmt, sync::Arc};

/// A context around the runs of a [`Runner`](crate::Runner), and around the jobs that they run in threads,
/// such as the context of another runtime. See [`Runner::surroundings`](crate::Runner::surroundings).
///
/// It is dropped when the loop is closed, after everything inside it has ended, except threads for which the
/// end of the run no longer waits.
pub trait Surroundings: Send + Sync {
    /// Enters the context on this thread; dropping the returned guard leaves it. This is called once for
    /// each run, for the end of the runner, and for each job, and never inside another call on the same
    /// thread.
    fn enter(&self) -> Entered<'_>;
}

/// A guard that keeps a thread inside [`Surroundings`].
pub struct Entered<'a> {
    _guard: Box<dyn Guard + 'a>,
}

/// Anything that does its work when it is dropped.
trait Guard {}
impl<T> Guard for T {}

impl<'a> Entered<'a> {
    /// Creates the value for a thread that is inside as long as `guard` lives.
    pub fn new<G: 'a>(guard: G) -> Entered<'a> {
        Entered { _guard: Box::new(guard) }
    }
}

impl fmt::Debug for Entered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entered")
    }
}

/// The function that creates them when the loop is created.
pub(super) type Factory = Box<dyn FnOnce() -> Result<Arc<dyn Surroundings>>>;
