//! CPython's order of wake-ups: a task that waits for a source is woken by a step of its own.

use crate::{context::Values, home::LoopRef, scheduler::Scheduler, slots::Key};
use std::panic::Location;

impl Scheduler {
    /// Has the tasks that wait for sources woken by a step in the iteration of the event, and so resumed
    /// in the next one, as the reader callbacks of asyncio's `sock_*` do. Otherwise they are resumed in
    /// the iteration of the event.
    pub fn set_wakes_in_step(&self, yes: bool) {
        self.sources.borrow_mut().wakes_in_step = yes;
    }

    #[cold]
    pub(super) fn pass_on_in_step(&self, key: Key) {
        let home = self.home();
        let step = move || {
            if let Some(scheduler) = home.and_then(LoopRef::local) {
                scheduler.pass_on(key);
            }
            Ok(())
        };
        // The loop runs, so it is open.
        let _ = self.call_soon(step, Values::default(), Location::caller());
    }
}
