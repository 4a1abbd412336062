//! Rules for the manifests: the permitted edges, the place of versions, and a reason for each dependency.

use super::Findings;
use super::tree::{File, Tree};

/// The permitted edges, which only point downwards. A new crate needs a row here, and a place in ARCHITECTURE.md.
const EDGES: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("future", &["core"]),
    ("task", &["core", "future", "locks"]),
    ("loop", &["core", "future", "task"]),
    ("locks", &["core"]),
    ("queues", &["core", "locks"]),
    ("sockets", &["core"]),
    ("transports", &["core", "future", "task", "sockets"]),
    ("streams", &["core", "task", "locks", "queues", "sockets", "transports"]),
    ("subprocess", &["core", "future", "transports", "streams"]),
    ("http", &["core", "locks", "sockets", "streams", "task", "transports"]),
    ("files", &["core", "sockets"]),
    ("tokio", &["core", "future", "loop", "task"]),
    ("macros", &[]),
    ("tools", &["core"]),
];
/// It may depend on every crate.
const FACADE: &str = "asyncio";
const ARCHITECTURE: &str = "ARCHITECTURE.md";

pub(super) fn crates_keep_their_edges(tree: &Tree, findings: &mut Findings) {
    for member in tree.crates() {
        let name = member.dir.trim_start_matches("crates/");
        let path = format!("{}/Cargo.toml", member.dir);
        let Some(manifest) = tree.get(&path) else { continue };
        if !manifest.text.contains(&format!("name = \"{}\"", member.package)) {
            findings.add(&path, 0, format!("the package is not called `{}`", member.package));
        }
        if name == FACADE {
            continue;
        }
        let Some((_, allowed)) = EDGES.iter().find(|(from, _)| *from == name) else {
            findings.add(&path, 0, "a crate with no row in xtask/src/tidy/manifests.rs");
            continue;
        };
        for dependency in dependencies(manifest) {
            let Some(to) = ours(&dependency.name) else { continue };
            if !dependency.is_dev && !allowed.contains(&to) {
                let what = format!("`{name}` must not depend on `{to}`");
                findings.add(&path, dependency.index, what);
            }
        }
    }
}

pub(super) fn versions_stand_in_the_workspace(tree: &Tree, findings: &mut Findings) {
    for manifest in tree.manifests() {
        for dependency in dependencies(manifest) {
            // Cargo leaves a path without a version out of a package, so the tests of a crate may depend on crates
            // that are built on it.
            let text = manifest.text.lines().nth(dependency.index).unwrap_or_default();
            let is_path = dependency.is_dev && text.contains("= { path = \"../");
            let is_path_alone = is_path && !text.contains("version");
            if !dependency.is_inherited && !is_path_alone {
                let what = format!("`{}` is not taken from the workspace", dependency.name);
                findings.add(&manifest.path, dependency.index, what);
            }
        }
    }
}

pub(super) fn dependencies_have_a_reason(tree: &Tree, findings: &mut Findings) {
    let reasons = tree.get(ARCHITECTURE).map_or("", |file| &file.text);
    for member in tree.crates() {
        let Some(manifest) = tree.get(&format!("{}/Cargo.toml", member.dir)) else { continue };
        for dependency in dependencies(manifest) {
            let name = &dependency.name;
            if ours(name).is_none() && !reasons.contains(&format!("`{name}`")) {
                let what = format!("{ARCHITECTURE} does not say why `{name}` is used");
                findings.add(&manifest.path, dependency.index, what);
            }
        }
    }
}

