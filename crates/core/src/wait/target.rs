//! [`Target`]: the task or future to which a wait passes a request to cancel. The call graph follows
//! the same links, from a task to its awaited tasks and futures.

use crate::{
    CancelledError,
    home::LoopRef,
    layout::mark::{Listed, Mark, TARGET},
    sync::{AtomicBool, Mutex, Ordering},
    task::reference::TaskRef,
    wait_site::WaitSite,
};
use std::{
    fmt,
    panic::Location,
    sync::{Arc, Weak},
};

/// The awaited task or future, to which a cancelled task passes the request on.
#[derive(Clone, Debug)]
pub enum Target {
    /// A task.
    Task(TaskRef),
    /// A future.
    Future(Arc<dyn Cancel>),
}

// Readers outside the process do not support 32-bit programs.
const _: () = assert!(size_of::<usize>() != 8 || size_of::<Target>() == TARGET);

/// The target of a task's first wait: an `Option<Target>` in two words instead of three.
pub(crate) enum Aim {
    /// `None`: no target.
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
    /// Cancels the future; returns false if it is done, or refuses.
    fn cancel(&self, error: CancelledError) -> bool;

    /// Returns the parts to which a request goes instead of the future itself, while the future is
    /// pending.
    fn parts(&self) -> Option<&Parts> {
        None
    }

    /// Removes those parts, because the future is dropped.
    fn take_parts(&mut self) -> Option<Parts> {
        None
    }

    /// Returns the line that created it.
    fn made_at(&self) -> &'static Location<'static>;

    /// Returns the loop in which it was created.
    fn home(&self) -> Option<LoopRef>;

    /// Returns its awaited targets, if it belongs to an operation on tasks and futures.
    fn awaits(&self) -> Option<Vec<Target>>;
}

/// An operation that knows its awaited targets, but passes no request on to them.
pub trait Awaits: Send + Sync {
    /// Returns the targets that it awaits now.
    fn awaits(&self) -> Vec<Target>;
}

impl Awaits for Listed<Target> {
    fn awaits(&self) -> Vec<Target> {
        self.to_vec()
    }
}

impl<T: Awaits> Awaits for Mutex<T> {
    fn awaits(&self) -> Vec<Target> {
        self.lock().awaits()
    }
}

/// The beginning of a future that tasks wait for. It lets readers outside the process find what the future awaits.
#[derive(Debug)]
#[repr(C)]
pub struct Header {
    mark: Mark,
    /// What it waits for. The first word is the variant: [`NONE`]; [`PARTS`], followed by a `Vec` of targets; [`TASK`],
    /// followed by one word of a target; or another one, followed by two words.
    pub operation: Operation,
    /// Where it was created.
    pub site: WaitSite,
}

impl Header {
    /// Creates the header of a future with this operation.
    #[inline]
    pub fn new(operation: Operation, site: WaitSite) -> Header {
        Header { mark: Mark::HEADER, operation, site }
    }
}

/// The variant of an [`Operation`] that waits for nothing known.
pub const NONE: u64 = 0;

/// The variant of an [`Operation`] that has a list of targets.
pub const PARTS: u64 = 1;

/// The variant of an [`Operation`] that waits for one task.
pub const TASK: u64 = 2;

/// The awaited targets of a future that belongs to an operation. Its layout can be read from outside the
/// process: see [`Header`].
#[derive(Debug, Default)]
#[repr(usize)]
pub enum Operation {
    /// No targets: its result is set from outside.
    #[default]
    None = NONE as usize,
    /// These parts, to which a request to cancel the future goes (a `gather`).
    Parts(Parts) = PARTS as usize,
    /// A task that no request reaches (a `shield`).
    Task(TaskRef) = TASK as usize,
    /// A future that no request reaches.
    Future(Weak<dyn Cancel>),
    /// The targets that its operation returns, which no request reaches (a `wait`, the end of a
    /// group). The operation begins with a [`Listed`].
    Others(Weak<dyn Awaits>),
}

impl From<Option<Parts>> for Operation {
    fn from(parts: Option<Parts>) -> Operation {
        parts.map_or(Operation::None, Operation::Parts)
    }
}

impl From<Target> for Operation {
    fn from(target: Target) -> Operation {
        match target {
            Target::Task(task) => Operation::Task(task),
            Target::Future(future) => Operation::Future(Arc::downgrade(&future)),
        }
    }
}

impl Operation {
    /// Returns the parts to which a request goes.
    pub fn parts(&self) -> Option<&Parts> {
        match self {
            Operation::Parts(parts) => Some(parts),
            _ => None,
        }
    }

    /// Returns the targets that it waits for; `None` if it is not an operation.
    pub fn awaits(&self) -> Option<Vec<Target>> {
        Some(match self {
            Operation::None => return None,
            Operation::Parts(parts) => parts.targets.clone(),
            Operation::Task(task) => vec![Target::Task(task.clone())],
            Operation::Future(future) => future.upgrade().map(Target::Future).into_iter().collect(),
            Operation::Others(others) => {
                others.upgrade().map(|others| others.awaits()).unwrap_or_default()
            }
        })
    }
}

impl fmt::Debug for dyn Awaits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.awaits()).finish()
    }
}

/// The targets of a request to cancel an operation on several futures (a `gather`). The operation
/// itself decides when it ends. Operations may be nested deeper than the stack allows.
#[derive(Debug)]
#[repr(C)]
pub struct Parts {
    targets: Vec<Target>,
    /// Set when a part has taken a request.
    taken: Arc<AtomicBool>,
}

impl Parts {
    /// Creates the parts of an operation; `taken` is set when one of them takes a request.
    pub fn new(targets: Vec<Target>, taken: Arc<AtomicBool>) -> Parts {
        Parts { targets, taken }
    }

    /// Passes a request on to each part, in order; returns false if none took it.
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
    /// Returns a number that is unique while this target lives.
    pub fn id(&self) -> usize {
        match self {
            Target::Task(task) => task.as_ptr().as_ptr() as usize,
            Target::Future(future) => Arc::as_ptr(future) as *const () as usize,
        }
    }

    /// Returns where it was created.
    pub fn made_at(&self) -> &'static Location<'static> {
        match self {
            Target::Task(task) => task.spawned_at(),
            Target::Future(future) => future.made_at(),
        }
    }

    /// Returns the loop that it belongs to, or in which it was created.
    pub fn home(&self) -> Option<LoopRef> {
        match self {
            Target::Task(task) => Some(task.home()),
            Target::Future(future) => future.home(),
        }
    }

    /// Passes a request on; returns false if there was nothing to cancel.
    pub fn cancel(&self, error: CancelledError) -> bool {
        match self {
            Target::Task(task) => task.cancel(error),
            Target::Future(future) => future.cancel(error),
        }
    }
}
