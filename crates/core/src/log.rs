//! The log, and the spans of it that tasks carry. The crate of the loop says where both lead, so that this
//! crate needs no library for logging.

use crate::caught::caught;
use std::{
    fmt,
    sync::{Arc, OnceLock},
};

/// The severity of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Useful for debugging.
    Info,
    /// Probably a mistake.
    Warning,
    /// An error that was not handled.
    Error,
}

/// A span of the log (of `tracing`), which is open as long as this lives.
pub trait Span: Send + Sync {
    /// Enters it on this thread.
    fn enter(&self);

    /// Leaves it.
    fn exit(&self);
}

/// A shared [`Span`].
pub type SharedSpan = Arc<dyn Span>;

static SPANS: OnceLock<fn() -> Option<SharedSpan>> = OnceLock::new();

/// Sets the function that returns the span that a task created now would carry; only the first call has an
/// effect.
pub fn set_spans(current: fn() -> Option<SharedSpan>) {
    let _ = SPANS.set(current);
}

/// Returns the current span, if there is one and the loop of this thread carries spans.
#[inline]
pub fn current_span() -> Option<SharedSpan> {
    SPANS.get()?()
}

/// Keeps the thread inside a span, until this is dropped.
#[must_use]
pub struct InSpan(Option<SharedSpan>);

impl InSpan {
    /// Enters the span, if there is one.
    pub fn enter(span: Option<SharedSpan>) -> InSpan {
        if let Some(span) = &span {
            span.enter();
        }
        InSpan(span)
    }
}

impl Drop for InSpan {
    fn drop(&mut self) {
        if let Some(span) = &self.0 {
            span.exit();
        }
    }
}

impl fmt::Debug for InSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InSpan").field("is_some", &self.0.is_some()).finish()
    }
}

type Logger = fn(Level, &str);

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Sets where the lines of [`log`] go from now on; only the first call has an effect.
pub fn set_logger(logger: Logger) {
    let _ = LOGGER.set(logger);
}

/// Writes to the log (asyncio's logger named `asyncio`), or to standard error if no logger was set, or
/// if it panics. This never panics, even if standard error is closed.
pub fn log(level: Level, text: &str) {
    let logged = match LOGGER.get() {
        Some(logger) => caught(|| logger(level, text)).is_ok(),
        None => false,
    };
    if !logged {
        let _ = caught(|| eprintln!("asyncio: {text}"));
    }
}