pub(super) fn crates_read_well_on_a_registry(tree: &Tree, findings: &mut Findings) {
    const KEYS: [&str; 5] =
        ["description", "readme", "keywords", "categories", "license.workspace"];
    for member in tree.crates() {
        let path = format!("{}/Cargo.toml", member.dir);
        let Some(manifest) = tree.get(&path) else { continue };
        let has_key = |key: &&str| manifest.text.contains(&format!("\n{key} = "));
        for key in KEYS.iter().filter(|key| !has_key(key)) {
            findings.add(&path, 0, format!("no `{key}`"));
        }
        let keywords = |(_, line): &(usize, &str)| line.starts_with("keywords = ");
        for (index, line) in manifest.text.lines().enumerate().filter(keywords) {
            // Every second piece is between quotation marks.
            let words: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
            if words.len() > 5 || words.iter().any(|word| word.len() > 20) {
                findings.add(&path, index, "crates.io takes five keywords, of 20 characters each");
            }
        }
        if !manifest.text.contains("\n[package.metadata.docs.rs]\n") {
            findings.add(&path, 0, "no `[package.metadata.docs.rs]`");
        }
        let readme = format!("{}/README.md", member.dir);
        if tree.get(&readme).is_none() {
            findings.add(&readme, 0, "the crate has no page for a registry");
        }
    }
}

/// The directory under `crates/`, if the package is in the workspace.
fn ours(package: &str) -> Option<&str> {
    if package == FACADE { Some(FACADE) } else { package.strip_prefix("asyncio-") }
}

#[derive(Debug)]
struct Dependency {
    name: String,
    index: usize,
    is_dev: bool,
    is_inherited: bool,
}

/// The dependencies of a member, of every kind and target. This reads the part of TOML that manifests use: one key per
/// line, arrays over several lines, and `[dependencies.name]` tables.
fn dependencies(manifest: &File) -> Vec<Dependency> {
    let mut found: Vec<Dependency> = Vec::new();
    let mut section = Section::Other;
    // How many brackets of a value are still open at the start of the line.
    let mut open: i32 = 0;
    for (index, line) in manifest.text.lines().enumerate() {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if open == 0 && line.starts_with('[') {
            section = Section::of(line);
            if let Section::One { name, is_dev } = &section {
                let (name, is_dev) = (name.clone(), *is_dev);
                found.push(Dependency { name, index, is_dev, is_inherited: false });
            }
            continue;
        }
        let inherits = line.replace(' ', "").contains("workspace=true");
        match &section {
            Section::All { is_dev } if open == 0 => {
                let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
                let name = name.trim_matches('"').to_owned();
                found.push(Dependency { name, index, is_dev: *is_dev, is_inherited: inherits });
            }
            Section::All { .. } | Section::One { .. } => {
                if let Some(last) = found.last_mut() {
                    last.is_inherited |= inherits;
                }
            }
            Section::Other => {}
        }
        open += line.matches(['[', '{']).count() as i32 - line.matches([']', '}']).count() as i32;
    }
    found
}

enum Section {
    /// `[dependencies]` and similar tables.
    All {
        is_dev: bool,
    },
    /// `[dependencies.name]`.
    One {
        name: String,
        is_dev: bool,
    },
    Other,
}

