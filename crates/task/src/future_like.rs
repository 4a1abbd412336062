//! [`FutureLike`]: the common part of tasks and futures, and the conversion of other awaitables to
//! tasks.

use crate::{AnyTask, Task, cast::cast, task::TaskBuilder};
use asyncio_core::{CancelledError, Error, Result, wait::Target};
use asyncio_future::{CallbackOutput, DoneCallback, Future, Take};
use std::{
    future::{Future as StdFuture, IntoFuture},
    panic::Location,
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// A [`Task`], a [`Future`], either of them, or a reference to one, as `wait` and similar functions
/// take them (`asyncio.isfuture`). The trait is sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a task nor a future",
    label = "a task or a future is expected",
    note = "`create_task(coroutine)` turns a coroutine into a task",
    note = "`gather`, `as_completed` and `race` take coroutines themselves",
    note = "to keep the tasks, give `wait` a reference to their list: `wait(&tasks)`"
)]
#[doc(alias = "isfuture")]
pub trait FutureLike: sealed::Sealed {
    /// The argument of its callbacks: itself, or the referenced value.
    type Referent: FutureLike + 'static;
    /// Returns whether it has a result, failed or was cancelled.
    fn done(&self) -> bool;
    /// Returns whether it was cancelled.
    fn cancelled(&self) -> bool;
    /// Returns its error, if it has one. Counts as retrieving it.
    ///
    /// # Errors
    /// `Cancelled` if it was cancelled, `InvalidState` if it is not done.
    fn exception(&self) -> Result<Option<Error>>;
    /// Requests that it be cancelled.
    fn cancel_as(&self, error: CancelledError) -> bool;
    /// Returns the target that a task cancels while it awaits this.
    fn target(&self) -> Target;
    /// Returns a number that no other task or future has while this one lives.
    fn id(&self) -> usize;
    /// Calls `callback` when it is done, as a separate step.
    ///
    /// # Errors
    /// `Runtime` without its loop.
    fn on_done<R: CallbackOutput>(
        &self,
        callback: impl FnOnce() -> R + 'static,
    ) -> Result<DoneCallback>;
    /// Calls `callback` with the task or future when it is done: see
    /// [`on_done`](FutureLike::on_done).
    ///
    /// # Errors
    /// As there.
    fn on_done_with<R: CallbackOutput>(
        &self,
        callback: impl FnOnce(&Self::Referent) -> R + 'static,
    ) -> Result<DoneCallback>;
    /// Removes such a callback; returns how many were removed.
    fn remove_done_callback(&self, callback: &DoneCallback) -> usize;
}

/// Calls the same method on the task or the future in an [`Awaitable`].
macro_rules! either {
    ($self:expr, $inner:ident => $call:expr) => {
        match $self {
            Awaitable::Task($inner) => $call,
            Awaitable::Future($inner) => $call,
        }
    };
}

pub(crate) mod sealed {
    use super::{AnyTask, Awaitable, Future, Result, Take, Task};

    pub trait Sealed {
        /// Checks that a task may wait for it in the current loop, for waiters with a callback.
        ///
        /// # Errors
        /// `Runtime` if it is pending, and can end only while another loop of this thread runs.
        fn check_awaited_here(&self) -> Result<()>;
    }

    impl Sealed for AnyTask {
        fn check_awaited_here(&self) -> Result<()> {
            if self.done() { Ok(()) } else { self.home().check_awaited_here("Task") }
        }
    }

    impl<T> Sealed for Task<T> {
        fn check_awaited_here(&self) -> Result<()> {
            AnyTask::check_awaited_here(self)
        }
    }

    impl<T> Sealed for Future<T> {
        fn check_awaited_here(&self) -> Result<()> {
            Future::check_awaited_here(self)
        }
    }

    impl<T> Sealed for Take<T> {
        fn check_awaited_here(&self) -> Result<()> {
            self.future().check_awaited_here()
        }
    }

    impl<F: Sealed> Sealed for &F {
        fn check_awaited_here(&self) -> Result<()> {
            (**self).check_awaited_here()
        }
    }

