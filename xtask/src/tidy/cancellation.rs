//! The docs of a public async function say what cancelling it leaves behind.
//!
//! This concerns every `pub async fn`, and every `#[track_caller] pub fn` that returns one of our futures (an `impl
//! Future`, or a type for which a crate implements `Future` or `IntoFuture`). The section is in the docs of the
//! function, or in the docs of the type, if several functions return it.

use std::collections::HashMap;

use super::Findings;
use super::tree::{File, Tree};

const SECTION: &str = "# Cancellation";

pub(super) fn async_functions_say_what_cancelling_does(tree: &Tree, findings: &mut Findings) {
    let is_source = |file: &&File| file.is_rust() && file.path.contains("/src/");
    let sources: Vec<&File> = tree.under("crates/").filter(is_source).collect();
    let futures = futures(&sources);
    for file in sources {
        let lines: Vec<&str> = file.text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let head = Head::above(&lines, index);
            if head.has_section || head.is_hidden {
                continue;
            }
            let line = line.trim_start();
            let silent = if is_pub_async_fn(line) {
                true
            } else if line.starts_with("pub fn ") && head.is_track_caller {
                let output = output(&lines[index..]);
                output.starts_with("impl Future")
                    || futures.get(&type_name(&output)).is_some_and(|has_section| !has_section)
            } else {
                false
            };
            if silent {
                findings.add(&file.path, index, format!("async, but its docs have no `{SECTION}`"));
            }
        }
    }
}

fn is_pub_async_fn(line: &str) -> bool {
    ["pub async fn ", "pub async unsafe fn "].iter().any(|start| line.starts_with(start))
}

/// The public types that are futures, or become one at `.await`, and whether their docs have the section.
fn futures(sources: &[&File]) -> HashMap<String, bool> {
    let mut futures = HashMap::new();
    for line in sources.iter().flat_map(|file| file.text.lines()) {
        if !line.starts_with("impl") {
            continue;
        }
        for name in [" Future for ", " IntoFuture for "] {
            if let Some((_, of)) = line.split_once(name) {
                // For a reference, the type behind it.
                futures.insert(type_name(of.trim_start_matches('&')), false);
            }
        }
    }
    for file in sources {
        let lines: Vec<&str> = file.text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            if let Some(name) = line.trim_start().strip_prefix("pub struct ") {
                if let Some(has_section) = futures.get_mut(&type_name(name)) {
                    *has_section |= Head::above(&lines, index).has_section;
                }
            }
        }
    }
    futures
}

/// The last name of the path that `text` begins with: `Wait` of `crate::wait::Wait<'_, T>`.
fn type_name(text: &str) -> String {
    let end =
        text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len());
    text[..end].rsplit(':').next().unwrap_or_default().to_owned()
}

/// The return type of the function that begins here.
fn output(lines: &[&str]) -> String {
    let mut signature = String::new();
    for line in lines {
        signature += line.trim();
        signature += " ";
        if line.trim_end().ends_with(['{', ';', '}']) {
            break;
        }
    }
    // An argument may contain an arrow too (`impl FnOnce() -> T`). The function's arrow follows the parenthesis that
    // closes its arguments.
    let mut depth = 0;
    let close = signature.char_indices().find(|(_, c)| {
        depth += i32::from(*c == '(') - i32::from(*c == ')');
        *c == ')' && depth == 0
    });
    let rest = close.map_or("", |(at, _)| &signature[at + 1..]).trim_start();
    rest.strip_prefix("->").unwrap_or_default().trim_start().to_owned()
}

/// The docs and attributes above an item.
#[derive(Default)]
struct Head {
    has_section: bool,
    is_track_caller: bool,
    is_hidden: bool,
}

impl Head {
    fn above(lines: &[&str], index: usize) -> Self {
        let mut head = Self::default();
        for line in lines[..index].iter().rev().map(|line| line.trim()) {
            // The lines of a multi-line attribute end in `,`, `(` or `]`.
            let belongs = line.starts_with("//") || line.ends_with([',', '(', ']']);
            if !belongs {
                break;
            }
            head.has_section |= line.trim_start_matches('/').trim() == SECTION;
            head.is_track_caller |= line.contains("#[track_caller]");
            head.is_hidden |= line.contains("#[doc(hidden)]");
        }
        head
    }
}

#[cfg(test)]
mod tests {
    use super::super::found;
    use super::*;

    fn lines_found(text: &str) -> Vec<String> {
        let found = found(async_functions_say_what_cancelling_does, &[("crates/a/src/b.rs", text)]);
        found.iter().map(|at| at.replace("crates/a/src/b.rs:", "")).collect()
    }

    #[test]
    fn an_async_function_without_the_section_is_found() {
        assert_eq!(lines_found("/// Waits.\npub async fn wait() {}\n"), ["2"]);
        assert_eq!(lines_found("impl A {\n    pub async fn wait(&self) {}\n}\n"), ["2"]);
    }

    #[test]
    fn the_section_may_stand_above_attributes() {
        let text = "/// Waits.\n///\n/// # Cancellation\n///\n/// Nothing is lost.\n\
                    #[must_use = \"futures do nothing\"]\npub async fn wait() {}\n";
        assert_eq!(lines_found(text), [""; 0]);
    }

    #[test]
    fn the_section_of_another_function_does_not_count() {
        let text = "/// # Cancellation\npub async fn a() {}\n/// Waits.\npub async fn b() {}\n";
        assert_eq!(lines_found(text), ["4"]);
    }

    #[test]
    fn private_functions_may_be_silent() {
        assert_eq!(lines_found("async fn a() {}\npub(crate) async fn b() {}\n"), [""; 0]);
    }

    const WAIT: &str = "#[track_caller]\npub fn wait(\n    f: impl FnOnce() -> u8,\n) -> Wait<'_, u8>\n\
                        {\n}\nimpl<T> Future for Wait<'_, T> {\n}\n";

    #[test]
    fn a_function_that_returns_our_future_is_found() {
        assert_eq!(lines_found(&format!("{WAIT}pub struct Wait<'a, T>(&'a T);\n")), ["2"]);
        assert_eq!(
            lines_found("#[track_caller]\npub fn f() -> impl Future<Output = ()> {}\n"),
            ["2"]
        );
    }

    #[test]
    fn the_section_may_stand_on_the_future() {
        let text =
            format!("{WAIT}/// # Cancellation\n#[derive(Debug)]\npub struct Wait<'a, T>(&'a T);\n");
        assert_eq!(lines_found(&text), [""; 0]);
    }

    #[test]
    fn other_functions_that_know_their_caller_may_be_silent() {
        assert_eq!(lines_found("#[track_caller]\npub fn f() -> Result<Wait> {}\n"), [""; 0]);
    }
}
