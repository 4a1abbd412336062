//! [`Task`], [`create_task`], and [`AnyTask`].

use crate::{
    any_task::park,
    state::{Data, last_handle, maker},
    step::{Functions, allocate},
};
use asyncio_core::{
    CancelledError, Error, LoopHandle, Result,
    context::{Context as Variables, current_values},
    raw::{
        Listener, LoopRef, Maker, Scheduler, State, TaskCell, TaskContext, TaskRef, WaitKey,
        with_entered, with_running,
    },
    wait::{Resume, Target},
    wait_site::WaitSite,
};
use asyncio_future::{CallbackOutput, DoneCallback};
use std::{
    any::TypeId,
    borrow::Cow,
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::Deref,
    panic::Location,
    pin::Pin,
    ptr::NonNull,
    sync::Arc,
    task::{Context, Poll},
};

/// A task without the type of its result, as [`current_task`] and [`all_tasks`] return it
/// (`asyncio.Task`).
#[derive(Clone)]
pub struct AnyTask(TaskRef);

impl AnyTask {
    /// Creates the task of a reference.
    #[doc(hidden)]
    pub fn new(task: TaskRef) -> AnyTask {
        AnyTask(task)
    }

    /// Returns the reference, for the crates of the runtime.
    #[doc(hidden)]
    pub fn task_ref(&self) -> &TaskRef {
        &self.0
    }

    /// Returns the task with the type of its result, if that is `T`. Returns `None` on another thread,
    /// and if the task has ended and no handle is left: its result is gone then.
    ///
    /// ```
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let answers = asyncio::all_tasks()?.into_iter().filter_map(|task| task.downcast::<u32>());
    ///     let sum: u32 = asyncio::gather(answers).await?.iter().sum();
    ///     Ok(())
    /// }
    /// ```
    pub fn downcast<T: 'static>(&self) -> Option<Task<T>> {
        if !self.0.is_local() || self.0.output() != TypeId::of::<T>() {
            return None;
        }
        if !maker(&self.0).add_first_handle() {
            return None;
        }
        // SAFETY: only cells that begin a `Data<T>` have `T` as their output. The handle is counted,
        // and is on the task's own thread, so it may be the last one even if `T` is not `Send`.
        Some(Task::of(NonNull::from(&*self.0).cast()))
    }

    /// Requests that the task be cancelled (`Task.cancel`): its await returns `Err(Cancelled)`,
    /// which the task may handle. Returns false if the task is already done. From another thread,
    /// the request is sent to the loop.
    pub fn cancel(&self) -> bool {
        self.0.cancel(CancelledError::default())
    }

    /// Cancels the task with a message for the error: see [`cancel`](AnyTask::cancel).
    pub fn cancel_with(&self, message: impl Into<Cow<'static, str>>) -> bool {
        self.0.cancel(CancelledError::new(message))
    }

    /// Cancels the task with this error: see [`cancel`](AnyTask::cancel).
    pub fn cancel_as(&self, error: CancelledError) -> bool {
        self.0.cancel(error)
    }

    /// Returns how many requests to cancel are outstanding (`Task.cancelling`).
    pub fn cancelling(&self) -> u32 {
        self.0.cancelling()
    }

    /// Withdraws one request, and returns how many are left (`Task.uncancel`). At zero, a
    /// cancellation that was not delivered yet is withdrawn too.
    pub fn uncancel(&self) -> u32 {
        self.0.uncancel()
    }

    /// Returns whether the task has ended.
    pub fn done(&self) -> bool {
        self.0.is_done()
    }

    /// Returns the name that the task was given, or else `Task-N` (`Task.get_name`).
    #[doc(alias = "get_name")]
    pub fn name(&self) -> Arc<str> {
        self.0.name()
    }

    /// Sets the name of the task (`Task.set_name`). It does nothing on another thread.
    pub fn set_name(&self, name: impl Into<Arc<str>>) {
        self.0.set_name(name.into());
    }

    /// Returns whether the task was given a name.
    pub fn is_named(&self) -> bool {
        self.0.is_named()
    }

    /// Returns what the task waits for, and at which line; `None` while it runs, is ready or is
    /// done.
    pub fn wait_site(&self) -> Option<WaitSite> {
        self.0.wait_site()
    }

    /// Returns the line that created the task.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.0.spawned_at()
    }

    /// Returns the context variables of the task (`Task.get_context`); `None` on another thread.
    pub fn get_context(&self) -> Option<Variables> {
        self.0.context()
    }

    /// Returns the loop that the task belongs to (`Task.get_loop`).
    pub fn get_loop(&self) -> LoopHandle {
        self.home().into()
    }

    /// Returns the loop. For the sibling crates.
    #[doc(hidden)]
    pub fn home(&self) -> LoopRef {
        self.0.home()
    }

    /// Returns the task without the type of its result, for lists of tasks of different types.
    ///
    /// ```
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     use asyncio::{create_task, wait};
    ///     let (number, text) = (create_task(async { Ok(1) }), create_task(async { Ok("one") }));
    ///     assert_eq!(wait([number.any(), text.any()]).await?.0.len(), 2);
    ///     Ok(())
    /// }
    /// ```
    pub fn any(&self) -> AnyTask {
        self.clone()
    }
}