    impl<T> Sealed for Awaitable<T> {
        fn check_awaited_here(&self) -> Result<()> {
            either!(self, f => f.check_awaited_here())
        }
    }
}

impl<T: 'static> FutureLike for Task<T> {
    type Referent = Self;

    fn done(&self) -> bool {
        AnyTask::done(self)
    }
    fn cancelled(&self) -> bool {
        Task::cancelled(self)
    }
    fn exception(&self) -> Result<Option<Error>> {
        Task::exception(self)
    }
    fn cancel_as(&self, error: CancelledError) -> bool {
        AnyTask::cancel_as(self, error)
    }
    fn target(&self) -> Target {
        Target::Task(self.task_ref().clone())
    }
    fn id(&self) -> usize {
        self.address()
    }
    #[track_caller]
    fn on_done<R: CallbackOutput>(
        &self,
        callback: impl FnOnce() -> R + 'static,
    ) -> Result<DoneCallback> {
        self.add_done_callback(move |_| callback())
    }
    #[track_caller]
    fn on_done_with<R: CallbackOutput>(
        &self,
        callback: impl FnOnce(&Self::Referent) -> R + 'static,
    ) -> Result<DoneCallback> {
        self.add_done_callback(callback)
    }
    fn remove_done_callback(&self, callback: &DoneCallback) -> usize {
        Task::remove_done_callback(self, callback)
    }
}

impl<T: 'static> FutureLike for Future<T> {
    type Referent = Self;

    fn done(&self) -> bool {
        Future::done(self)
    }
    fn cancelled(&self) -> bool {
        Future::cancelled(self)
    }
    fn exception(&self) -> Result<Option<Error>> {
        Future::exception(self)
    }
    fn cancel_as(&self, error: CancelledError) -> bool {
        Future::cancel_as(self, error)
    }
    fn target(&self) -> Target {
        Future::target(self)
    }
    fn id(&self) -> usize {
        Future::id(self)
    }
    #[track_caller]
    fn on_done<R: CallbackOutput>(
        &self,
        callback: impl FnOnce() -> R + 'static,
    ) -> Result<DoneCallback> {
        Future::on_done(self, callback)
    }
    #[track_caller]
    fn on_done_with<R: CallbackOutput>(
        &self,
        callback: impl FnOnce(&Self::Referent) -> R + 'static,
    ) -> Result<DoneCallback> {
        self.add_done_callback(callback)
    }
    fn remove_done_callback(&self, callback: &DoneCallback) -> usize {
        Future::remove_done_callback(self, callback)
    }
}

impl<T: 'static> FutureLike for Take<T> {
    type Referent = Self;

    fn done(&self) -> bool {
        self.future().done()
    }
    fn cancelled(&self) -> bool {
        self.future().cancelled()
    }
    fn exception(&self) -> Result<Option<Error>> {
        self.future().exception()
    }
    fn cancel_as(&self, error: CancelledError) -> bool {
        self.future().cancel_as(error)
    }
    fn target(&self) -> Target {
        self.future().target()
    }
    fn id(&self) -> usize {
        self.future().id()
    }
    #[track_caller]
    fn on_done<R: CallbackOutput>(
        &self,
        callback: impl FnOnce() -> R + 'static,
    ) -> Result<DoneCallback> {
        self.future().on_done(callback)
    }
    #[track_caller]
    fn on_done_with<R: CallbackOutput>(
        &self,
        callback: impl FnOnce(&Self::Referent) -> R + 'static,
    ) -> Result<DoneCallback> {
        self.future().add_done_callback(|future| callback(&future.take()))
    }
    fn remove_done_callback(&self, callback: &DoneCallback) -> usize {
        self.future().remove_done_callback(callback)
    }
}

/// A task or a future, for lists that hold both.
#[derive(Debug)]
pub enum Awaitable<T> {
    /// A task.
    Task(Task<T>),
    /// A future.
    Future(Future<T>),
}

