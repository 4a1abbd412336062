//! PARITY.md has one line for every name of asyncio, and the tests that it names exist.
//!
//! `asyncio_task::gather::tests::name` is a test in `crates/task/src/gather.rs` (in its module `tests`, which may be
//! in a separate file). `asyncio_tests::futures::name` is a test in `tests/tests/futures.rs`. The first part is a
//! package with `_` for `-`.

use std::collections::HashMap;

use super::Findings;
use super::tree::Tree;

pub(super) const PARITY: &str = "PARITY.md";
/// The IDs, one per line, each with the name that it stands for.
pub(super) const IDS: &str = include_str!("../parity_ids.txt");

pub(super) fn every_id_has_its_line(tree: &Tree, findings: &mut Findings) {
    let Some(parity) = tree.get(PARITY) else {
        findings.add(PARITY, 0, "is missing");
        return;
    };
    let mut lines: HashMap<&str, usize> = ids().map(|id| (id, 0)).collect();
    for (index, line) in parity.text.lines().enumerate() {
        let Some((id, rest)) = entry(line) else { continue };
        match lines.get_mut(id) {
            None => findings.add(PARITY, index, format!("`{id}` is not an ID of asyncio")),
            Some(count) => {
                *count += 1;
                if *count == 2 {
                    findings.add(PARITY, index, format!("a second line for {id}"));
                }
            }
        }
        for what in wrong(tree, rest) {
            findings.add(PARITY, index, format!("{id}: {what}"));
        }
    }
    for id in ids().filter(|id| lines[id] == 0) {
        findings.add(PARITY, 0, format!("no line for {id}"));
    }
}

fn ids() -> impl Iterator<Item = &'static str> {
    IDS.lines().filter_map(|line| line.split(' ').next()).filter(|id| !id.is_empty())
}

/// The ID and the rest of a line that begins as an entry does.
pub(super) fn entry(line: &str) -> Option<(&str, &str)> {
    let (id, rest) = line.split_once('|')?;
    let id = id.trim();
    let is_id = id.len() == 4
        && id.bytes().take(2).all(|b| b.is_ascii_uppercase())
        && id.bytes().skip(2).all(|b| b.is_ascii_digit());
    is_id.then_some((id, rest))
}

fn wrong(tree: &Tree, rest: &str) -> Vec<String> {
    let Some((status, detail)) = rest.split_once(" | ") else {
        return vec!["not of the form `ID | done, absent or later | …`".to_owned()];
    };
    match (status.trim(), detail.trim()) {
        (_, "") => vec!["nothing stands behind the status".to_owned()],
        ("absent" | "later", _) => Vec::new(),
        ("done", tests) => tests
            .split(", ")
            .filter(|test| !test_exists(tree, test.trim()))
            .map(|test| format!("there is no test `{test}`"))
            .collect(),
        (other, _) => vec![format!("`{other}` is not done, absent or later")],
    }
}

fn test_exists(tree: &Tree, path: &str) -> bool {
    let mut parts: Vec<&str> = path.split("::").collect();
    if parts.len() < 2 || parts.iter().any(|part| !part.chars().all(is_name)) {
        return false;
    }
    let package = package_dir(parts.remove(0));
    let Some(name) = parts.pop() else { return false };
    ["src", "tests"].iter().any(|kind| {
        // The first modules are directories and a file, the last ones are inside that file.
        (0..=parts.len()).any(|in_path| {
            let (files, inner) = parts.split_at(in_path);
            let dir = [&[package.as_str(), kind], files].concat().join("/");
            let candidates = if files.is_empty() {
                vec![format!("{dir}/lib.rs"), format!("{dir}/main.rs")]
            } else {
                vec![format!("{dir}.rs"), format!("{dir}/mod.rs"), format!("{dir}/main.rs")]
            };
            candidates.iter().filter_map(|path| tree.get(path)).any(|file| {
                inner.iter().all(|module| has_module(&file.text, module))
                    && (has_test_fn(&file.text, name)
                        || is_generated_test(tree, &package, &file.text, name))
            })
        })
    })
}

fn package_dir(package: &str) -> String {
    match package.strip_prefix("asyncio_") {
        None if package == "asyncio" => "crates/asyncio".to_owned(),
        None => package.to_owned(),
        Some(name @ ("tests" | "benches")) => name.to_owned(),
        Some(name) => format!("crates/{name}"),
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn has_module(text: &str, module: &str) -> bool {
    text.contains(&format!("mod {module} {{"))
}

/// Finds a function of this name directly below attributes, one of which is a `test`.
fn has_test_fn(text: &str, name: &str) -> bool {
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        is_test |= is_test_attribute(line);
        let declared = line.split("fn ").nth(1).filter(|_| !line.starts_with("//"));
        if let Some(declared) = declared {
            let found = declared.split(|c| !is_name(c)).next() == Some(name);
            if found && is_test {
                return true;
            }
        }
        if !line.starts_with("#[") && !line.starts_with("//") && !line.ends_with([',', '(', ']']) {
            is_test = false;
        }
    }
    false
}

/// Returns whether this is `#[test]`, `#[asyncio::test(…)]` or similar.
fn is_test_attribute(line: &str) -> bool {
    let Some(inside) = line.strip_prefix("#[") else { return false };
    let path = inside.split([']', '(']).next().unwrap_or_default();
    path.rsplit("::").next() == Some("test")
}

/// Returns whether `name` is the first argument of a macro of the package that creates a test: `hop!(name, …)`.
fn is_generated_test(tree: &Tree, package: &str, text: &str, name: &str) -> bool {
    let mut invocations = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some((macro_name, arguments)) = line.trim().split_once('!') else { continue };
        let arguments = arguments.trim_start();
        if !macro_name.chars().all(is_name) || !arguments.starts_with(['(', '{', '[']) {
            continue;
        }
        // The first argument follows the bracket, or is on a line below it.
        let below = text.lines().skip(index + 1).map(str::trim);
        let first = std::iter::once(arguments[1..].trim())
            .chain(below)
            .find(|line| !line.is_empty() && !line.starts_with("//"));
        if first.and_then(|first| first.split(|c| !is_name(c)).next()) == Some(name) {
            invocations.push(macro_name);
        }
    }
    invocations.iter().any(|macro_name| {
        let package = format!("{package}/");
        tree.under(&package).any(|file| makes_a_test(&file.text, macro_name))
    })
}

