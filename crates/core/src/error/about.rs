//! The data that every error carries beside its kind: its context, notes, and where it arose.

use super::{Error, TimeoutError, drop_one_by_one};
use crate::log::{SharedSpan, current_span};
use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fmt,
    panic::Location,
    sync::Arc,
};

/// The data of a copy of an error beside its kind and message.
#[derive(Clone, Default)]
pub(super) struct About {
    context: Context,
    /// The text does not show the context.
    hides_context: bool,
    notes: Vec<String>,
    at: Option<&'static Location<'static>>,
    backtrace: Option<Arc<Backtrace>>,
    /// The span of the log in which it arose.
    span: Option<SharedSpan>,
    /// The tasks that have ended with it, one after another: each has awaited the previous one.
    ended: Vec<EndedTask>,
}

/// A task that has ended with an error.
#[derive(Clone)]
pub(crate) struct EndedTask {
    /// The name that it was given.
    pub(crate) name: Option<Arc<str>>,
    pub(crate) sequence: u64,
    pub(crate) created_at: &'static Location<'static>,
}

/// `fetch, created at src/main.rs:3:14`
impl fmt::Display for EndedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name)?,
            None => write!(f, "Task-{}", self.sequence)?,
        }
        write!(f, ", created at {}", self.created_at)
    }
}

/// The largest number of such tasks that an error keeps.
const MAX_ENDED: usize = 10;

/// The error that was being handled. The chain of contexts may be longer than the stack.
#[derive(Clone, Default)]
struct Context(Option<Error>);

impl Drop for Context {
    fn drop(&mut self) {
        drop_one_by_one(self.0.take().into_iter().collect());
    }
}

/// The source file from which `map_err(Error::from)` and similar calls invoke a function passed by
/// name.
const CALLS_BY_NAME: &str = "library/core/src/ops/function.rs";

impl Error {
    /// Returns the line at which `?`, or another conversion, made this error from one of the system or
    /// of another library.
    ///
    /// `{:?}` shows it, and so do the reports of unhandled errors. If a library has converted the error,
    /// the line is in that library. There is no line for errors that were asyncio's own from the beginning,
    /// such as [`Error::runtime`], or if a function of the standard library calls the conversion
    /// (`map_err(Error::from)`).
    ///
    /// ```
    /// fn parse(text: &str) -> asyncio::Result<i32> { Ok(text.parse::<i32>()?) }
    /// let error = parse("x").unwrap_err();
    /// let line = error.location().unwrap().line();
    /// assert!(format!("{error:?}").contains(&format!(".rs:{line}")));
    /// ```
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.about()?.at
    }

    /// Returns the stack at that line, if the environment requested it (`RUST_BACKTRACE`, or
    /// `RUST_LIB_BACKTRACE`). `{:?}` shows it.
    pub fn backtrace(&self) -> Option<&Backtrace> {
        self.about()?.backtrace.as_deref()
    }

    /// Records where an error of the system or of another library became one of ours, unless that is
    /// already known.
    #[cold]
    pub(super) fn arisen_at(mut self, at: &'static Location<'static>) -> Error {
        let is_foreign = matches!(self, Error::Io(_) | Error::Other(_));
        if !is_foreign || self.location().is_some() || at.file().ends_with(CALLS_BY_NAME) {
            return self;
        }
        self = self.in_current_span();
        let about = self.about_mut();
        about.at = Some(at);
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            about.backtrace = Some(Arc::new(backtrace));
        }
        self
    }

    /// Records that the error arises now. The current span of the log is kept, so that a later report,
    /// which is created outside it, belongs to it.
    pub(super) fn in_current_span(mut self) -> Error {
        if let Some(span) = current_span() {
            self.about_mut().span = Some(span);
        }
        self
    }

    /// Records that a task ends with it.
    #[cold]
    pub(crate) fn ends(mut self, task: impl FnOnce() -> EndedTask) -> Error {
        if self.ended().len() < MAX_ENDED {
            self.about_mut().ended.push(task());
        }
        self
    }

    /// Returns the tasks that have ended with it, beginning with the one in which it arose.
    pub(super) fn ended(&self) -> &[EndedTask] {
        self.about().map_or(&[], |about| &about.ended)
    }

    /// The span in which it arose, if that is known.
    pub(crate) fn span(&self) -> Option<&SharedSpan> {
        self.about()?.span.as_ref()
    }

    /// Adds a note, a sentence about what was being done (Python's `add_note`). A note changes neither the
    /// kind of the error nor its `{}` text; `{:?}` shows it below the message. Results have
    /// [`ResultExt::add_note`](crate::ResultExt::add_note).
    ///
    /// ```
    /// use asyncio::Error;
    /// let error = Error::value("no port").add_note("reading settings.toml");
    /// assert_eq!(error.notes(), ["reading settings.toml"]);
    /// assert_eq!(format!("{error:?}"), "ValueError: no port\n  reading settings.toml");
    /// ```
    pub fn add_note(mut self, note: impl fmt::Display) -> Error {
        self.about_mut().notes.push(note.to_string());
        self
    }

    /// Returns the notes, in the order in which they were added (Python's `__notes__`).
    pub fn notes(&self) -> &[String] {
        self.about().map_or(&[], |about| &about.notes)
    }
}

