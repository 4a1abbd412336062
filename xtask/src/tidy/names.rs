//! Python's names are found: as an item, or as an alias of one. These are the names that PARITY.md calls done, and those
//! of Python's documentation in `python_names.txt`.

use std::collections::HashSet;

use super::Findings;
use super::parity::{IDS, PARITY, entry};
use super::tree::Tree;

const FACADE: &str = "crates/asyncio/src/lib.rs";

/// The names of Python's documentation of asyncio that have a counterpart, and a few of trio and anyio, one per line.
const NAMES: &str = include_str!("../python_names.txt");

pub(super) fn python_names_are_found(tree: &Tree, findings: &mut Findings) {
    let Some(parity) = tree.get(PARITY) else { return };
    let known = known(tree);
    for (index, line) in parity.text.lines().enumerate() {
        let Some((id, rest)) = entry(line) else { continue };
        if !rest.trim_start().starts_with("done") {
            continue;
        }
        let described = IDS.lines().find_map(|line| line.strip_prefix(id)).unwrap_or_default();
        for name in names(described).filter(|name| !known.contains(name)) {
            findings.add(
                PARITY,
                index,
                format!("{id}: no item or `doc(alias)` is called `{name}`"),
            );
        }
    }
}

pub(super) fn documented_names_are_found(tree: &Tree, findings: &mut Findings) {
    let known = known(tree);
    for (index, name) in NAMES.lines().enumerate() {
        if !known.contains(name.rsplit('.').next().unwrap_or_default()) {
            let message = format!("no item or `doc(alias)` is called `{name}`");
            findings.add("xtask/src/python_names.txt", index, message);
        }
    }
}

/// The names in the text beside an ID: `loop.call_soon()`, `class Task`, `FIRST_COMPLETED`, `QueueEmpty`. What
/// follows a colon is a behaviour.
fn names(described: &str) -> impl Iterator<Item = &str> {
    let described = described.split(": ").next().unwrap_or_default();
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let mut before = "";
    described.split_inclusive(move |c| !is_part(c)).filter_map(move |word| {
        let token = word.trim_end_matches(|c| !is_part(c));
        let name = token.rsplit('.').next().unwrap_or_default();
        let has_inner_capital = name.chars().skip(1).any(char::is_uppercase)
            && name.chars().any(|c| c.is_lowercase() || c == '_');
        let is_name = word.ends_with('(')
            || token.contains('.')
            || before == "class"
            || name.starts_with(char::is_uppercase) && has_inner_capital;
        before = token;
        // A private name of CPython is not one that a user looks for.
        (is_name && name.starts_with(char::is_alphabetic)).then_some(name)
    })
}

/// What the crates declare in public, what the facade lists, and the aliases.
fn known(tree: &Tree) -> HashSet<&str> {
    let mut known = HashSet::new();
    let is_source = |path: &str| path.contains("/src/") && path.ends_with(".rs");
    for file in tree.under("crates/").filter(|file| is_source(&file.path)) {
        for line in file.text.lines().map(str::trim_start).filter(|line| !line.starts_with("//")) {
            if line.starts_with("#[doc(alias") {
                // Of a dotted alias the last part.
                let quoted = line.split('"').skip(1).step_by(2);
                known.extend(quoted.filter_map(|alias| alias.rsplit('.').next()));
            } else if file.path == FACADE
                || ["pub ", "fn ", "macro_rules! "].iter().any(|start| line.starts_with(start))
            {
                known.extend(line.split(|c: char| !c.is_alphanumeric() && c != '_'));
            }
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::super::found;
    use super::*;

    fn found_with(source: &str) -> Vec<String> {
        let parity = "SC01 | done | a::test\nTK08 | done | a::test\nGR01 | later | the graph\n";
        found(python_names_are_found, &[(PARITY, parity), ("crates/task/src/task.rs", source)])
    }

    #[test]
    fn a_name_is_an_item_or_an_alias() {
        let items = "pub fn call_soon() {}\npub fn set_name() {}\n";
        assert_eq!(found_with(items), ["PARITY.md:2"]);
        assert_eq!(found_with(&format!("{items}#[doc(alias = \"get_name\")]\n")), [""; 0]);
        assert_eq!(
            found_with(&format!("{items}#[doc(alias(\"x\", \"Task.get_name\"))]\n")),
            [""; 0]
        );
        assert_eq!(found_with("// pub fn call_soon, get_name, set_name\n").len(), 3);
    }

    #[test]
    fn a_documented_name_is_an_item_or_an_alias() {
        let source = "pub fn sleep() {}\n#[doc(alias = \"loop.time\")]\npub fn now() {}\n";
        let found = found(documented_names_are_found, &[("crates/task/src/task.rs", source)]);
        let line = |name| NAMES.lines().position(|other| other == name).unwrap() + 1;
        let is_found = |name| found.contains(&format!("xtask/src/python_names.txt:{}", line(name)));
        assert!(!is_found("sleep") && !is_found("loop.time") && is_found("Queue.get_nowait"));
    }

    #[test]
    fn names_are_told_from_words() {
        let of = |described| names(described).collect::<Vec<_>>();
        assert_eq!(of("loop.call_soon()"), ["call_soon"]);
        assert_eq!(of("Task.get_name(), set_name()"), ["get_name", "set_name"]);
        assert_eq!(of("class Server, AbstractServer"), ["Server", "AbstractServer"]);
        assert_eq!(of("Barrier.parties, .n_waiting"), ["parties", "n_waiting"]);
        assert_eq!(of("FIRST_COMPLETED, QueueEmpty"), ["FIRST_COMPLETED", "QueueEmpty"]);
        assert_eq!(of("TaskGroup: SystemExit, KeyboardInterrupt"), ["TaskGroup"]);
        assert_eq!(of("TLS over TLS"), [""; 0]);
        assert_eq!(of("_MIN_SCHEDULED_TIMER_HANDLES"), [""; 0]);
    }
}
