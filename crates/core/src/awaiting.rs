//! Where the wait of a task's handle is kept while it awaits: in the task's loop, and not in the
//! handle. So a handle is two words, which are moved in registers; tasks are made, collected and
//! handed on far more often than a handle has to wait.

use crate::{
    scheduler::Scheduler,
    slots::{Key, Slots},
    wait::Wait,
};

/// The wait of a handle, and the number of the listener that ends it.
pub(crate) type Awaiting = (Wait, u32);

/// Names a wait that is kept; nothing once it was taken, or the loop is closed.
#[derive(Clone, Copy, Debug)]
pub struct WaitKey(pub(crate) Key);

/// The waits of all handles to tasks of one loop.
pub(crate) type Waits = Slots<Awaiting>;

impl Scheduler {
    /// Takes all of them out: the loop is closing.
    pub(crate) fn take_waits(&self) -> Vec<Awaiting> {
        self.waits.borrow_mut().drain()
    }
}