impl fmt::Debug for AnyTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A handle to a coroutine that runs concurrently with others (`asyncio.Task`).
///
/// It derefs to [`AnyTask`] for the methods that need no result: `cancel`, `name`, `done` and so
/// on. If the handle is dropped, the task continues, because the loop owns it. Awaiting the handle
/// returns the result: a copy if a handle was ever cloned on any thread (for `T: Clone`), else the
/// value itself, once.
///
/// Programs cannot use the operations of the library on the cell of a task:
///
/// ```compile_fail,E0599
/// # let task = asyncio::create_task(async { Ok(()) });
/// task.task_ref().notify_listeners(); // Its awaiter would be lost.
/// ```
///
/// # Cancellation
/// If the awaiting task is cancelled, so is this one, and the await returns its outcome. To prevent
/// this, await the task through a [`shield`](crate::shield). Dropping an awaiting handle does not
/// affect the task.
///
/// # Threads
/// The handle is `Send` if `T` is. On another thread, `done`, `cancel` and dropping work; methods
/// that need the result return an error.
pub struct Task<T> {
    /// The task without its type; its reference is the handle's own, and its cell the beginning of a
    /// `Data<T>`.
    any: ManuallyDrop<AnyTask>,
    result: PhantomData<T>,
    /// The wait of this handle, while it awaits.
    awaiting: Option<WaitKey>,
}

// SAFETY: everything except the outcome is `Send + Sync` by itself. The outcome is accessed only on
// the task's thread, except by the last handle, which may drop a `T` on any thread.
unsafe impl<T: Send> Send for Task<T> {}
// SAFETY: as above; through a reference, no `T` is accessed from another thread.
unsafe impl<T: Send> Sync for Task<T> {}

impl<T> Unpin for Task<T> {}

/// Marks a task that awaits itself, in place of an entry number.
const ITSELF: u32 = u32::MAX;

impl<T> Task<T> {
    /// Takes over a handle, and its reference, that `data` already counts.
    #[inline(always)]
    fn of(data: NonNull<Data<T>>) -> Task<T> {
        // SAFETY: the cell is the first field of `Data`, and the reference is the handle's.
        let any = AnyTask(unsafe { TaskRef::from_raw(data.cast::<TaskCell>()) });
        Task { any: ManuallyDrop::new(any), result: PhantomData, awaiting: None }
    }

    fn data(&self) -> &Data<T> {
        // SAFETY: the handle keeps the allocation.
        unsafe { self.place().as_ref() }
    }

    fn place(&self) -> NonNull<Data<T>> {
        self.any.0.as_ptr().cast()
    }

    /// The address of the task, which no other one has while this one lives.
    pub(crate) fn address(&self) -> usize {
        self.place().as_ptr() as usize
    }