impl Section {
    fn of(header: &str) -> Self {
        let header = header.trim_start_matches('[').trim_end_matches(']');
        // `target.'cfg(…)'.dependencies`: the cfg may contain dots, the end may not.
        let header = match header.rsplit_once("'.") {
            Some((target, rest)) if target.starts_with("target.") => rest,
            _ => header,
        };
        let (table, name) = match header.split_once('.') {
            Some((table, name)) => (table, Some(name)),
            None => (header, None),
        };
        let is_dev = table == "dev-dependencies";
        if !is_dev && table != "dependencies" && table != "build-dependencies" {
            return Self::Other;
        }
        match name {
            Some(name) => Self::One { name: name.trim_matches('"').to_owned(), is_dev },
            None => Self::All { is_dev },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::found;
    use super::*;

    const LOCKS: &str = "crates/locks/Cargo.toml";

    fn manifest(rest: &str) -> String {
        format!("[package]\nname = \"asyncio-locks\"\n{rest}")
    }

    fn found_in(rule: fn(&Tree, &mut Findings), rest: &str) -> Vec<String> {
        found(rule, &[(LOCKS, &manifest(rest)), (ARCHITECTURE, "- `slab`: because.\n")])
    }

    #[test]
    fn a_forbidden_edge_is_found_in_every_form() {
        for bad in [
            "[dependencies]\nasyncio-task.workspace = true\n",
            "[dependencies]\nasyncio-task = { workspace = true }\n",
            "[dependencies.asyncio-task]\nworkspace = true\n",
            "[target.'cfg(loom)'.dependencies]\nasyncio-task.workspace = true\n",
            "[build-dependencies]\nasyncio-task.workspace = true\n",
            "[dependencies]\nasyncio.workspace = true\n",
        ] {
            assert_eq!(found_in(crates_keep_their_edges, bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn permitted_edges_and_dev_dependencies_are_not_found() {
        let good = "[dependencies]\nasyncio-core.workspace = true\n\
                    slab = { workspace = true, features = [\n  \"asyncio-task\",\n] }\n\
                    [dev-dependencies]\nasyncio-loop.workspace = true\n";
        assert_eq!(found_in(crates_keep_their_edges, good), [""; 0]);
    }

    #[test]
    fn only_the_facade_and_tokio_depend_on_the_loop() {
        let on_the_loop = EDGES.iter().filter(|(_, allowed)| allowed.contains(&"loop"));
        assert!(on_the_loop.map(|(name, _)| *name).eq(["tokio"]));
        let text = "[package]\nname = \"asyncio\"\n[dependencies]\nasyncio-loop.workspace = true\n";
        assert_eq!(found(crates_keep_their_edges, &[("crates/asyncio/Cargo.toml", text)]), [""; 0]);
    }

    #[test]
    fn a_crate_without_a_row_or_under_another_name_is_found() {
        let new = "[package]\nname = \"asyncio-new\"\n";
        let path = "crates/new/Cargo.toml";
        assert_eq!(found(crates_keep_their_edges, &[(path, new)]), [format!("{path}:1")]);
        let misnamed = "[package]\nname = \"locks\"\n";
        assert_eq!(found(crates_keep_their_edges, &[(LOCKS, misnamed)]), [format!("{LOCKS}:1")]);
    }

    #[test]
    fn a_crate_that_says_nothing_to_a_registry_is_found() {
        let found_missing = found_in(crates_read_well_on_a_registry, "");
        assert_eq!(found_missing.len(), 7, "{found_missing:?}");
        let all = "description = \"\"\nreadme = \"\"\nkeywords = []\ncategories = []\n\
                   license.workspace = true\n[package.metadata.docs.rs]\n";
        let files = [(LOCKS, &*manifest(all)), ("crates/locks/README.md", "")];
        assert_eq!(found(crates_read_well_on_a_registry, &files), [""; 0]);
        for keywords in
            ["[\"of-more-than-20-letters\"]", "[\"1\", \"2\", \"3\", \"4\", \"5\", \"6\"]"]
        {
            let refused = manifest(all).replace("keywords = []", &format!("keywords = {keywords}"));
            let files = [(LOCKS, &*refused), ("crates/locks/README.md", "")];
            assert_eq!(found(crates_read_well_on_a_registry, &files).len(), 1, "{keywords}");
        }
    }

    #[test]
    fn a_version_outside_the_workspace_manifest_is_found() {
        for bad in [
            "[dependencies]\nslab = \"0.4\"\n",
            "[dev-dependencies]\nslab = { version = \"0.4\" }\n",
            "[dependencies.slab]\nversion = \"0.4\"\n",
            "[target.'cfg(target_os = \"linux\")'.dependencies]\nslab = \"0.4\" # workspace = true\n",
        ] {
            assert_eq!(found_in(versions_stand_in_the_workspace, bad).len(), 1, "{bad}");
        }
        for good in [
            "[dependencies]\nslab.workspace = true\n",
            "[dependencies.slab]\nworkspace = true\n",
            "[features]\nslab = [\"dep:slab\"]\n",
        ] {
            assert_eq!(found_in(versions_stand_in_the_workspace, good), [""; 0], "{good}");
        }
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let text = "[dependencies]\nslab.workspace = true\nasyncio-core.workspace = true\n\
                    nix.workspace = true\n";
        assert_eq!(found_in(dependencies_have_a_reason, text), [format!("{LOCKS}:6")]);
    }
}
