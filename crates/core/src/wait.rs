//! [`Wait`] and [`Waiter`]: the two ends of a suspension.
//!
//! A leaf future holds a [`Wait`]. Before the leaf returns `Pending`, it arms the wait and hands the
//! [`Waiter`] to the awaited object, such as a lock's queue or a timer. The object wakes the waiter,
//! and the leaf reads from its wait how the suspension ended. Both work in a task of this library,
//! where a request to cancel can end the wait (see [`crate::cancel`]), and under any other executor,
//! where only a wake-up can.
//!
//! A wake-up goes to one waiter, under the lock of the primitive. If the leaf cannot use it, because
//! it was cancelled or dropped meanwhile, it learns this from its wait and passes the wake-up on.
//!
//! # States
//!
//! A wait is armed in the cell of its task. It gets a number that no wait of the task had before, and
//! goes through these states:
//!
//! ```text
//!          arm (1)                    wake (2)
//!   IDLE ───────────► WAITING ──────────────────────► WOKEN
//!    ▲                 │   ▲                            │
//!    │      cancel (3) ▼   │ revoke (5)                 │
//!    │ disarm (4)    CANCELLED                          │
//!    └───────────────────┴──────────────────────────────┘
//! ```
//!
//! 1. by the leaf, on its task's thread;
//! 2. by the object that it waits for, on any thread ([`Waiter::wake`]); there is one winner;
//! 3. by a request, when it is made: from then on, the waiter does not count as waiting;
//! 4. by the leaf, when it resumes or is dropped. It then knows whether it was woken, and passes on
//!    a wake-up that it does not use;
//! 5. when the scope of the request ends before the leaf is polled. The next poll arms the wait again,
//!    and checks again for the object that it waits for.

mod access;
pub(crate) mod awaiting;
mod of_task;
pub(crate) mod other;
pub(crate) mod state;
pub(crate) mod target;

pub(crate) use crate::wait::other::OtherWait;
pub use crate::wait::target::{Awaits, Cancel, Operation, Parts, Target};
use crate::{
    CancelledError, Error,
    cancel::scopes::Within,
    exception::reported,
    home::{HomeRef, LoopRef, entered},
    scheduler::Scheduler,
    slots::Key,
    task::{
        cell::{TaskCell, Which},
        listeners::CallbackRef,
        reference::{FirstWait, Lent},
    },
    wait::state::{CANCELLED, IDLE, WAITING, WOKEN},
    wait_site::WaitSite,
};
use std::{
    future::Future,
    sync::Arc,
    task::{Context, Waker},
};

/// The end of a suspension that the awaited object keeps. It can be sent anywhere.
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
            Kind::Other(wait) => wait.state(),
        }
    }

    /// Returns whether it still waits: neither woken nor cancelled.
    pub fn is_waiting(&self) -> bool {
        self.state() == WAITING
    }

    /// Returns whether it was woken, and its task has not run since.
    pub fn is_woken(&self) -> bool {
        self.state() == WOKEN
    }

    /// Returns whether it was cancelled, and its task has not run since.
    pub fn is_cancelled(&self) -> bool {
        self.state() == CANCELLED
    }

    /// Wakes it, and returns whether it was still waiting. On return, its task is in the ready
    /// queue. A foreign executor's waker is added to `wakers` instead, so that it is called when
    /// the caller holds no lock.
    pub fn wake(&self, wakers: &mut Wakers) -> bool {
        match &self.0 {
            Kind::First { task, number } => task.wake_first_wait(*number),
            Kind::Other(wait) => {
                let woken = wait.wake();
                if woken {
                    wakers.0.push(wait.waker.clone());
                }
                woken
            }
        }
    }

    /// Does the same as [`wake`](Waiter::wake), but only for the first wait of a task of this loop.
    /// The task reads it in its next step.
    #[doc(hidden)] // For the siblings.
    #[inline]
    pub fn wake_in(&self, home: LoopRef) -> bool {
        match &self.0 {
            Kind::First { task, number } if task.home() == home => task.wake_first_wait(*number),
            _ => false,
        }
    }

    /// Does the same as [`wake`](Waiter::wake), for a caller that holds no lock.
    pub fn wake_now(&self) -> bool {
        self.wake(&mut Wakers::new())
    }
}

/// Wakers of foreign executors, which are called when this is dropped. Declare it before the guard
/// of the lock under which it is filled.
#[derive(Debug, Default)]
pub struct Wakers(Vec<Waker>);

impl Wakers {
    /// Creates an empty list, without an allocation.
    pub const fn new() -> Wakers {
        Wakers(Vec::new())
    }
}

