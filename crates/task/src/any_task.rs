//! Awaiting a task whose type is not known, and a task that is only borrowed.

use crate::{
    AnyTask, FutureLike, Task,
    state::maker,
    task::{finish_wait, poll_pending},
};
use asyncio_core::{
    CancelledError, Error, Result,
    context::current_values,
    exception::ExceptionContext,
    raw::{CallbackRef, Listener, LoopRef, TaskCell, WaitKey},
    wait::Target,
};
use asyncio_future::{CallbackOutput, DoneCallback};
use std::{
    fmt,
    future::{Future, IntoFuture},
    hash::{Hash, Hasher},
    marker::PhantomData,
    panic::Location,
    pin::Pin,
    task::{Context, Poll},
};

/// The future of an [`AnyTask`]: it is done when the task is, and does not return the task's value.
///
/// # Errors
/// The error of the task, if a handle was left when this future was created; `Cancelled` if the
/// task was cancelled.
///
/// # Cancellation
/// The task is cancelled, as when the [`Task`] itself is awaited.
#[must_use = "futures do nothing unless they are awaited"]
pub struct AnyAwait {
    task: AnyTask,
    /// Whether this counts as a handle, which keeps the outcome.
    is_handle: bool,
    awaiting: Option<WaitKey>,
    /// As a handle it stays on its thread, because the outcome may not be `Send`.
    not_send: PhantomData<*const ()>,
}

impl Future for AnyAwait {
    type Output = Result<()>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let AnyAwait { task, is_handle, awaiting, .. } = &mut *self;
        let cell = maker(task.task_ref());
        if !cell.is_done() {
            return poll_pending(cell, awaiting, cx, Location::caller()).map(Err);
        }
        if let Some(thrown) = finish_wait(cell, awaiting) {
            return Poll::Ready(Err(thrown));
        }
        Poll::Ready(match is_handle {
            true => cell.exception().and_then(|error| error.map_or(Ok(()), Err)),
            false => Ok(()),
        })
    }
}

impl Drop for AnyAwait {
    fn drop(&mut self) {
        if let Some(key) = self.awaiting {
            maker(self.task.task_ref()).drop_wait(key);
        }
        if self.is_handle {
            let cell = self.task.task_ref().as_ptr();
            // SAFETY: the handle was counted for this, on the task's thread, and is still there: it is
            // not `Send`.
            unsafe { TaskCell::release_any_handle(cell) }
        }
    }
}

impl fmt::Debug for AnyAwait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.task.fmt(f)
    }
}

impl AnyTask {
    /// Returns the task that a report to the exception handler is about, if it is about one (Python's
    /// `context["task"]`).
    ///
    /// ```
    /// use asyncio::{AnyTask, Error, Task, get_running_loop, sleep};
    /// use std::{cell::Cell, rc::Rc, time::Duration};
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let seen = Rc::new(Cell::new(false));
    ///     let seen_there = seen.clone();
    ///     get_running_loop()?.set_exception_handler(move |_, context| {
    ///         let task = AnyTask::reported_in(context).expect("it is about a task");
    ///         seen_there.set(task.done() && context.task_name().as_deref() == Some("lost"));
    ///     });
    ///     let task = Task::builder().name("lost").create(async { Err::<(), _>(Error::msg("unseen")) });
    ///     sleep(Duration::from_millis(1)).await?;
    ///     drop(task);
    ///     assert!(seen.get());
    ///     Ok(())
    /// }
    /// ```
    pub fn reported_in(context: &ExceptionContext) -> Option<AnyTask> {
        context.task_ref().cloned().map(AnyTask::new)
    }
}

impl IntoFuture for AnyTask {
    type Output = Result<()>;
    type IntoFuture = AnyAwait;

    fn into_future(self) -> AnyAwait {
        let is_handle = self.task_ref().is_local() && maker(self.task_ref()).add_first_handle();
        AnyAwait { task: self, is_handle, awaiting: None, not_send: PhantomData }
    }
}

impl IntoFuture for &AnyTask {
    type Output = Result<()>;
    type IntoFuture = AnyAwait;

    fn into_future(self) -> AnyAwait {
        self.clone().into_future()
    }
}

/// Awaits a borrowed task; the value is a copy.
impl<T: Clone> IntoFuture for &Task<T> {
    type Output = Result<T>;
    type IntoFuture = Task<T>;

    fn into_future(self) -> Task<T> {
        self.clone()
    }
}

impl PartialEq for AnyTask {
    fn eq(&self, other: &AnyTask) -> bool {
        self.task_ref().is(other.task_ref())
    }
}

impl Eq for AnyTask {}

/// Hashes the identity, as in Python, for sets of tasks.
impl Hash for AnyTask {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.task_ref().as_ptr().hash(state);
    }
}

/// Handles of one task are equal.
impl<T> PartialEq for Task<T> {
    fn eq(&self, other: &Task<T>) -> bool {
        self.any() == other.any()
    }
}

impl<T> Eq for Task<T> {}

/// Hashes the identity, as in Python, for sets of tasks.
impl<T> Hash for Task<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.any().hash(state);
    }
}

impl FutureLike for AnyTask {
    type Referent = Self;

    fn done(&self) -> bool {
        AnyTask::done(self)
    }
    fn cancelled(&self) -> bool {
        self.task_ref().is_cancelled()
    }
    fn exception(&self) -> Result<Option<Error>> {
        self.task_ref().exception()
    }
    fn cancel_as(&self, error: CancelledError) -> bool {
        AnyTask::cancel_as(self, error)
    }
    fn target(&self) -> Target {
        Target::Task(self.task_ref().clone())
    }
    fn id(&self) -> usize {
        self.task_ref().as_ptr().as_ptr() as usize
    }
    #[track_caller]
    fn on_done<R: CallbackOutput>(
        &self,
        callback: impl FnOnce() -> R + 'static,
    ) -> Result<DoneCallback> {
        self.on_done_with(move |_| callback())
    }
    #[track_caller]
    fn on_done_with<R: CallbackOutput>(
        &self,
        callback: impl FnOnce(&Self) -> R + 'static,
    ) -> Result<DoneCallback> {
        let location = Location::caller();
        let this = self.clone();
        let call = move || callback(&this).into_result();
        let callback = park(self.home(), "AnyTask.on_done", call, location)?;
        let number = maker(self.task_ref()).listen(Listener::Callback(callback));
        if number.is_none() {
            callback.fire();
        }
        Ok(DoneCallback::new(number, callback))
    }
    fn remove_done_callback(&self, callback: &DoneCallback) -> usize {
        let listener = callback.number().and_then(|number| maker(self.task_ref()).unlisten(number));
        match listener {
            Some(_) => usize::from(callback.callback().cancel()),
            None => 0,
        }
    }
}

/// Parks a callback of `home` that is called when a task is done.
pub(crate) fn park(
    home: LoopRef,
    function: &str,
    call: impl FnOnce() -> Result<()> + 'static,
    location: &'static Location<'static>,
) -> Result<CallbackRef> {
    let parked = home.with(|scheduler| scheduler.park(call, current_values(), location));
    parked.unwrap_or_else(|| {
        let text = format!("{function}: the task's loop is closed, or belongs to another thread");
        Err(Error::runtime(text))
    })
}
