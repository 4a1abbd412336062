//! The layers of `core`. Its files lie in directories by topic; what may use what does not follow from these.
//!
//! - [`BELOW`] needs no loop: plain data, and rules about it.
//! - [`DATA`] is that of loops and tasks. A task's cell names its loop, a loop owns its tasks, and a wait leads to other
//!   tasks, so these files depend on each other.
//! - All other files are operations on the data. Nothing in the two lower layers depends on them.

use super::Findings;
use super::tree::{File, Tree};

const CORE: &str = "crates/core/src/";

const BELOW: &[&str] = &[
    "cancel/scopes",
    "cancel/stage",
    "caught",
    "context",
    "error",
    "layout/mark",
    "layout/named",
    "limit",
    "log",
    "metrics/counters",
    "scheduler/clock",
    "scheduler/timers",
    "slots",
    "sync",
    "task/flags",
    "wait/state",
    "wait_site",
];

const DATA: &[&str] = &[
    "cancel/requests",
    "event_loop",
    "exception",
    "home",
    "scheduler",
    "scheduler/ready",
    "source",
    "task/cell",
    "task/listeners",
    "task/reference",
    "wait",
    "wait/awaiting",
    "wait/other",
    "wait/target",
];

/// What the root of the crate re-exports, except errors and keys.
const OPERATIONS_AT_THE_ROOT: &[&str] = &["AsyncContextManager", "LoopHandle", "Metrics"];

pub(super) fn core_keeps_its_layers(tree: &Tree, findings: &mut Findings) {
    let module = |file: &File| Some(file.path.strip_prefix(CORE)?.strip_suffix(".rs")?.to_owned());
    let modules: Vec<String> = tree.files.iter().filter_map(module).collect();
    for file in &tree.files {
        let Some(name) = module(file) else { continue };
        let allowed: &[&[&str]] = match () {
            () if is_in(BELOW, &name) => &[BELOW],
            () if DATA.contains(&&*name) => &[BELOW, DATA],
            () => continue,
        };
        for (index, path) in uses(&file.text) {
            let used = file_of(&path, &modules);
            let is_allowed = match &used {
                Some(used) => *used == name || allowed.iter().any(|layer| is_in(layer, used)),
                None => !OPERATIONS_AT_THE_ROOT.contains(&&*path),
            };
            if !is_allowed {
                let what = format!("`{name}` must not use `{path}`: see xtask/src/tidy/layers.rs");
                findings.add(&file.path, index, what);
            }
        }
    }
    for name in BELOW.iter().chain(DATA) {
        if !modules.is_empty() && !modules.iter().any(|module| module == name) {
            let what = format!("there is no `{name}` in {CORE}");
            findings.add("xtask/src/tidy/layers.rs", 0, what);
        }
    }
}

/// Whether a layer contains a file. The errors are the only directory that is one room.
fn is_in(layer: &[&str], name: &str) -> bool {
    let name = if name.starts_with("error/") { "error" } else { name };
    layer.contains(&name)
}

/// The file in which an item is found.
fn file_of(path: &str, modules: &[String]) -> Option<String> {
    let mut name = path.replace("::", "/");
    while !modules.contains(&name) {
        name.truncate(name.rfind('/')?);
    }
    Some(name)
}

/// The paths behind `crate::`, each with the index of its line, without those in comments and tests.
fn uses(text: &str) -> Vec<(usize, String)> {
    let is_test = |line: &str| line.starts_with("#[cfg(") && line.contains("test");
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    let mut code = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        // A module of tests is the last item of a file.
        if is_test(line) && lines.peek().is_some_and(|next| next.ends_with('{')) {
            break;
        }
        code.push_str(if is_comment(line) { "" } else { line });
        code.push('\n');
    }
    let mut found = Vec::new();
    for (at, start) in code.match_indices("crate::") {
        let index = code[..at].matches('\n').count();
        let mut paths = Vec::new();
        read_tree(&code[at + start.len()..], "", &mut paths);
        found.extend(paths.into_iter().map(|path| (index, path)));
    }
    found
}

/// Reads a tree of paths, such as `a::{B, c::D}`, and returns the rest of the text.
fn read_tree<'a>(text: &'a str, prefix: &str, paths: &mut Vec<String>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        while let Some(end) = rest.find(|c: char| c == '}' || !c.is_whitespace() && c != ',') {
            rest = &rest[end..];
            match rest.strip_prefix('}') {
                Some(behind) => return behind,
                None => rest = read_tree(rest, prefix, paths),
            }
        }
        return "";
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let path = format!("{prefix}{name}");
    match rest.strip_prefix("::") {
        Some(rest) => read_tree(rest, &format!("{path}::"), paths),
        // The end of a path, or something that is none.
        None => {
            paths.push(path);
            rest.get(usize::from(end == 0)..).unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::found;
    use super::*;

    #[test]
    fn what_is_below_uses_nothing_above() {
        let lower = "use crate::{\n    Error, LoopHandle,\n    home::{LoopRef, Remote},\n    slots::Key,\n};\n";
        let data = "use crate::{home::LoopRef, task::step::Step};\n/// [`crate::handle::Handle`]\n";
        let above = "use crate::{home::LoopRef, task::step::Step};\n";
        let files = [
            ("crates/core/src/slots.rs", lower),
            ("crates/core/src/task/cell.rs", data),
            ("crates/core/src/task/step.rs", above),
            (
                "crates/core/src/home.rs",
                "#[cfg(test)]\nmod tests {\n    use crate::handle::Handle;\n}\n",
            ),
            ("crates/core/src/handle.rs", ""),
        ];
        let found = found(core_keeps_its_layers, &files);
        let of_files: Vec<&String> = found.iter().filter(|found| found.starts_with(CORE)).collect();
        let expected = ["slots.rs:1", "slots.rs:1", "slots.rs:1", "task/cell.rs:1"];
        assert_eq!(
            of_files,
            expected.map(|name| format!("{CORE}{name}")).iter().collect::<Vec<_>>()
        );
    }

    #[test]
    fn trees_are_read_to_their_end() {
        let text = "use crate::{a::B, c::{self, d::E}};\nfn f() { crate::g::h(crate::I) }\n";
        let paths: Vec<String> = uses(text).into_iter().map(|(_, path)| path).collect();
        assert_eq!(paths, ["a::B", "c::self", "c::d::E", "g::h", "I"]);
    }
}
