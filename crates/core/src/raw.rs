//! Items that the crates of this workspace share and no other crate may use.
//!
//! Nothing here is stable: any release may change it. The siblings therefore depend on each other by
//! exact version. Several items have safety contracts that span crates; each contract is documented at
//! its item, and `home.rs` describes how a loop's data may be accessed.

pub use crate::{
    cancel::{RequestCounts, scope_key::ScopeKey},
    caught::caught,
    home::{
        HomeRef, LoopRef, Message, Remote, explain_missing_loop, is_debug,
        loop_local::LoopLocal,
        messages::{BeforeWait, Messages, Notify},
        no_loop_here, running_loop, with_entered, with_running,
    },
    layout::named::{NamedQueue, QueuePlaces},
    scheduler::{
        Reports, Run, Scheduler, State, Tasks,
        clock::{LAG_MAX, Timers, nanos, since_epoch},
        outstanding::Outstanding,
    },
    task::{
        cell::{TaskCell, TaskContext, TaskVTable},
        graph::{Doing, SeenWait},
        listeners::{CallbackRef, Listener, Listeners},
        maker::Maker,
        reference::TaskRef,
        running::RunningTask,
        step::Step,
    },
    wait::awaiting::WaitKey,
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
    pub use crate::metrics::counters::*;
}

/// The parts of models under loom.
#[cfg(loom)]
pub mod model {
    pub use crate::model::*;
}