impl<T: Clone> Awaitable<T> {
    /// Returns the result: see [`Task::result`] and [`Future::result`].
    ///
    /// # Errors
    /// Those of these methods; `InvalidState` if it is not done.
    pub fn result(&self) -> Result<T> {
        either!(self, f => f.result())
    }
}

impl<T: 'static> FutureLike for Awaitable<T> {
    type Referent = Self;

    fn done(&self) -> bool {
        either!(self, f => FutureLike::done(f))
    }
    fn cancelled(&self) -> bool {
        either!(self, f => FutureLike::cancelled(f))
    }
    fn exception(&self) -> Result<Option<Error>> {
        either!(self, f => FutureLike::exception(f))
    }
    fn cancel_as(&self, error: CancelledError) -> bool {
        either!(self, f => FutureLike::cancel_as(f, error))
    }
    fn target(&self) -> Target {
        either!(self, f => FutureLike::target(f))
    }
    fn id(&self) -> usize {
        either!(self, f => FutureLike::id(f))
    }
    #[track_caller]
    fn on_done<R: CallbackOutput>(
        &self,
        callback: impl FnOnce() -> R + 'static,
    ) -> Result<DoneCallback> {
        either!(self, f => f.on_done(callback))
    }
    #[track_caller]
    fn on_done_with<R: CallbackOutput>(
        &self,
        callback: impl FnOnce(&Self::Referent) -> R + 'static,
    ) -> Result<DoneCallback> {
        match self {
            Awaitable::Task(task) => {
                task.add_done_callback(|task| callback(&Awaitable::Task(task.share())))
            }
            Awaitable::Future(future) => {
                future.add_done_callback(|future| callback(&Awaitable::Future(future.clone())))
            }
        }
    }
    fn remove_done_callback(&self, callback: &DoneCallback) -> usize {
        either!(self, f => FutureLike::remove_done_callback(f, callback))
    }
}

impl<F: FutureLike> FutureLike for &F {
    type Referent = F::Referent;

    fn done(&self) -> bool {
        (**self).done()
    }
    fn cancelled(&self) -> bool {
        (**self).cancelled()
    }
    fn exception(&self) -> Result<Option<Error>> {
        (**self).exception()
    }
    fn cancel_as(&self, error: CancelledError) -> bool {
        (**self).cancel_as(error)
    }
    fn target(&self) -> Target {
        (**self).target()
    }
    fn id(&self) -> usize {
        (**self).id()
    }
    #[track_caller]
    fn on_done<R: CallbackOutput>(
        &self,
        callback: impl FnOnce() -> R + 'static,
    ) -> Result<DoneCallback> {
        (**self).on_done(callback)
    }
    #[track_caller]
    fn on_done_with<R: CallbackOutput>(
        &self,
        callback: impl FnOnce(&F::Referent) -> R + 'static,
    ) -> Result<DoneCallback> {
        (**self).on_done_with(callback)
    }
    fn remove_done_callback(&self, callback: &DoneCallback) -> usize {
        (**self).remove_done_callback(callback)
    }
}

impl<T> From<Task<T>> for Awaitable<T> {
    fn from(task: Task<T>) -> Self {
        Awaitable::Task(task)
    }
}

impl<T> From<Future<T>> for Awaitable<T> {
    fn from(future: Future<T>) -> Self {
        Awaitable::Future(future)
    }
}

impl<T: Clone> Clone for Awaitable<T> {
    fn clone(&self) -> Self {
        match self {
            Awaitable::Task(task) => Awaitable::Task(task.clone()),
            Awaitable::Future(future) => Awaitable::Future(future.clone()),
        }
    }
}

impl<T: Clone> StdFuture for Awaitable<T> {
    type Output = Result<T>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        either!(&mut *self, f => Pin::new(f).poll(cx))
    }
}

/// A task or future that `gather` and similar functions run, and the function that reads its
/// result. Reading needs `Clone`, which every awaitable future has, and which only the caller's
/// type knows.
pub(crate) struct Child<T> {
    of: Awaitable<T>,
    read: fn(&Awaitable<T>) -> Result<T>,
}

