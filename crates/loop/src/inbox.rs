//! [`Inbox`]: how other threads, and signal handlers, reach a loop.
//!
//! A queue that takes mail from any thread, and three words:
//!
//! - the *gate* says which loop is open here, and counts who is inside putting something in. Closing
//!   the loop shuts it and waits for those inside; so nothing is put in after the last look, and the
//!   bell is not touched once it is gone;
//! - the *flag* says whether the loop has to be woken. It is changed by read-modify-write alone:
//!
//! ```text
//!             about to wait (1)
//!     AWAKE ─────────────────────► BLOCKED
//!      ▲ │                            │
//!      │ │ put in (2)                 │ put in (2): rings the bell
//!      │ ▼                            │
//!      │ NOTIFIED ◄───────────────────┘
//!      └────┴──── looked in (3), from any state
//! ```
//!
//!   1. [`Inbox::before_wait`]; 2. [`Inside::ring`], after the mail is in the queue;
//!   3. [`Inbox::open_mail`], before the queue is emptied;
//! - the *raised* signals, as a set of bits.
//!
//! An inbox is part of its home, and like it never freed: the loops that live there after one
//! another use it in turn.

#[cfg(all(test, not(loom)))]
// The loom models compile this file too, from elsewhere.
#[path = "inbox/tests.rs"]
mod tests;

use asyncio_core::{
    home::{Mail, Remote},
    sync::{AtomicPtr, AtomicU8, AtomicU64, Ordering, mutant},
};
use concurrent_queue::ConcurrentQueue;
use std::{any::Any, fmt, ops::Deref, ptr};

/// What ends a loop's wait. It is rung by signal handlers too: it may make system calls and use
/// atomics, and nothing else.
pub(crate) trait Bell: Send + Sync + 'static {
    fn ring(&self);
}

const AWAKE: u8 = 0;
const BLOCKED: u8 = 1;
const NOTIFIED: u8 = 2;

/// The gate: the id of the open loop, above the number of those who are inside.
const INSIDE: u64 = (1 << ID) - 1;
const ID: u32 = 16;

pub(crate) struct Inbox<B> {
    gate: AtomicU64,
    flag: Apart<AtomicU8>,
    queue: ConcurrentQueue<Mail>,
    bell: AtomicPtr<B>,
    raised: AtomicU64,
    /// The signals that the open loop wants to hear of.
    wanted: AtomicU64,
}

/// A word in a cache line of its own: the loop reads the flag in every iteration, and would take the
/// line away from those who come in.
#[repr(align(128))]
struct Apart<T>(T);

impl<T> Deref for Apart<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// Whether the loop may wait.
#[must_use]
#[derive(Debug, PartialEq)]
pub(crate) enum BeforeWait {
    /// It may: what comes from now on rings the bell.
    Wait,
    /// There is mail.
    Mail,
}

impl<B> fmt::Debug for Inbox<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = match self.flag.load(Ordering::Relaxed) {
            AWAKE => "awake",
            BLOCKED => "blocked",
            _ => "notified",
        };
        write!(f, "Inbox({flag}, {} letters)", self.queue.len())
    }
}

impl<B: Bell> Inbox<B> {
    pub(crate) fn new() -> Inbox<B> {
        Inbox {
            gate: AtomicU64::new(0),
            flag: Apart(AtomicU8::new(AWAKE)),
            queue: ConcurrentQueue::unbounded(),
            bell: AtomicPtr::new(ptr::null_mut()),
            raised: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
        }
    }

    /// Opens the gate for loop `id`, whose wait `bell` ends.
    pub(crate) fn open(&self, id: u64, bell: B) {
        self.flag.swap(AWAKE, Ordering::AcqRel);
        self.raised.store(0, Ordering::Relaxed);
        self.wanted.store(0, Ordering::Relaxed);
        self.bell.store(Box::into_raw(Box::new(bell)), Ordering::Relaxed);
        self.gate.fetch_add(id << ID, Ordering::AcqRel);
    }

