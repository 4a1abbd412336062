//! [`Handle`] and [`TimerHandle`], which `call_soon` and similar methods return.

use crate::{
    context::Context,
    home::{LoopRef, Message, thread_id},
    sync::{AtomicBool, Condvar, Mutex, Ordering, keep, mutant},
    task::{cell::TaskContext, listeners::CallbackRef},
};
use std::{fmt, panic::Location, sync::Arc, time::Duration};

/// A callback that will run (`asyncio.Handle`). Dropping the handle does not cancel it.
///
/// It can be moved to other threads; there, [`cancel`](Handle::cancel) is passed to the loop.
pub struct Handle {
    callback: CallbackRef,
    context: TaskContext,
    location: &'static Location<'static>,
    cancelled: AtomicBool,
}

impl Handle {
    /// Creates the handle of a registered callback that runs in `context`.
    #[doc(hidden)] // For the siblings.
    pub fn new(
        callback: CallbackRef,
        context: TaskContext,
        location: &'static Location<'static>,
    ) -> Handle {
        Handle { callback, context, location, cancelled: AtomicBool::new(false) }
    }

    /// Cancels the callback: it will not run, and its captured values are dropped immediately. It
    /// does nothing if the callback already ran, or was cancelled.
    pub fn cancel(&self) {
        if self.cancelled.swap(true, Ordering::Relaxed) {
            return;
        }
        let callback = self.callback;
        if callback.place.local().is_some() {
            callback.cancel();
        } else {
            let cancel = Box::new(move || _ = callback.cancel());
            let _ = callback.place.send(Message::Quiet(cancel));
        }
    }

    /// Returns whether [`cancel`](Handle::cancel) was called.
    pub fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Returns the context in which the callback runs: the one that it was given, or else a copy of
    /// the context that was current when the callback was registered.
    pub fn get_context(&self) -> Context {
        match &self.context {
            TaskContext::Own(values) => Context::of(values.clone()),
            TaskContext::Shared(context) => context.clone(),
        }
    }

    /// Returns where the callback was registered.
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cancelled = if self.cancelled() { " cancelled" } else { "" };
        write!(f, "<Handle{cancelled} created at {}>", self.location)
    }
}

/// A callback that runs at a given time (`asyncio.TimerHandle`). It derefs to [`Handle`].
pub struct TimerHandle {
    handle: Handle,
    when: Duration,
}

impl TimerHandle {
    /// Creates the handle of a registered timer.
    pub fn new(handle: Handle, when: Duration) -> TimerHandle {
        TimerHandle { handle, when }
    }

    /// Returns when the callback is due, in loop time.
    pub fn when(&self) -> Duration {
        self.when
    }
}

impl std::ops::Deref for TimerHandle {
    type Target = Handle;
    fn deref(&self) -> &Handle {
        &self.handle
    }
}

/// Timers compare by the time at which they are due.
impl PartialOrd for TimerHandle {
    fn partial_cmp(&self, other: &TimerHandle) -> Option<std::cmp::Ordering> {
        Some(self.when.cmp(&other.when))
    }
}

impl PartialEq for TimerHandle {
    fn eq(&self, other: &TimerHandle) -> bool {
        self.when == other.when
            && self.handle.callback == other.handle.callback
            && self.cancelled() == other.cancelled()
    }
}

impl fmt::Debug for TimerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cancelled = if self.cancelled() { " cancelled" } else { "" };
        let (when, location) = (self.when, self.handle.location);
        write!(f, "<TimerHandle{cancelled} when={when:?} created at {location}>")
    }
}

/// A callback that another thread registered (the handle of `call_soon_threadsafe`).
///
/// Cancelling it from any thread prevents the callback or, if the callback is running, blocks until
/// it has finished. From within the callback, it returns immediately.
#[derive(Clone)]
pub struct ThreadsafeHandle(Arc<Shared>);

struct Shared {
    stage: Mutex<Stage>,
    finished: Condvar,
}

enum Stage {
    Waiting(Box<dyn FnOnce() -> crate::Result<()> + Send>),
    /// On the thread of this number.
    Running(u64),
    Finished,
    Cancelled,
}