impl<T> std::ops::Deref for Child<T> {
    type Target = Awaitable<T>;
    fn deref(&self) -> &Awaitable<T> {
        &self.of
    }
}

impl<T: 'static> Child<T> {
    /// Returns a task or future as it is, and anything else as a new task
    /// (`asyncio.ensure_future`).
    pub(crate) fn ensure<F>(awaitable: F, location: &'static Location<'static>) -> Child<T>
    where
        F: IntoFuture<Output = Result<T>>,
        F::IntoFuture: 'static,
    {
        Child::known(awaitable.into_future()).unwrap_or_else(|coroutine| {
            Child::task(TaskBuilder::default().location(location).create(coroutine))
        })
    }

    /// Returns the message of the `cancel()` that ended it, if it keeps one.
    pub(crate) fn later_message(&self) -> CancelledError {
        match &self.of {
            Awaitable::Task(task) => task.later_message(),
            Awaitable::Future(future) => match future.exception() {
                Err(Error::Cancelled(error)) => error,
                _ => CancelledError::default(),
            },
        }
    }

    /// Sets the callback that reports a late failure, in place of any other.
    pub(crate) fn replace_late_report(&self, callback: DoneCallback) {
        match &self.of {
            Awaitable::Task(task) => task.replace_late_report(callback),
            Awaitable::Future(future) => future.replace_late_report(callback),
        }
    }

    /// The task or future itself.
    pub(crate) fn into_awaitable(self) -> Awaitable<T> {
        self.of
    }
}

/// Functions that need no `'static`, so that `wait_for` can borrow.
impl<T> Child<T> {
    /// Takes a task or future as it is; hands anything else back.
    pub(crate) fn known<F>(awaitable: F) -> Result<Child<T>, F>
    where
        F: StdFuture<Output = Result<T>>,
    {
        let coroutine = match of_type::<F, Task<T>, T>(awaitable) {
            Ok(task) => return Ok(Child::task(task)),
            Err(coroutine) => coroutine,
        };
        let coroutine = match of_type::<F, Future<T>, T>(coroutine) {
            Ok(future) => return Ok(Child { of: Awaitable::Future(future), read: read::<F, T> }),
            Err(coroutine) => coroutine,
        };
        let coroutine = match of_type::<F, Take<T>, T>(coroutine) {
            Ok(take) => return Ok(Child { of: take.into_inner().into(), read: take_out }),
            Err(coroutine) => coroutine,
        };
        match of_type::<F, Awaitable<T>, T>(coroutine)? {
            Awaitable::Task(task) => Ok(Child::task(task)),
            of @ Awaitable::Future(_) => Ok(Child { of, read: read_either::<F, T> }),
        }
    }

    pub(crate) fn task(task: Task<T>) -> Child<T> {
        let read = |of: &Awaitable<T>| match of {
            Awaitable::Task(task) => task.retrieve(),
            Awaitable::Future(_) => unreachable!("made from a task"),
        };
        Child { of: Awaitable::Task(task), read }
    }

    /// Returns the result of a child that is done.
    pub(crate) fn retrieve(&self) -> Result<T> {
        (self.read)(&self.of)
    }

    pub(crate) fn done(&self) -> bool {
        match &self.of {
            Awaitable::Task(task) => task.any().done(),
            Awaitable::Future(future) => future.done(),
        }
    }

    pub(crate) fn cancel_as(&self, error: CancelledError) -> bool {
        match &self.of {
            Awaitable::Task(task) => task.any().cancel_as(error),
            Awaitable::Future(future) => future.cancel_as(error),
        }
    }

    #[track_caller]
    pub(crate) fn on_done<R: CallbackOutput>(
        &self,
        callback: impl FnOnce() -> R + 'static,
    ) -> Result<DoneCallback> {
        match &self.of {
            Awaitable::Task(task) => task.any().on_done(callback),
            Awaitable::Future(future) => future.on_done(callback),
        }
    }

