//! What the crates of this workspace share and no other crate may use.
//!
//! Nothing here is stable: any release may change it. The siblings therefore depend on each other by
//! exact version. Several items have safety contracts that span crates; each contract stands at its item,
//! and the ways in which a loop's data may be reached are described in `home.rs`.

pub use crate::{
    awaiting::WaitKey,
    cancel::RequestCounts,
    caught::caught,
    cell::{TaskCell, TaskContext, TaskVTable},
    clock::{LAG_MAX, Timers, nanos, since_epoch},
    graph::{Doing, SeenWait},
    home::{
        HomeRef, LoopRef, Message, Remote, explain_missing_loop, is_debug, no_loop_here,
        running_loop, with_entered, with_running,
    },
    listeners::{CallbackRef, Listener, Listeners},
    loop_local::LoopLocal,
    maker::Maker,
    messages::{BeforeWait, Messages, Notify},
    named::{NamedQueue, QueuePlaces},
    outstanding::Outstanding,
    running::RunningTask,
    scheduler::{Reports, Run, Scheduler, State, Tasks},
    scopes::ScopeKey,
    step::Step,
    task_ref::TaskRef,
};

/// `std::sync`, or loom's under loom.
pub mod sync {
    pub use crate::sync::*;
}

/// Where everything stands, for a look from outside.
pub mod layout {
    pub use crate::layout::*;
}

/// The numbers of a loop, for those who write them.
pub mod metrics {
    pub use crate::metrics::*;
}

/// What models under loom are made of.
#[cfg(loom)]
pub mod model {
    pub use crate::model::*;
}
