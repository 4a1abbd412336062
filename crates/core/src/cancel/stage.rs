//! [`Stage`]: how far a request to cancel has come in one scope. The task's root has one, and so has
//! every [scope](crate::cancel::scopes).
//!
//! ```text
//!            nothing took it (1)                step begins (3)
//!   (none) ────────────────────► MUST ─────────────────────────────► THROWS
//!     │                           ▲ │ step ends: given to what           │ a leaf takes it (5)
//!     │ a wait, or a target       │ │ was armed in it (4)                ▼
//!     │ took it (2)               │ ▼                                  TAKEN ──► (none) at the
//!     └────────────────────────► SENT ─────────────────────────────────▲        end of the step
//!                                 │        a leaf picks it up (5)
//!                                 ▼ the step ends, and none did (6)
//!                               YIELDS ──► (none): the scope drops its body (7)
//! ```
//!
//! 1. The task runs, or the waits in the scope are already woken.
//! 2. A wait is cancelled, or its target accepted the request.
//! 3. Every leaf of the scope that was armed before takes the error as it resumes in this step.
//! 4. [`settle`](crate::cancel::settle): the wait in which the step ended is cancelled immediately, as in
//!    CPython.
//! 5. This also holds for the scopes around, up to the one that the request came from, and for those
//!    further out that throw in this step: two simultaneous requests are one error. Otherwise, the step
//!    turns THROWS back into MUST, and leaves SENT unchanged.
//! 6. ROUND means that the whole step ran after the request, so a wait that was not polled in it is
//!    set aside.
//! 7. The innermost scope in which the task is suspended gives way; at the root the task ends.
//!
//! TAKEN leaves ANSWERED behind, until the next request. A scope further inside may still have the
//! request, and end or be set aside in a later step; it then does not pass the request on to this
//! scope again.

use std::cell::Cell;

/// A set of the states above.
#[derive(Debug, Default)]
pub(crate) struct Stage(Cell<u8>);

/// No wait took the request: the next step throws.
pub(crate) const MUST: u8 = 1 << 0;
/// This step throws.
pub(crate) const THROWS: u8 = 1 << 1;
/// A leaf inside took the request in this step.
pub(crate) const TAKEN: u8 = 1 << 2;
/// A request was given to waits, and no leaf has picked it up.
pub(crate) const SENT: u8 = 1 << 3;
/// The step began with the request pending.
pub(crate) const ROUND: u8 = 1 << 4;
/// The scope gives way as soon as it is polled; the root gives way as soon as the task runs.
pub(crate) const YIELDS: u8 = 1 << 5;
/// Only at the root: a request may be pending in a scope of the task.
pub(crate) const SCOPES: u8 = 1 << 6;
/// A leaf inside took the request in an earlier step. A remainder of it further inside reaches leaves there,
/// but does not return to this scope.
pub(crate) const ANSWERED: u8 = 1 << 7;

impl Stage {
    pub(crate) const fn new() -> Stage {
        Stage(Cell::new(0))
    }

    /// Whether nothing is pending.
    #[inline(always)]
    pub(crate) fn is_idle(&self) -> bool {
        !self.has(!ANSWERED)
    }

    /// Whether any of `bits` is set.
    #[inline(always)]
    pub(crate) fn has(&self, bits: u8) -> bool {
        self.0.get() & bits != 0
    }

    #[inline]
    pub(crate) fn set(&self, bits: u8) {
        self.0.set(self.0.get() | bits);
    }

    #[inline]
    pub(crate) fn clear(&self, bits: u8) {
        self.0.set(self.0.get() & !bits);
    }

    /// Clears `bits`; true if one of them was set.
    #[inline]
    pub(crate) fn take(&self, bits: u8) -> bool {
        let was_set = self.has(bits);
        self.clear(bits);
        was_set
    }

    /// Whether a request is still on its way to a leaf.
    pub(crate) fn is_undelivered(&self) -> bool {
        self.has(MUST | SENT) || self.has(THROWS) && !self.has(TAKEN)
    }

    /// Begins a step, which throws an undelivered request.
    pub(crate) fn begin_round(&self) {
        if self.take(MUST) {
            self.set(THROWS | ROUND);
        }
        if self.has(SENT) {
            self.set(ROUND);
        }
        self.clear(TAKEN);
    }

    /// Ends a step: a throw that no leaf took is still to be delivered.
    pub(crate) fn end_throw(&self) {
        if self.take(THROWS) && !self.has(TAKEN) {
            self.set(MUST);
        }
    }

    /// Clears the marks of the step.
    pub(crate) fn end_round(&self) {
        if self.take(TAKEN) {
            self.set(ANSWERED);
        }
        self.clear(ROUND);
    }

    /// Records that a leaf took the request.
    pub(crate) fn pick_up(&self) {
        self.clear(SENT);
        self.set(TAKEN);
    }
}
