//! [`LoopRef`]: the reference of a handle, a leaf or a task to its loop; and the way for other
//! threads to reach it.
//!
//! A loop's data is stored in a [`Home`], which is never freed: a thread that closes a loop keeps
//! the home for its next one, and leaves it to other threads when it ends. A reference to a loop is
//! therefore two words that can be copied, sent and kept forever; one comparison shows whether it
//! still refers to a live loop of this thread. Everything in the scheduler is plain memory of the
//! home's thread; other threads can only use the [`Remote`].
//!
//! # What may access a scheduler
//! Only code that runs inside [`LoopRef::with`] or [`with_entered`], which pass the scheduler to a
//! closure. A borrow cannot leave the closure, and the closure returns before the thread gives up the
//! home, which happens between two destructors of its thread-locals. A reference that could be kept
//! would break this: in such a destructor, it might refer to the home of another thread.
//!
//! ```compile_fail
//! use asyncio_core::raw::{LoopRef, Scheduler};
//! fn keep(home: LoopRef) -> Option<&'static Scheduler> {
//!     home.with(|scheduler| scheduler)
//! }
//! ```
//!
//! ```compile_fail
//! use asyncio_core::raw::{Scheduler, with_entered};
//! use std::cell::Cell;
//! thread_local!(static KEPT: Cell<Option<&'static Scheduler>> = const { Cell::new(None) });
//! with_entered(|scheduler| KEPT.set(Some(scheduler)));
//! ```

pub(crate) mod loop_local;
pub(crate) mod messages;
#[cfg(all(test, not(loom)))]
pub(crate) mod test_remote;
mod vacant;

use crate::{
    Error, Result,
    metrics::counters::Counters,
    scheduler::Scheduler,
    slots::Key,
    sync::{AtomicU64, Ordering, thread_cell},
    task::{cell::Keeper, reference::TaskRef},
};
use std::{any::Any, cell::Cell, fmt, sync::Mutex};

/// A message that another thread puts into a loop's inbox.
pub enum Message {
    /// A task that was woken.
    Task(TaskRef),
    /// A callback of the loop that a future made ready.
    Fire(Key),
    /// A callback to run as a separate step.
    Call(Box<dyn FnOnce() -> Result<()> + Send>),
    /// Bookkeeping, to run as soon as the inbox is emptied.
    Quiet(Box<dyn FnOnce() + Send>),
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Message::Task(_) => "Message::Task",
            Message::Fire(_) => "Message::Fire",
            Message::Call(_) => "Message::Call",
            Message::Quiet(_) => "Message::Quiet",
        })
    }
}

/// The side of a loop that other threads see: a queue, and a way to end the loop's wait.
pub trait Remote: Send + Sync {
    /// Puts `message` into the inbox of loop `id`, in order; returns it if that loop is closed. A task
    /// that comes too late may also reach the next loop that lives there, which releases it, because the
    /// task is done.
    fn push(&self, id: u64, message: Message) -> Result<(), Message>;

    /// Closes the inbox of the open loop, and passes earlier messages to `deliver`. Called on the thread
    /// of the loop, when the loop is closed.
    fn close(&self, deliver: &mut dyn FnMut(Message));

    /// Returns the remote for a downcast, for the loop that made it.
    fn as_any(&self) -> &dyn Any;
}

/// The place of a loop.
pub(crate) struct Home {
    /// The thread whose home this is; zero while no thread has it.
    thread: AtomicU64,
    /// The loop that lives here; zero while none does.
    pub(crate) id: AtomicU64,
    pub(crate) scheduler: Scheduler,
    pub(crate) counters: Counters,
    remote: Box<dyn Remote>,
    /// The keepers that other threads requested for tasks of loops that live here: see
    /// [`set_keeper`](crate::task::maker::Maker::set_keeper).
    keepers: Mutex<Vec<(TaskRef, Keeper)>>,
    /// The previously created home, for readers outside the process: see [`crate::layout`].
    pub(crate) next: std::sync::atomic::AtomicPtr<Home>,
}

