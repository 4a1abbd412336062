//! [`timeout`] and [`timeout_at`]: a deadline on whatever the body awaits.

use asyncio_core::{
    AsyncContextManager, Error, Result, TimeoutError, home::entered, limit::ToTimeout,
    listeners::Parked, scopes::ScopeKey, sync::Mutex,
};
use std::{sync::Arc, time::Duration};

/// Cancels the body after `delay`, and makes that cancellation a [`TimeoutError`]
/// (`asyncio.timeout`). `None` sets no deadline; [`Deadline::reschedule`] may set one later.
///
/// The deadline is counted from this call, in the time of the running loop.
///
/// To go on after the deadline without an error (trio's and anyio's `move_on_after`), enter it by
/// [`with_suppress`](AsyncContextManager::with_suppress): the result is `None` if the time was up.
///
/// # Cancellation
/// One from outside stays a cancellation, also when it comes at the same instant as the deadline.
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
#[doc(alias = "move_on_after")]
pub fn timeout(delay: impl ToTimeout) -> Timeout {
    let now = entered().map(|scheduler| scheduler.time()).unwrap_or_default();
    Timeout::new(delay.to_timeout().map(|delay| now.saturating_add(delay)))
}

/// [`timeout`] with an absolute deadline, in loop time (`asyncio.timeout_at`).
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

#[derive(Debug)]
struct State {
    stage: Stage,
    when: Option<Duration>,
    /// The loop's entry of the deadline; it says whether the deadline has passed.
    entry: Option<Parked>,
    /// What the deadline cancels.
    scope: Option<ScopeKey>,
    /// The requests to cancel that were outstanding on entry, on the path to here.
    cancelling: u32,
}

impl State {
    fn new(when: Option<Duration>) -> State {
        State { stage: Stage::Created, when, entry: None, scope: None, cancelling: 0 }
    }

    fn look(&mut self) -> Stage {
        if self.stage == Stage::Active && self.scope.is_some_and(|s| s.is_expired(self.entry)) {
            self.stage = Stage::Expiring;
        }
        self.stage
    }

    fn set_timer(&mut self, when: Option<Duration>) -> Result<()> {
        if let Some(entry) = self.entry.take() {
            entry.cancel();
        }
        self.when = when;
        if let (Some(when), Some(scope)) = (when, self.scope) {
            self.entry = scope.expire_at(when)?;
        }
        Ok(())
    }

    fn enter(&mut self) -> Result<()> {
        if self.stage != Stage::Created {
            return Err(Error::runtime("Timeout has already been entered"));
        }
        entered().ok_or_else(|| Error::runtime("timeout: no running event loop"))?;
        self.cancelling = ScopeKey::cancelling_here();
        let scope = ScopeKey::open();
        self.scope =
            Some(scope.ok_or_else(|| Error::runtime("Timeout should be used inside a task"))?);
        self.stage = Stage::Active;
        self.set_timer(self.when)
    }

    /// Ends the scope; true if a cancellation that ended the body becomes a timeout.
    fn leave(&mut self, cancelled: bool) -> bool {
        let stage = self.look();
        if let Some(entry) = self.entry.take() {
            entry.cancel();
        }
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
                left.is_some_and(|left| left <= self.cancelling) && cancelled
            }
            Stage::Active => {
                self.stage = Stage::Exited;
                false
            }
            _ => false,
        }
    }
}

/// A deadline that is entered with [`with`](AsyncContextManager::with) (`asyncio.Timeout`).
#[derive(Debug)]
#[must_use = "a timeout does nothing until `with` is called"]
pub struct Timeout(Option<Shared>);

/// A deadline in force: what the body of a [`timeout`] gets. Dropping it lifts the deadline.
#[derive(Debug)]
pub struct Deadline(Shared);

#[derive(Debug)]
enum Shared {
    /// Nobody else looks at it.
    Sole(Mutex<State>),
    Watched(Arc<Mutex<State>>),
}

impl Shared {
    /// The state, for the scope itself: where nobody else looks at it, no lock is taken.
    fn with<R>(&mut self, f: impl FnOnce(&mut State) -> R) -> R {
        match self {
            Shared::Sole(state) => f(state.get_mut()),
            Shared::Watched(state) => f(&mut state.lock()),
        }
    }
}

/// Looks at a deadline from outside of its body, also when that is over: see [`Timeout::watched`].
#[derive(Clone, Debug)]
pub struct Watch(Arc<Mutex<State>>);

impl Timeout {
    fn new(when: Option<Duration>) -> Timeout {
        Timeout(Some(Shared::Sole(Mutex::new(State::new(when)))))
    }

    /// A timeout that can also be looked at from outside: by other tasks, and after the body.
    pub fn watched(self) -> (Timeout, Watch) {
        let state = match self.0 {
            Some(Shared::Watched(state)) => state,
            Some(Shared::Sole(state)) => Arc::new(state),
            None => Arc::new(Mutex::new(State::new(None))),
        };
        (Timeout(Some(Shared::Watched(state.clone()))), Watch(state))
    }

    /// Enters outside of `with`, for scopes of our own.
    pub(crate) fn start(&mut self) -> Result<Deadline> {
        let entered = || Error::runtime("Timeout has already been entered");
        let mut deadline = Deadline(self.0.take().ok_or_else(entered)?);
        deadline.0.with(State::enter)?;
        Ok(deadline)
    }
}

impl Deadline {
    fn state(&self) -> &Mutex<State> {
        match &self.0 {
            Shared::Sole(state) => state,
            Shared::Watched(state) => state,
        }
    }

    /// When the deadline is, in loop time; `None` if there is none.
    pub fn when(&self) -> Option<Duration> {
        self.state().lock().when
    }

    /// Moves the deadline to `when`, in loop time; `None` lifts it. One in the past takes effect in
    /// the next iteration.
    ///
    /// # Errors
    /// `Runtime` unless the deadline is in force: not entered yet, passed already, or left.
    pub fn reschedule(&self, when: impl ToTimeout) -> Result<()> {
        reschedule(self.state(), when.to_timeout())
    }

    /// Whether the deadline has passed while it was in force.
    pub fn expired(&self) -> bool {
        expired(self.state())
    }

    /// The scope that it cancels.
    pub(crate) fn scope(&mut self) -> Option<ScopeKey> {
        self.0.with(|state| state.scope)
    }

    /// Ends the scope: what its body's outcome becomes.
    pub(crate) fn end<T>(&mut self, outcome: Result<T>) -> Result<T> {
        let cancelled = outcome.as_ref().is_err_and(Error::is_cancelled);
        match (self.0.with(|state| state.leave(cancelled)), outcome) {
            (true, Err(error)) => Err(timed_out(error)),
            (_, outcome) => outcome,
        }
    }
}

impl Watch {
    /// When the deadline is, in loop time.
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

    /// Whether the deadline has passed while it was in force.
    pub fn expired(&self) -> bool {
        expired(&self.0)
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
        let (entry, scope) = self.0.with(|state| (state.entry.take(), state.scope.take()));
        if let Some(entry) = entry {
            entry.cancel();
        }
        if let Some(scope) = scope {
            scope.close();
        }
    }
}

impl AsyncContextManager for Timeout {
    type Target = Deadline;

    async fn enter(&mut self) -> Result<Deadline> {
        self.start()
    }

    fn scope(&self, deadline: &mut Deadline) -> Option<ScopeKey> {
        deadline.scope()
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
        let cancelled = error.is_some_and(Error::is_cancelled);
        Ok(deadline.0.with(|state| state.leave(cancelled)))
    }
}
