//! [`TaskGroup`]: tasks that end together.

use crate::{AnyTask, Task, TaskBuilder, current_task, members::Members};
use asyncio_core::{
    AsyncContextManager, CancelledError, Error, ExceptionGroup, Result,
    context_manager::{run, run_suppress},
    raw::{
        RequestCounts, ScopeKey,
        sync::{Mutex, MutexGuard},
        with_entered, with_running,
    },
    scope::Scope,
    wait::{Awaits, Operation, Target},
    wait_site::WaitSite,
};
use asyncio_future::Future;
use std::{
    fmt,
    future::{Future as StdFuture, IntoFuture},
    panic::Location,
    sync::Arc,
};

/// A group of tasks whose block ends only when all of them have ended (`asyncio.TaskGroup`).
///
/// The first child that fails cancels the others and the body. When all have ended, the group
/// returns the errors as one [`Error::Group`], in the order of failure, with the body's own error
/// last. A cancelled child does not count as failed. Children may add more children, even while the
/// group waits for its end.
///
/// # Cancellation
/// A cancellation from outside cancels the children, waits for them, and is then returned. If one
/// of them fails, the group of errors is returned instead, and the cancellation is delivered at the
/// next suspension. If the `with` future is dropped before its end, the children are cancelled.
///
/// ```
/// use asyncio::{AsyncContextManager, Result};
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let sum = asyncio::TaskGroup::new().with(async |group| {
///         let one = group.create_task(async { Ok(1) });
///         let two = group.create_task(async { Ok(2) });
///         Ok(one.await? + two.await?)
///     }).await?;
///     assert_eq!(sum, 3);
///     Ok(())
/// }
/// ```
#[doc(alias("asyncio.TaskGroup", "open_nursery"))]
#[must_use = "a group does nothing until `with` is called"]
pub struct TaskGroup {
    group: Group,
    site: WaitSite,
}

/// A handle to an entered [`TaskGroup`], which its body gets. Clones can be moved into children.
pub struct Group {
    shared: Arc<Mutex<State>>,
    /// The body's own handle; dropping it before the end cancels the children.
    is_body: bool,
}

// The order matters: other processes read the tasks at the beginning.
#[derive(Default)]
#[repr(C)]
struct State {
    /// Tasks that an eager task adds in its first step come before it.
    tasks: Members,
    parent: Option<AnyTask>,
    /// The scope that the group cancels when a child fails; `None` for the whole task.
    scope: Option<ScopeKey>,
    entered: bool,
    exiting: bool,
    aborting: bool,
    /// [`Group::cancel`] was called.
    cancelled: bool,
    /// A child that fails aborts nothing.
    keeps_on: bool,
    finished: bool,
    parent_cancel_requested: bool,
    errors: Vec<Error>,
    /// A `KeyboardInterrupt`, which is returned without a group.
    base_error: Option<Error>,
    completed: Option<Future<()>>,
}

impl State {
    fn may_create(&self) -> Result<()> {
        Err(Error::runtime(if !self.entered {
            "TaskGroup.create_task: the group has not been entered"
        } else if self.finished || self.exiting && self.tasks.is_empty() {
            "TaskGroup.create_task: the group is finished"
        } else if self.aborting {
            "TaskGroup.create_task: the group is shutting down"
        } else {
            return Ok(());
        }))
    }
}

/// The end of the group waits for its children.
impl Awaits for State {
    fn awaits(&self) -> Vec<Target> {
        self.tasks.awaits()
    }
}

/// Cancels every child, in the order in which they were added. Not under the lock, because this may
/// lead back here.
fn abort(shared: &Mutex<State>) {
    let tasks: Vec<AnyTask> = {
        let mut state = shared.lock();
        state.aborting = true;
        state.tasks.iter().cloned().collect()
    };
    for task in tasks {
        if !task.done() {
            task.cancel();
        }
    }
}

/// Ends the group early: cancels its children and its body.
fn give_up(shared: &Mutex<State>) {
    let mut state = shared.lock();
    state.parent_cancel_requested = true;
    let (parent, scope) = (state.parent.clone(), state.scope);
    drop(state);
    abort(shared);
    match (scope, parent) {
        (Some(scope), _) => scope.request(CancelledError::default()),
        (None, Some(parent)) => _ = parent.cancel(),
        (None, None) => {}
    }
}

impl TaskGroup {
    /// Creates a group, which can be entered once.
    #[track_caller]
    #[allow(clippy::new_without_default)] // asyncio's constructor; a `Default` would say no more.
    pub fn new() -> TaskGroup {
        TaskGroup::at(WaitSite::here(&"TaskGroup"))
    }

    /// Creates the group of an operation that was called at `site`.
    pub(crate) fn at(site: WaitSite) -> TaskGroup {
        TaskGroup { group: Group { shared: Arc::default(), is_body: false }, site }
    }

    /// Sets whether a child that fails cancels the others and the body; the default is `true`. With
    /// `false`, they continue, and the group returns the errors at its end: a supervisor. An error of the
    /// body, or a `KeyboardInterrupt`, cancels the children in any case. asyncio has no counterpart.
    ///
    /// ```
    /// use asyncio::{AsyncContextManager, Error, TaskGroup};
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let outcome = TaskGroup::new().abort_on_error(false).with(async |group| {
    ///         drop(group.create_task(async { Err::<(), _>(Error::msg("one")) }));
    ///         drop(group.create_task(async { Err::<(), _>(Error::msg("two")) }));
    ///         Ok(())
    ///     });
    ///     let Err(Error::Group(errors)) = outcome.await else { panic!("both fail") };
    ///     assert_eq!(errors.exceptions().len(), 2);
    ///     Ok(())
    /// }
    /// ```
    pub fn abort_on_error(self, on: bool) -> TaskGroup {
        self.group.state().keeps_on = !on;
        self
    }

    /// Returns a handle for other code, which can create tasks once the group is entered.
    pub fn handle(&self) -> Group {
        self.group.clone()
    }
}

impl Group {
    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }

    /// Runs `coroutine` as a task of the group (`TaskGroup.create_task`).
    ///
    /// If the group takes no more tasks, because it has not been entered, is finished or is
    /// shutting down, the coroutine is dropped, and the task has ended with that `Runtime` error.
    #[doc(alias("asyncio.TaskGroup.create_task", "start_soon"))]
    #[track_caller]
    pub fn create_task<F, T>(&self, coroutine: F) -> Task<T>
    where
        F: IntoFuture<Output = Result<T>>,
        F::IntoFuture: 'static,
        T: 'static,
    {
        let location = Location::caller();
        match self.create_task_with(Task::builder().location(location), coroutine) {
            Ok(task) => task,
            Err(error) => Task::builder().location(location).failed(error),
        }
    }

    /// Creates a task with a name, context or eager start: see [`create_task`](Group::create_task).
    ///
    /// # Errors
    /// `Runtime` if the group takes no more tasks; the coroutine is dropped.
    #[track_caller]
    pub fn create_task_with<F, T>(&self, builder: TaskBuilder, coroutine: F) -> Result<Task<T>>
    where
        F: IntoFuture<Output = Result<T>>,
        F::IntoFuture: 'static,
        T: 'static,
    {
        self.may_create()?;
        let task = builder.create(coroutine);
        self.adopt(&task)?;
        Ok(task)
    }

    pub(crate) fn may_create(&self) -> Result<()> {
        self.state().may_create()
    }

    /// Adds a task to the group.
    pub(crate) fn adopt<T: 'static>(&self, task: &Task<T>) -> Result<()> {
        let number = self.state().tasks.add(task.any());
        let shared = self.shared.clone();
        let added = task.add_done_callback(move |task| child_done(&shared, number, task));
        if added.is_err() {
            self.state().tasks.remove(number);
        }
        added.map(drop)
    }

    /// Cancels the children and the body of the group (`TaskGroup.cancel`, of Python 3.15). If the group has
    /// not been entered yet, they are cancelled at the entry; if it is finished, this does nothing.
    ///
    /// The cancellation ends with the group: [`with_suppress`](AsyncContextManager::with_suppress) returns
    /// `None`. [`with`](AsyncContextManager::with), which has to return a value, returns the
    /// `Err(Cancelled)` with which the body ended, or the value if the body returned one.
    ///
    /// ```
    /// use asyncio::{AsyncContextManager, TaskGroup};
    /// use std::time::Duration;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let outcome = TaskGroup::new().with_suppress(async |group| {
    ///         let stop = group.clone();
    ///         drop(group.create_task(async move { Ok(stop.cancel()) }));
    ///         asyncio::sleep(Duration::from_secs(3600)).await
    ///     });
    ///     assert_eq!(outcome.await?, None);
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "asyncio.TaskGroup.cancel")]
    pub fn cancel(&self) {
        let mut state = self.state();
        state.cancelled = true;
        let is_to_do = state.entered && !state.aborting && !state.finished;
        drop(state);
        if is_to_do {
            give_up(&self.shared);
        }
    }
}

