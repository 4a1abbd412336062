//! What nobody handles: the loop's exception handler.

use crate::{
    Error,
    caught::caught,
    cell::TaskCell,
    context::{Values, swap_values},
    home::{LoopRef, entered},
    scheduler::{ExceptionHandler, Scheduler},
    task_ref::TaskRef,
};
use std::{borrow::Cow, fmt, num::NonZeroU64, panic::Location, time::Duration};

/// What the exception handler of a loop is told (asyncio's `context` dictionary).
#[derive(Clone, Debug)]
pub struct ExceptionContext {
    message: Cow<'static, str>,
    exception: Option<Error>,
    task: Option<TaskRef>,
    future: Option<usize>,
    made_at: Option<&'static Location<'static>>,
    notes: Vec<(&'static str, String)>,
    values: Option<Values>,
    span: Option<Span>,
}

impl ExceptionContext {
    /// A report that says `message`.
    pub fn new(message: impl Into<Cow<'static, str>>) -> ExceptionContext {
        ExceptionContext {
            message: message.into(),
            exception: None,
            task: None,
            future: None,
            made_at: None,
            notes: Vec::new(),
            values: None,
            span: None,
        }
    }

    /// Adds the error that nobody handled.
    pub fn with_exception(mut self, exception: Error) -> Self {
        self.exception = Some(exception);
        self
    }

    /// Adds the task it is about; the handler runs in the task's context. What the default handler logs
    /// belongs to the span in which the task was made, as long as that is open.
    #[doc(hidden)] // For the siblings.
    pub fn with_task(mut self, task: TaskRef) -> Self {
        self.span = task.span();
        self.values = task.context().map(|context| context.values());
        self.made_at = Some(task.spawned_at());
        self.task = Some(task);
        self
    }

    /// Adds the number of the future it is about.
    pub fn with_future(mut self, id: usize) -> Self {
        self.future = Some(id);
        self
    }

    /// Adds where the callback or future it is about was made.
    pub fn with_origin(mut self, made_at: &'static Location<'static>) -> Self {
        self.made_at = Some(made_at);
        self
    }

    /// Adds anything else, under asyncio's key for it (`transport`, `socket`, `asyncgen`, …).
    pub fn with_note(mut self, key: &'static str, text: impl fmt::Display) -> Self {
        self.notes.push((key, text.to_string()));
        self
    }

    pub(crate) fn in_values(mut self, values: Values) -> Self {
        self.values = Some(values);
        self
    }

    pub(crate) fn values(&self) -> Option<Values> {
        self.values.clone()
    }

    /// What happened.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The error that nobody handled, if there is one.
    pub fn exception(&self) -> Option<&Error> {
        self.exception.as_ref()
    }

    /// The task it is about, if it is about one.
    pub fn task(&self) -> Option<&TaskRef> {
        self.task.as_ref()
    }

    /// The future it is about, if it is about one: what `Future::id` gave while it lived.
    pub fn future(&self) -> Option<usize> {
        self.future
    }

    /// Where the task, future or callback was made.
    pub fn made_at(&self) -> Option<&'static Location<'static>> {
        self.made_at
    }

    /// What else is known, by asyncio's key.
    pub fn note(&self, key: &str) -> Option<&str> {
        self.notes.iter().find(|(k, _)| *k == key).map(|(_, text)| text.as_str())
    }

    /// Gives the report to the exception handler of `home`; if that loop is not of this thread, to
    /// that of the loop running here, and else to the log.
    #[doc(hidden)] // For the siblings.
    pub fn report(self, home: Option<LoopRef>) {
        match home.and_then(LoopRef::local).or_else(entered) {
            Some(scheduler) => scheduler.call_exception_handler(&self),
            None => self.log(),
        }
    }

    /// Writes the report to the log, as the default handler does.
    pub fn log(&self) {
        let text = self.to_string();
        let in_span = SPANS.get().zip(self.span);
        let logged =
            in_span.map(|(spans, span)| caught(|| (spans.write)(Level::Error, &text, span)));
        if !matches!(logged, Some(Ok(()))) {
            log(Level::Error, &text);
        }
    }
}

/// The text that the default handler logs.
impl fmt::Display for ExceptionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(task) = &self.task {
            write!(f, "\ntask: {task:?}")?;
        }
        for (key, text) in &self.notes {
            write!(f, "\n{key}: {text}")?;
        }
        if let Some(made_at) = self.made_at {
            write!(f, "\ncreated at: {made_at}")?;
        }
        let Some(exception) = &self.exception else { return Ok(()) };
        // It may be an error of the program's own.
        match caught(|| format!("{exception:?}")) {
            Ok(text) => write!(f, "\n{text}"),
            Err(panic) => write!(f, "\n{}, whose text {panic}", exception.kind()),
        }
    }
}