impl Wakers {
    /// Calls all wakers, even if one panics.
    #[cold]
    fn call(&mut self) {
        self.0.drain(..).for_each(wake);
    }
}

/// Calls a waker of another library, or of the program. A panic of the waker is reported, and does not
/// reach the code that wakes.
pub(crate) fn wake(waker: Waker) {
    reported("Exception in a waker", None, || waker.wake());
}

/// Does the same as [`wake`], by reference.
pub(crate) fn wake_by_ref(waker: &Waker) {
    reported("Exception in a waker", None, || waker.wake_by_ref());
}

impl Drop for Wakers {
    #[inline]
    fn drop(&mut self) {
        if !self.0.is_empty() {
            self.call();
        }
    }
}

/// A leaf without an asynchronous clean-up: dropping it while it waits has the same effect as
/// cancelling it. Anything that it had been given goes back.
pub trait Leaf: Future {}

/// The state of an armed wait when its leaf is polled.
#[derive(Debug)]
#[must_use]
pub enum Resume {
    /// It still waits: return `Pending`.
    Pending,
    /// It was woken, and has ended.
    Woken,
    /// It has ended, and the leaf has to return this error. If `woken`, it had also been woken, and
    /// the leaf must pass that wake-up on.
    Cancelled {
        /// The error to return.
        error: Error,
        /// Whether a wake-up has to be passed on.
        woken: bool,
    },
}

/// The state of a wait, as its polled leaf sees it.
pub(crate) enum Look {
    State(u64),
    /// This step throws a cancellation here.
    Throws(CancelledError),
    /// Another task or another waker polls now, or a cancellation was withdrawn: the wait is armed
    /// again. `shared`: another task, or another scope of this one, goes on polling it, and it is armed
    /// there, as a foreign wait.
    Anew {
        shared: Option<Within>,
    },
}

/// The end of a suspension that a leaf future holds. Dropping it ends the wait.
#[derive(Debug, Default)]
pub struct Wait(Link);

#[derive(Debug, Default)]
enum Link {
    #[default]
    Idle,
    First(FirstWait),
    Other(Arc<OtherWait>),
}

/// Calls `f` with the current task of this thread.
#[inline(always)]
pub(crate) fn with_current<R>(f: impl FnOnce(Option<&TaskCell>) -> R) -> R {
    match entered() {
        Some(scheduler) => scheduler.with_current(f),
        None => f(None),
    }
}

/// Arms a wait beside the first wait of the current task, or outside this library's tasks.
#[cold]
fn arm_other(
    cx: &Context<'_>,
    site: WaitSite,
    target: Option<Target>,
    state: u64,
) -> Arc<OtherWait> {
    // Cloning it may run any code.
    let waker = cx.waker().clone();
    let Some(scheduler) = entered() else { return OtherWait::outside(waker, site, state) };
    scheduler.with_current(|cell| match cell.and_then(|cell| Some((cell, cell.current_key()?))) {
        Some((cell, key)) => cell.arm_other(scheduler, key, (waker, site, state), target),
        None => OtherWait::outside(waker, site, state),
    })
}

/// Arms the first wait of the current task, if that task polls, and has no other wait.
#[inline(always)]
fn arm_first<R>(
    cx: &Context<'_>,
    site: WaitSite,
    state: u64,
    then: impl FnOnce(&TaskCell, u32) -> R,
) -> Option<(Link, R)> {
    let scheduler = entered()?;
    scheduler.with_current(|cell| {
        let cell = cell.filter(|cell| cell.is_own(cx.waker()) && cell.may_arm_first())?;
        let (wait, number) = FirstWait::arm(cell, scheduler, site, state);
        Some((Link::First(wait), then(cell, number)))
    })
}

impl Wait {
    /// Creates a wait that is not armed.
    pub const fn new() -> Wait {
        Wait(Link::Idle)
    }

    /// Returns whether it is armed.
    #[inline]
    pub fn is_armed(&self) -> bool {
        !matches!(self.0, Link::Idle)
    }

    /// Arms it for the polling task, at `site`. A cancelled task passes the request on to `target`,
    /// if there is one; the wait itself then ends only when the target ends.
    #[inline]
    pub fn arm(&mut self, cx: &Context<'_>, site: WaitSite, target: Option<Target>) {
        self.arm_as(cx, site, target, WAITING);
    }

    /// Does the same as [`arm`](Wait::arm) without a target, and stores the [other
    /// end](Wait::waiter) in `place`.
    // It is stored directly: moving a value as a whole that was just stored in parts causes a
    // store-forwarding stall.
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

    /// Arms it as already woken, and wakes the task: a bare yield.
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
    pub(crate) fn first_in(&self, place: HomeRef) -> Option<(Key, u32)> {
        match &self.0 {
            Link::First(task) if task.home().place() == place => {
                Some((task.key()?, task.first_number()))
            }
            _ => None,
        }
    }

