//! Where the wait of a task's handle is kept while it awaits: in the task's loop, and not in the
//! handle. So a handle is two words, which are moved in registers; tasks are made, collected and
//! handed on far more often than a handle has to wait.

use crate::{
    cell::TaskCell,
    home::Mail,
    scheduler::{Scheduler, State},
    slots::{Key, Slots},
    task_ref::TaskRef,
    wait::Wait,
};

/// The wait of a handle, and the number of the listener that ends it.
pub type Awaiting = (Wait, u32);

/// Names a wait that is kept; nothing once it was taken, or the loop is closed.
#[derive(Clone, Copy, Debug)]
pub struct Kept(Key);

/// The waits of all handles to tasks of one loop.
pub(crate) type Waits = Slots<Awaiting>;

impl TaskCell {
    /// Keeps the wait of a handle to this task. `None`, and the wait is over, if the loop is closed, or
    /// on another thread.
    pub fn keep_wait(&self, awaiting: Awaiting) -> Option<Kept> {
        let scheduler = self.home.local().filter(|s| s.state() != State::Closed)?;
        Some(Kept(scheduler.waits.borrow_mut().insert(awaiting)))
    }

    /// Gives back what was kept, if this is the task's thread and its loop is open.
    pub fn take_wait(&self, kept: Kept) -> Option<Awaiting> {
        self.home.local()?.waits.borrow_mut().remove(kept.0)
    }

    /// Ends the wait of a handle that is dropped, on any thread.
    #[cold]
    pub fn drop_wait(&self, kept: Kept) {
        if let Some((wait, number)) = self.take_wait(kept) {
            drop(wait);
            self.unlisten(number);
        } else if !self.is_local() {
            let task = TaskRef::of(self);
            // A loop that is closed has dropped it.
            let _ = self.home.send(Mail::Quiet(Box::new(move || task.drop_wait(kept))));
        }
    }
}

impl Scheduler {
    /// Takes all of them out: the loop is closing.
    pub(crate) fn take_waits(&self) -> Vec<Awaiting> {
        self.waits.borrow_mut().drain()
    }
}
