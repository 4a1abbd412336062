//! [`Inbox`]: the way for other threads and signal handlers to reach a loop.
//!
//! The messages are in [`Messages`], a list that also says whether the loop is waiting. Two words belong to
//! it:
//!
//! - the *gate* says which loop is open here, and counts the senders inside. Closing the loop shuts
//!   the gate and waits for the senders inside, so their messages arrive, and the bell is not used
//!   after it is gone. The sender of a woken task need not know which loop is open: it is that of
//!   the task, or the task is done. So the gate is entered for it only if the bell has to be rung;
//! - the *raised* signals, as a set of bits.
//!
//! An inbox is part of its home, and like the home it is never freed: the loops that live there one
//! after another use it in turn.

#[cfg(all(test, not(loom)))]
// The loom models compile this file too, from elsewhere.
#[path = "inbox/tests.rs"]
mod tests;

use asyncio_core::raw::{
    BeforeWait, Message, Messages, Notify, Remote,
    sync::{AtomicPtr, AtomicU64, Ordering, mutant},
};
use std::{any::Any, fmt, ptr};

/// Ends a loop's wait. Signal handlers ring it too, so it may only make system calls and use
/// atomics.
pub(crate) trait Bell: Send + Sync + 'static {
    fn ring(&self);
}

/// The gate: the id of the open loop, above the number of senders inside.
const INSIDE: u64 = (1 << ID) - 1;
const ID: u32 = 16;

pub(crate) struct Inbox<B> {
    gate: AtomicU64,
    messages: Messages,
    bell: AtomicPtr<B>,
    raised: AtomicU64,
    /// The signals that the open loop wants to receive.
    wanted: AtomicU64,
}

impl<B> fmt::Debug for Inbox<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inbox({:?})", self.messages)
    }
}

impl<B: Bell> Inbox<B> {
    pub(crate) fn new() -> Inbox<B> {
        Inbox {
            gate: AtomicU64::new(0),
            messages: Messages::new(),
            bell: AtomicPtr::new(ptr::null_mut()),
            raised: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
        }
    }

    /// Opens the gate for loop `id`, whose wait `bell` ends.
    pub(crate) fn open(&self, id: u64, bell: B) {
        self.raised.store(0, Ordering::Relaxed);
        self.wanted.store(0, Ordering::Relaxed);
        self.bell.store(Box::into_raw(Box::new(bell)), Ordering::Relaxed);
        self.messages.open();
        self.gate.fetch_add(id << ID, Ordering::AcqRel);
    }

    /// Shuts the gate, waits until no sender is inside, and gives the last messages to `deliver`.
    pub(crate) fn close(&self, deliver: impl FnMut(Message)) {
        if self.gate.fetch_and(INSIDE, Ordering::AcqRel) >> ID == 0 {
            return;
        }
        while self.gate.load(Ordering::Acquire) & INSIDE != 0 {
            yield_now();
        }
        self.messages.close().for_each(deliver);
        let bell = self.bell.swap(ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: `open` made it from a box, and nothing else takes it out; senders ring it
        // inside the gate, which is shut and empty.
        drop(unsafe { Box::from_raw(bell) });
    }

    /// Whether there are messages; the answer may be slightly out of date.
    #[inline]
    pub(crate) fn has_messages(&self) -> bool {
        self.messages.is_any()
    }

    /// The loop is about to wait for its bell.
    #[inline]
    pub(crate) fn before_wait(&self) -> BeforeWait {
        self.messages.before_wait()
    }

    /// Ends a wait, and passes the messages to `deliver`, in order.
    #[inline]
    pub(crate) fn take_messages(&self, deliver: impl FnMut(Message)) {
        self.messages.after_wait();
        if self.has_messages() {
            self.messages.take().for_each(deliver);
        }
    }

    /// Sets the signals that [`raise`](Inbox::raise) admits: bit `n - 1` is signal `n`.
    pub(crate) fn want(&self, signals: u64) {
        self.wanted.store(signals, Ordering::Release);
    }

    /// Records that signals arrived. Async-signal-safe.
    pub(crate) fn raise(&self, signals: u64) {
        let signals = signals & self.wanted.load(Ordering::Acquire);
        if signals == 0 {
            return;
        }
        let Some(inside) = Inside::enter(self) else { return };
        if inside.id != 0 {
            self.raised.fetch_or(signals, Ordering::AcqRel);
            inside.ring_if(self.messages.nudge());
        }
    }

    /// Takes the signals that arrived.
    pub(crate) fn take_raised(&self) -> u64 {
        match self.raised.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.raised.swap(0, Ordering::AcqRel),
        }
    }
}

impl<B: Bell> Remote for Inbox<B> {
    fn push(&self, id: u64, message: Message) -> Result<(), Message> {
        // A bare wake-up does not use the gate.
        if let Message::Task(_) = message {
            if self.messages.push(message)? == Notify::Needed {
                if let Some(inside) = Inside::enter(self) {
                    inside.ring_if(Notify::Needed);
                }
            }
            return Ok(());
        }
        let Some(inside) = Inside::enter(self).filter(|inside| inside.id == id) else {
            return Err(message);
        };
        inside.ring_if(self.messages.push(message)?);
        Ok(())
    }

    fn close(&self, deliver: &mut dyn FnMut(Message)) {
        Inbox::close(self, deliver);
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A sender.
struct Inside<'a, B: Bell> {
    inbox: &'a Inbox<B>,
    /// The loop that was open on entry, and stays so; zero if the gate was shut just before.
    id: u64,
}

impl<'a, B: Bell> Inside<'a, B> {
    /// `None` if the gate is shut. A sender that sees this is not counted; otherwise `close` would wait
    /// for every sender that keeps trying.
    fn enter(inbox: &'a Inbox<B>) -> Option<Self> {
        if inbox.gate.load(Ordering::Acquire) >> ID == 0 {
            return None;
        }
        let seen = mutant("inbox_entered_unseen").then(|| inbox.gate.load(Ordering::Acquire));
        let gate = inbox.gate.fetch_add(1, Ordering::AcqRel);
        Some(Inside { inbox, id: seen.unwrap_or(gate) >> ID })
    }

    /// Ends the loop's wait, if the loop was found waiting and is still open.
    fn ring_if(&self, notify: Notify) {
        if notify == Notify::Needed && self.id != 0 {
            let bell = self.inbox.bell.load(Ordering::Acquire);
            // SAFETY: the gate was open when we entered, so `open` has put a bell there, and `close`
            // takes it away only when we have left.
            unsafe { &*bell }.ring();
        }
    }
}

impl<B: Bell> Drop for Inside<'_, B> {
    fn drop(&mut self) {
        self.inbox.gate.fetch_sub(1, Ordering::AcqRel);
    }
}

fn yield_now() {
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(not(loom))]
    std::thread::yield_now();
}
