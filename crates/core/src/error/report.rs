//! The text of an [`Error`].

use super::Error;
use std::fmt;

/// The largest depth of groups and of contexts that is shown, as in Python.
const MAX_DEPTH: usize = 10;

/// The largest number of members of a group that is shown.
const MAX_WIDTH: usize = 15;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_std(), f)
    }
}

/// Shows the kind (except for [`Error::Other`]), the message and where the error arose. Below follow notes, the
/// tasks that have ended with it if there are several, sources, contexts, and a backtrace if there is one.
/// Groups that are nested deeply, or have many members, are truncated.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&report(self, 0))
    }
}

fn report(error: &Error, depth: usize) -> String {
    // `main` prints `Error: ` before it, which is enough for an error of no particular kind.
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
    // The error of a single task has come directly from it.
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
    match error.shown_context() {
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