    /// Another handle.
    pub(crate) fn share(&self) -> Task<T> {
        self.data().maker().add_handle();
        Task::of(self.place())
    }

    /// Returns whether the task ended by cancellation.
    pub fn cancelled(&self) -> bool {
        self.data().is_cancelled()
    }

    /// Returns the result of a finished task (`Task.result`). The result stays, so it can be read
    /// again.
    ///
    /// # Errors
    /// The task's own error, `Cancelled`, or `InvalidState` if the task is not done, or if an await
    /// moved the value out before any handle was cloned.
    pub fn result(&self) -> Result<T>
    where
        T: Clone,
    {
        self.data().keep();
        self.data().retrieve()
    }

    /// Returns the error of a finished task, or `None` if it returned (`Task.exception`).
    ///
    /// # Errors
    /// `Cancelled` if it was cancelled, `InvalidState` if it is not done.
    pub fn exception(&self) -> Result<Option<Error>> {
        self.data().exception()
    }

    /// Returns the result, moved out unless it can be copied.
    pub(crate) fn retrieve(&self) -> Result<T> {
        self.data().retrieve()
    }

    pub(crate) fn later_message(&self) -> CancelledError {
        self.data().later_message()
    }

    /// Calls `callback` with the task when it is done, always as a separate step. Callbacks and
    /// awaiters are served in the order in which they were registered.
    ///
    /// # Errors
    /// `Runtime` on another thread than the task's, or if its loop is closed.
    #[track_caller]
    pub fn add_done_callback<R: CallbackOutput>(
        &self,
        callback: impl FnOnce(&Task<T>) -> R + 'static,
    ) -> Result<DoneCallback>
    where
        T: 'static,
    {
        let location = Location::caller();
        let this = self.share();
        let call = move || callback(&this).into_result();
        let callback = park(self.home(), "Task.add_done_callback", call, location)?;
        let number = self.data().maker().listen(Listener::Callback(callback));
        if number.is_none() {
            callback.fire();
        }
        Ok(DoneCallback::new(number, callback))
    }

    /// Removes a callback, and returns how many were removed: zero if it was removed before, or if
    /// the task is done.
    pub fn remove_done_callback(&self, callback: &DoneCallback) -> usize {
        let listener = callback.number().and_then(|number| self.data().maker().unlisten(number));
        match listener {
            Some(_) => usize::from(callback.callback().cancel()),
            None => 0,
        }
    }

    pub(crate) fn replace_late_report(&self, callback: DoneCallback) {
        if let Some(number) = callback.number() {
            self.data().maker().replace_late_report(number, callback.callback());
        }
    }
}

/// Polls a task that has not ended, for a handle that keeps its wait in `awaiting`, at `location`.
pub(crate) fn poll_pending(
    cell: Maker<'_>,
    awaiting: &mut Option<WaitKey>,
    cx: &mut Context<'_>,
    location: &'static Location<'static>,
) -> Poll<Error> {
    if !cell.is_local() {
        return Poll::Ready(Error::runtime("Task: awaited on another thread than its loop's"));
    }
    if let Err(error) = cell.home().check_awaited_here("Task") {
        return Poll::Ready(error);
    }
    let site = WaitSite::new(&"Task", location);
    let target = || Some(Target::Task(TaskRef::of(&cell)));
    let kept = awaiting.take().and_then(|key| cell.take_wait(key));
    let (mut wait, mut number) = kept.unwrap_or_default();
    if !wait.is_armed() {
        if cell.is_current() {
            number = ITSELF;
            wait.arm_woken(cx, site);
        } else {
            wait.arm(cx, site, target());
            let listening = wait.waiter().and_then(|w| cell.listen(Listener::Waiter(w)));
            number = listening.unwrap_or(0);
        }
    } else {
        match wait.poll(cx, site, target, |waiter| cell.replace_listener(number, waiter)) {
            Resume::Woken if number == ITSELF => {
                return Poll::Ready(Error::runtime("Task cannot await on itself"));
            }
            Resume::Pending | Resume::Woken => {}
            Resume::Cancelled { error, .. } => {
                cell.unlisten(number);
                return Poll::Ready(error);
            }
        }
    }
    *awaiting = cell.keep_wait((wait, number));
    Poll::Pending
}

