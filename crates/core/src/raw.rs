//! What the crates of this workspace share and no other crate may use.
//!
//! Nothing here is stable: any release may change it. The siblings therefore depend on each other by
//! exact version. Several items have safety contracts that span crates; each contract stands at its item,
//! and the ways in which a loop's data may be reached are described in `home.rs`.

pub use crate::{
    awaiting::Kept,
    cancel::RequestCounts,
    caught::{caught, reported},
    cell::{TaskCell, TaskContext, TaskVTable},
    clock::{LAG_MAX, Outstanding, nanos, since_epoch},
    graph::{Doing, SeenWait},
    home::{
        LoopRef, Message, Place, Remote, explain_missing_loop, is_debug, no_loop_here,
        running_loop, with_entered, with_running,
    },
    listeners::{Listener, Listeners, Parked},
    loop_local::LoopLocal,
    maker::Maker,
    messages::{BeforeWait, Found, Messages},
    running::RunningTask,
    scheduler::{Scheduler, State},
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
