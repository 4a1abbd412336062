//! [`TaskCell`]: what every task has, whatever it computes.
//!
//! [`crate::task::reference`] manages its counts, [`crate::task::maker`] its handles and its end, `wait/of_task.rs` its
//! waits, [`crate::cancel`] its cancellation, and [`crate::task::step`] its steps.

use crate::{
    CancelledError, Error,
    cancel::{
        scopes::Within,
        stage::{MUST, SENT, Stage},
    },
    context::{Context, Values},
    error::EndedTask,
    home::{LoopRef, thread_id},
    log::{SharedSpan, current_span},
    slots::{Key, Slots},
    sync::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, Ordering},
    task::{
        flags::{Flag, Flags, PassingOn, Phase},
        listeners::{CallbackRef, List},
    },
    wait::{
        OtherWait,
        state::IDLE,
        target::{Aim, Target},
        with_current,
    },
};
use std::{any::TypeId, cell::Cell, fmt, panic::Location, ptr::NonNull, sync::Arc};

/// The functions that differ between tasks. They get the cell that begins the task's allocation, and
/// are called on the task's own thread, except `free`.
#[derive(Debug)]
pub struct TaskVTable {
    /// Runs one step: polls the coroutine inside a [`Step`](crate::task::step::Step).
    pub step: unsafe fn(NonNull<TaskCell>),
    /// Drops the coroutine, and ends the task as cancelled.
    pub discard: unsafe fn(NonNull<TaskCell>),
    /// Frees the allocation, on any thread.
    pub free: unsafe fn(NonNull<TaskCell>),
    /// Releases the last handle's share of the outcome;
    /// [`release_handle`](TaskCell::release_handle) calls it.
    pub last_handle: unsafe fn(NonNull<TaskCell>),
    /// Returns the error of a task that has ended, if it has one; counts as retrieving it. The `Err`
    /// case is the cancellation that ended the task.
    pub exception: unsafe fn(NonNull<TaskCell>) -> crate::Result<Option<Error>>,
    /// Returns whether it was cancelled.
    pub cancelled: unsafe fn(NonNull<TaskCell>) -> bool,
    /// Returns the type of the result, by which asyncio-task recognises its own allocations. A
    /// crate that creates tasks of another layout returns a type that is private to it.
    pub output: fn() -> TypeId,
}

/// A function that is called for the outcome of a task as soon as it is present.
pub(crate) type Keeper = unsafe fn(NonNull<TaskCell>);

/// The data of every task. It is the first field of the task's allocation.
///
/// The order matters: fields that other threads read when they wake the task come first, together
/// with fields that are never written, and apart from those that each step writes. Otherwise the
/// cache line moves back and forth between processors.
#[repr(C)]
pub struct TaskCell {
    pub(crate) thread: u64,
    pub(crate) home: LoopRef,
    /// The message before it, if it is among a loop's [messages](crate::home::messages).
    pub(crate) next_message: AtomicPtr<()>,
    /// Whether a wake-up from another thread is on its way.
    pub(crate) sent: AtomicBool,
    /// Whether the task has ended: see [`crate::task::reference`].
    pub(crate) done: AtomicU8,
    /// Whether a failure is still to be reported as never retrieved.
    pub(crate) unretrieved: AtomicBool,
    /// Whether another thread requested a keeper: it is among those of the [home](crate::home).
    pub(crate) keeper_elsewhere: AtomicBool,
    /// The number of outstanding requests to cancel the whole task. For the task's thread; it is
    /// rarely written, and is here because there is room.
    pub(crate) requests: Cell<u32>,
    pub(crate) vtable: &'static TaskVTable,
    /// Its place in the order of creation.
    pub(crate) sequence: u64,
    pub(crate) spawned_at: &'static Location<'static>,
    /// References and handles: see [`crate::task::reference`].
    pub(crate) count: AtomicU64,
    /// The number and state of the first wait that is armed.
    pub(crate) first: AtomicU64,
    pub(crate) affine: Affine,
}

// The size matters, because every task has a cell. Loom's atomics are larger.
#[cfg(not(loom))]
const _: () = assert!(size_of::<TaskCell>() <= 160);

// SAFETY: `affine` and `requests` are accessed only on the task's own thread; the rest is atomic or
// immutable.
unsafe impl Sync for TaskCell {}
// SAFETY: nothing in the cell is tied to a thread when the last reference is dropped: what `Affine`
// holds (listeners, targets, names, context values) is `Send`.
unsafe impl Send for TaskCell {}

