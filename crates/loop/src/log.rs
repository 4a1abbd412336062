//! The log: asyncio's logger `asyncio` is the `tracing` target of that name.

use asyncio_core::exception::{Level, set_logger};

/// Sends the log to `tracing`, or to standard error while the program has no subscriber.
pub(crate) fn install() {
    set_logger(write);
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