fn child_done<T>(shared: &Arc<Mutex<State>>, number: u64, task: &Task<T>) {
    let mut state = shared.lock();
    state.tasks.remove(number);
    if state.tasks.is_empty() {
        if let Some(completed) = &state.completed {
            // It may be cancelled already.
            let _ = completed.set_result(());
        }
    }
    let error = match task.cancelled() {
        true => None,
        false => task.exception().unwrap_or(None),
    };
    let Some(error) = error else { return };
    if let (Error::KeyboardInterrupt(_), None) = (&error, &state.base_error) {
        state.base_error = Some(error.clone());
    }
    state.errors.push(error);
    let keeps_on = state.keeps_on && state.base_error.is_none();
    let is_over = state.aborting || state.parent_cancel_requested || state.finished;
    drop(state);
    if !keeps_on && !is_over {
        give_up(shared);
    }
}

/// Does what [`with`](AsyncContextManager::with) does, at `site`.
pub(crate) fn enter_at<R>(
    group: TaskGroup,
    site: WaitSite,
    body: impl AsyncFnOnce(&mut Group) -> Result<R>,
) -> impl StdFuture<Output = Result<R>> {
    Scope::new(run(group, body, site), site)
}

impl AsyncContextManager for TaskGroup {
    type Target = Group;

