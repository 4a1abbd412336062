//! [`timeout`] and [`timeout_at`]: a deadline for the awaits of a body.

use asyncio_core::{
    AsyncContextManager, Error, Result, TimeoutError,
    limit::ToTimeout,
    raw::{ScopeKey, sync::Mutex, with_entered, with_running},
    scope::Scope,
    wait_site::WaitSite,
};
use std::{fmt, future::Future, pin::pin, sync::Arc, time::Duration};

/// Cancels the body after `delay`, and converts that cancellation to a [`TimeoutError`]
/// (`asyncio.timeout`). `None` sets no deadline; [`Deadline::reschedule`] may set one later.
///
/// The deadline is counted from this call, in the time of the running loop. If the body answers the
/// cancellation with another error, that error is returned; in its
/// [context](asyncio_core::Error::context), the timeout replaces the cancellation.
///
/// To continue after the deadline without an error (trio's and anyio's `move_on_after`), use
/// [`with_suppress`](AsyncContextManager::with_suppress): the result is `None` if the deadline
/// passed.
///
/// # Cancellation
/// A cancellation from outside stays a cancellation, even at the same instant as the deadline.
///
/// ```
/// use asyncio::{AsyncContextManager, Result};
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     use std::time::Duration;
///     let outcome = asyncio::timeout(Duration::from_millis(10)).with(async |_| {
///         asyncio::sleep(Duration::from_secs(3600)).await
///     }).await;
///     assert!(outcome.unwrap_err().is_timeout());
///     Ok(())
/// }
/// ```
#[doc(alias("asyncio.timeout", "fail_after", "move_on_after"))]
pub fn timeout(delay: impl ToTimeout) -> Timeout {
    let now = with_entered(|scheduler| scheduler.timers.time()).unwrap_or_default();
    Timeout::new(delay.to_timeout().map(|delay| now.saturating_add(delay)))
}

/// Limits a block by an absolute deadline, in loop time (`asyncio.timeout_at`): see [`timeout`].
/// ```
/// use asyncio::prelude::*;
/// use std::time::Duration;
/// # #[asyncio::main]
/// # async fn main() -> asyncio::Result<()> {
/// let deadline = asyncio::get_running_loop()?.time() + Duration::from_millis(10);
/// for _ in 0..2 {
///     let sleep = async |_: &mut _| asyncio::sleep(Duration::from_secs(3600)).await;
///     assert!(asyncio::timeout_at(deadline).with(sleep).await.unwrap_err().is_timeout());
/// }
/// # Ok(())
/// # }
/// ```
#[doc(alias = "asyncio.timeout_at")]
pub fn timeout_at(when: impl ToTimeout) -> Timeout {
    Timeout::new(when.to_timeout())
}

/// The stages of a deadline, in this order.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Created,
    Active,
    Expiring,
    Expired,
    Exited,
}

impl Stage {
    fn word(self) -> &'static str {
        match self {
            Stage::Created => "has not been entered",
            Stage::Active => "is active",
            Stage::Expiring => "is expiring",
            Stage::Expired => "has expired",
            Stage::Exited => "has finished",
        }
    }
}

struct State {
    stage: Stage,
    when: Option<Duration>,
    /// The scope that the deadline cancels.
    scope: Option<ScopeKey>,
    /// The requests to cancel that were outstanding on entry, on the path to here.
    cancelling: u32,
}

impl State {
    fn new(when: Option<Duration>) -> State {
        State { stage: Stage::Created, when, scope: None, cancelling: 0 }
    }

    /// Enters a scope whose deadline is `when`.
    #[inline(always)]
    fn entered(when: Option<Duration>, site: WaitSite) -> Result<State> {
        with_running("timeout", |_| Ok(()))?;
        let cancelling = ScopeKey::cancelling_here();
        let scope = ScopeKey::open(site);
        let scope = scope.ok_or_else(|| Error::runtime("Timeout should be used inside a task"))?;
        if let Err(error) = scope.set_deadline(when) {
            scope.close();
            return Err(error);
        }
        Ok(State { stage: Stage::Active, when, scope: Some(scope), cancelling })
    }

    fn look(&mut self) -> Stage {
        if self.stage == Stage::Active && self.scope.is_some_and(ScopeKey::is_expired) {
            self.stage = Stage::Expiring;
        }
        self.stage
    }

    fn set_timer(&mut self, when: Option<Duration>) -> Result<()> {
        self.when = when;
        self.scope.map_or(Ok(()), |scope| scope.set_deadline(when))
    }