/// The part of the cell that belongs to the task's thread. The order matters: the fields that every
/// step uses come first, and the two words of the site are not adjacent, so that they are copied one
/// by one (a vector load of words that were just stored stalls).
#[repr(C)]
pub(crate) struct Affine {
    pub(crate) site_what: Cell<&'static &'static str>,
    pub(crate) key: Cell<Option<Key>>,
    pub(crate) site_location: Cell<&'static Location<'static>>,
    pub(crate) phase: Cell<Phase>,
    pub(crate) flags: Flags,
    pub(crate) passing_on: Cell<PassingOn>,
    /// The progress of a request at the task's root.
    pub(crate) stage: Stage,
    /// Where in the task the first wait was last polled.
    pub(crate) within: Cell<Within>,
    /// The context variables, unless the task runs, or its context is shared.
    pub(crate) values: Cell<Values>,
    pub(crate) listeners: List,
    pub(crate) cold: Cell<Option<Box<Cold>>>,
    pub(crate) aim: Cell<Aim>,
}

/// How a step has entered a context that is shared.
#[derive(Clone, Copy, Default)]
pub(crate) enum Entry {
    #[default]
    Alone,
    /// The code around it, which has started the task eagerly, runs in the same context.
    Inside,
    /// Another thread runs in it, so the step runs in a copy.
    Copy,
}

/// Data that few tasks have.
#[derive(Default)]
pub(crate) struct Cold {
    pub(crate) name: Option<Arc<str>>,
    /// The span of the log in which it was created, and which its steps enter.
    pub(crate) span: Option<SharedSpan>,
    /// The context, if it is shared.
    pub(crate) context: Option<Context>,
    /// How its step has entered that context.
    pub(crate) entry: Entry,
    /// The message of the last request to cancel the whole task, until the request is delivered.
    pub(crate) message: CancelledError,
    /// The message of the cancellation of the first wait.
    pub(crate) wait_message: CancelledError,
    /// The function that makes the value a copied one once it is present, if that was requested.
    pub(crate) keeper: Option<Keeper>,
    /// A slot for the error with which the task ends, if that was requested.
    pub(crate) failure: Option<Option<Error>>,
    /// The listener that reports a failure after a shield around the task was cancelled.
    pub(crate) late_report: Option<(u32, CallbackRef)>,
    /// Waits beside the first: leaves of `join!` and the like.
    pub(crate) others: Slots<Other>,
    /// The number of these waits.
    pub(crate) others_len: u32,
    /// The number of such waits so far.
    pub(crate) last_other: u32,
    /// That number when a step last began with a pending request.
    pub(crate) round_began_at: u32,
    /// The number of consecutive steps for which a request that nothing took was deferred.
    pub(crate) put_off: u32,
    /// The targets that got the pending request from waits which then moved to an eager task.
    pub(crate) told: Vec<Target>,
}

/// One of the waits of a task.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Which {
    First,
    Other(Key),
}

/// A wait beside the first.
pub(crate) struct Other {
    pub(crate) wait: Arc<OtherWait>,
    /// Arrival number.
    pub(crate) number: u32,
    /// Where in the task it was last polled.
    pub(crate) within: Within,
    pub(crate) target: Option<Target>,
    /// The message of its cancellation.
    pub(crate) message: CancelledError,
    /// Its cancellation was withdrawn: its leaf has to arm it again.
    pub(crate) revoked: bool,
}

impl Other {
    /// Cancels it, if it waits, and wakes nothing.
    pub(crate) fn cancel(&mut self, error: &CancelledError) -> bool {
        let cancelled = self.wait.cancel();
        if cancelled {
            self.message = error.clone();
        }
        cancelled
    }
}

impl Cold {
    /// Returns where the last armed wait was polled.
    pub(crate) fn last_within(&self) -> Within {
        let last = self.others.values().max_by_key(|other| other.number);
        last.map(|other| other.within).unwrap_or_default()
    }
}

impl Default for TaskContext {
    fn default() -> TaskContext {
        TaskContext::Own(Values::default())
    }
}

/// The context variables of a task.
#[derive(Debug)]
pub enum TaskContext {
    /// A copy of its own.
    Own(Values),
    /// A context that it was given.
    Shared(Context),
}

impl fmt::Debug for TaskCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // While it notifies of its end, it is not done yet.
        let is_over = self.is_done() || self.has_ended();
        let state = if is_over { "finished" } else { "pending" };
        match self.affine() {
            Some(_) if !is_over && self.cancelling() > 0 => {
                write!(f, "<Task cancelling name={:?}>", self.name())
            }
            Some(_) => write!(f, "<Task {state} name={:?}>", self.name()),
            None => write!(f, "<Task {state} of another thread>"),
        }
    }
}

