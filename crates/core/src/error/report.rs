//! How an [`Error`] reads.

use super::Error;
use std::fmt;

/// So many groups in each other are shown, and so many contexts behind each other, as Python does.
const MAX_DEPTH: usize = 10;

/// So many members of a group are shown.
const MAX_WIDTH: usize = 15;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_std(), f)
    }
}

/// The kind (not that of [`Error::Other`]), the message and where the error arose, and below it what led here:
/// notes, the tasks that have ended with it if there are several, sources, contexts, and a backtrace if there is
/// one. Groups that are nested deeply, or have many members, are not shown whole.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&report(self, 0))
    }
}

fn report(error: &Error, depth: usize) -> String {
    // `main` writes `Error: ` before it, as all that an error of no particular kind has.
    let mut text = match error {
        Error::Other(_) if depth == 0 => error.to_string(),
        _ => format!("{}: {error}", error.kind()),
    };
    if let Some(at) = error.location() {
        text += &format!(", at {}:{}", at.file(), at.line());
    }
    for note in error.notes() {
        text += &format!("\n  {}", note.replace('\n', "\n  "));
    }
    // What a single task has ended with has come out of it directly.
    if let [task, awaiters @ ..] = error.ended() {
        if !awaiters.is_empty() {
            text += &format!("\n  in {task}");
        }
        for awaiter in awaiters {
            text += &format!("\n  awaited by {awaiter}");
        }
    }
    let mut source = error.as_std().source();
    while let Some(error) = source {
        text += &format!("\n  caused by: {error}");
        source = error.source();
    }
    if let Error::Group(group) = error {
        let members = group.exceptions();
        if depth >= MAX_DEPTH {
            text += &format!("\n  ... (groups are shown up to {MAX_DEPTH} levels deep)");
        } else {
            for (n, error) in members.iter().take(MAX_WIDTH).enumerate() {
                let nested = report(error, depth + 1).replace('\n', "\n    ");
                text += &format!("\n  {}. {nested}", n + 1);
            }
            if let more @ 1.. = members.len().saturating_sub(MAX_WIDTH) {
                text += &format!("\n  and {more} more");
            }
        }
    }
    match error.context() {
        Some(_) if depth >= MAX_DEPTH => text += "\n  while handling: ...",
        Some(context) => {
            let nested = report(context, depth + 1).replace('\n', "\n  ");
            text += &format!("\n  while handling: {nested}");
        }
        None => {}
    }
    if let Some(backtrace) = error.backtrace() {
        let lines = backtrace.to_string();
        text += &format!("\n  backtrace:\n  {}", lines.trim_end().replace('\n', "\n  "));
    }
    text
}
