//! Unhandled errors, and debug mode.

use super::EventLoop;
use asyncio_core::exception::ExceptionContext;
use std::{rc::Rc, time::Duration};

/// The handler that [`EventLoop::get_exception_handler`] returns.
pub type ExceptionHandler = Rc<dyn Fn(&EventLoop, &ExceptionContext)>;

/// Unhandled errors.
impl EventLoop {
    /// Sets the function that is called with every unhandled error (`loop.set_exception_handler`). It runs
    /// in the context of the task or callback that the report is about. If it panics, the panic is logged.
    ///
    /// ```
    /// let event_loop = asyncio::new_event_loop()?;
    /// event_loop.set_exception_handler(|event_loop, context| {
    ///     eprintln!("stopping: {context}");
    ///     event_loop.stop();
    /// });
    /// event_loop.call_soon(|| Err::<(), _>(std::io::Error::other("disk on fire")))?;
    /// event_loop.run_forever()?;
    /// event_loop.close()?;
    /// # Ok::<(), asyncio::Error>(())
    /// ```
    #[doc(alias = "loop.set_exception_handler")]
    pub fn set_exception_handler(&self, handler: impl Fn(&EventLoop, &ExceptionContext) + 'static) {
        self.replace_exception_handler(Some(Rc::new(handler)));
    }

    /// Removes the handler that was set, so that errors go to
    /// [`default_exception_handler`](EventLoop::default_exception_handler)
    /// (`loop.set_exception_handler(None)`).
    pub fn reset_exception_handler(&self) {
        self.replace_exception_handler(None);
    }

    fn replace_exception_handler(&self, handler: Option<ExceptionHandler>) {
        let weak = Rc::downgrade(&self.0);
        let inner = handler.clone().map(|handler| -> Rc<dyn Fn(&ExceptionContext)> {
            Rc::new(move |context| match weak.upgrade() {
                Some(inner) => handler(&EventLoop(inner), context),
                None => context.log(),
            })
        });
        if self.with(|scheduler| scheduler.set_exception_handler(inner)).is_ok() {
            drop(self.0.exception_handler.replace(handler));
        }
    }

    /// Returns the handler that was set (`loop.get_exception_handler`). To set it again, wrap it:
    /// `set_exception_handler(move |event_loop, context| previous(event_loop, context))`.
    #[doc(alias = "loop.get_exception_handler")]
    pub fn get_exception_handler(&self) -> Option<ExceptionHandler> {
        self.0.exception_handler.borrow().clone()
    }

    /// Writes `context` to the log (`loop.default_exception_handler`).
    #[doc(alias = "loop.default_exception_handler")]
    pub fn default_exception_handler(&self, context: &ExceptionContext) {
        context.log();
    }

    /// Passes `context` to the exception handler (`loop.call_exception_handler`). This never
    /// panics, even if the handler does.
    #[doc(alias = "loop.call_exception_handler")]
    pub fn call_exception_handler(&self, context: &ExceptionContext) {
        if self.with(|scheduler| scheduler.reports.call_exception_handler(context)).is_err() {
            self.default_exception_handler(context);
        }
    }

    /// Returns whether debug mode is on (`loop.get_debug`). In debug mode, a step that takes
    /// [`slow_callback_duration`](EventLoop::slow_callback_duration) or longer is logged, and the
    /// loop makes checks that cost time.
    #[doc(alias = "loop.get_debug")]
    pub fn get_debug(&self) -> bool {
        self.0.home.with(|scheduler| scheduler.reports.debug()) == Some(true)
    }

    /// Turns debug mode on or off (`loop.set_debug`).
    #[doc(alias = "loop.set_debug")]
    pub fn set_debug(&self, on: bool) {
        self.0.home.with(|scheduler| scheduler.reports.set_debug(on));
    }

    /// Returns the duration from which debug mode reports a step as slow
    /// (`loop.slow_callback_duration`). The default is 100 ms.
    #[doc(alias = "loop.slow_callback_duration")]
    pub fn slow_callback_duration(&self) -> Duration {
        self.0.home.with(|scheduler| scheduler.reports.slow_callback_duration()).unwrap_or_default()
    }

    /// Sets [`slow_callback_duration`](EventLoop::slow_callback_duration).
    pub fn set_slow_callback_duration(&self, duration: Duration) {
        self.0.home.with(|scheduler| scheduler.reports.set_slow_callback_duration(duration));
    }
}
