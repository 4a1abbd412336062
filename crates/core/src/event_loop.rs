//! [`AbstractEventLoop`]: the services of a loop beside scheduling.

use crate::{
    Result,
    home::{LoopRef, no_running_loop, with_running},
};
use std::{any::Any, cell::Cell, fmt, rc::Rc};

/// Work for another thread.
pub type Job = Box<dyn FnOnce() + Send>;

/// The services of the loop that runs in this thread, beside scheduling: threads for blocking work,
/// and (with [`crate::source`]) readiness of descriptors. Crates that need them use this trait, so
/// that they do not depend on a particular loop.
pub trait AbstractEventLoop: fmt::Debug {
    /// Runs `job` in the default executor. While it runs, the virtual clock stands still.
    ///
    /// # Errors
    /// `Runtime` after the executor was shut down; the system's error if it cannot start a thread.
    fn submit(&self, job: Job) -> Result<()>;

    /// Called when a job of this loop starts (`waits`) or stops blocking on a coroutine of this loop.
    /// While it blocks, the loop does not wait for the job, and the virtual clock advances. A wait that
    /// `has_limit` also ends by itself, in real time.
    fn job_waits(&self, waits: bool, has_limit: bool) {
        let _ = (waits, has_limit);
    }

    /// Returns the loop, for a downcast.
    fn as_any(&self) -> &dyn Any;
}

/// Returns the loop that runs in this thread, for `function`, which needs one.
///
/// # Errors
/// `Runtime` (`no running event loop`) if there is none.
pub fn running_event_loop(function: &str) -> Result<Rc<dyn AbstractEventLoop>> {
    let event_loop = with_running(function, |scheduler| Ok(scheduler.event_loop()))?;
    event_loop.ok_or_else(|| no_running_loop(function))
}

thread_local!(static WORKS_FOR: Cell<Option<LoopRef>> = const { Cell::new(None) });

/// Returns the loop whose job this thread is running. The loop's virtual clock stands still until the
/// job ends.
#[doc(hidden)] // For the siblings.
pub fn works_for() -> Option<LoopRef> {
    WORKS_FOR.try_with(Cell::get).ok().flatten()
}

/// Runs a job of the loop `home`: meanwhile [`works_for`] returns that loop.
#[doc(hidden)] // For the siblings.
pub fn work_for<R>(home: LoopRef, job: impl FnOnce() -> R) -> R {
    struct Before(Option<LoopRef>);
    impl Drop for Before {
        fn drop(&mut self) {
            let _ = WORKS_FOR.try_with(|works_for| works_for.set(self.0));
        }
    }
    let _before = Before(WORKS_FOR.with(|works_for| works_for.replace(Some(home))));
    job()
}
