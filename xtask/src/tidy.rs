//! `cargo xtask tidy`: checks that save a reviewer from nagging.
//!
//! The rules read the tree as text, so they need no build. CONTRIBUTING.md lists them.

mod cancellation;
mod facade;
mod layers;
mod manifests;
mod names;
mod parity;
mod readme;
mod text;
pub(crate) mod tree;

use std::fmt;

use crate::shell::Workspace;
use crate::{Outcome, TaskResult};
use tree::{File, Tree};

pub(crate) const HELP: &str = "Check the rules that CONTRIBUTING.md lists, over the whole tree.";

const RULES: &[fn(&Tree, &mut Findings)] = &[
    text::every_module_has_docs,
    text::no_file_has_outgrown_its_purpose,
    text::nothing_unfinished,
    text::nothing_of_one_machine,
    text::lines_are_clean,
    text::examples_name_the_facade,
    manifests::crates_keep_their_edges,
    layers::core_keeps_its_layers,
    manifests::versions_stand_in_the_workspace,
    manifests::dependencies_have_a_reason,
    manifests::crates_read_well_on_a_registry,
    cancellation::async_functions_say_what_cancelling_does,
    parity::every_id_has_its_line,
    names::documented_names_are_found,
    names::python_names_are_found,
    facade::the_facade_names_what_it_shows,
    readme::the_picture_shows_the_figures,
];

pub(crate) fn run(workspace: &Workspace, args: &[String]) -> TaskResult {
    if !args.is_empty() {
        return Err(format!("takes no arguments, got {args:?}"));
    }
    let tree = Tree::read(&workspace.root)?;
    let findings = check(&tree);
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("tidy: {} files, nothing found", tree.files.len());
            Ok(Outcome::Done)
        }
        1 => Err("1 finding".to_owned()),
        n => Err(format!("{n} findings")),
    }
}

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Findings::default();
    for rule in RULES {
        rule(tree, &mut findings);
    }
    findings.0.sort();
    findings.0
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    /// `index` counts lines from 0, as iterators do.
    fn add(&mut self, path: &str, index: usize, what: impl Into<String>) {
        self.0.push(Finding { path: path.to_owned(), line: index + 1, what: what.into() });
    }

    /// Adds a finding for each line for which `judge` returns a message.
    fn add_lines(&mut self, file: &File, mut judge: impl FnMut(&str) -> Option<String>) {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(what) = judge(line) {
                self.add(&file.path, index, what);
            }
        }
    }
}

/// Returns what `rule` finds in a tree of these files, as `path:line`.
#[cfg(test)]
fn found(rule: fn(&Tree, &mut Findings), files: &[(&str, &str)]) -> Vec<String> {
    let mut findings = Findings::default();
    rule(&Tree::of(files), &mut findings);
    findings.0.iter().map(|finding| format!("{}:{}", finding.path, finding.line)).collect()
}