    async fn enter(&mut self) -> Result<Group> {
        let mut state = self.group.state();
        if state.entered {
            return Err(Error::runtime("TaskGroup has already been entered"));
        }
        with_running("TaskGroup", |_| Ok(()))?;
        let parent = current_task();
        let parent =
            parent.ok_or_else(|| Error::runtime("TaskGroup cannot determine the parent task"))?;
        state.parent = Some(parent);
        state.scope = ScopeKey::current();
        state.entered = true;
        let is_cancelled = state.cancelled;
        drop(state);
        if is_cancelled {
            give_up(&self.group.shared);
        }
        Ok(Group { shared: self.group.shared.clone(), is_body: true })
    }

    /// The group's scope reaches from its entry to its end.
    #[track_caller]
    fn with<R>(
        self,
        body: impl AsyncFnOnce(&mut Group) -> Result<R>,
    ) -> impl StdFuture<Output = Result<R>> {
        enter_at(self, WaitSite::here(&"TaskGroup"), body)
    }

    #[track_caller]
    fn with_suppress<R>(
        self,
        body: impl AsyncFnOnce(&mut Group) -> Result<R>,
    ) -> impl StdFuture<Output = Result<Option<R>>> {
        let site = WaitSite::here(&"TaskGroup");
        Scope::new(run_suppress(self, body, site), site)
    }

