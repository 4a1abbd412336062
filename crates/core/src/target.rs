//! [`Target`]: what a wait passes a request to cancel on to.

use crate::{
    CancelledError,
    sync::{AtomicBool, Ordering},
    task_ref::TaskRef,
};
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

    /// What a request goes to instead of the future itself, while that is pending.
    fn parts(&self) -> Option<&Parts> {
        None
    }

    /// Takes those out: the future is dropped.
    fn take_parts(&mut self) -> Option<Parts> {
        None
    }
}

/// What a request to cancel an operation on several futures goes to (a `gather`). The operation ends as
/// its maker decides. It may be a part of another one, and so on, deeper than the stack has room for.
#[derive(Debug)]
pub struct Parts {
    targets: Vec<Target>,
    /// Set when one of them has taken a request.
    taken: Arc<AtomicBool>,
}

impl Parts {
    /// The parts of an operation, which learns by `taken` that one of them has taken a request.
    pub fn new(targets: Vec<Target>, taken: Arc<AtomicBool>) -> Parts {
        Parts { targets, taken }
    }

    /// What they are. They stay where they stand.
    pub(crate) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Passes a request on to each, in order; false if none has taken it.
    pub fn cancel(&self, error: &CancelledError) -> bool {
        struct Level<'a>(&'a Parts, std::slice::Iter<'a, Target>, bool);
        fn enter(parts: &Parts) -> Level<'_> {
            Level(parts, parts.targets.iter(), false)
        }
        let mut outer = Vec::new();
        let Level(mut parts, mut targets, mut is_taken) = enter(self);
        loop {
            match targets.next() {
                Some(Target::Future(future)) if future.parts().is_some() => {
                    let Some(inner) = future.parts() else { continue };
                    outer.push(Level(parts, targets, is_taken));
                    Level(parts, targets, is_taken) = enter(inner);
                }
                Some(target) => is_taken |= target.cancel(error.clone()),
                None => {
                    if is_taken {
                        parts.taken.store(true, Ordering::Relaxed);
                    }
                    let Some(level) = outer.pop() else { return is_taken };
                    let was_taken = is_taken;
                    Level(parts, targets, is_taken) = level;
                    is_taken |= was_taken;
                }
            }
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let mut rest = std::mem::take(&mut self.targets);
        while let Some(mut target) = rest.pop() {
            let Target::Future(future) = &mut target else { continue };
            let inner = Arc::get_mut(future).and_then(|future| future.take_parts());
            if let Some(mut inner) = inner {
                rest.append(&mut inner.targets);
            }
        }
    }
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