/// Ends the wait for a task that has ended. The error is a cancellation that takes the place of the
/// task's outcome.
#[inline]
pub(crate) fn finish_wait(cell: Maker<'_>, awaiting: &mut Option<WaitKey>) -> Option<Error> {
    let (mut wait, _) = cell.take_wait(awaiting.take()?)?;
    wait.finish().filter(|_| !cell.is_cancelled())
}

impl<T> Future for Task<T> {
    type Output = Result<T>;

    // A result that is returned in memory would be moved as a whole: see `TaskBuilder::spawn`.
    #[inline(always)]
    #[track_caller] // The `.await`.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        if !self.data().cell().is_done() {
            // SAFETY: the handle keeps the cell.
            let cell = unsafe { self.place().cast::<TaskCell>().as_ref() };
            return poll_pending(maker(cell), &mut self.awaiting, cx, Location::caller()).map(Err);
        }
        if self.awaiting.is_none() {
            return Poll::Ready(self.data().retrieve());
        }
        // SAFETY: as above.
        let cell = maker(unsafe { self.place().cast::<TaskCell>().as_ref() });
        Poll::Ready(match finish_wait(cell, &mut self.awaiting) {
            Some(thrown) => {
                cell.set_unretrieved(false);
                Err(thrown)
            }
            None => self.data().retrieve(),
        })
    }
}

impl<T> Deref for Task<T> {
    type Target = AnyTask;
    fn deref(&self) -> &AnyTask {
        &self.any
    }
}

impl<T: Clone> Clone for Task<T> {
    fn clone(&self) -> Task<T> {
        self.data().keep();
        self.share()
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(key) = self.awaiting {
            self.data().maker().drop_wait(key);
        }
        // SAFETY: the handle's own count is released once, here; `T` may be dropped on this thread.
        unsafe { TaskCell::release_handle(self.place().cast(), last_handle::<T>) }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        AnyTask::fmt(&self.any, f)
    }
}

impl Task<()> {
    /// Returns a builder for the keyword arguments of `create_task`; its `create` creates the task.
    #[track_caller]
    pub fn builder() -> TaskBuilder {
        TaskBuilder { location: Location::caller(), ..TaskBuilder::default() }
    }
}

/// The keyword arguments of `create_task`.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `create` is called"]
pub struct TaskBuilder {
    name: Option<Arc<str>>,
    context: Option<Variables>,
    eager_start: Option<bool>,
    location: &'static Location<'static>,
}

impl Default for TaskBuilder {
    #[track_caller]
    fn default() -> TaskBuilder {
        TaskBuilder { name: None, context: None, eager_start: None, location: Location::caller() }
    }
}

