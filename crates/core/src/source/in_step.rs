//! CPython's order of wake-ups: a task that waits for a source is woken by a separate step.

use crate::{context::Values, home::LoopRef, scheduler::Scheduler, slots::Key};
use std::panic::Location;

impl Scheduler {
    /// Sets whether an event wakes a task in a separate step. With `true`, this step wakes the
    /// waiting task, which resumes in the next iteration. The reader callbacks of asyncio's `sock_*`
    /// work like this. With `false`, the default, the task resumes in the iteration of the event.
    pub fn set_wakes_in_step(&self, yes: bool) {
        self.sources.borrow_mut().wakes_in_step = yes;
    }

    #[cold]
    pub(super) fn wake_in_step(&self, key: Key) {
        let home = self.home();
        let step = move || {
            if let Some(scheduler) = home.and_then(LoopRef::local) {
                scheduler.wake_ready(key);
            }
            Ok(())
        };
        // The loop runs, so it is open.
        let _ = self.call_soon(step, Values::default(), Location::caller());
    }
}
