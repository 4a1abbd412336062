//! [`TaskCell`]: what every task has, whatever it computes. Above all its cancellation.
//!
//! # The law of a wait
//!
//! A leaf future that is about to suspend *arms* a wait in its task's cell: the wait gets a number,
//! greater than that of every earlier wait of the task, and goes through these states:
//!
//! ```text
//!          arm (1)                    wake (2)
//!   IDLE ───────────► WAITING ──────────────────────► WOKEN
//!    ▲                   │ cancel (3)                   │
//!    │                   ▼                              │
//!    │ disarm (4)    CANCELLED                          │
//!    └───────────────────┴──────────────────────────────┘
//! ```
//!
//! 1. by the leaf, on its task's thread;
//! 2. by what it waits for, on any thread ([`Waiter::wake`](crate::wait::Waiter::wake)), one winner;
//! 3. by `cancel()`, at the call: from then on nobody takes the waiter for one who waits;
//! 4. by the leaf, when it resumes or is dropped. It then knows whether it was woken, and if it does
//!    not use the wake-up it passes it on.
//!
//! # The law of a cancellation
//!
//! `cancel()` counts a request. If the task waits on a task or future, the request goes to that, and
//! comes back through its result. Else it takes every wait from WAITING to CANCELLED. If there was
//! nothing to take (the task runs, or is woken already), *must-cancel* is set. A step that begins
//! with must-cancel turns it into a *throw*, which every leaf resumed in that step takes if it was
//! armed before; one whose own result is a cancellation keeps that one. If a step ends with
//! must-cancel set, or with a throw that no leaf took, the wait it ended in is cancelled at once.
//! A task that is suspended in no wait of ours ends at a throw.

use crate::{
    CancelledError, Error,
    context::{Context, Values, swap_values},
    home::{LoopRef, Mail, thread_id},
    listeners::{Listener, Listeners, Parked},
    scheduler::Scheduler,
    slots::Key,
    sync::{AtomicBool, AtomicU64, Ordering},
    task_ref::TaskRef,
    wait::{OtherWait, Target, Waiter, Wakers, with_current},
    wait_site::WaitSite,
};
use std::{
    any::TypeId,
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    panic::Location,
    ptr::NonNull,
    sync::Arc,
};

pub(crate) const IDLE: u64 = 0;
pub(crate) const WAITING: u64 = 1;
pub(crate) const WOKEN: u64 = 2;
pub(crate) const CANCELLED: u64 = 3;
const STATE: u64 = 3;

/// What differs between tasks. The functions get the cell that begins the task's allocation, and are
/// called on the task's own thread, but for `free`.
#[derive(Debug)]
pub struct TaskVTable {
    /// Runs one step: polls the coroutine between [`Step::begin`] and its end.
    pub step: unsafe fn(NonNull<TaskCell>),
    /// Drops the coroutine, and ends the task as cancelled.
    pub discard: unsafe fn(NonNull<TaskCell>),
    /// Gives the allocation back, on any thread.
    pub free: unsafe fn(NonNull<TaskCell>),
    /// The type of the result, by which asyncio-task finds its own allocations again. Whoever makes
    /// tasks of another layout gives a type that is private to them.
    pub output: fn() -> TypeId,
}

/// What every task has. The first field of the task's allocation.
pub struct TaskCell {
    /// References, handles and the done bit: see [`crate::task_ref`].
    pub(crate) count: AtomicU64,
    /// The number and state of the first wait that is armed.
    first: AtomicU64,
    thread: u64,
    home: LoopRef,
    vtable: &'static TaskVTable,
    /// Whether a wake-up from another thread is on its way.
    pub(crate) mailed: AtomicBool,
    /// Whether a failure is still to be reported as never retrieved.
    unretrieved: AtomicBool,
    affine: Affine,
}

// SAFETY: `affine` is reached only on the task's own thread; the rest is atomic or immutable.
unsafe impl Sync for TaskCell {}
// SAFETY: nothing in the cell is tied to a thread when the last reference is dropped: what `Affine`
// holds (listeners, targets, names, context values) is `Send`.
unsafe impl Send for TaskCell {}

