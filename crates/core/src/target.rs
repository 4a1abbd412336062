//! [`Target`]: what a wait passes a request to cancel on to.

use crate::{CancelledError, task_ref::TaskRef};
use std::{fmt, sync::Arc};

/// Something that a cancelled task passes the request on to: what it awaits.
#[derive(Clone, Debug)]
pub enum Target {
    /// A task.
    Task(TaskRef),
    /// A future.
    Future(Arc<dyn Cancel>),
}

/// What a task keeps of the target of its first wait: an `Option<Target>` in two words instead of
/// three.
pub(crate) enum Aim {
    /// None: no target at all.
    Task(Option<TaskRef>),
    Future(Arc<dyn Cancel>),
}

impl Default for Aim {
    #[inline]
    fn default() -> Aim {
        Aim::Task(None)
    }
}

impl From<Target> for Aim {
    #[inline]
    fn from(target: Target) -> Aim {
        match target {
            Target::Task(task) => Aim::Task(Some(task)),
            Target::Future(future) => Aim::Future(future),
        }
    }
}

impl Aim {
    pub(crate) fn target(&self) -> Option<Target> {
        match self {
            Aim::Task(task) => task.clone().map(Target::Task),
            Aim::Future(future) => Some(Target::Future(future.clone())),
        }
    }
}

/// A future that can be cancelled.
pub trait Cancel: Send + Sync + fmt::Debug {
    /// Cancels it; false if it is done, or refuses.
    fn cancel(&self, error: CancelledError) -> bool;
}

impl Target {
    /// Passes a request on; false if there was nothing to cancel.
    pub fn cancel(&self, error: CancelledError) -> bool {
        match self {
            Target::Task(task) => task.cancel(error),
            Target::Future(future) => future.cancel(error),
        }
    }
}