impl TaskCell {
    /// Creates the cell of a new task of `home`, with one reference and one handle.
    ///
    /// # Safety
    /// Before any other use, the cell must be moved to its final place, where it stays until `free`
    /// is called, once, when the last reference is gone. The functions of `vtable` must be made for
    /// that place.
    #[inline(always)]
    pub unsafe fn new(
        home: LoopRef,
        sequence: u64,
        context: TaskContext,
        spawned_at: &'static Location<'static>,
        vtable: &'static TaskVTable,
    ) -> TaskCell {
        let (values, cold) = match context {
            TaskContext::Own(values) => (values, None),
            TaskContext::Shared(context) => (Values::default(), Some(Cold::of(context))),
        };
        let flags = Flags::default();
        if cold.is_some() {
            flags.set(Flag::Enters);
        }
        TaskCell {
            thread: thread_id(),
            home,
            next_message: AtomicPtr::new(std::ptr::null_mut()),
            sent: AtomicBool::new(false),
            done: AtomicU8::new(crate::task::reference::PENDING),
            unretrieved: AtomicBool::new(false),
            keeper_elsewhere: AtomicBool::new(false),
            requests: Cell::new(0),
            vtable,
            sequence,
            spawned_at,
            count: AtomicU64::new(crate::task::reference::NEW),
            first: AtomicU64::new(IDLE),
            affine: Affine {
                site_what: Cell::new(&""),
                key: Cell::new(None),
                site_location: Cell::new(spawned_at),
                phase: Cell::new(Phase::Idle),
                flags,
                passing_on: Cell::new(PassingOn::No),
                stage: Stage::new(),
                within: Cell::new(Within::ROOT),
                values: Cell::new(values),
                // Copied from a constant: built here, its words would be stored one by one, and
                // loaded again in pairs, which stalls.
                listeners: const { List::new() },
                cold: Cell::new(cold),
                aim: Cell::new(Aim::Task(None)),
            },
        }
    }

    pub(crate) fn vtable(&self) -> &'static TaskVTable {
        self.vtable
    }

    pub(crate) unsafe fn free(this: NonNull<TaskCell>) {
        // SAFETY: the caller dropped the last reference; the cell is still in place.
        unsafe { (this.as_ref().vtable.free)(this) }
    }

    /// Returns whether a failure is still to be reported as never retrieved.
    pub fn is_unretrieved(&self) -> bool {
        self.unretrieved.load(Ordering::Relaxed)
    }

    /// Returns the loop that the task belongs to.
    #[inline]
    pub fn home(&self) -> LoopRef {
        self.home
    }

    /// Returns whether this is the task that runs now on this thread.
    pub fn is_current(&self) -> bool {
        with_current(|current| current.is_some_and(|current| std::ptr::eq(current, self)))
    }

    /// Returns whether this is the task's thread.
    #[inline]
    pub fn is_local(&self) -> bool {
        self.thread == thread_id()
    }

    #[inline]
    pub(crate) fn affine(&self) -> Option<&Affine> {
        self.is_local().then_some(&self.affine)
    }

    /// The task's place in the registry of its loop.
    #[inline]
    pub(crate) fn key(&self) -> Option<Key> {
        self.affine()?.key.get()
    }

    /// The key of the task that runs now.
    #[inline]
    pub(crate) fn current_key(&self) -> Option<Key> {
        self.affine.key.get()
    }

    /// Returns the error of a task that has ended, if it has one; counts as retrieving it.
    ///
    /// # Errors
    /// `Cancelled` if it was cancelled, `InvalidState` if it has not ended.
    pub fn exception(&self) -> crate::Result<Option<Error>> {
        // SAFETY: the cell begins the allocation that the functions are made for.
        unsafe { (self.vtable.exception)(self.into()) }
    }

    /// Returns whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        // SAFETY: as above.
        unsafe { (self.vtable.cancelled)(self.into()) }
    }

    /// Returns the type of the task's result.
    pub fn output(&self) -> TypeId {
        (self.vtable.output)()
    }

    /// Its place in the order of creation.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns where the task was created.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.spawned_at
    }

    /// Returns the name that was given, or else `Task-N`.
    pub fn name(&self) -> Arc<str> {
        let given = self.affine().and_then(|affine| affine.with_cold(|cold| cold.name.clone())?);
        given.unwrap_or_else(|| format!("Task-{}", self.sequence).into())
    }

    /// Returns whether a name was given.
    pub fn is_named(&self) -> bool {
        self.affine().and_then(|a| a.with_cold(|cold| cold.name.is_some())).unwrap_or(false)
    }

    /// Sets the name of the task. It does nothing on another thread than the task's.
    pub fn set_name(&self, name: Arc<str>) {
        if let Some(affine) = self.affine() {
            affine.cold(|cold| cold.name = Some(name));
        }
    }

    /// The span of the log in which the task was made.
    pub(crate) fn span(&self) -> Option<SharedSpan> {
        self.affine()?.span()
    }

    /// Makes the task, which has not started, carry the current span.
    #[inline]
    pub fn keep_span(&self) {
        if let Some(span) = current_span() {
            self.set_span(span);
        }
    }

    /// Makes the steps of a task that has not started enter `span`.
    #[cold]
    fn set_span(&self, span: SharedSpan) {
        if let Some(affine) = self.affine() {
            affine.cold(|cold| cold.span = Some(span));
            affine.flags.set(Flag::Enters);
        }
    }

    /// Returns the context variables of the task; if it runs now, those that it runs with.
    pub fn context(&self) -> Option<Context> {
        let affine = self.affine()?;
        let has_own = affine.with_cold(|cold| cold.context.is_none()).unwrap_or(true);
        if has_own {
            let context = match affine.phase.get().is_running() {
                true => Context::entered(),
                false => Context::of(affine.values.take()),
            };
            affine.cold(|cold| cold.context = Some(context));
            affine.flags.set(Flag::Enters);
        }
        affine.with_cold(|cold| cold.context.clone())?
    }

    /// Returns the number of outstanding requests to cancel on the current path (`Task.cancelling`):
    /// those of the task, and of the scopes in which it runs or was last suspended.
    pub fn cancelling(&self) -> u32 {
        self.requests_within(self.innermost())
    }

    /// Withdraws the innermost of those requests (`Task.uncancel`), and returns how many are left.
    /// At zero, a cancellation that was not delivered yet is withdrawn too.
    pub fn uncancel(&self) -> u32 {
        self.uncancel_within(self.innermost())
    }

    /// Returns whether a cancellation of the whole task was requested, and no leaf has taken it.
    #[inline]
    pub fn must_cancel(&self) -> bool {
        self.affine().is_some_and(|affine| affine.stage.has(MUST | SENT))
    }
}

