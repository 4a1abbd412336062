//! Unhandled errors: the loop's exception handler.

use crate::{
    Error,
    caught::caught,
    context::Values,
    home::{LoopRef, entered},
    log::{InSpan, Level, SharedSpan, log},
    task::reference::TaskRef,
};
use std::{borrow::Cow, fmt, panic::Location, sync::Arc};

/// A report to the exception handler of a loop (asyncio's `context` dictionary).
#[derive(Clone)]
pub struct ExceptionContext {
    message: Cow<'static, str>,
    exception: Option<Error>,
    task: Option<TaskRef>,
    future: Option<usize>,
    made_at: Option<&'static Location<'static>>,
    notes: Vec<(&'static str, String)>,
    values: Option<Values>,
    pub(crate) span: Option<SharedSpan>,
}

impl ExceptionContext {
    /// Creates a report with this message.
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

    /// Adds the unhandled error. The handler runs in the span in which the error arose, if that is
    /// known.
    pub fn with_exception(mut self, exception: Error) -> Self {
        self.span = exception.span().cloned().or(self.span);
        self.exception = Some(exception);
        self
    }

    /// Adds the task that the report is about. The handler runs in the task's context, and in its span,
    /// unless the error arose in another one.
    #[doc(hidden)] // For the siblings.
    pub fn with_task(mut self, task: TaskRef) -> Self {
        self.span = self.span.or_else(|| task.span());
        self.values = task.context().map(|context| context.values());
        self.made_at = Some(task.spawned_at());
        self.task = Some(task);
        self
    }

    /// Adds the number of the future that the report is about.
    pub fn with_future(mut self, id: usize) -> Self {
        self.future = Some(id);
        self
    }

    /// Adds where the callback or future that the report is about was created.
    pub fn with_origin(mut self, made_at: &'static Location<'static>) -> Self {
        self.made_at = Some(made_at);
        self
    }

    /// Adds further information, under asyncio's key for it (`transport`, `socket`, `asyncgen`, …).
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

    /// Returns the message, which says what happened.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the unhandled error, if there is one.
    pub fn exception(&self) -> Option<&Error> {
        self.exception.as_ref()
    }

    /// Returns the task that the report is about, if it is about one: for `AnyTask::reported_in`.
    #[doc(hidden)]
    pub fn task_ref(&self) -> Option<&TaskRef> {
        self.task.as_ref()
    }

    /// Returns the name of the task that the report is about, if it is about one. `AnyTask::reported_in`
    /// returns the task itself.
    pub fn task_name(&self) -> Option<Arc<str>> {
        self.task.as_ref().map(|task| task.name())
    }

    /// Returns the `Future::id` of the future that the report is about, if it is about one.
    pub fn future(&self) -> Option<usize> {
        self.future
    }

    /// Returns where the task, future or callback was created.
    pub fn made_at(&self) -> Option<&'static Location<'static>> {
        self.made_at
    }

    /// Returns further information, by asyncio's key.
    pub fn note(&self, key: &str) -> Option<&str> {
        self.notes.iter().find(|(k, _)| *k == key).map(|(_, text)| text.as_str())
    }

    /// Passes the report to the exception handler of `home`. If that loop is not of this thread, it
    /// goes to the handler of the loop that runs here, or else to the log.
    #[doc(hidden)] // For the siblings.
    pub fn report(self, home: Option<LoopRef>) {
        match home.and_then(LoopRef::local).or_else(entered) {
            Some(scheduler) => scheduler.reports.call_exception_handler(&self),
            None => self.log(),
        }
    }

    /// Writes the report to the log, as the default handler does.
    pub fn log(&self) {
        let _entered = InSpan::enter(self.span.clone());
        log(Level::Error, &self.to_string());
    }
}

impl fmt::Debug for ExceptionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExceptionContext")
            .field("message", &self.message)
            .field("exception", &self.exception)
            .field("task", &self.task)
            .field("future", &self.future)
            .field("made_at", &self.made_at)
            .field("notes", &self.notes)
            .finish_non_exhaustive()
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
        // It may be an error type of the program.
        let kind = if let Error::Other(_) = exception { "Error: " } else { "" };
        match caught(|| format!("{exception:?}")) {
            Ok(text) => write!(f, "\n{kind}{text}"),
            Err(panic) => write!(f, "\n{}, whose text {panic}", exception.kind()),
        }
    }
}

/// Calls code of the program. A panic is reported, with `message`, to the exception handler of
/// `home`.
#[inline]
#[doc(hidden)] // For the siblings.
pub fn reported(message: &'static str, home: Option<LoopRef>, call: impl FnOnce()) {
    if let Err(error) = caught(call) {
        ExceptionContext::new(message).with_exception(error).report(home);
    }
}