// SAFETY: field by field. `thread`, `id`, `counters` and `next` are atomic, `remote` is `Sync`, and
// `keepers` is behind a mutex. `scheduler` is reached
// only through `LoopRef::local` and `HomeRef::local`, on the thread that `thread` names, and is not `Sync`,
// so that a reference stays on that thread. `thread` changes while the home is vacant, through a mutex,
// in the destructor of a thread-local; no reference is in use then, for outside this crate there are
// none but those that `LoopRef::with` and `with_entered` lend to a closure, and in this crate none is
// kept beyond the step, call or closure that asked for it.
unsafe impl Sync for Home {}
// SAFETY: an empty scheduler has no tie to a thread, and a home changes hands only when empty: a
// closed one takes nothing in.
unsafe impl Send for Home {}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Home of loop {}", self.id.load(Ordering::Relaxed))
    }
}

/// A number that no other thread has, ever.
#[inline]
pub(crate) fn thread_id() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    thread_cell!(static ID: u64 = 0);
    #[cold]
    fn draw() -> u64 {
        ID.set(NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        ID.get()
    }
    match ID.get() {
        0 => draw(),
        id => id,
    }
}

thread_cell! {
    /// The loop that runs in this thread, or whose data is being worked on.
    static ENTERED: Option<&'static Scheduler> = None
}

/// The place of a loop, whichever loop lives there: one word, for values that also carry a [`Key`].
/// A key is never used twice in one place, so a key of an earlier loop names nothing in a later
/// one.
#[derive(Clone, Copy)]
pub struct HomeRef(&'static Home);

impl fmt::Debug for HomeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PartialEq for HomeRef {
    #[inline]
    fn eq(&self, other: &HomeRef) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl HomeRef {
    /// Returns the data of the loop that lives there, if this is its thread. It must not be kept:
    /// see [`Home`].
    #[inline]
    pub(crate) fn local(self) -> Option<&'static Scheduler> {
        let ours = self.0.thread.load(Ordering::Relaxed) == thread_id()
            && self.0.id.load(Ordering::Relaxed) != 0;
        ours.then_some(&self.0.scheduler)
    }

    /// Puts a message into the inbox of the loop that lives there.
    pub fn send(self, message: Message) -> Result<(), Message> {
        self.0.remote.push(self.0.id.load(Ordering::Relaxed), message)
    }
}

/// Names a loop. Copies may be kept and sent anywhere; most of what they can do works only on the
/// loop's own thread, while the loop is open.
#[derive(Clone, Copy)]
pub struct LoopRef {
    pub(crate) home: &'static Home,
    pub(crate) id: u64,
}

impl fmt::Debug for LoopRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loop {}", self.id)
    }
}

impl PartialEq for LoopRef {
    #[inline]
    fn eq(&self, other: &LoopRef) -> bool {
        self.id == other.id
    }
}

impl Eq for LoopRef {}