/// The memory after the cell: that of the coroutine, and then of the outcome.
impl TaskCell {
    /// Returns whether the outcome is stored. False on any thread except the task's.
    #[inline]
    pub fn has_ended(&self) -> bool {
        self.affine().is_some_and(|affine| affine.flags.has(Flag::Ended))
    }
}

/// The failure of a task, for callers that do not know its type.
impl TaskCell {
    /// Records in an error that the task ends with it.
    pub fn ends_with(&self, error: Error) -> Error {
        error.ends(|| EndedTask {
            name: self.is_named().then(|| self.name()),
            sequence: self.sequence,
            created_at: self.spawned_at,
        })
    }

    /// Requests the error with which the task will end, if it fails: it then counts as retrieved,
    /// and [`take_failure`](TaskCell::take_failure) returns it.
    pub fn ask_for_failure(&self) {
        if let Some(affine) = self.affine() {
            affine.cold(|cold| cold.failure = Some(None));
        }
    }

    /// Takes the error with which the task ended, if it failed and the error was requested.
    pub fn take_failure(&self) -> Option<Error> {
        self.affine()?.with_cold(|cold| cold.failure.take())??
    }
}

impl Cold {
    #[cold]
    fn of(context: Context) -> Box<Cold> {
        Box::new(Cold { context: Some(context), ..Cold::default() })
    }
}

impl Affine {
    pub(crate) fn cold<R>(&self, f: impl FnOnce(&mut Cold) -> R) -> R {
        let mut cold = self.cold.take().unwrap_or_default();
        let result = f(&mut cold);
        self.cold.set(Some(cold));
        result
    }

    pub(crate) fn span(&self) -> Option<SharedSpan> {
        self.with_cold(|cold| cold.span.clone())?
    }

    /// Accesses the rare data, if this task has any.
    pub(crate) fn with_cold<R>(&self, f: impl FnOnce(&mut Cold) -> R) -> Option<R> {
        let mut cold = self.cold.take()?;
        let result = f(&mut cold);
        self.cold.set(Some(cold));
        Some(result)
    }

    /// Messages are rare: an empty one is stored only in place of another.
    pub(crate) fn set_message(&self, message: CancelledError) {
        match message.message() {
            Some(_) => self.cold(|cold| cold.message = message),
            None => _ = self.with_cold(|cold| cold.message = message),
        }
    }

    pub(crate) fn message(&self) -> CancelledError {
        self.with_cold(|cold| cold.message.clone()).unwrap_or_default()
    }

    pub(crate) fn take_message(&self) -> CancelledError {
        self.with_cold(|cold| std::mem::take(&mut cold.message)).unwrap_or_default()
    }

    pub(crate) fn set_wait_message(&self, message: CancelledError) {
        match message.message() {
            Some(_) => self.cold(|cold| cold.wait_message = message),
            None => _ = self.with_cold(|cold| cold.wait_message = message),
        }
    }

    pub(crate) fn take_wait_message(&self) -> CancelledError {
        self.with_cold(|cold| std::mem::take(&mut cold.wait_message)).unwrap_or_default()
    }
}
