//! The storage for the wait of a task's handle while it awaits: in the task's loop, and not in the
//! handle. A handle is therefore two words, which are moved in registers. Tasks are created,
//! collected and passed on far more often than a handle has to wait.

use crate::{
    slots::{Key, Slots},
    wait::Wait,
};

/// The wait of a handle, and the number of the listener that ends it.
pub(crate) type Awaiting = (Wait, u32);

/// Names a stored wait; it names nothing once the wait was taken, or the loop is closed.
#[derive(Clone, Copy, Debug)]
pub struct WaitKey(pub(crate) Key);

/// The waits of all handles to tasks of one loop.
pub(crate) type Waits = Slots<Awaiting>;
