//! The log: asyncio's logger `asyncio` is the `tracing` target of that name. Tasks carry `tracing`'s spans.

use asyncio_core::{
    log::{self, Level, SharedSpan, set_logger, set_spans},
    raw::{caught, with_entered},
};
use std::sync::Arc;
use tracing::Span;

/// Sends the log to `tracing`, or to standard error while the program has no subscriber.
pub(crate) fn install() {
    set_logger(|level, text| match tracing::dispatcher::has_been_set() {
        true => write(level, text),
        false => eprintln!("{text}"),
    });
    set_spans(current);
}

/// Returns the current span, unless the loop that runs in this thread carries none.
fn current() -> Option<SharedSpan> {
    let are_off = || with_entered(|scheduler| !scheduler.reports.task_spans()) == Some(true);
    if !tracing::dispatcher::has_been_set() || are_off() {
        return None;
    }
    let span = Span::current();
    (!span.is_none()).then(|| Arc::new(KeptSpan(span)) as SharedSpan)
}

/// A span that a task, an error or a job carries. A panic of a subscriber is caught.
struct KeptSpan(Span);

impl log::Span for KeptSpan {
    fn enter(&self) {
        let _ = caught(|| self.0.with_subscriber(|(id, subscriber)| subscriber.enter(id)));
    }

    fn exit(&self) {
        let _ = caught(|| self.0.with_subscriber(|(id, subscriber)| subscriber.exit(id)));
    }
}

fn write(level: Level, text: &str) {
    let span = Span::current().id();
    match level {
        Level::Info => tracing::info!(target: "asyncio", parent: span, "{text}"),
        Level::Warning => tracing::warn!(target: "asyncio", parent: span, "{text}"),
        Level::Error => tracing::error!(target: "asyncio", parent: span, "{text}"),
    }
}
