//! [`RunningTask`]: a description of the current step, for a signal handler.

use crate::{home::entered, task::cell::TaskCell, wait_site::WaitSite};
use std::{borrow::Cow, panic::Location, ptr::NonNull};

/// The number of bytes of a name that are kept.
const NAME: usize = 64;

/// A description of the task whose step runs in this thread. It keeps nothing alive.
#[derive(Clone, Copy, Debug)]
pub struct RunningTask {
    cell: NonNull<TaskCell>,
    sequence: u64,
    spawned_at: &'static Location<'static>,
    last_wait: Option<WaitSite>,
    name: [u8; NAME],
    name_len: usize,
}

// SAFETY: the pointer is only compared, never dereferenced.
unsafe impl Send for RunningTask {}

impl RunningTask {
    /// Returns the task whose step this thread runs; `None` outside a step. Async-signal-safe: it reads plain
    /// memory of the thread, and calls nothing else.
    pub fn look() -> Option<RunningTask> {
        let cell = entered()?.running_cell()?;
        // SAFETY: a step keeps its cell alive, and removes it from the scheduler before releasing it. The
        // handler interrupts the thread on which that happens.
        let task = unsafe { cell.as_ref() };
        let (what, location) = (task.affine.site_what.get(), task.affine.site_location.get());
        let mut running = RunningTask {
            cell,
            sequence: task.sequence(),
            spawned_at: task.spawned_at(),
            last_wait: (!what.is_empty()).then(|| WaitSite::new(what, location)),
            name: [0; NAME],
            name_len: 0,
        };
        // SAFETY: the box is taken out of its cell while it is modified, so a box in the cell is complete;
        // and nothing changes it while the handler runs.
        let cold = unsafe { (*task.affine.cold.as_ptr()).as_deref() };
        if let Some(name) = cold.and_then(|cold| cold.name.as_deref()) {
            running.name_len = name.len().min(NAME);
            running.name[..running.name_len].copy_from_slice(&name.as_bytes()[..running.name_len]);
        }
        Some(running)
    }

    /// Returns whether both are the same task.
    pub fn is(&self, other: &RunningTask) -> bool {
        self.cell == other.cell && self.sequence == other.sequence
    }

    /// Returns the name of the task; a long name is truncated.
    pub fn name(&self) -> Cow<'_, str> {
        match self.name_len {
            0 => Cow::Owned(format!("Task-{}", self.sequence)),
            len => String::from_utf8_lossy(&self.name[..len]),
        }
    }

    /// Returns the line that created the task.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.spawned_at
    }

    /// Returns where the task was suspended before this step; `None` if it was not.
    pub fn last_wait(&self) -> Option<WaitSite> {
        self.last_wait
    }
}
