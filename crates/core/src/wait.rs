//! [`Wait`] and [`Waiter`]: the two ends of a suspension.
//!
//! A leaf future holds a [`Wait`]. Before it returns `Pending` it arms it, and gives the [`Waiter`]
//! to what it waits for: an entry in a lock's line, a timer. That wakes the waiter; the leaf asks
//! its wait how it ended. Both work in a task of ours, where a cancellation can end the wait (the
//! law is told in [`crate::cancel`]), and under any other executor, where nothing but a wake-up can.
//!
//! A wake-up is given to one waiter, under the lock of the primitive that gives it. A leaf that does
//! not use it, because it was cancelled or dropped meanwhile, learns that from its wait and passes
//! it on.

use crate::{
    CancelledError, Error,
    cancel::{CANCELLED, IDLE, WAITING, WOKEN},
    cell::TaskCell,
    exception::ExceptionContext,
    home::{LoopRef, Mail, Place, entered},
    slots::Key,
    sync::{AtomicU64, Mutex, Ordering},
    task_ref::{Lent, TaskRef},
    wait_site::WaitSite,
};
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
    task::{Context, Waker},
};

/// Something that a cancelled task passes the request on to: what it awaits.
#[derive(Clone, Debug)]
pub enum Target {
    /// A task.
    Task(TaskRef),
    /// A future.
    Future(Arc<dyn Cancel>),
}

/// What a task keeps of the target of its first wait: an `Option<Target>` in two words instead of
/// three.
pub(crate) enum Aim {
    /// None: no target at all.
    Task(Option<TaskRef>),
    Future(Arc<dyn Cancel>),
}

impl Default for Aim {
    #[inline]
    fn default() -> Aim {
        Aim::Task(None)
    }
}

impl From<Target> for Aim {
    #[inline]
    fn from(target: Target) -> Aim {
        match target {
            Target::Task(task) => Aim::Task(Some(task)),
            Target::Future(future) => Aim::Future(future),
        }
    }
}

impl Aim {
    pub(crate) fn target(&self) -> Option<Target> {
        match self {
            Aim::Task(task) => task.clone().map(Target::Task),
            Aim::Future(future) => Some(Target::Future(future.clone())),
        }
    }
}

/// A future that can be cancelled.
pub trait Cancel: Send + Sync + fmt::Debug {
    /// Cancels it; false if it is done, or refuses.
    fn cancel(&self, error: CancelledError) -> bool;
}

impl Target {
    /// Passes a request on; false if there was nothing to cancel.
    pub fn cancel(&self, error: CancelledError) -> bool {
        match self {
            Target::Task(task) => task.cancel(error),
            Target::Future(future) => future.cancel(error),
        }
    }
}

/// A wait beside the first of its task, or one outside of our tasks.
#[derive(Debug)]
pub(crate) struct OtherWait {
    /// In which task, if in one of ours.
    armed: OnceLock<Armed>,
    state: AtomicU64,
    waker: Waker,
    message: Mutex<CancelledError>,
}

impl OtherWait {
    fn new(waker: &Waker, state: u64) -> Arc<OtherWait> {
        Arc::new(OtherWait {
            armed: OnceLock::new(),
            state: AtomicU64::new(state),
            waker: waker.clone(),
            message: Mutex::new(CancelledError::default()),
        })
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.state.load(Ordering::Acquire) == WAITING
    }

    fn leave_waiting(&self, state: u64) -> bool {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        self.state.compare_exchange(WAITING, state, success, failure).is_ok()
    }

    pub(crate) fn cancel(&self, error: CancelledError) -> bool {
        *self.message.lock() = error;
        let cancelled = self.leave_waiting(CANCELLED);
        if cancelled {
            self.waker.wake_by_ref();
        }
        cancelled
    }
}

/// The end of a suspension that is given to what is waited for. It can be sent anywhere.
#[derive(Debug)]
pub struct Waiter(pub(crate) Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    First { task: Lent, number: u32 },
    Other(Arc<OtherWait>),
}