    /// Returns the site at which it is armed; `None` if it is not armed, or if the site is not known
    /// because this is not its task's thread.
    #[inline]
    pub fn site(&self) -> Option<WaitSite> {
        match &self.0 {
            Link::Idle => None,
            Link::First(task) => task.first_site(),
            Link::Other(wait) => Some(wait.site),
        }
    }

    /// Returns the callback with this key in the loop in which the wait is armed, for a leaf that
    /// has parked a callback there.
    #[doc(hidden)] // For the siblings.
    #[inline]
    pub fn parked(&self, key: Key) -> Option<CallbackRef> {
        let place = match &self.0 {
            Link::Idle => return None,
            Link::First(task) => task.home().place(),
            Link::Other(wait) => wait.place?,
        };
        Some(CallbackRef { place, key })
    }

    /// Returns the other end, for the awaited object. `None` if the wait is not armed, or its task
    /// has ended.
    #[inline]
    pub fn waiter(&self) -> Option<Waiter> {
        Some(Waiter(match &self.0 {
            Link::Idle => return None,
            Link::First(task) => {
                task.key()?;
                Kind::First { task: Lent::new(task), number: task.first_number() }
            }
            Link::Other(wait) => Kind::Other(wait.clone()),
        }))
    }

    /// Returns the state of the wait, for a leaf that is polled while the wait is armed.
    ///
    /// If the leaf was moved to another task since, or is polled with another waker, the wait is armed
    /// again there, and `replace` gets the new waiter to replace the old one. The caller must hold the
    /// lock under which waiters are woken, so that no wake-up is lost between the two. It must drop
    /// the old waiter without the lock, because that may drop a foreign waker and everything that the
    /// waker owns.
    #[inline(always)]
    pub fn poll(
        &mut self,
        cx: &Context<'_>,
        site: WaitSite,
        target: impl FnOnce() -> Option<Target>,
        replace: impl FnOnce(Waiter),
    ) -> Resume {
        match self.poll_fast(cx) {
            Some(resume) => resume,
            None => self.poll_slow(cx, site, target, replace),
        }
    }

    /// Does the same as [`poll`](Wait::poll) in the usual cases; in all others it returns `None`,
    /// and `poll` has to be called.
    #[inline(always)]
    pub fn poll_fast(&mut self, cx: &Context<'_>) -> Option<Resume> {
        match self.look_fast(cx)? {
            WAITING => Some(Resume::Pending),
            WOKEN => {
                self.0 = Link::Idle;
                Some(Resume::Woken)
            }
            _ => None,
        }
    }

    /// The state of a first wait if no request is pending; a woken wait has ended. This is the path
    /// of nearly all polls.
    #[inline(always)]
    fn look_fast(&self, cx: &Context<'_>) -> Option<u64> {
        let Link::First(task) = &self.0 else { return None };
        let scheduler = entered()?;
        scheduler.with_current(|cell| {
            let cell = cell.filter(|cell| task.is_of(cell) && cell.is_own(cx.waker()))?;
            cell.resume_first(scheduler)
        })
    }

    fn poll_slow(
        &mut self,
        cx: &Context<'_>,
        site: WaitSite,
        target: impl FnOnce() -> Option<Target>,
        replace: impl FnOnce(Waiter),
    ) -> Resume {
        let scheduler = entered();
        if self.resume_other(scheduler) {
            return Resume::Woken;
        }
        let look = |cell: Option<&TaskCell>| self.look(cx, scheduler.zip(cell));
        match scheduler.map_or_else(|| look(None), |scheduler| scheduler.with_current(look)) {
            Look::State(WAITING) => Resume::Pending,
            Look::State(CANCELLED) => {
                let message = self.take_message();
                self.disarm();
                Resume::Cancelled { error: Error::Cancelled(message), woken: false }
            }
            Look::State(_) => {
                self.disarm();
                Resume::Woken
            }
            Look::Throws(error) => {
                let woken = self.disarm();
                Resume::Cancelled { error: Error::Cancelled(error), woken }
            }
            Look::Anew { shared } => {
                let has_passed_on = self.has_passed_on();
                if has_passed_on {
                    with_current(|cell| cell.map(|cell| self.leave_answer(cell)));
                }
                if self.disarm() {
                    return Resume::Woken;
                }
                let place = scheduler.zip(shared).map(|(it, place)| it.enter_within(place));
                self.arm(cx, site, target());
                drop(place);
                if has_passed_on {
                    self.set_passed_on();
                }
                if let Some(waiter) = self.waiter() {
                    replace(waiter);
                }
                Resume::Pending
            }
        }
    }