/// Errors and debug mode.
impl Scheduler {
    /// Sets the exception handler; `None` is the default one, which logs. Does nothing to a closed
    /// loop, whose place may become another thread's.
    pub fn set_exception_handler(&self, handler: Option<ExceptionHandler>) {
        if self.check_open().is_ok() {
            drop(self.exception_handler.replace(handler));
        }
    }

    /// The exception handler that was set.
    pub fn exception_handler(&self) -> Option<ExceptionHandler> {
        self.exception_handler.borrow().clone()
    }

    /// Reports what nobody handled (`loop.call_exception_handler`). A handler that panics is itself
    /// reported to the log; nothing comes out.
    pub fn call_exception_handler(&self, context: &ExceptionContext) {
        let outer = context.values().map(swap_values);
        let outcome = caught(|| match self.exception_handler() {
            Some(handler) => handler(context),
            None => context.log(),
        });
        if let Err(error) = outcome {
            ExceptionContext::new("Unhandled error in exception handler")
                .with_exception(error)
                .with_note("context", context)
                .log();
        }
        if let Some(outer) = outer {
            drop(swap_values(outer));
        }
    }

    /// Whether debug mode is on.
    pub fn debug(&self) -> bool {
        self.debug.get()
    }

    /// Switches debug mode.
    pub fn set_debug(&self, on: bool) {
        self.debug.set(on);
        self.is_timed.set(on || self.measures_steps.get());
    }

    /// Switches the measurement of each step, which reads the clock twice for it.
    pub fn set_measures_steps(&self, on: bool) {
        self.measures_steps.set(on);
        self.is_timed.set(on || self.debug.get());
    }

    /// From which time on debug mode reports a step as slow.
    pub fn slow_callback_duration(&self) -> Duration {
        self.slow_callback_duration.get()
    }

    /// Sets [`slow_callback_duration`](Scheduler::slow_callback_duration).
    pub fn set_slow_callback_duration(&self, duration: Duration) {
        self.slow_callback_duration.set(duration);
    }
}

/// How grave a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Worth knowing when looking for something.
    Info,
    /// Probably a mistake.
    Warning,
    /// Something failed, and nobody handled it.
    Error,
}

/// The number of a span of the log (of `tracing`). It does not keep the span open.
pub type Span = NonZeroU64;

/// What is known of the log's spans.
#[derive(Clone, Copy, Debug)]
pub struct Spans {
    /// The one that is current in this thread, if there is one.
    pub current: fn() -> Option<Span>,
    /// Writes a line that belongs to a span; to none, if that is closed.
    pub write: fn(Level, &str, Span),
}

static SPANS: std::sync::OnceLock<Spans> = std::sync::OnceLock::new();

/// Says how spans are found; the first call decides.
pub fn set_spans(spans: Spans) {
    let _ = SPANS.set(spans);
}

impl TaskCell {
    /// Remembers the current span for reports about the task.
    #[inline]
    pub fn keep_span(&self) {
        if let Some(span) = SPANS.get().and_then(|spans| (spans.current)()) {
            self.set_span(span);
        }
    }
}

type Logger = fn(Level, &str);

static LOGGER: std::sync::OnceLock<Logger> = std::sync::OnceLock::new();

/// Where the lines of [`log`] go from now on; the first call decides.
pub fn set_logger(logger: Logger) {
    let _ = LOGGER.set(logger);
}

/// Writes to the log (asyncio's logger named `asyncio`); to standard error if no logger was set, or if
/// it panics. Nothing comes out, even if standard error is closed.
pub fn log(level: Level, text: &str) {
    let logged = match LOGGER.get() {
        Some(logger) => caught(|| logger(level, text)).is_ok(),
        None => false,
    };
    if !logged {
        let _ = caught(|| eprintln!("asyncio: {text}"));
    }
}