impl Waiter {
    fn state(&self) -> u64 {
        match &self.0 {
            Kind::First { task, number } => task.first_state(*number).unwrap_or(IDLE),
            Kind::Other(wait) => wait.state.load(Ordering::Acquire),
        }
    }

    /// Whether it still waits: neither woken nor cancelled.
    pub fn is_waiting(&self) -> bool {
        self.state() == WAITING
    }

    /// Whether it was woken, and has not run since.
    pub fn is_woken(&self) -> bool {
        self.state() == WOKEN
    }

    /// Whether it was cancelled, and has not run since.
    pub fn is_cancelled(&self) -> bool {
        self.state() == CANCELLED
    }

    /// Wakes it, and tells whether it was still waiting. Its task is in the ready queue on return;
    /// a foreign executor's waker is added to `wakers`, for the caller to call when it holds no
    /// lock.
    pub fn wake(&self, wakers: &mut Wakers) -> bool {
        match &self.0 {
            Kind::First { task, number } => task.wake_first_wait(*number),
            Kind::Other(wait) => {
                let woken = wait.leave_waiting(WOKEN);
                if woken {
                    wakers.0.push(wait.waker.clone());
                }
                woken
            }
        }
    }

    /// [`wake`](Waiter::wake), but only if it is the first wait of a task of this loop: then the task
    /// looks at it in its next step.
    #[inline]
    pub fn wake_in(&self, home: LoopRef) -> bool {
        match &self.0 {
            Kind::First { task, number } if task.home() == home => task.wake_first_wait(*number),
            _ => false,
        }
    }

    /// [`wake`](Waiter::wake), for a caller that holds no lock.
    pub fn wake_now(&self) -> bool {
        self.wake(&mut Wakers::new())
    }
}

/// Wakers of foreign executors, which are called when this is dropped: declare it before the guard
/// of the lock under which it is filled.
#[derive(Debug, Default)]
pub struct Wakers(Vec<Waker>);

impl Wakers {
    /// An empty list. Costs nothing.
    pub const fn new() -> Wakers {
        Wakers(Vec::new())
    }
}

impl Wakers {
    /// Calls every one. A panic of one keeps no other from being called, and does not come out where
    /// somebody was woken by the way; it is reported.
    #[cold]
    fn call(&mut self) {
        for waker in self.0.drain(..) {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                let report = ExceptionContext::new("Exception in a waker");
                report.with_exception(Error::from_panic(panic)).report(None);
            }
        }
    }
}

impl Drop for Wakers {
    #[inline]
    fn drop(&mut self) {
        if !self.0.is_empty() {
            self.call();
        }
    }
}

/// How an armed wait stands when its leaf is polled.
#[derive(Debug)]
#[must_use]
pub enum Resume {
    /// It still waits: return `Pending`.
    Pending,
    /// It was woken, and is over.
    Woken,
    /// It is over, and the leaf has to return this error. `woken`: it had been woken as well, and
    /// what that gave must be passed on.
    Cancelled {
        /// What to return.
        error: Error,
        /// Whether a wake-up has to be passed on.
        woken: bool,
    },
}

/// The end of a suspension that a leaf future holds. Dropping it ends the wait.
#[derive(Debug, Default)]
pub struct Wait(Link);

#[derive(Debug, Default)]
enum Link {
    #[default]
    Idle,
    /// An [`Armed`], spread out so that its parts and the tag fit into three words.
    First {
        number: u32,
        place: Place,
        key: Key,
    },
    Other(Arc<OtherWait>),
}

/// Where a wait is armed: enough to find the task again, and nothing that keeps it.
#[derive(Clone, Copy, Debug)]
struct Armed {
    place: Place,
    key: Key,
    number: u32,
}