    /// Ends the scope; returns true if only the deadline ended the body.
    fn leave(&mut self) -> bool {
        let stage = self.look();
        let scope = self.scope.take();
        let left = match stage {
            Stage::Expiring => scope.and_then(ScopeKey::uncancel),
            _ => None,
        };
        if let Some(scope) = scope {
            scope.close();
        }
        match stage {
            Stage::Expiring => {
                self.stage = Stage::Expired;
                left.is_some_and(|left| left <= self.cancelling)
            }
            Stage::Active => {
                self.stage = Stage::Exited;
                false
            }
            _ => false,
        }
    }
}

/// A deadline for a block, entered by [`with`](AsyncContextManager::with) (`asyncio.Timeout`).
#[doc(alias = "asyncio.Timeout")]
#[must_use = "a timeout does nothing until `with` is called"]
pub struct Timeout(Start);

enum Start {
    New(Option<Duration>),
    Watched(Arc<Mutex<State>>),
    Entered,
}

/// A deadline in force, which the body of a [`timeout`] gets. Dropping it lifts the deadline.
pub struct Deadline(Shared);

enum Shared {
    /// Nothing else accesses it.
    Sole(Mutex<State>),
    Watched(Arc<Mutex<State>>),
}

impl Shared {
    /// Accesses the state for the scope itself. If nothing else accesses it, no lock is taken.
    fn with<R>(&mut self, f: impl FnOnce(&mut State) -> R) -> R {
        match self {
            Shared::Sole(state) => f(state.get_mut()),
            Shared::Watched(state) => f(&mut state.lock()),
        }
    }
}

/// Shows a deadline outside its body, even after the body has ended: see [`Timeout::watched`].
#[derive(Clone)]
pub struct Watch(Arc<Mutex<State>>);

impl Timeout {
    fn new(when: Option<Duration>) -> Timeout {
        Timeout(Start::New(when))
    }

    /// Returns the timeout with a handle that shows it to other tasks, and after the body.
    pub fn watched(self) -> (Timeout, Watch) {
        let state = match self.0 {
            Start::New(when) => Arc::new(Mutex::new(State::new(when))),
            Start::Watched(state) => state,
            Start::Entered => Arc::new(Mutex::new(State::new(None))),
        };
        (Timeout(Start::Watched(state.clone())), Watch(state))
    }

    /// Enters the scope without `with`, for our own scopes.
    #[inline(always)]
    pub(crate) fn start(&mut self, site: WaitSite) -> Result<Deadline> {
        match std::mem::replace(&mut self.0, Start::Entered) {
            Start::New(when) => Ok(Deadline(Shared::Sole(Mutex::new(State::entered(when, site)?)))),
            Start::Watched(state) => start_watched(state, site),
            Start::Entered => Err(already_entered()),
        }
    }
}

#[cold]
fn already_entered() -> Error {
    Error::runtime("Timeout has already been entered")
}

#[cold]
fn start_watched(state: Arc<Mutex<State>>, site: WaitSite) -> Result<Deadline> {
    let mut watched = state.lock();
    if watched.stage != Stage::Created {
        return Err(already_entered());
    }
    *watched = State::entered(watched.when, site)?;
    drop(watched);
    Ok(Deadline(Shared::Watched(state)))
}

impl Deadline {
    fn state(&self) -> &Mutex<State> {
        match &self.0 {
            Shared::Sole(state) => state,
            Shared::Watched(state) => state,
        }
    }

    /// Returns the deadline, in loop time; `None` if there is none.
    pub fn when(&self) -> Option<Duration> {
        self.state().lock().when
    }

    /// Moves the deadline to `when`, in loop time; `None` lifts it. A deadline in the past takes
    /// effect in the next iteration.
    ///
    /// # Errors
    /// `Runtime` if the deadline is not in force, because the block has not started, the deadline
    /// has passed, or the block has ended.
    pub fn reschedule(&self, when: impl ToTimeout) -> Result<()> {
        reschedule(self.state(), when.to_timeout())
    }

    /// Returns whether the deadline passed while it was in force.
    pub fn expired(&self) -> bool {
        expired(self.state())
    }

    /// The scope that it cancels.
    pub(crate) fn scope(&mut self) -> Option<ScopeKey> {
        self.0.with(|state| state.scope)
    }

    /// Ends the scope, and converts the outcome of its body.
    pub(crate) fn end<T>(&mut self, outcome: Result<T>) -> Result<T> {
        match (self.0.with(State::leave), outcome) {
            (true, Err(error)) if error.is_cancelled() => Err(timed_out(error)),
            (true, Err(error)) => Err(error.with_timeout_in_context()),
            (_, outcome) => outcome,
        }
    }

