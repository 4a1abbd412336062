//! Compares what CPython did with what we did.

use super::run::Run;
use serde_json::Value as Json;
use std::fmt::Write;

/// What the comparison ignores.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The message of a cancellation.
    pub ignore_messages: bool,
    /// Which errors were never retrieved.
    pub ignore_unretrieved: bool,
}

/// Describes the first step that differs, with the steps before it, or the outcome if the traces are equal.
/// Returns `None` if everything is equal.
pub fn difference(expected: &Run, ours: &Run, options: Options) -> Option<String> {
    let [expected, ours] = [expected, ours].map(|run| comparable(run, options));
    let mut report = String::new();
    // Writing to a string cannot fail.
    let mut line = |side: &str, what: &str| _ = writeln!(report, "  {side:8}{what}");
    let steps = expected.trace.len().max(ours.trace.len());
    let step = (0..steps).find(|&step| expected.trace.get(step) != ours.trace.get(step));
    if let Some(step) = step {
        for before in &expected.trace[step.saturating_sub(4)..step] {
            line("", &before.to_string());
        }
        let at = |trace: &[Json]| {
            trace.get(step).map_or_else(|| "(end of trace)".to_owned(), Json::to_string)
        };
        line("CPython", &at(&expected.trace));
        line("here", &at(&ours.trace));
    } else if expected.outcome != ours.outcome {
        line("CPython", &expected.outcome.to_string());
        line("here", &ours.outcome.to_string());
    } else {
        return None;
    }
    Some(report)
}

fn comparable(run: &Run, options: Options) -> Run {
    let mut run = Run { trace: run.trace.clone(), outcome: run.outcome.clone() };
    if options.ignore_messages {
        run.trace.iter_mut().for_each(strip_messages);
        strip_messages(&mut run.outcome);
    }
    if let (true, Some(outcome)) = (options.ignore_unretrieved, run.outcome.as_object_mut()) {
        outcome.remove("unretrieved");
    }
    run
}

/// Replaces every `Cancelled:message` by `Cancelled`.
fn strip_messages(json: &mut Json) {
    match json {
        Json::String(text) => *text = without_message(text),
        Json::Array(list) => list.iter_mut().for_each(strip_messages),
        Json::Object(members) => members.values_mut().for_each(strip_messages),
        _ => {}
    }
}

fn without_message(text: &str) -> String {
    const MARK: &str = "Cancelled:";
    let mut parts = text.split(MARK);
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
        // A colon with nothing after it counts as no message.
        short.push_str(if rest.len() < part.len() { "Cancelled" } else { MARK });
        short.push_str(rest);
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(kind: &str) -> Run {
        let outcome = json!({ "error": kind, "end": 0, "unretrieved": [] });
        Run { trace: vec![json!([0, "main", "a", { "err": kind }])], outcome }
    }

    #[test]
    fn a_message_counts_unless_it_is_ignored() {
        let (with, without) =
            (run("Group[Cancelled:a_1,Cancelled:b]"), run("Group[Cancelled,Cancelled]"));
        assert!(difference(&with, &without, Options::default()).is_some());
        let options = Options { ignore_messages: true, ..Options::default() };
        assert_eq!(difference(&with, &without, options), None);
        assert!(difference(&with, &run("Boom"), options).is_some());
    }

    #[test]
    fn the_first_step_that_differs_is_shown_with_both_sides() {
        let mut longer = run("Boom");
        longer.trace.push(json!([1, "main", "b", null]));
        let report = difference(&longer, &run("Boom"), Options::default()).unwrap();
        let lines: Vec<&str> = report.lines().map(str::trim_start).collect();
        assert_eq!(
            lines,
            [
                r#"[0,"main","a",{"err":"Boom"}]"#,
                r#"CPython [1,"main","b",null]"#,
                "here    (end of trace)",
            ]
        );
    }

    #[test]
    fn the_outcome_counts_when_the_traces_are_equal() {
        let mut other = run("Boom");
        other.outcome["unretrieved"] = json!(["a"]);
        assert!(difference(&run("Boom"), &other, Options::default()).is_some());
        let options = Options { ignore_unretrieved: true, ..Options::default() };
        assert_eq!(difference(&run("Boom"), &other, options), None);
    }
}
