//! Items that the crates of this workspace share and no other crate may use.
//!
//! Nothing here is stable: any release may change it. The siblings therefore depend on each other by
//! exact version. Several items have safety contracts that span crates; each contract is documented at
//! its item, and `home.rs` describes how a loop's data may be accessed.

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

/// The layout of all data, for readers outside the process.
pub mod layout {
    pub use crate::layout::*;
}

/// The counters of a loop, for the code that updates them.
pub mod metrics {
    pub use crate::metrics::*;
}

/// The parts of models under loom.
#[cfg(loom)]
pub mod model {
    pub use crate::model::*;
}
