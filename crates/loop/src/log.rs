//! The log: asyncio's logger `asyncio` is the `tracing` target of that name.

use asyncio_core::exception::{Level, Span, Spans, set_logger, set_spans};
use std::sync::Arc;

/// Sends the log to `tracing`, or to standard error while the program has no subscriber.
pub(crate) fn install() {
    set_logger(write);
    set_spans(Spans { current, within });
}

fn current() -> Option<Span> {
    if !tracing::dispatcher::has_been_set() {
        return None;
    }
    let span = tracing::Span::current();
    (!span.is_none()).then(|| Arc::new(span) as Span)
}

fn within(span: &Span, call: &mut dyn FnMut()) {
    match span.downcast_ref::<tracing::Span>() {
        Some(span) => span.in_scope(call),
        None => call(),
    }
}

fn write(level: Level, text: &str) {
    if !tracing::dispatcher::has_been_set() {
        return eprintln!("{text}");
    }
    match level {
        Level::Info => tracing::info!(target: "asyncio", "{text}"),
        Level::Warning => tracing::warn!(target: "asyncio", "{text}"),
        Level::Error => tracing::error!(target: "asyncio", "{text}"),
    }
}