    /// Shuts the gate, waits until nobody is inside, and gives the last mail to `deliver`.
    pub(crate) fn close(&self, deliver: impl FnMut(Mail)) {
        if self.gate.fetch_and(INSIDE, Ordering::AcqRel) >> ID == 0 {
            return;
        }
        while self.gate.load(Ordering::Acquire) & INSIDE != 0 {
            yield_now();
        }
        self.flag.swap(NOTIFIED, Ordering::AcqRel);
        self.open_mail(deliver);
        let bell = self.bell.swap(ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: `open` made it from a box, and nobody else takes it out; those who ring it do so
        // inside the gate, which is shut and empty.
        drop(unsafe { Box::from_raw(bell) });
    }

    /// Whether something came; may be a moment late.
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        self.flag.load(Ordering::Relaxed) == NOTIFIED
    }

    /// The loop is about to wait for its bell.
    pub(crate) fn before_wait(&self) -> BeforeWait {
        if mutant("inbox_waits_unseen") {
            if self.flag.load(Ordering::Acquire) == NOTIFIED {
                return BeforeWait::Mail;
            }
            self.flag.swap(AWAKE, Ordering::AcqRel);
        }
        match self.flag.compare_exchange(AWAKE, BLOCKED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => BeforeWait::Wait,
            Err(_) => BeforeWait::Mail,
        }
    }

    /// Ends a wait, and gives what came to `deliver`, in order.
    pub(crate) fn open_mail(&self, mut deliver: impl FnMut(Mail)) {
        if self.flag.swap(AWAKE, Ordering::AcqRel) != NOTIFIED {
            return;
        }
        // What comes meanwhile has set the flag again.
        for _ in 0..self.queue.len() {
            match self.queue.pop() {
                Ok(mail) => deliver(mail),
                Err(_) => break,
            }
        }
    }

    /// Chooses the signals that [`raise`](Inbox::raise) lets in: bit `n - 1` is signal `n`.
    pub(crate) fn want(&self, signals: u64) {
        self.wanted.store(signals, Ordering::Release);
    }

    /// Says that signals came. Async-signal-safe.
    pub(crate) fn raise(&self, signals: u64) {
        let signals = signals & self.wanted.load(Ordering::Acquire);
        if signals == 0 {
            return;
        }
        let inside = Inside::enter(self);
        if inside.id != 0 {
            self.raised.fetch_or(signals, Ordering::AcqRel);
            inside.ring();
        }
    }

    /// Takes the signals that came.
    pub(crate) fn take_raised(&self) -> u64 {
        match self.raised.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.raised.swap(0, Ordering::AcqRel),
        }
    }
}

impl<B: Bell> Remote for Inbox<B> {
    fn push(&self, id: u64, mail: Mail) -> Result<(), Mail> {
        let inside = Inside::enter(self);
        if inside.id != id {
            return Err(mail);
        }
        self.queue.push(mail).map_err(|refused| refused.into_inner())?;
        inside.ring();
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Somebody who puts something in.
struct Inside<'a, B: Bell> {
    inbox: &'a Inbox<B>,
    /// The loop that was open on entry, and stays so; zero if none was.
    id: u64,
}

impl<'a, B: Bell> Inside<'a, B> {
    fn enter(inbox: &'a Inbox<B>) -> Self {
        let seen = mutant("inbox_entered_unseen").then(|| inbox.gate.load(Ordering::Acquire));
        let gate = inbox.gate.fetch_add(1, Ordering::AcqRel);
        Inside { inbox, id: seen.unwrap_or(gate) >> ID }
    }

    /// Sees to it that the loop looks in. Called only if a loop is open.
    fn ring(&self) {
        let flag = &self.inbox.flag;
        let seen = mutant("inbox_rings_unseen").then(|| flag.load(Ordering::Acquire));
        let before = flag.swap(NOTIFIED, Ordering::AcqRel);
        if seen.unwrap_or(before) == BLOCKED {
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
