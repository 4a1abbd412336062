//! [`Surroundings`]: what a program runs inside of.

use asyncio_core::Result;
use std::{fmt, sync::Arc};

/// What the runs of a [`Runner`](crate::Runner), and the jobs that they give to threads, are inside of: the
/// context of another runtime, for example. See [`Runner::surroundings`](crate::Runner::surroundings).
///
/// It is dropped when the loop is closed, after everything in it has ended, except for threads that the end of
/// the run has stopped waiting for.
pub trait Surroundings: Send + Sync {
    /// Enters on this thread; dropping what is returned leaves. Called once for each run, for the end of the
    /// runner, and for each job, and never inside of another call on the same thread.
    fn enter(&self) -> Entered<'_>;
}

/// A guard that keeps a thread inside of [`Surroundings`].
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

/// What makes them, when the loop is made.
pub(super) type Factory = Box<dyn FnOnce() -> Result<Arc<dyn Surroundings>>>;
