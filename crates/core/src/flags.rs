//! What a task's cell says in single bytes: its flags, where it is in its loop, and whether it passes
//! a request on.

use std::cell::Cell;

/// What is true of a task, or not. For its own thread.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Flag {
    /// The first wait was armed since a step last began with a request pending.
    Fresh = 1 << 0,
    /// A reference for the task's next waiter is counted in advance: see
    /// [`Lent`](crate::task_ref::Lent).
    Spare = 1 << 1,
    /// The first wait has a target: most waits have none.
    Target = 1 << 2,
    /// A request went to that target.
    Passed = 1 << 3,
    /// The cancellation of the first wait was taken back: its leaf has to arm it anew.
    Revoked = 1 << 4,
    /// The steps enter something of its own: the span of the log, or a context that the task was given, or has
    /// given away.
    Enters = 1 << 5,
    /// The coroutine is gone, and the outcome stands in its place.
    Ended = 1 << 6,
    /// It has got its one request of [`cancel_all`](crate::scheduler::Scheduler::cancel_all).
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

    /// Clears it; true if it was set.
    #[inline(always)]
    pub(crate) fn take(&self, flag: Flag) -> bool {
        let was_set = self.has(flag);
        if was_set {
            self.clear(flag);
        }
        was_set
    }
}

/// Where a task is on its way through the loop.
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
    /// It is suspended, or about to begin.
    Idle,
    /// It stands in the ready queue.
    Ready,
    /// In a step.
    Running,
    /// In a step, and to stand in the ready queue behind it.
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

/// Whether a request is being passed on to what the task waits for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum PassingOn {
    No,
    Yes,
    /// It has come back: the task waits for something that waits for the task.
    Circular,
}
