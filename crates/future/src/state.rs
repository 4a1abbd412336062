//! The state of a future, whatever its type.
//!
//! ```text
//!             set_result, set_exception (1)
//!   PENDING ─────────────────────────────────► FINISHED
//!      │ cancel (2)
//!      └─────────────────────────────────────► CANCELLED
//! ```
//!
//! (1) is [`Head::finish`], (2) [`Head::cancel_now`]. Both happen once, notify every listener in order, and
//! are the only ways out of PENDING. The value of a finished future is beside the head, in `Inner<T>`. The
//! head contains only errors, so that a waiting task can hold it and cancel it without knowing `T`.

use crate::DoneCallback;
use asyncio_core::{
    CancelledError, Error, Result,
    raw::{
        Listeners, LoopRef,
        layout::Header,
        running_loop,
        sync::{Mutex, MutexGuard, keep},
    },
    wait::{Cancel, Operation, Parts, Target, Wakers},
    wait_site::WaitSite,
};
use std::{fmt, panic::Location};

pub(crate) enum Stage {
    Pending,
    Finished(Option<Error>),
    Cancelled(CancelledError),
}

pub(crate) struct State {
    pub(crate) stage: Stage,
    pub(crate) listeners: Listeners,
    /// Whether a failure is still to be reported as never retrieved.
    pub(crate) unretrieved: bool,
    /// The callback that reports a failure after a shield around the future was cancelled.
    pub(crate) late_report: Option<DoneCallback>,
}

#[repr(C)]
pub(crate) struct Head {
    /// What the future waits for, and where it was created. A request to cancel goes to the parts,
    /// instead of cancelling the future directly.
    header: Header,
    pub(crate) state: Mutex<State>,
    home: Option<LoopRef>,
    /// Whether `home` has to run for the future to end.
    is_of_loop: bool,
}

/// Whether a call changed the state of a future.
#[must_use]
#[derive(Debug, PartialEq)]
pub(crate) enum Change {
    Made,
    /// The future was already done.
    Refused,
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.lock().stage {
            Stage::Pending => "pending",
            Stage::Finished(None) => "finished",
            Stage::Finished(Some(_)) => "failed",
            Stage::Cancelled(_) => "cancelled",
        };
        write!(f, "<Future {stage} created at {}>", self.made_at())
    }
}

impl Head {
    pub(crate) fn new(operation: Operation, site: WaitSite, is_of_loop: bool) -> Head {
        Head {
            header: Header::new(operation, site),
            state: Mutex::new(State {
                stage: Stage::Pending,
                listeners: Listeners::new(),
                unretrieved: false,
                late_report: None,
            }),
            home: running_loop(),
            is_of_loop,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(crate) fn site(&self) -> WaitSite {
        self.header.site
    }

    pub(crate) fn made_at(&self) -> &'static Location<'static> {
        self.site().location()
    }

    /// The loop in which the future was created.
    pub(crate) fn home(&self) -> Option<LoopRef> {
        self.home
    }

    /// Checks that a task may wait for it in the current loop.
    ///
    /// # Errors
    /// `Runtime` if the loop that would end it cannot run during the wait.
    pub(crate) fn check_awaited_here(&self) -> Result<()> {
        match self.home.filter(|_| self.is_of_loop) {
            Some(home) => home.check_awaited_here(self.site().what()),
            None => Ok(()),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        !matches!(self.lock().stage, Stage::Pending)
    }

    /// Finishes; `store` stores the value before it becomes visible.
    pub(crate) fn finish(&self, error: Option<Error>, store: impl FnOnce()) -> Change {
        let mut wakers = Wakers::new();
        let mut state = self.lock();
        if !matches!(state.stage, Stage::Pending) {
            return Change::Refused;
        }
        state = keep("future_finished_twice", &self.state, state);
        state.unretrieved = error.is_some();
        state.stage = Stage::Finished(error);
        state.listeners.notify(&mut wakers);
        state = keep("future_told_first", &self.state, state);
        store();
        drop(state);
        Change::Made
    }

    /// Cancels the future itself, and none of its parts.
    pub(crate) fn cancel_now(&self, error: CancelledError) -> bool {
        let mut wakers = Wakers::new();
        let mut state = self.lock();
        state.unretrieved = false;
        if !matches!(state.stage, Stage::Pending) {
            return false;
        }
        state.stage = Stage::Cancelled(error);
        state.listeners.notify(&mut wakers);
        true
    }

    /// Returns the error of a future that is done, and counts it as retrieved; `Ok` if it has a
    /// value.
    pub(crate) fn outcome(&self) -> Option<Result<()>> {
        let mut state = self.lock();
        state.unretrieved = false;
        match &state.stage {
            Stage::Pending => None,
            Stage::Finished(None) => Some(Ok(())),
            Stage::Finished(Some(error)) => Some(Err(error.clone())),
            Stage::Cancelled(error) => Some(Err(Error::Cancelled(error.clone()))),
        }
    }
}

impl Cancel for Head {
    fn cancel(&self, error: CancelledError) -> bool {
        match self.parts() {
            Some(parts) => parts.cancel(&error),
            None => self.cancel_now(error),
        }
    }

    fn parts(&self) -> Option<&Parts> {
        self.header.operation.parts().filter(|_| !self.is_done())
    }

    fn take_parts(&mut self) -> Option<Parts> {
        match std::mem::take(&mut self.header.operation) {
            Operation::Parts(parts) => Some(parts),
            _ => None,
        }
    }

    fn made_at(&self) -> &'static Location<'static> {
        self.site().location()
    }

    fn home(&self) -> Option<LoopRef> {
        self.home
    }

    fn awaits(&self) -> Option<Vec<Target>> {
        self.header.operation.awaits()
    }
}