    /// Does what [`end`](Deadline::end) does, without an error for a timeout.
    fn end_suppress<T>(&mut self, outcome: Result<T>) -> Result<Option<T>> {
        match (self.0.with(State::leave), outcome) {
            (true, Err(error)) if error.is_cancelled() => Ok(None),
            (true, Err(error)) => Err(error.with_timeout_in_context()),
            (_, outcome) => outcome.map(Some),
        }
    }
}

impl Watch {
    /// Returns the deadline, in loop time.
    pub fn when(&self) -> Option<Duration> {
        self.0.lock().when
    }

    /// Moves the deadline: see [`Deadline::reschedule`].
    ///
    /// # Errors
    /// As there.
    pub fn reschedule(&self, when: impl ToTimeout) -> Result<()> {
        reschedule(&self.0, when.to_timeout())
    }

    /// Returns whether the deadline passed while it was in force.
    pub fn expired(&self) -> bool {
        expired(&self.0)
    }
}

/// `<Timeout active when=526ms>`
fn show(f: &mut fmt::Formatter<'_>, stage: Stage, when: Option<Duration>) -> fmt::Result {
    write!(f, "<Timeout {}", format!("{stage:?}").to_lowercase())?;
    when.map_or(Ok(()), |when| write!(f, " when={when:?}"))?;
    f.write_str(">")
}

impl State {
    fn fmt(&mut self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = self.look();
        show(f, stage, self.when)
    }
}

impl fmt::Debug for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Start::New(when) => show(f, Stage::Created, *when),
            Start::Watched(state) => state.lock().fmt(f),
            Start::Entered => show(f, Stage::Active, None),
        }
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state().lock().fmt(f)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.lock().fmt(f)
    }
}

fn reschedule(state: &Mutex<State>, when: Option<Duration>) -> Result<()> {
    let mut state = state.lock();
    match state.look() {
        Stage::Active => state.set_timer(when),
        stage => Err(Error::runtime(format!("Timeout.reschedule: the timeout {}", stage.word()))),
    }
}

fn expired(state: &Mutex<State>) -> bool {
    matches!(state.lock().look(), Stage::Expiring | Stage::Expired)
}

pub(crate) fn timed_out(cancelled: Error) -> Error {
    Error::Timeout(TimeoutError::default()).with_context(cancelled)
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if let Some(scope) = self.0.with(|state| state.scope.take()) {
            scope.close();
        }
    }
}

impl AsyncContextManager for Timeout {
    type Target = Deadline;

    async fn enter(&mut self) -> Result<Deadline> {
        self.start(WaitSite::here(&"timeout"))
    }

    #[track_caller]
    fn with<R>(
        mut self,
        body: impl AsyncFnOnce(&mut Deadline) -> Result<R>,
    ) -> impl Future<Output = Result<R>> {
        let site = WaitSite::here(&"timeout");
        async move {
            let mut deadline = self.start(site)?;
            let outcome = inside(&mut deadline, body, site).await;
            deadline.end(outcome)
        }
    }

    #[track_caller]
    fn with_suppress<R>(
        mut self,
        body: impl AsyncFnOnce(&mut Deadline) -> Result<R>,
    ) -> impl Future<Output = Result<Option<R>>> {
        let site = WaitSite::here(&"timeout");
        async move {
            let mut deadline = self.start(site)?;
            let outcome = inside(&mut deadline, body, site).await;
            deadline.end_suppress(outcome)
        }
    }

    async fn exit(&mut self, deadline: Deadline, error: Option<&Error>) -> Result<()> {
        match self.exit_suppress(deadline, error).await? {
            true => Err(Error::Timeout(TimeoutError::default())),
            false => Ok(()),
        }
    }

    async fn exit_suppress(
        &mut self,
        mut deadline: Deadline,
        error: Option<&Error>,
    ) -> Result<bool> {
        Ok(deadline.0.with(State::leave) && error.is_some_and(Error::is_cancelled))
    }
}

/// Runs the body in the scope of its deadline.
async fn inside<R>(
    deadline: &mut Deadline,
    body: impl AsyncFnOnce(&mut Deadline) -> Result<R>,
    site: WaitSite,
) -> Result<R> {
    let place = deadline.scope();
    let mut scope = pin!(Scope::new(body(deadline), site));
    scope.as_mut().set_place(place);
    scope.await
}