    pub(crate) fn remove_done_callback(&self, callback: &DoneCallback) -> usize {
        either!(&self.of, f => f.remove_done_callback(callback))
    }
}

/// The types that a future may turn out to be. Each has the one parameter `T`, and its output is a
/// `Result<T>` if it can be awaited.
trait Of<T> {}
impl<T> Of<T> for Task<T> {}
impl<T> Of<T> for Future<T> {}
impl<T> Of<T> for Take<T> {}
impl<T> Of<T> for Awaitable<T> {}

/// Converts a future to a `B`, if that is its type.
fn of_type<F: StdFuture<Output = Result<T>>, B: Of<T>, T>(future: F) -> Result<B, F> {
    // SAFETY: assume that `F` is a `B` except for lifetimes, for example a `Task<U>`. Its output is
    // a `Result<T>` and also a `Result<U>`, so `U` is `T`, and `F` is `B`.
    unsafe { cast(future) }
}

/// Converts a task or future to an `F`, if that is its type.
fn as_type<B: Of<T>, F: StdFuture<Output = Result<T>>, T>(known: B) -> Result<F, B> {
    // SAFETY: as in `of_type`.
    unsafe { cast(known) }
}

fn poll_once<F: StdFuture<Output = Result<T>>, T>(future: F) -> Result<T> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(Error::invalid_state("Future.result: result is not ready")),
    }
}

/// Reads a finished future through its type as an awaitable, `F`, which is `Future<T>`.
fn read<F: StdFuture<Output = Result<T>>, T>(of: &Awaitable<T>) -> Result<T> {
    match of {
        Awaitable::Future(future) => match as_type::<Future<T>, F, T>(future.clone()) {
            Ok(future) => poll_once(future),
            Err(_) => unreachable!("made from a future of this type"),
        },
        Awaitable::Task(_) => unreachable!("made from a future"),
    }
}

/// Moves the value out of a finished future.
fn take_out<T>(of: &Awaitable<T>) -> Result<T> {
    match of {
        Awaitable::Future(future) => poll_once(future.take()),
        Awaitable::Task(_) => unreachable!("made from a future"),
    }
}

/// Does what [`read`] does, where `F` is `Awaitable<T>`.
fn read_either<F: StdFuture<Output = Result<T>>, T>(of: &Awaitable<T>) -> Result<T> {
    match of {
        Awaitable::Future(future) => match as_type::<Awaitable<T>, F, T>(future.clone().into()) {
            Ok(either) => poll_once(either),
            Err(_) => unreachable!("made from an awaitable of this type"),
        },
        Awaitable::Task(_) => unreachable!("made from a future"),
    }
}

/// Returns a task as it is, and anything else as a new task of the running loop
/// (`asyncio.ensure_future`).
/// ```
/// # #[asyncio::main]
/// # async fn main() -> asyncio::Result<()> {
/// let task = asyncio::ensure_future(async { Ok(42) });
/// let same = asyncio::ensure_future(task.clone());
/// assert!(*task == *same);
/// assert_eq!(same.await?, 42);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "asyncio.ensure_future")]
#[must_use = "the error of a task that is not awaited is only logged; to let the task run on, drop the handle"]
#[track_caller]
pub fn ensure_future<F, T>(awaitable: F) -> Task<T>
where
    F: IntoFuture<Output = Result<T>>,
    F::IntoFuture: 'static,
    T: 'static,
{
    ensure_future_with(TaskBuilder::default().location(Location::caller()), awaitable)
}

/// Does what [`ensure_future`] does; a new task is created with these arguments.
// For the crate of the loop, which passes the line of its own caller.
#[doc(hidden)]
pub fn ensure_future_with<F, T>(task: TaskBuilder, awaitable: F) -> Task<T>
where
    F: IntoFuture<Output = Result<T>>,
    F::IntoFuture: 'static,
    T: 'static,
{
    match of_type::<F::IntoFuture, Task<T>, T>(awaitable.into_future()) {
        Ok(task) => task,
        Err(coroutine) => task.create(coroutine),
    }
}