impl TaskBuilder {
    /// Sets the name of the task. The default is `Task-N`.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> TaskBuilder {
        self.name = Some(name.into());
        self
    }

    /// Sets the context in which the task runs, instead of a copy of the current one.
    pub fn context(mut self, context: Variables) -> TaskBuilder {
        self.context = Some(context);
        self
    }

    /// Sets whether the first step runs immediately, inside `create` (if the loop is running).
    /// Without this call, the loop's task factory decides.
    pub fn eager_start(mut self, eager_start: bool) -> TaskBuilder {
        self.eager_start = Some(eager_start);
        self
    }

    /// Sets the line that counts as having created the task.
    pub fn location(mut self, location: &'static Location<'static>) -> TaskBuilder {
        self.location = location;
        self
    }

    /// Creates the task in the loop that runs in this thread. Its first step runs in the next
    /// iteration, or immediately if the task is started eagerly.
    ///
    /// Without a running loop, or if it is closed, the coroutine is dropped, and the task has ended
    /// with that `Runtime` error.
    #[must_use = "the error of a task that is not awaited is only logged; to let the task run on, drop the handle"]
    #[inline]
    pub fn create<F, T>(mut self, coroutine: F) -> Task<T>
    where
        F: IntoFuture<Output = Result<T>>,
        F::IntoFuture: 'static,
        T: 'static,
    {
        let made = with_running("create_task", |scheduler| {
            let home = scheduler.check_open()?;
            Ok(self.spawn(scheduler, home, coroutine.into_future()))
        });
        made.unwrap_or_else(|error| self.failed(error))
    }

    // By reference: moving a value that was just written in parts causes a store-forwarding stall.
    #[inline(always)]
    fn spawn<F, T>(&mut self, scheduler: &Scheduler, home: LoopRef, coroutine: F) -> Task<T>
    where
        F: Future<Output = Result<T>> + 'static,
        T: 'static,
    {
        let context = match self.context.take() {
            Some(context) => TaskContext::Shared(context),
            None => TaskContext::Own(current_values()),
        };
        let sequence = scheduler.tasks.next_sequence();
        let data = self.allocate(home, sequence, context, coroutine);
        // SAFETY: it was just allocated, and counts a reference for the registry.
        let (cell, registered) =
            unsafe { (data.as_ref().cell(), TaskRef::from_raw(data.cast::<TaskCell>())) };
        if let Some(name) = self.name.take() {
            cell.set_name(name);
        }
        cell.keep_span();
        // SAFETY: it is new, and of this loop.
        unsafe { scheduler.tasks.adopt(registered) };
        let eager = self.eager_start.unwrap_or_else(|| scheduler.tasks.are_eager());
        if eager && scheduler.state() == State::Running {
            // SAFETY: it is alive, new, and of this thread.
            unsafe { TaskCell::run(data.cast()) }
        } else {
            cell.wake();
        }
        Task::of(data)
    }

    #[inline(always)]
    fn allocate<F, T>(
        &self,
        home: LoopRef,
        sequence: u64,
        context: TaskContext,
        coroutine: F,
    ) -> NonNull<Data<T>>
    where
        F: Future<Output = Result<T>>,
        T: 'static,
    {
        let functions = Functions::<F, T>::VTABLE;
        let location = self.location;
        // SAFETY: `allocate` puts it into the place for which the functions are made.
        let cell = || unsafe { TaskCell::new(home, sequence, context, location, functions) };
        allocate(cell, coroutine)
    }

    /// Creates a task that never ran, and has ended with `error`.
    // For the crate of the loop too, whose loop may be closed.
    #[doc(hidden)]
    pub fn failed<T: 'static>(self, error: Error) -> Task<T> {
        let context = TaskContext::Own(current_values());
        let coroutine = std::future::pending::<Result<T>>();
        let data = self.allocate(LoopRef::nowhere(), 0, context, coroutine);
        // SAFETY: it was just allocated, with a coroutine that needs no drop. The reference for the
        // registry, which never gets the task, is released.
        unsafe {
            data.as_ref().vacated();
            drop(data.as_ref().end_unusually(Err(error), Ok(())));
            TaskRef::from_raw(data.cast::<TaskCell>()).finish();
        }
        Task::of(data)
    }
}

/// Returns the task that runs now; `None` in a callback, and where no loop runs
/// (`asyncio.current_task`).
/// ```
/// # #[asyncio::main]
/// # async fn main() -> asyncio::Result<()> {
/// let me = asyncio::current_task().expect("this is a task");
/// assert!(asyncio::all_tasks()? == [me]);
/// # Ok(())
/// # }
/// ```
pub fn current_task() -> Option<AnyTask> {
    with_entered(Scheduler::current_task)?.map(AnyTask)
}

/// Returns the unfinished tasks of the running loop, in the order of creation
/// (`asyncio.all_tasks`).
///
/// # Errors
/// `Runtime` without a running loop.
pub fn all_tasks() -> Result<Vec<AnyTask>> {
    let tasks = with_running("all_tasks", |scheduler| Ok(scheduler.tasks.all()))?;
    Ok(tasks.into_iter().map(AnyTask).collect())
}