impl Link {
    fn armed(&self) -> Option<Armed> {
        match *self {
            Link::First { number, place, key } => Some(Armed { place, key, number }),
            _ => None,
        }
    }
}

impl Armed {
    /// Whether it is a wait of `cell`, the task that runs now.
    #[inline]
    fn is_of(&self, cell: &TaskCell) -> bool {
        cell.current_key() == Some(self.key) && cell.home().place() == self.place
    }

    /// Calls `f` with the task, on the task's own thread; not at all if the task is gone.
    fn with_task<R>(&self, f: impl FnOnce(&TaskCell) -> R) -> Option<R> {
        self.place.local()?.with_task(self.key, f)
    }
}

/// Calls `f` with the task that runs now on this thread.
#[inline(always)]
pub(crate) fn with_current<R>(f: impl FnOnce(Option<&TaskCell>) -> R) -> R {
    match entered() {
        Some(scheduler) => scheduler.with_current(f),
        None => f(None),
    }
}

/// Arms a wait beside the first of the task that runs now, or outside of our tasks.
#[cold]
fn arm_other(
    cx: &Context<'_>,
    site: WaitSite,
    target: Option<Target>,
    state: u64,
) -> Arc<OtherWait> {
    let wait = OtherWait::new(cx.waker(), state);
    with_current(|cell| {
        if let Some((cell, key)) = cell.and_then(|cell| Some((cell, cell.current_key()?))) {
            let number = cell.arm_other(wait.clone(), site, target);
            let _ = wait.armed.set(Armed { place: cell.home().place(), key, number });
        }
    });
    wait
}

/// Arms the first wait of the task that runs now, if it is that task which polls, and has no other.
#[inline(always)]
fn arm_first<R>(
    cx: &Context<'_>,
    site: WaitSite,
    state: u64,
    then: impl FnOnce(&TaskCell, u32) -> R,
) -> Option<(Link, R)> {
    with_current(|cell| {
        let cell = cell.filter(|cell| cell.is_own(cx.waker()) && cell.may_arm_first())?;
        let (place, key) = (cell.home().place(), cell.current_key()?);
        let number = cell.arm_first(site, state);
        Some((Link::First { number, place, key }, then(cell, number)))
    })
}

impl Wait {
    /// A wait that is not armed.
    pub const fn new() -> Wait {
        Wait(Link::Idle)
    }

    /// Whether it is armed.
    #[inline]
    pub fn is_armed(&self) -> bool {
        !matches!(self.0, Link::Idle)
    }

    /// Arms it for the task that polls, at `site`. A cancelled task passes the request on to
    /// `target`, if there is one; the wait itself then ends only when the target does.
    #[inline]
    pub fn arm(&mut self, cx: &Context<'_>, site: WaitSite, target: Option<Target>) {
        self.arm_as(cx, site, target, WAITING);
    }

    /// [`arm`](Wait::arm) without a target, and puts the [other end](Wait::waiter) into its place.
    // Directly: what was just stored in parts and is moved on as a whole makes the processor wait.
    #[inline(always)]
    pub fn arm_into(&mut self, cx: &Context<'_>, site: WaitSite, place: &mut Option<Waiter>) {
        match arm_first(cx, site, WAITING, |cell, number| (Lent::new(cell), number)) {
            Some((link, (task, number))) => {
                self.0 = link;
                *place = Some(Waiter(Kind::First { task, number }));
            }
            None => self.arm_other_into(cx, site, place),
        }
    }

    #[cold]
    fn arm_other_into(&mut self, cx: &Context<'_>, site: WaitSite, place: &mut Option<Waiter>) {
        self.0 = Link::Other(arm_other(cx, site, None, WAITING));
        *place = self.waiter();
    }

    /// Arms it as woken already, and wakes the task: a bare yield.
    #[inline]
    pub fn arm_woken(&mut self, cx: &Context<'_>, site: WaitSite) {
        self.arm_as(cx, site, None, WOKEN);
        cx.waker().wake_by_ref();
    }