    async fn exit(&mut self, group: Group, error: Option<&Error>) -> Result<()> {
        self.exit_suppress(group, error).await.map(drop)
    }

    /// A cancellation by [`cancel`](Group::cancel) of the group ends here.
    async fn exit_suppress(&mut self, group: Group, error: Option<&Error>) -> Result<bool> {
        let shared = &self.group.shared;
        shared.lock().exiting = true;
        let mut cancelled = error.filter(|error| error.is_cancelled()).cloned();
        if error.is_some() && !shared.lock().aborting {
            abort(shared);
        }
        // A cancellation may arrive several times while the children end.
        while !shared.lock().tasks.is_empty() {
            let children = Arc::downgrade(shared);
            let completed = Future::of_loop(self.site, Operation::Others(children));
            shared.lock().completed = Some(completed.clone());
            match completed.await {
                Err(error) if error.is_cancelled() => {
                    if !shared.lock().aborting {
                        cancelled = Some(error);
                        abort(shared);
                    }
                }
                outcome => outcome?,
            }
            shared.lock().completed = None;
        }
        shared.lock().finished = true;
        drop(group);
        self.outcome(error, cancelled)
    }
}

impl TaskGroup {
    /// Returns the outcome when every child has ended; true if a cancellation of the body is
    /// suppressed.
    fn outcome(&self, body: Option<&Error>, mut cancelled: Option<Error>) -> Result<bool> {
        let mut state = self.group.state();
        let is_cancelled = state.cancelled;
        let errors = std::mem::take(&mut state.errors);
        let base_error = state.base_error.take();
        let requested = state.parent_cancel_requested;
        let (parent, scope) = (state.parent.take(), state.scope);
        drop(state);
        let base_error = base_error
            .or_else(|| body.filter(|error| matches!(error, Error::KeyboardInterrupt(_))).cloned());
        if let Some(error) = base_error {
            return Err(error);
        }
        if let (true, Some(parent)) = (requested, &parent) {
            let left = scope.map_or_else(|| Some(parent.uncancel()), ScopeKey::uncancel);
            if left == Some(0) {
                cancelled = None;
            }
        }
        let mut errors = errors;
        if let (Some(error), true) = (cancelled, errors.is_empty()) {
            return Err(error);
        }
        errors.extend(body.filter(|error| !error.is_cancelled()).cloned());
        if errors.is_empty() {
            return Ok(is_cancelled && body.is_some_and(Error::is_cancelled));
        }
        if let Some(task) = current_task() {
            // Cancelled from outside as well: the request is delivered at the next suspension.
            let around = scope.and_then(ScopeKey::parent);
            let (none, error) = (RequestCounts::default(), CancelledError::default());
            task.task_ref().deliver_again(around, &none, &error);
        }
        let group = ExceptionGroup::new("unhandled errors in a TaskGroup", errors);
        // Shown with each group, the body's error would double the text at each level.
        Err(Error::Group(group).from_none())
    }
}

impl Clone for Group {
    fn clone(&self) -> Group {
        Group { shared: self.shared.clone(), is_body: false }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.is_body && !self.state().finished {
            self.state().finished = true;
            // A loop that is being closed drops the children itself, and nothing else must happen:
            // a request would reach even children that are done, and would count as retrieving
            // their errors.
            let is_open = with_entered(|scheduler| scheduler.check_open().is_ok()) != Some(false);
            let is_aborting = self.state().aborting;
            if is_open && !is_aborting {
                abort(&self.shared);
            }
        }
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        write!(f, "<TaskGroup tasks={} errors={}", state.tasks.len(), state.errors.len())?;
        f.write_str(if state.finished {
            " finished>"
        } else if state.aborting {
            " cancelling>"
        } else if state.entered {
            " entered>"
        } else {
            ">"
        })
    }
}

impl fmt::Debug for TaskGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.group.fmt(f)
    }
}