    /// Ends a woken wait beside the first, if no request is pending.
    fn resume_other(&mut self, scheduler: Option<&Scheduler>) -> bool {
        let (Link::Other(wait), Some(scheduler)) = (&self.0, scheduler) else { return false };
        let is_woken = scheduler.with_current(|cell| {
            let cell = cell?;
            Some(cell.resume_other(scheduler, wait.entry_in(cell)?, wait))
        });
        if is_woken == Some(true) {
            self.0 = Link::Idle;
        }
        is_woken == Some(true)
    }

    fn look(&self, cx: &Context<'_>, current: Option<(&Scheduler, &TaskCell)>) -> Look {
        match (&self.0, current) {
            (Link::First(task), Some((scheduler, cell))) if task.is_of(cell) => {
                if !cell.is_own(cx.waker()) {
                    return Look::Anew { shared: None };
                }
                cell.look_first(scheduler)
            }
            // A future that two tasks share polls its parts with its own waker.
            (Link::First(task), Some((scheduler, cell))) => {
                let is_shared = !task.is_done() && !cell.is_own(cx.waker());
                Look::Anew { shared: is_shared.then(|| scheduler.within().foreign()) }
            }
            (Link::Other(wait), Some((scheduler, cell))) => match wait.entry_in(cell) {
                Some(entry) => cell.look_other(scheduler, entry, wait, cx.waker()),
                None => wait.look_from(scheduler, cell, cx.waker()),
            },
            (Link::Other(wait), None) if wait.armed.is_none() => match wait.state() {
                WAITING if !wait.waker.will_wake(cx.waker()) => Look::Anew { shared: None },
                state => Look::State(state),
            },
            _ => Look::Anew { shared: None },
        }
    }

    /// Whether a request was passed on to its target, which has not answered.
    fn has_passed_on(&self) -> bool {
        match &self.0 {
            Link::Idle => false,
            Link::First(task) => task.is_local() && task.has_passed_on(Which::First),
            Link::Other(wait) => wait.has_passed_on(),
        }
    }

    /// If a wait that has passed a request on is polled by another task than before, the answer comes out
    /// there: in its former task the request counts as taken.
    fn leave_answer(&self, current: &TaskCell) {
        match &self.0 {
            Link::First(task) if task.is_local() && !task.is_of(current) => {
                let former = task.home().local();
                former.into_iter().for_each(|it| task.leave_answer(it, Which::First));
            }
            Link::Other(wait) if wait.entry_in(current).is_none() => wait.leave_answer(),
            _ => {}
        }
    }

    /// Sets [`has_passed_on`](Wait::has_passed_on) for a wait that was just armed to replace one.
    fn set_passed_on(&self) {
        match &self.0 {
            Link::Idle => {}
            Link::First(task) => task.set_passed(Which::First, true),
            Link::Other(wait) => wait.set_passed(true),
        }
    }

    fn take_message(&self) -> CancelledError {
        match &self.0 {
            Link::Idle => CancelledError::default(),
            Link::First(task) => task.take_wait_message(),
            Link::Other(wait) => with_current(|cell| {
                let cell = cell?;
                cell.with_other(wait.entry_in(cell)?, |other| std::mem::take(&mut other.message))
            })
            .unwrap_or_default(),
        }
    }

    /// Ends a wait whose target is done. Returns the cancellation that this step throws here, which
    /// replaces any result except a cancellation.
    #[inline]
    pub fn finish(&mut self) -> Option<Error> {
        let thrown = entered().and_then(|scheduler| {
            scheduler.with_current(|cell| {
                let cell = cell?;
                match &self.0 {
                    Link::First(task) if task.is_of(cell) => return cell.finish_first(scheduler),
                    Link::Other(wait) => {
                        if let Some(entry) = wait.entry_in(cell) {
                            return cell.finish_other(scheduler, entry);
                        }
                    }
                    _ => {}
                }
                // It was armed in another task, from which it has moved here.
                if self.has_passed_on() {
                    self.leave_answer(cell);
                    cell.picked_up(scheduler, scheduler.within(), false);
                }
                None
            })
        });
        self.disarm();
        thrown.map(Error::Cancelled)
    }

    /// Ends the wait, and returns whether it received a wake-up that was not used. The caller must
    /// hold the lock under which waiters are woken. On a thread other than the task's, the result
    /// is false: there, ask the [`Waiter`] first.
    #[inline]
    pub fn disarm(&mut self) -> bool {
        match std::mem::take(&mut self.0) {
            Link::Idle => false,
            Link::First(task) => task.end() == WOKEN,
            Link::Other(wait) => wait.end(),
        }
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