impl Error {
    /// Returns the error that was being handled when this one arose (Python's `__context__`).
    pub fn context(&self) -> Option<&Error> {
        self.about()?.context.0.as_ref()
    }

    /// Hides the context in the text (Python's `raise … from None`).
    #[doc(hidden)] // For the siblings.
    pub fn from_none(mut self) -> Error {
        self.about_mut().hides_context = true;
        self
    }

    /// Returns the context, unless the text does not show it.
    pub(super) fn shown_context(&self) -> Option<&Error> {
        self.context().filter(|_| self.about().is_some_and(|about| !about.hides_context))
    }

    /// Takes the context out, if no other copy of the error is left.
    pub(super) fn take_sole_context(&mut self) -> Option<Error> {
        self.sole_about()?.context.0.take()
    }

    /// Replaces the context of the error.
    fn with_only_context(mut self, context: Error) -> Error {
        self.about_mut().context = Context(Some(context));
        self
    }

    /// Iterates over the chain of contexts.
    fn contexts(&self) -> impl Iterator<Item = &Error> {
        std::iter::successors(self.context(), |error| error.context())
    }

    /// Puts `context` after the first `n` contexts of the error, in place of the others.
    fn with_context_behind(self, n: usize, context: Error) -> Error {
        let kept: Vec<Error> = self.contexts().take(n).cloned().collect();
        let context =
            kept.into_iter().rev().fold(context, |inner, error| error.with_only_context(inner));
        self.with_only_context(context)
    }

    /// Adds `context`, the error that was being handled when this one arose. A context that it already
    /// has stays in front, so that none is lost. Nothing is added if `context` is a copy of this error, which
    /// was returned again, or of one of its contexts.
    pub fn with_context(self, context: Error) -> Error {
        let is_known = |error: &Error| error.is_copy_of(&context);
        if is_known(&self) || self.contexts().any(is_known) {
            return self;
        }
        let n = self.contexts().count();
        self.with_context_behind(n, context)
    }

    /// Converts an error that leaves a `timeout` in place of the cancellation at its deadline: in its
    /// context, a [`TimeoutError`] replaces the cancellation, and has it as its own context. The members
    /// of a group are converted too.
    #[doc(hidden)]
    pub fn with_timeout_in_context(self) -> Error {
        let error = match &self {
            Error::Group(group)
                if group.exceptions().iter().any(|e| e.cancelled_context().is_some()) =>
            {
                let members = group.exceptions().iter().cloned().map(Error::timeout_in_own_context);
                let members: Vec<Error> = members.collect();
                Error::Group(group.derive(members))
            }
            _ => self,
        };
        error.timeout_in_own_context()
    }

    /// Returns the first context that is a cancellation, and the number of contexts before it.
    fn cancelled_context(&self) -> Option<(usize, &Error)> {
        self.contexts().enumerate().find(|(_, error)| error.is_cancelled())
    }

    fn timeout_in_own_context(self) -> Error {
        let Some((n, cancelled)) = self.cancelled_context() else { return self };
        let timeout = Error::Timeout(TimeoutError::default()).with_only_context(cancelled.clone());
        self.with_context_behind(n, timeout)
    }
}