    #[inline(always)]
    fn arm_as(&mut self, cx: &Context<'_>, site: WaitSite, target: Option<Target>, state: u64) {
        debug_assert!(!self.is_armed());
        match arm_first(cx, site, state, |_, _| ()) {
            Some((link, ())) => {
                self.0 = link;
                if let Some(target) = target {
                    with_current(|cell| cell.map(|cell| cell.set_target(target)));
                }
            }
            None => self.0 = Link::Other(arm_other(cx, site, target, state)),
        }
    }

    /// The task and the number of a first wait in a task of the loop at `place`.
    #[inline]
    pub(crate) fn first_in(&self, place: Place) -> Option<(Key, u32)> {
        let armed = self.0.armed().filter(|armed| armed.place == place)?;
        Some((armed.key, armed.number))
    }

    /// The other end, to be given to what is waited for. `None` if the wait is not armed, or its
    /// task is gone.
    #[inline]
    pub fn waiter(&self) -> Option<Waiter> {
        match &self.0 {
            Link::Idle => None,
            Link::First { number, .. } => self
                .0
                .armed()?
                .with_task(|cell| Waiter(Kind::First { task: Lent::new(cell), number: *number })),
            Link::Other(wait) => Some(Waiter(Kind::Other(wait.clone()))),
        }
    }

    /// How the wait stands, for a leaf that is polled while it is armed.
    ///
    /// If the leaf was moved to another task since, or is polled with another waker, the wait is armed
    /// again there, and `replace` gets the new waiter in place of the old. The caller holds the lock
    /// under which wake-ups are given, so that none falls between the two. It drops the old waiter
    /// without the lock: that may drop a foreign waker, and with it whatever the waker owns.
    #[inline(always)]
    pub fn poll(
        &mut self,
        cx: &Context<'_>,
        site: WaitSite,
        target: impl FnOnce() -> Option<Target>,
        replace: impl FnOnce(Waiter),
    ) -> Resume {
        match self.look_fast(cx) {
            Some(WAITING) => Resume::Pending,
            Some(WOKEN) => {
                self.0 = Link::Idle;
                Resume::Woken
            }
            _ => self.poll_slow(cx, site, target, replace),
        }
    }

    /// The state of a first wait in a step that does not throw; a woken one is over. This is what
    /// nearly all polls see.
    #[inline(always)]
    fn look_fast(&self, cx: &Context<'_>) -> Option<u64> {
        let Link::First { number, place, key } = self.0 else { return None };
        let armed = Armed { place, key, number };
        with_current(|cell| {
            let cell = cell.filter(|cell| armed.is_of(cell) && cell.is_own(cx.waker()))?;
            cell.resume_first(armed.number)
        })
    }

    fn poll_slow(
        &mut self,
        cx: &Context<'_>,
        site: WaitSite,
        target: impl FnOnce() -> Option<Target>,
        replace: impl FnOnce(Waiter),
    ) -> Resume {
        let (state, thrown) = with_current(|cell| self.look(cx, cell));
        match (state, thrown) {
            (Some(WAITING), None) => Resume::Pending,
            (Some(CANCELLED), _) => {
                let message = self.take_message();
                self.disarm();
                Resume::Cancelled { error: Error::Cancelled(message), woken: false }
            }
            (Some(_), Some(error)) => {
                let woken = self.disarm();
                Resume::Cancelled { error: Error::Cancelled(error), woken }
            }
            (Some(_), None) => {
                self.disarm();
                Resume::Woken
            }
            (None, _) => {
                // Another task polls now, or with another waker.
                if self.disarm() {
                    return Resume::Woken;
                }
                self.arm(cx, site, target());
                if let Some(waiter) = self.waiter() {
                    replace(waiter);
                }
                Resume::Pending
            }
        }
    }