/// The part of the cell that belongs to the task's thread. In this order: what every step touches
/// comes first, and the two words of the site do not stand side by side, so that they are copied one
/// by one (a vector load of words that were stored just before stalls).
#[repr(C)]
pub(crate) struct Affine {
    site_what: Cell<&'static &'static str>,
    pub(crate) key: Cell<Option<Key>>,
    site_location: Cell<&'static Location<'static>>,
    next: Cell<u32>,
    /// In a step that throws: the number that the next wait had when the step began, else zero.
    throw: Cell<u32>,
    /// How many leaves are suspended, also those that are woken already.
    armed: Cell<u32>,
    must_cancel: Cell<bool>,
    pub(crate) running: Cell<bool>,
    /// Whether it stands in the ready queue, or never will again.
    pub(crate) scheduled: Cell<bool>,
    /// Woken while it ran: to be scheduled when the step ends.
    pub(crate) rewake: Cell<bool>,
    thrown: Cell<bool>,
    /// Whether there is a target: most waits have none.
    has_target: Cell<bool>,
    requests: Cell<u32>,
    context: Cell<TaskContext>,
    listeners: RefCell<Listeners>,
    cold: Cell<Option<Box<Cold>>>,
    target: Cell<Option<Target>>,
    /// Its place in the order of creation.
    sequence: u64,
    spawned_at: &'static Location<'static>,
}

/// What few tasks have.
#[derive(Default)]
struct Cold {
    name: Option<Arc<str>>,
    /// The message of must-cancel, or of the throw it became.
    message: CancelledError,
    /// The message of the cancellation of the first wait.
    wait_message: CancelledError,
    /// Room for the error with which the task ends, if somebody asked for it.
    failure: Option<Option<Error>>,
    /// The listener that reports a failure after a shield around the task was cancelled.
    late_report: Option<(u32, Parked)>,
    /// Waits beside the first: leaves of `join!` and the like, by number.
    others: BTreeMap<u32, Other>,
}

struct Other {
    wait: Arc<OtherWait>,
    target: Option<Target>,
    site: WaitSite,
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
        let state = if self.is_done() { "finished" } else { "pending" };
        match self.affine() {
            Some(affine) if affine.requests.get() > 0 && !self.is_done() => {
                write!(f, "<Task cancelling name={:?}>", self.name())
            }
            Some(_) => write!(f, "<Task {state} name={:?}>", self.name()),
            None => write!(f, "<Task {state} of another thread>"),
        }
    }
}

