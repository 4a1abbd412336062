//! The log: asyncio's logger `asyncio` is the `tracing` target of that name.

use asyncio_core::exception::{Level, Span, Spans, set_logger, set_spans};
use tracing::span::Id;

/// Sends the log to `tracing`, or to standard error while the program has no subscriber.
pub(crate) fn install() {
    set_logger(|level, text| match tracing::dispatcher::has_been_set() {
        true => write(level, text, tracing::Span::current().id()),
        false => eprintln!("{text}"),
    });
    let write = |level, text: &str, span| write(level, text, Some(Id::from_non_zero_u64(span)));
    set_spans(Spans { current, write });
}

fn current() -> Option<Span> {
    match tracing::dispatcher::has_been_set() {
        true => tracing::Span::current().id().map(|id| id.into_non_zero_u64()),
        false => None,
    }
}

fn write(level: Level, text: &str, span: Option<Id>) {
    match level {
        Level::Info => tracing::info!(target: "asyncio", parent: span, "{text}"),
        Level::Warning => tracing::warn!(target: "asyncio", parent: span, "{text}"),
        Level::Error => tracing::error!(target: "asyncio", parent: span, "{text}"),
    }
}