    /// The state, and the error that this step throws here; no state if another task polls.
    #[inline]
    fn look(
        &self,
        cx: &Context<'_>,
        cell: Option<&TaskCell>,
    ) -> (Option<u64>, Option<CancelledError>) {
        match (&self.0, cell) {
            (&Link::First { number, place, key }, Some(cell))
                if (Armed { place, key, number }).is_of(cell) =>
            {
                let armed = Armed { place, key, number };
                if !cell.is_own(cx.waker()) {
                    return (None, None);
                }
                (cell.first_state(armed.number), cell.take_throw(armed.number))
            }
            (Link::Other(wait), cell) => {
                let thrown = match (wait.armed.get(), cell) {
                    (Some(armed), Some(cell)) if armed.is_of(cell) => {
                        cell.take_throw_of_other(armed.number)
                    }
                    (None, None) => None,
                    _ => return (None, None),
                };
                match wait.state.load(Ordering::Acquire) {
                    WAITING if thrown.is_none() && !wait.waker.will_wake(cx.waker()) => {
                        (None, None)
                    }
                    state => (Some(state), thrown),
                }
            }
            _ => (None, None),
        }
    }

    fn take_message(&self) -> CancelledError {
        match &self.0 {
            Link::Idle => CancelledError::default(),
            Link::First { .. } => {
                let message = self.0.armed().and_then(|a| a.with_task(TaskCell::take_wait_message));
                message.unwrap_or_default()
            }
            Link::Other(wait) => std::mem::take(&mut *wait.message.lock()),
        }
    }

    /// Ends a wait whose target is done. Returns the cancellation that this step throws here, which
    /// replaces any result but a cancellation.
    #[inline]
    pub fn finish(&mut self) -> Option<Error> {
        let (armed, take_throw): (_, fn(&TaskCell, u32) -> _) = match &self.0 {
            Link::Idle => return None,
            Link::First { .. } => (self.0.armed(), TaskCell::take_throw),
            Link::Other(wait) => (wait.armed.get().copied(), TaskCell::take_throw_of_other),
        };
        let thrown = armed.and_then(|armed| {
            with_current(|cell| take_throw(cell.filter(|cell| armed.is_of(cell))?, armed.number))
        });
        self.disarm();
        thrown.map(Error::Cancelled)
    }

    /// Ends the wait, and tells whether a wake-up was given to it that nobody used. The caller holds
    /// the lock under which wake-ups are given. On another thread than the task's the answer is
    /// false: there, ask the [`Waiter`] before.
    #[inline]
    pub fn disarm(&mut self) -> bool {
        let woken = match &self.0 {
            Link::Idle => return false,
            &Link::First { number, place, key } => {
                let armed = Armed { place, key, number };
                let disarm = |cell: &TaskCell| cell.disarm_first(armed.number) == WOKEN;
                with_current(|cell| cell.filter(|cell| armed.is_of(cell)).map(disarm))
                    .unwrap_or_else(|| armed.disarm_elsewhere(TaskCell::disarm_first))
            }
            Link::Other(wait) => {
                if let Some(armed) = wait.armed.get() {
                    armed.disarm_elsewhere(TaskCell::disarm_other);
                }
                wait.state.swap(IDLE, Ordering::AcqRel) == WOKEN
            }
        };
        self.0 = Link::Idle;
        woken
    }
}

impl Armed {
    /// Ends a wait of a task that does not run now, or of another thread.
    #[cold]
    fn disarm_elsewhere(self, disarm: fn(&TaskCell, u32) -> u64) -> bool {
        let here = move || self.with_task(|cell| disarm(cell, self.number)) == Some(WOKEN);
        if self.place.local().is_some() {
            return here();
        }
        // The leaf was moved to another thread: its task learns of it there.
        let there = move || _ = here();
        let _ = self.place.send(Mail::Quiet(Box::new(there)));
        false
    }
}

impl Drop for Wait {
    #[inline]
    fn drop(&mut self) {
        if self.is_armed() {
            self.disarm();
        }
    }
}