impl TaskCell {
    /// The cell of a new task of `home`, with one reference and one handle.
    ///
    /// # Safety
    /// Before anything else is done with it, the cell is put where it stays until `free` is called,
    /// once, when the last reference is gone; and the functions of `vtable` are made for that place.
    #[inline(always)]
    pub unsafe fn new(
        home: LoopRef,
        sequence: u64,
        context: TaskContext,
        spawned_at: &'static Location<'static>,
        vtable: &'static TaskVTable,
    ) -> TaskCell {
        TaskCell {
            count: AtomicU64::new(crate::task_ref::NEW),
            first: AtomicU64::new(IDLE),
            thread: thread_id(),
            home,
            vtable,
            mailed: AtomicBool::new(false),
            unretrieved: AtomicBool::new(false),
            affine: Affine {
                site_what: Cell::new(&""),
                key: Cell::new(None),
                site_location: Cell::new(spawned_at),
                next: Cell::new(1),
                throw: Cell::new(0),
                armed: Cell::new(0),
                must_cancel: Cell::new(false),
                running: Cell::new(false),
                scheduled: Cell::new(false),
                rewake: Cell::new(false),
                thrown: Cell::new(false),
                has_target: Cell::new(false),
                requests: Cell::new(0),
                context: Cell::new(context),
                listeners: RefCell::new(Listeners::new()),
                cold: Cell::new(None),
                target: Cell::new(None),
                sequence,
                spawned_at,
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

    /// Whether a failure is still to be reported as never retrieved.
    pub fn is_unretrieved(&self) -> bool {
        self.unretrieved.load(Ordering::Relaxed)
    }

    /// Says that a failure is to be reported if nobody retrieves it, or that somebody did.
    pub fn set_unretrieved(&self, unretrieved: bool) {
        self.unretrieved.store(unretrieved, Ordering::Relaxed);
    }

    /// The loop that the task belongs to.
    #[inline]
    pub fn home(&self) -> LoopRef {
        self.home
    }

    /// Whether this is the task that runs now on this thread.
    pub fn is_current(&self) -> bool {
        with_current(|current| current.is_some_and(|current| std::ptr::eq(current, self)))
    }

    /// Whether this is the task's thread.
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

    /// The type of the task's result.
    pub fn output(&self) -> TypeId {
        (self.vtable.output)()
    }

    /// Its place in the order of creation.
    pub fn sequence(&self) -> u64 {
        self.affine.sequence
    }

    /// Where the task was created.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.affine.spawned_at
    }

    /// The name: the one that was given, else `Task-N`.
    pub fn name(&self) -> Arc<str> {
        let given = self.affine().and_then(|affine| affine.with_cold(|cold| cold.name.clone())?);
        given.unwrap_or_else(|| format!("Task-{}", self.affine.sequence).into())
    }

    /// Whether a name was given.
    pub fn is_named(&self) -> bool {
        self.affine().and_then(|a| a.with_cold(|cold| cold.name.is_some())).unwrap_or(false)
    }

    /// Gives the task a name. Does nothing on another thread than the task's.
    pub fn set_name(&self, name: Arc<str>) {
        if let Some(affine) = self.affine() {
            affine.cold(|cold| cold.name = Some(name));
        }
    }

    /// The context variables of the task; what it is running with, if it runs now.
    pub fn context(&self) -> Option<Context> {
        let affine = self.affine()?;
        let context = match affine.context.take() {
            TaskContext::Shared(context) => context,
            TaskContext::Own(_) if affine.running.get() => Context::entered(),
            TaskContext::Own(values) => Context::of(values),
        };
        affine.context.set(TaskContext::Shared(context.clone()));
        Some(context)
    }

    /// On what the task waits, and where; `None` while it runs, is ready or is done.
    pub fn wait_site(&self) -> Option<WaitSite> {
        let affine = self.affine()?;
        if affine.armed.get() == 0 {
            return None;
        }
        if self.first.load(Ordering::Acquire) & STATE != IDLE {
            return Some(WaitSite::new(affine.site_what.get(), affine.site_location.get()));
        }
        affine.with_cold(|cold| cold.others.first_key_value().map(|(_, other)| other.site))?
    }

    /// The number of outstanding cancel requests (`Task.cancelling`).
    pub fn cancelling(&self) -> u32 {
        self.affine().map_or(0, |affine| affine.requests.get())
    }

    /// Takes one request back (`Task.uncancel`), and returns how many are left. At zero a
    /// cancellation that was not delivered yet is withdrawn.
    pub fn uncancel(&self) -> u32 {
        let Some(affine) = self.affine() else { return 0 };
        let left = affine.requests.get().saturating_sub(1);
        affine.requests.set(left);
        if left == 0 {
            affine.must_cancel.set(false);
        }
        left
    }

    /// Whether a cancellation waits to be delivered.
    #[inline]
    pub fn must_cancel(&self) -> bool {
        self.affine().is_some_and(|affine| affine.must_cancel.get())
    }

    /// Takes the message of the cancellation that ends the task without having been delivered.
    pub fn take_undelivered(&self) -> Option<CancelledError> {
        let affine = self.affine()?;
        affine.must_cancel.replace(false).then(|| affine.take_message())
    }
}

/// Cancelling.
impl TaskRef {
    /// Requests that the task be cancelled (`Task.cancel`): see the [law](self). False if it is done
    /// already. Off the task's thread the request is sent there.
    pub fn cancel(&self, error: CancelledError) -> bool {
        self.unretrieved.store(false, Ordering::Relaxed);
        if self.is_done() {
            return false;
        }
        let Some(affine) = self.affine() else {
            let task = self.clone();
            let mail = Mail::Quiet(Box::new(move || _ = task.cancel(error)));
            return self.home.send(mail).is_ok();
        };
        affine.requests.set(affine.requests.get() + 1);
        if self.cancel_waits(affine, &error) {
            return true;
        }
        affine.must_cancel.set(true);
        affine.set_message(error);
        if affine.armed.get() == 0 && !affine.running.get() {
            // Suspended in a future that is not ours: the step that this wakes ends the task.
            self.wake();
        }
        true
    }
}

impl TaskCell {
    /// Cancels what the task waits for; false if there was nothing to cancel.
    fn cancel_waits(&self, affine: &Affine, error: &CancelledError) -> bool {
        let mut delivered = self.cancel_first(affine, error);
        let others = affine.with_cold(|cold| {
            cold.others.values().map(|o| (o.wait.clone(), o.target.clone())).collect::<Vec<_>>()
        });
        for (wait, target) in others.unwrap_or_default() {
            delivered |= match target {
                Some(target) => target.cancel(error.clone()),
                None => wait.cancel(error.clone()),
            };
        }
        delivered
    }

    fn cancel_first(&self, affine: &Affine, error: &CancelledError) -> bool {
        let wait = self.first.load(Ordering::Acquire);
        if wait & STATE != WAITING {
            return false;
        }
        if affine.has_target.get() {
            let target = affine.target.take();
            affine.target.set(target.clone());
            return target.is_some_and(|target| target.cancel(error.clone()));
        }
        let cancelled = wait & !STATE | CANCELLED;
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        if self.first.compare_exchange(wait, cancelled, success, failure).is_err() {
            return false;
        }
        affine.set_wait_message(error.clone());
        self.wake();
        true
    }
}

/// Waits: the task's side of [`Wait`](crate::wait::Wait).
impl TaskCell {
    /// Whether the first wait is free. For the task that runs now, as the three that follow.
    #[inline]
    pub(crate) fn may_arm_first(&self) -> bool {
        self.first.load(Ordering::Relaxed) & STATE == IDLE
    }

    /// Arms the first wait, which is free. `state` is WAITING, or WOKEN for a bare yield.
    #[inline(always)]
    pub(crate) fn arm_first(&self, site: WaitSite, state: u64) -> u32 {
        let affine = &self.affine;
        let number = affine.number();
        affine.site_what.set(site.what);
        affine.site_location.set(site.location);
        self.first.store(u64::from(number) << 2 | state, Ordering::Release);
        number
    }

    /// What a request to cancel goes to while the first wait lasts.
    pub(crate) fn set_target(&self, target: Target) {
        self.affine.target.set(Some(target));
        self.affine.has_target.set(true);
    }

    /// Arms a wait beside the first.
    pub(crate) fn arm_other(
        &self,
        wait: Arc<OtherWait>,
        site: WaitSite,
        target: Option<Target>,
    ) -> u32 {
        let affine = &self.affine;
        let number = affine.number();
        affine.cold(|cold| cold.others.insert(number, Other { wait, target, site }));
        number
    }

    /// The state of the first wait, if it is still number `number`.
    #[inline]
    pub(crate) fn first_state(&self, number: u32) -> Option<u64> {
        let wait = self.first.load(Ordering::Acquire);
        (wait >> 2 == u64::from(number)).then_some(wait & STATE)
    }

    /// Wakes wait `number` if it is waiting: the state alone, not the task.
    #[inline]
    pub(crate) fn wake_first(&self, number: u32) -> bool {
        let waiting = u64::from(number) << 2 | WAITING;
        let woken = u64::from(number) << 2 | WOKEN;
        self.first.compare_exchange(waiting, woken, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The state of wait `number`, which is over if it is woken; `None` if this step throws, or the
    /// wait is not the first. For the task that runs now.
    #[inline]
    pub(crate) fn resume_first(&self, number: u32) -> Option<u64> {
        let wait = self.first.load(Ordering::Acquire);
        if self.affine.throw.get() != 0 || wait >> 2 != u64::from(number) {
            return None;
        }
        if wait & STATE == WOKEN {
            self.end_first();
        }
        Some(wait & STATE)
    }

    /// Ends the first wait. Not with a swap: whoever wakes does so under the lock under which the
    /// leaf ends its wait.
    #[inline]
    fn end_first(&self) {
        self.first.store(IDLE, Ordering::Release);
        self.affine.armed.set(self.affine.armed.get() - 1);
        if self.affine.has_target.replace(false) {
            drop(self.affine.target.take());
        }
    }

    /// Ends wait `number`, and tells in which state it was.
    #[inline]
    pub(crate) fn disarm_first(&self, number: u32) -> u64 {
        match self.first_state(number) {
            Some(state) if state != IDLE && self.is_local() => {
                self.end_first();
                state
            }
            _ => IDLE,
        }
    }

    pub(crate) fn disarm_other(&self, number: u32) -> u64 {
        let Some(affine) = self.affine() else { return IDLE };
        let other = affine.with_cold(|cold| cold.others.remove(&number)).flatten();
        if other.is_some() {
            affine.armed.set(affine.armed.get() - 1);
        }
        IDLE
    }

    pub(crate) fn take_wait_message(&self) -> CancelledError {
        self.affine().map(Affine::take_wait_message).unwrap_or_default()
    }

    /// The error that the leaf armed as `number` has to return in this step, if the step throws. For
    /// the task that runs now.
    #[inline]
    pub(crate) fn take_throw(&self, number: u32) -> Option<CancelledError> {
        let affine = &self.affine;
        if number >= affine.throw.get() {
            return None;
        }
        affine.thrown.set(true);
        Some(affine.message())
    }

    /// How many leaves of the task are suspended.
    #[inline]
    pub(crate) fn armed(&self) -> u32 {
        self.affine.armed.get()
    }
}

/// The failure of a task, for those who do not know its type.
impl TaskCell {
    /// Asks for the error with which the task will end, if it fails: it then counts as retrieved,
    /// and is there for [`take_failure`](TaskCell::take_failure).
    pub fn ask_for_failure(&self) {
        if let Some(affine) = self.affine() {
            affine.cold(|cold| cold.failure = Some(None));
        }
    }

    /// Keeps the error with which the task ends, if somebody asked for it.
    pub fn keep_failure(&self, error: &Error) -> bool {
        let Some(affine) = self.affine() else { return false };
        let kept = affine.with_cold(|cold| {
            cold.failure.as_mut().map(|room| *room = Some(error.clone())).is_some()
        });
        kept.unwrap_or(false)
    }

    /// The error with which the task ended, if it failed and was asked for it.
    pub fn take_failure(&self) -> Option<Error> {
        self.affine()?.with_cold(|cold| cold.failure.take())??
    }
}

/// Those who are told when the task is done.
impl TaskCell {
    /// Adds one; `None` if the task is done, or on another thread than the task's.
    pub fn listen(&self, listener: Listener) -> Option<u32> {
        let affine = self.affine().filter(|_| !self.is_done())?;
        Some(affine.listeners.borrow_mut().push(listener))
    }

    /// Puts another waiter in the place of one.
    pub fn replace_listener(&self, number: u32, waiter: Waiter) {
        if let Some(affine) = self.affine() {
            affine.listeners.borrow_mut().replace(number, waiter);
        }
    }

    /// Takes one out. On another thread than the task's it stays, and is told in vain.
    pub fn unlisten(&self, number: u32) -> Option<Listener> {
        self.affine()?.listeners.borrow_mut().remove(number)
    }

    /// Makes listener `number` the one that reports a failure which nobody waits for any more; takes
    /// the one that was it before out.
    pub fn replace_late_report(&self, number: u32, callback: Parked) {
        let Some(affine) = self.affine() else { return };
        let previous = affine.cold(|cold| cold.late_report.replace((number, callback)));
        if let Some((number, callback)) = previous {
            self.unlisten(number);
            callback.cancel();
        }
    }

    /// Tells everyone, in order.
    pub fn notify_listeners(&self) {
        let mut wakers = Wakers::new();
        if let Some(affine) = self.affine() {
            affine.listeners.borrow_mut().notify(&mut wakers);
        }
    }
}

impl Affine {
    #[inline]
    fn number(&self) -> u32 {
        let number = self.next.get();
        self.next.set(number + 1);
        self.armed.set(self.armed.get() + 1);
        number
    }

    fn cold<R>(&self, f: impl FnOnce(&mut Cold) -> R) -> R {
        let mut cold = self.cold.take().unwrap_or_default();
        let result = f(&mut cold);
        self.cold.set(Some(cold));
        result
    }

    /// What few tasks have, if this one has some of it.
    fn with_cold<R>(&self, f: impl FnOnce(&mut Cold) -> R) -> Option<R> {
        let mut cold = self.cold.take()?;
        let result = f(&mut cold);
        self.cold.set(Some(cold));
        Some(result)
    }

    /// Messages are rare: an empty one is put down only in place of another.
    fn set_message(&self, message: CancelledError) {
        match message.message() {
            Some(_) => self.cold(|cold| cold.message = message),
            None => _ = self.with_cold(|cold| cold.message = message),
        }
    }

    fn message(&self) -> CancelledError {
        self.with_cold(|cold| cold.message.clone()).unwrap_or_default()
    }

    fn take_message(&self) -> CancelledError {
        self.with_cold(|cold| std::mem::take(&mut cold.message)).unwrap_or_default()
    }

    fn set_wait_message(&self, message: CancelledError) {
        match message.message() {
            Some(_) => self.cold(|cold| cold.wait_message = message),
            None => _ = self.with_cold(|cold| cold.wait_message = message),
        }
    }

    fn take_wait_message(&self) -> CancelledError {
        self.with_cold(|cold| std::mem::take(&mut cold.wait_message)).unwrap_or_default()
    }
}

/// One step of a task: from its start to the next suspension (asyncio's `__step`).
///
/// Dropping it ends the step, and brings back the task and the context that were current before.
#[must_use]
pub struct Step<'a> {
    cell: &'a TaskCell,
    scheduler: &'static Scheduler,
    previous: Option<NonNull<TaskCell>>,
    outer: Values,
}

impl fmt::Debug for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step of {:?}", self.cell)
    }
}

impl<'a> Step<'a> {
    /// Makes the task current, in its context. `None` on a thread that is not the task's, or when
    /// its loop is closed: nothing may run then.
    #[inline(always)]
    pub fn begin(cell: &'a TaskCell) -> Option<Step<'a>> {
        let affine = cell.affine()?;
        let scheduler = cell.home.local()?;
        let values = match affine.context.take() {
            TaskContext::Own(values) => values,
            // Entered already: the task was started eagerly by code that runs in it.
            TaskContext::Shared(context) => {
                let values = context.enter().unwrap_or_else(|_| context.values());
                affine.context.set(TaskContext::Shared(context));
                values
            }
        };
        let outer = swap_values(values);
        affine.running.set(true);
        affine.rewake.set(false);
        let previous = scheduler.replace_current(Some(cell.into()));
        Some(Step { cell, scheduler, previous, outer })
    }

    /// Turns must-cancel into a throw. Returns the error with which the task has to end here and
    /// now, because it is suspended in nothing of ours, or did not start yet.
    #[inline(always)]
    pub fn throw(&self) -> Option<CancelledError> {
        let affine = &self.cell.affine;
        if !affine.must_cancel.replace(false) {
            return None;
        }
        if affine.armed.get() == 0 {
            return Some(affine.take_message());
        }
        affine.throw.set(affine.next.get());
        affine.thrown.set(false);
        None
    }

    /// The coroutine suspended: what is still undelivered goes to the wait it is suspended in.
    #[inline(always)]
    pub fn suspend(self) {
        let affine = &self.cell.affine;
        if affine.throw.replace(0) != 0 && !affine.thrown.get() {
            affine.must_cancel.set(true);
        }
        if affine.must_cancel.get() {
            let error = affine.take_message();
            if self.cell.cancel_waits(affine, &error) {
                affine.must_cancel.set(false);
            } else {
                affine.set_message(error);
                if affine.armed.get() == 0 {
                    self.cell.wake();
                }
            }
        }
    }
}

impl Drop for Step<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        let affine = &self.cell.affine;
        affine.throw.set(0);
        affine.running.set(false);
        self.scheduler.replace_current(self.previous);
        let ours = swap_values(std::mem::take(&mut self.outer));
        affine.context.set(match affine.context.take() {
            TaskContext::Own(_) => TaskContext::Own(ours),
            TaskContext::Shared(context) => {
                context.leave(ours);
                TaskContext::Shared(context)
            }
        });
        if affine.rewake.get() && !affine.scheduled.replace(true) {
            self.scheduler.push_task(self.cell.into());
        }
    }
}