fn makes_a_test(text: &str, macro_name: &str) -> bool {
    let declaration = format!("macro_rules! {macro_name} ");
    let Some((_, body)) = text.split_once(&declaration) else { return false };
    // The body ends at the first closing line with the indentation of the declaration.
    body.lines()
        .take_while(|line| !matches!(*line, "}" | "    }"))
        .any(|line| is_test_attribute(line.trim()))
}

#[cfg(test)]
mod tests {
    use super::super::found;
    use super::*;

    const GATHER: &str = "//! Gather.\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn in_order() {}\n\n\
                          \x20   fn helper() {}\n\n    #[asyncio::test(virtual_time)]\n    /// Docs.\n\
                          \x20   #[should_panic]\n    async fn in_loop() {}\n}\n";
    const FUTURES: &str = "//! Futures.\nmacro_rules! hop {\n    ($name:ident, $n:expr) => {\n        #[test]\n\
                           \x20       fn $name() {}\n    };\n}\nhop!(one_hop, 1);\nhop! {\n    // Why.\n    \
                           two_hops, 2\n}\nfn helper() {\n    assert!(fine, 1);\n}\n";

    fn tree() -> Tree {
        Tree::of(&[
            ("crates/task/src/gather.rs", GATHER),
            ("crates/task/src/wait/tests.rs", "#[test]\nfn apart() {}\n"),
            ("crates/core/src/lib.rs", "mod tests {\n#[test] fn at_root() {}\n}\n"),
            ("crates/core/tests/loom_inbox.rs", "#[test]\nfn model() {}\n"),
            ("tests/tests/futures.rs", FUTURES),
            ("xtask/src/tidy/text.rs", "mod tests {\n#[test]\nfn long_files() {}\n}\n"),
        ])
    }

    #[test]
    fn named_tests_are_found_where_they_stand() {
        for path in [
            "asyncio_task::gather::tests::in_order",
            "asyncio_task::gather::tests::in_loop",
            "asyncio_task::wait::tests::apart",
            "asyncio_core::tests::at_root",
            "asyncio_core::loom_inbox::model",
            "asyncio_tests::futures::one_hop",
            "asyncio_tests::futures::two_hops",
            "xtask::tidy::text::tests::long_files",
        ] {
            assert!(test_exists(&tree(), path), "{path}");
        }
    }

    #[test]
    fn a_test_that_does_not_exist_is_found() {
        for path in [
            "asyncio_task::gather::tests::no_such",
            "asyncio_task::gather::tests::helper",
            "asyncio_task::gather::other::in_order",
            "asyncio_future::gather::tests::in_order",
            "asyncio_tests::futures::fine",
            "asyncio_tests::futures::helper",
            "in_order",
            "asyncio_task::gather::tests::in order",
            "",
        ] {
            assert!(!test_exists(&tree(), path), "{path}");
        }
    }

    fn all_but(replaced: &str, with: &str) -> Vec<String> {
        let entry = |id| format!("{id} | later | its turn\n");
        let lines = ids().map(|id| if id == replaced { with.to_owned() } else { entry(id) });
        let text = format!("# Parity\n{}", lines.collect::<String>());
        found(every_id_has_its_line, &[(PARITY, &text), ("crates/task/src/gather.rs", GATHER)])
    }

    #[test]
    fn a_complete_list_is_fine() {
        assert_eq!(ids().count(), 312);
        assert_eq!(all_but("", ""), [""; 0]);
        let done = "EV01 | done | asyncio_task::gather::tests::in_order, asyncio_task::gather::tests::in_loop\n";
        assert_eq!(all_but("EV01", done), [""; 0]);
    }

    #[test]
    fn a_missing_file_or_line_is_found() {
        assert_eq!(found(every_id_has_its_line, &[]), ["PARITY.md:1"]);
        assert_eq!(all_but("EV01", ""), ["PARITY.md:1"]);
    }

    #[test]
    fn a_bad_line_is_found() {
        for bad in [
            "EV01 | done | asyncio_task::gather::tests::no_such\n",
            "EV01 | done | asyncio_task::gather::tests::in_order, asyncio_task::none\n",
            "EV01 | done | \n",
            "EV01 | absent |\n",
            "EV01 | maybe | why\n",
            "EV01 | done\n",
        ] {
            assert_eq!(all_but("EV01", bad), ["PARITY.md:2"], "{bad}");
        }
    }

    #[test]
    fn a_second_line_and_an_unknown_id_are_found() {
        let twice = "EV01 | later | x\nEV01 | later | x\n";
        assert_eq!(all_but("EV01", twice), ["PARITY.md:3"]);
        let unknown = "EV01 | later | x\nZZ01 | later | x\n";
        assert_eq!(all_but("EV01", unknown), ["PARITY.md:3"]);
    }
}
