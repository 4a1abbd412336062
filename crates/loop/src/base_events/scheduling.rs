//! Callbacks and time.

use super::EventLoop;
use asyncio_core::{
    Result,
    context::{Context, Values, current_values},
    handle::{CallbackOutput, Handle, ThreadsafeHandle, TimerHandle},
    raw::{CallbackRef, TaskContext},
    wait_site::{FUTURE, WaitSite},
};
use asyncio_future::Future;
use std::{panic::Location, time::Duration};

/// Scheduling. A callback returns nothing, or a result whose error goes to the exception handler.
impl EventLoop {
    /// Runs `callback` in the next iteration, after the steps that are already ready, in a copy of
    /// the current context (`loop.call_soon`).
    ///
    /// # Errors
    /// `Runtime` if the loop is closed.
    #[doc(alias = "loop.call_soon")]
    #[track_caller]
    pub fn call_soon<R: CallbackOutput>(
        &self,
        callback: impl FnOnce() -> R + 'static,
    ) -> Result<Handle> {
        self.calls().call_soon(callback)
    }

    /// Calls `callback` after `delay` (`loop.call_later`): see [`call_at`](EventLoop::call_at).
    ///
    /// # Errors
    /// `Runtime` if the loop is closed.
    #[doc(alias = "loop.call_later")]
    #[track_caller]
    pub fn call_later<R: CallbackOutput>(
        &self,
        delay: Duration,
        callback: impl FnOnce() -> R + 'static,
    ) -> Result<TimerHandle> {
        self.calls().call_later(delay, callback)
    }

    /// Runs `callback` in the first iteration that begins at `when` or after, in loop time, in a copy
    /// of the current context (`loop.call_at`). Timers run in the order of their times; timers with
    /// equal times run in the order of creation. A time in the past is allowed. A time that is too
    /// far away to be counted in nanoseconds (584 years) never comes.
    ///
    /// # Errors
    /// `Runtime` if the loop is closed.
    #[doc(alias = "loop.call_at")]
    #[track_caller]
    #[doc(alias = "MAXIMUM_SELECT_TIMEOUT")]
    pub fn call_at<R: CallbackOutput>(
        &self,
        when: Duration,
        callback: impl FnOnce() -> R + 'static,
    ) -> Result<TimerHandle> {
        self.calls().call_at(when, callback)
    }

    /// Does what [`LoopHandle::call_soon_threadsafe`](asyncio_core::LoopHandle::call_soon_threadsafe) does, on the
    /// loop's own thread.
    ///
    /// # Errors
    /// `Runtime` if the loop is closed.
    pub fn call_soon_threadsafe<R: CallbackOutput>(
        &self,
        callback: impl FnOnce() -> R + Send + 'static,
    ) -> Result<ThreadsafeHandle> {
        self.handle().call_soon_threadsafe(callback)
    }

    /// Returns the same calls with `context=`: callbacks run in `context` itself, which keeps what
    /// they set.
    ///
    /// ```
    /// use asyncio::{Context, ContextVar};
    /// static USER: ContextVar<&str> = ContextVar::new("user");
    /// let event_loop = asyncio::new_event_loop()?;
    /// let context = Context::current();
    /// event_loop.in_context(&context).call_soon(|| drop(USER.set("ann")))?;
    /// event_loop.stop();
    /// event_loop.run_forever()?;
    /// assert_eq!((context.get(&USER), USER.get()), (Some("ann"), None));
    /// event_loop.close()?;
    /// # Ok::<(), asyncio::Error>(())
    /// ```
    pub fn in_context<'a>(&'a self, context: &Context) -> Calls<'a> {
        Calls { event_loop: self, context: Some(context.clone()) }
    }

    fn calls(&self) -> Calls<'_> {
        Calls { event_loop: self, context: None }
    }

    /// Returns the loop time (`loop.time`). It counts from an arbitrary start, which all loops of a
    /// process share, and never goes back. A virtual clock starts at zero; the clock of a closed
    /// loop stands still.
    #[doc(alias = "loop.time")]
    pub fn time(&self) -> Duration {
        self.home().with(|scheduler| scheduler.timers.time()).unwrap_or(self.0.closed_at.get())
    }

    /// Returns a pending future of this loop (`loop.create_future`).
    #[doc(alias = "loop.create_future")]
    #[track_caller]
    pub fn create_future<T>(&self) -> Future<T> {
        let site = WaitSite::here(&FUTURE);
        self.home().enter(|| Future::of_operation(site, None))
    }
}

/// The value that [`EventLoop::in_context`] returns.
#[derive(Debug)]
#[must_use]
pub struct Calls<'a> {
    event_loop: &'a EventLoop,
    context: Option<Context>,
}

impl Calls<'_> {
    /// Does what [`EventLoop::call_soon`] does, with `context=`.
    ///
    /// # Errors
    /// `Runtime` if the loop is closed.
    #[track_caller]
    pub fn call_soon<R: CallbackOutput>(
        self,
        callback: impl FnOnce() -> R + 'static,
    ) -> Result<Handle> {
        self.register(None, callback)
    }

    /// Does what [`EventLoop::call_later`] does, with `context=`.
    ///
    /// # Errors
    /// `Runtime` if the loop is closed.
    #[track_caller]
    pub fn call_later<R: CallbackOutput>(
        self,
        delay: Duration,
        callback: impl FnOnce() -> R + 'static,
    ) -> Result<TimerHandle> {
        let when = self.event_loop.time().saturating_add(delay);
        self.call_at(when, callback)
    }

    /// Does what [`EventLoop::call_at`] does, with `context=`.
    ///
    /// # Errors
    /// `Runtime` if the loop is closed.
    #[track_caller]
    pub fn call_at<R: CallbackOutput>(
        self,
        when: Duration,
        callback: impl FnOnce() -> R + 'static,
    ) -> Result<TimerHandle> {
        let handle = self.register(Some(when), callback)?;
        Ok(TimerHandle::new(handle, when))
    }

    /// Registers a callback for the next iteration, or for the first one that begins at `when` or
    /// later.
    #[track_caller]
    fn register<R: CallbackOutput>(
        self,
        when: Option<Duration>,
        callback: impl FnOnce() -> R + 'static,
    ) -> Result<Handle> {
        let location = Location::caller();
        let (parked, context) = match self.context {
            None => {
                let values = current_values();
                let call = || callback().into_result();
                let parked = schedule(self.event_loop, when, call, values.clone(), location)?;
                (parked, TaskContext::Own(values))
            }
            Some(context) => {
                let (inside, values) = (context.clone(), context.values());
                let call = move || inside.run(|| callback().into_result())?;
                let parked = schedule(self.event_loop, when, call, values, location)?;
                (parked, TaskContext::Shared(context))
            }
        };
        Ok(Handle::new(parked, context, location))
    }
}

/// The scheduler puts the callback into its single box.
fn schedule(
    event_loop: &EventLoop,
    when: Option<Duration>,
    call: impl FnOnce() -> Result<()> + 'static,
    values: Values,
    location: &'static Location<'static>,
) -> Result<CallbackRef> {
    event_loop.with(|scheduler| match when {
        None => scheduler.call_soon(call, values, location),
        Some(when) => scheduler.call_at(when, call, values, location),
    })?
}
