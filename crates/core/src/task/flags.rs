//! The single-byte fields of a task's cell: its flags, its position in the loop, and whether it is
//! passing on a request.

use std::cell::Cell;

/// The flags of a task, for its own thread.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Flag {
    /// The first wait was armed since a step last began with a pending request.
    Fresh = 1 << 0,
    /// A reference for the task's next waiter is counted in advance: see
    /// [`Lent`](crate::task::reference::Lent).
    Spare = 1 << 1,
    /// The first wait has a target: most waits have none.
    Target = 1 << 2,
    /// A request went to that target.
    Passed = 1 << 3,
    /// The cancellation of the first wait was withdrawn: its leaf has to arm it again.
    Revoked = 1 << 4,
    /// The steps enter a span of the log, or a context that is shared.
    Enters = 1 << 5,
    /// The coroutine is dropped, and the outcome is in its place.
    Ended = 1 << 6,
    /// It has received its one request of [`cancel_all`](crate::scheduler::Scheduler::cancel_all).
    Swept = 1 << 7,
}

/// All of them, in a byte.
#[derive(Debug, Default)]
pub(crate) struct Flags(Cell<u8>);

impl Flags {
    #[inline(always)]
    pub(crate) fn has(&self, flag: Flag) -> bool {
        self.0.get() & flag as u8 != 0
    }

    #[inline(always)]
    pub(crate) fn set(&self, flag: Flag) {
        self.0.set(self.0.get() | flag as u8);
    }

    /// Sets one, and clears another.
    #[inline(always)]
    pub(crate) fn set_and_clear(&self, set: Flag, clear: Flag) {
        self.0.set(self.0.get() & !(clear as u8) | set as u8);
    }

    #[inline(always)]
    pub(crate) fn clear(&self, flag: Flag) {
        self.0.set(self.0.get() & !(flag as u8));
    }

    /// Clears it; returns true if it was set.
    #[inline(always)]
    pub(crate) fn take(&self, flag: Flag) -> bool {
        let was_set = self.has(flag);
        if was_set {
            self.clear(flag);
        }
        was_set
    }
}

/// The position of a task in the loop.
///
/// ```text
///         wake           begin            retire
///   IDLE ──────► READY ────────► RUNNING ────────► ENDED
///    ▲             ▲              │   │ wake          ▲
///    └─────────────┼── suspended ─┘   ▼               │ retire
///                  └── suspended ── WOKEN ────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// It is suspended, or has not started.
    Idle,
    /// It is in the ready queue.
    Ready,
    /// In a step.
    Running,
    /// In a step, and to be queued after it.
    Woken,
    /// It never runs again.
    Ended,
}

impl Phase {
    #[inline]
    pub(crate) fn is_running(self) -> bool {
        matches!(self, Phase::Running | Phase::Woken)
    }
}

/// Whether a request is being passed on to the target of the task's wait.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum PassingOn {
    No,
    Yes,
    /// It has come back: the task waits for something that waits for the task.
    Circular,
}