impl LoopRef {
    /// Returns the counters of the loop, or of one that lives there later.
    #[inline]
    pub fn counters(self) -> &'static Counters {
        &self.home.counters
    }

    /// Returns the home of the loop.
    #[inline]
    pub fn place(self) -> HomeRef {
        HomeRef(self.home)
    }

    /// Calls `f` with the keepers that other threads requested; it must not run code of the
    /// program.
    pub(crate) fn keepers<R>(self, f: impl FnOnce(&mut Vec<(TaskRef, Keeper)>) -> R) -> R {
        f(&mut self.home.keepers.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Returns a number that no other loop of the process has.
    #[inline]
    pub fn id(self) -> u64 {
        self.id
    }

    /// Calls `f` with the loop's data. `None`, and `f` is not called, if this is not its thread, or if
    /// it is closed.
    #[inline(always)]
    pub fn with<R>(self, f: impl FnOnce(&Scheduler) -> R) -> Option<R> {
        self.local().map(f)
    }

    /// Returns the loop's data, if this is its thread and the loop is open. It must not be kept:
    /// see [`Home`].
    #[inline]
    pub(crate) fn local(self) -> Option<&'static Scheduler> {
        let ours = self.home.thread.load(Ordering::Relaxed) == thread_id()
            && self.home.id.load(Ordering::Relaxed) == self.id;
        ours.then_some(&self.home.scheduler)
    }

    /// Returns whether this is the loop's thread and the loop is open.
    #[inline]
    pub fn is_local(self) -> bool {
        self.local().is_some()
    }

    /// Returns whether the loop is closed. On any thread except the loop's own, the answer `false`
    /// may already be out of date.
    #[inline]
    pub fn is_closed(self) -> bool {
        self.home.id.load(Ordering::Relaxed) != self.id
    }

    /// Checks that `what`, which this loop completes, may be awaited here: the loop has to be open, and
    /// no other loop may run in its thread, because the two would wait for each other.
    ///
    /// # Errors
    /// `Runtime`.
    #[inline]
    pub fn check_awaited_here(self, what: &str) -> Result<()> {
        let has_other = || entered().is_some_and(|running| running.home() != Some(self));
        if self.is_closed() || self.is_local() && has_other() {
            return Err(self.attached_elsewhere(what));
        }
        Ok(())
    }

    #[cold]
    fn attached_elsewhere(self, what: &str) -> Error {
        Error::runtime(match self.is_closed() {
            true => format!("{what}: its event loop is closed"),
            false => format!(
                "{what}: attached to a different loop of this thread, which does not run now"
            ),
        })
    }

    /// Returns the part of the loop that other threads may use.
    pub fn remote(self) -> &'static dyn Remote {
        &*self.home.remote
    }

    /// Puts a message into the loop's inbox, from any thread; returns it if the loop is closed.
    pub fn send(self, message: Message) -> Result<(), Message> {
        self.home.remote.push(self.id, message)
    }

    /// Calls `f`; meanwhile, [`with_entered`] finds this loop, or none on another thread than the
    /// loop's.
    #[inline]
    pub fn enter<R>(self, f: impl FnOnce() -> R) -> R {
        let _entered = self.entering();
        f()
    }

    /// Does what [`enter`](LoopRef::enter) does, until the guard is dropped. Guards of a thread must be
    /// dropped in reverse order.
    pub(crate) fn entering(self) -> EnteredGuard {
        EnteredGuard { previous: ENTERED.replace(self.local()) }
    }
}

/// Calls `f` with the data of the loop that runs in this thread, or that is being worked on. `None`, and
/// `f` is not called, if there is none.
#[inline(always)]
pub fn with_entered<R>(f: impl FnOnce(&Scheduler) -> R) -> Option<R> {
    entered().map(f)
}

/// Does what [`with_entered`] does, for `function`, which needs a loop.
///
/// # Errors
/// The errors of `f`; `Runtime` (`no running event loop`) if there is none.
#[inline(always)]
pub fn with_running<R>(function: &str, f: impl FnOnce(&Scheduler) -> Result<R>) -> Result<R> {
    with_entered(f).unwrap_or_else(|| Err(no_running_loop(function)))
}

#[cold]
pub(crate) fn no_running_loop(function: &str) -> Error {
    Error::runtime(format!("{function}: {}", no_loop_here()))
}

thread_local!(static WHY_NO_LOOP: Cell<&'static str> = const { Cell::new("") });

/// Adds `reason` to the errors of functions that need a running loop and are called on this thread without
/// one: why there is none, and what to do.
pub fn explain_missing_loop(reason: &'static str) {
    WHY_NO_LOOP.set(reason);
}

/// Returns the message for a call that needs a running loop where none runs.
#[cold]
pub fn no_loop_here() -> String {
    format!("no running event loop{}", WHY_NO_LOOP.try_with(Cell::get).unwrap_or_default())
}

/// Returns the loop that runs in this thread, or that is being worked on.
#[inline]
pub fn running_loop() -> Option<LoopRef> {
    entered()?.home()
}

/// Returns whether that loop is in debug mode.
pub fn is_debug() -> bool {
    entered().is_some_and(|scheduler| scheduler.reports.debug())
}

/// Returns the data of the loop that runs in this thread, or that is being worked on. It must not
/// be kept: see [`Home`].
#[inline]
pub(crate) fn entered() -> Option<&'static Scheduler> {
    ENTERED.get()
}

/// Undoes [`LoopRef::entering`] when dropped.
#[must_use]
pub(crate) struct EnteredGuard {
    previous: Option<&'static Scheduler>,
}

impl Drop for EnteredGuard {
    fn drop(&mut self) {
        ENTERED.set(self.previous);
    }
}