impl ThreadsafeHandle {
    /// Sends `callback` to `home`, as a separate step. Returns `None` if that loop is closed.
    #[doc(hidden)] // For the siblings.
    pub fn send(
        home: LoopRef,
        callback: impl FnOnce() -> crate::Result<()> + Send + 'static,
    ) -> Option<ThreadsafeHandle> {
        let stage = Mutex::new(Stage::Waiting(Box::new(callback)));
        let handle = ThreadsafeHandle(Arc::new(Shared { stage, finished: Condvar::new() }));
        let sent = Sent(handle.clone());
        home.send(Message::Call(Box::new(move || sent.0.run()))).ok()?;
        Some(handle)
    }

    fn run(&self) -> crate::Result<()> {
        /// Records that the callback has finished, even if it panics.
        struct Finish<'a>(&'a Shared);
        impl Drop for Finish<'_> {
            fn drop(&mut self) {
                let told = mutant("handle_told_early").then(|| self.0.finished.notify_all());
                *self.0.stage.lock() = Stage::Finished;
                if told.is_none() {
                    self.0.finished.notify_all();
                }
            }
        }
        let callback = {
            let mut stage = self.0.stage.lock();
            match std::mem::replace(&mut *stage, Stage::Running(thread_id())) {
                Stage::Waiting(callback) => callback,
                other => {
                    *stage = other;
                    return Ok(());
                }
            }
        };
        let _finish = Finish(&self.0);
        callback()
    }

    /// Prevents the callback, or waits for its end.
    pub fn cancel(&self) {
        let mut stage = self.0.stage.lock();
        loop {
            match &*stage {
                Stage::Waiting(_) => {
                    stage = keep("handle_cancelled_late", &self.0.stage, stage);
                    let callback = std::mem::replace(&mut *stage, Stage::Cancelled);
                    drop(stage);
                    drop(callback);
                    return;
                }
                Stage::Running(thread) if *thread != thread_id() => {
                    stage = self.0.finished.wait(stage);
                }
                _ => return,
            }
        }
    }

    /// Returns whether it was cancelled before it ran, or its loop was closed before.
    pub fn cancelled(&self) -> bool {
        matches!(&*self.0.stage.lock(), Stage::Cancelled)
    }
}

/// The callback on its way to the loop.
struct Sent(ThreadsafeHandle);

impl Drop for Sent {
    /// If it has not run by now, it never will. Its captured values are dropped, even while handles are
    /// left, because a thread may wait for that.
    fn drop(&mut self) {
        let callback = {
            let mut stage = self.0.0.stage.lock();
            match &*stage {
                Stage::Waiting(_) => std::mem::replace(&mut *stage, Stage::Cancelled),
                _ => return,
            }
        };
        drop(callback);
    }
}

impl fmt::Debug for ThreadsafeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &*self.0.stage.lock() {
            Stage::Waiting(_) => "waiting",
            Stage::Running(_) => "running",
            Stage::Finished => "finished",
            Stage::Cancelled => "cancelled",
        };
        write!(f, "<ThreadsafeHandle {stage}>")
    }
}

/// The types that a callback may return: nothing, or a result whose error goes to the exception
/// handler.
#[diagnostic::on_unimplemented(
    message = "a callback cannot return `{Self}`",
    label = "this callback's value is discarded",
    note = "end the closure with `;`, or return a `Result` whose error the loop's exception handler gets",
    note = "to run a coroutine, make a task of it: `|| _ = create_task(coroutine())`"
)]
pub trait CallbackOutput {
    /// Converts it to a result.
    fn into_result(self) -> crate::Result<()>;
}

impl CallbackOutput for () {
    fn into_result(self) -> crate::Result<()> {
        Ok(())
    }
}

/// For a callback that panics. Its type, `!`, can only be named in this way.
impl CallbackOutput for <fn() -> ! as Returns>::Output {
    fn into_result(self) -> crate::Result<()> {
        self
    }
}

/// The return type of a function pointer.
#[doc(hidden)]
pub trait Returns {
    #[allow(missing_docs)]
    type Output;
}

impl<R> Returns for fn() -> R {
    type Output = R;
}

/// For `cancel()` and similar methods, whose result is ignored.
impl CallbackOutput for bool {
    fn into_result(self) -> crate::Result<()> {
        Ok(())
    }
}

impl<T, E: Into<crate::Error>> CallbackOutput for Result<T, E> {
    fn into_result(self) -> crate::Result<()> {
        self.map(drop).map_err(Into::into)
    }
}
