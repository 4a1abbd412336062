//! `cargo xtask loom`: the model checks, and the mutants that show that each model can fail.
//!
//! A model is a test in `crates/*/tests/loom*.rs` that calls `asyncio_core::model::check` with the names of the mutants
//! that the model has to detect. A mutant is a name in the sources, in calls such as `mutant("…")`. The environment
//! variable ASYNCIO_MUTANT selects it at run time.
//!
//! A mutant has died if the ordinary tests of its crate pass with it, and the model fails with it, by one of its own
//! assertions or by a deadlock. Without the mutant, the model has to pass in more than one execution.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use crate::shell::{Output, Run, Workspace};
use crate::tidy::tree::{File, Tree};
use crate::{Outcome, TaskResult};

pub(crate) const HELP: &str = "\
Run the loom models.
  --mutants   then each model against its mutants: every mutant must die";

/// The time limit of a run that is expected to fail, because a lost wake-up hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// The time limit of the models of one file, including their build.
const MODELS_LIMIT: Duration = Duration::from_secs(400);

/// The models of one file, and the crate that it tests.
struct Suite {
    package: String,
    test: String,
}

/// What a model prints when it has passed.
#[derive(Debug, PartialEq)]
struct Model {
    name: String,
    executions: u64,
    preemptions: u64,
    mutants: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, args: &[String]) -> TaskResult {
    let mutants = match args {
        [] => false,
        [arg] if arg == "--mutants" => true,
        _ => return Err(format!("unknown arguments {args:?}; --mutants is the only one")),
    };
    let tree = Tree::read(&workspace.root)?;
    let suites = suites(&tree);
    if suites.is_empty() {
        return Ok(Outcome::Skipped(
            "no crate has a model (crates/*/tests/loom*.rs) yet".to_owned(),
        ));
    }
    let mut models = Vec::new();
    for suite in &suites {
        models.extend(suite.models(workspace)?.into_iter().map(|model| (suite, model)));
    }
    let homes = mutant_homes(&tree);
    complete(&models, &homes)?;
    if !mutants {
        for (suite, model) in &models {
            println!("{}", model.row(suite, "", ""));
        }
        return Ok(Outcome::Done);
    }
    for package in homes.values().collect::<BTreeSet<_>>() {
        ordinary_tests(workspace, package).args(["--no-run"]).run()?;
    }
    let harmless: BTreeMap<&str, bool> = homes
        .iter()
        .map(|(mutant, package)| (mutant.as_str(), is_harmless(workspace, package, mutant)))
        .collect();
    let mut table = Vec::new();
    let mut survivors = Vec::new();
    for (suite, model) in &models {
        for mutant in &model.mutants {
            let fate = match harmless[mutant.as_str()] {
                true => suite.fate(workspace, &model.name, mutant),
                false => Err("SURVIVED: it fails ordinary tests, and shows nothing".to_owned()),
            };
            table.push(model.row(suite, mutant, fate.as_ref().unwrap_or_else(|why| why)));
            if fate.is_err() {
                survivors.push(mutant.as_str());
            }
        }
    }
    println!("\n| model | executions | preemptions | mutant | fate |\n|---|---|---|---|---|");
    table.iter().for_each(|row| println!("{row}"));
    match survivors.is_empty() {
        true => Ok(Outcome::Done),
        false => Err(format!("mutants SURVIVED: {}", survivors.join(", "))),
    }
}

/// Checks that every model has a mutant and more than one execution, and that every mutant is in a model.
fn complete(models: &[(&Suite, Model)], homes: &BTreeMap<String, String>) -> Result<(), String> {
    let mut wrong = Vec::new();
    for (_, model) in models {
        if model.executions < 2 {
            wrong.push(format!("{} has one execution only", model.name));
        }
        if model.mutants.is_empty() {
            wrong.push(format!("{} has no mutant", model.name));
        }
    }
    let named: BTreeSet<&String> = models.iter().flat_map(|(_, model)| &model.mutants).collect();
    wrong.extend(named.iter().filter(|m| !homes.contains_key(**m)).map(|m| format!("{m}: where?")));
    wrong.extend(homes.keys().filter(|m| !named.contains(m)).map(|m| format!("{m}: no model")));
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

/// Parts of the names of ordinary tests in which threads run against each other. These may detect a mutant by chance.
const BY_CHANCE: [&str; 3] = ["stress", "thread", "tokio"];

/// The other ordinary tests of `package`, in a build with mutants.
fn ordinary_tests(workspace: &Workspace, package: &str) -> Run {
    workspace
        .cargo(&format!("test --lib -p {package}"))
        .flags("RUSTFLAGS", "--cfg asyncio_mutants")
        .target_dir(workspace.target("mutants"))
}

/// Returns whether the ordinary tests of `package` pass with the mutant. There are three attempts, because the machine
/// may be busy.
fn is_harmless(workspace: &Workspace, package: &str, mutant: &str) -> bool {
    println!("$ ASYNCIO_MUTANT={mutant} cargo test --lib -p {package}");
    let skipped = BY_CHANCE.iter().flat_map(|name| ["--skip", name]);
    (1..=3).any(|attempt| {
        let run = ordinary_tests(workspace, package)
            .args(["--"])
            .args(skipped.clone())
            .variable("ASYNCIO_MUTANT", mutant);
        let passed = run.output(LIMIT).is_ok_and(|output| output.success);
        if !passed {
            println!("{mutant}: the tests of {package} failed with it, try {attempt} of 3");
        }
        passed
    })
}

impl Suite {
    fn cargo(&self, workspace: &Workspace) -> Run {
        workspace
            .cargo(&format!("test --release -p {} --test {} --", self.package, self.test))
            .args(["--nocapture"])
            .flags("RUSTFLAGS", "--cfg loom")
            .target_dir(workspace.target("loom"))
    }

    fn models(&self, workspace: &Workspace) -> Result<Vec<Model>, String> {
        let output = self.cargo(workspace).shown().output(MODELS_LIMIT)?;
        if !output.success {
            return Err(format!("a model of {} failed\n{}", self.package, output.text));
        }
        Ok(output.text.lines().filter_map(Model::parse).collect())
    }

    /// Returns how the mutant died, or an error if it survived. The model runs in a separate process, which loom ends at a
    /// deadlock.
    fn fate(&self, workspace: &Workspace, model: &str, mutant: &str) -> Result<String, String> {
        let run = self.cargo(workspace).args(["--exact", model]).variable("ASYNCIO_MUTANT", mutant);
        let output = run.variable("RUST_BACKTRACE", "0").output(LIMIT)?;
        how_it_died(&output, &format!("tests/{}.rs", self.test))
    }
}

/// Decides by the first panic, because a second one may follow during unwinding.
fn how_it_died(output: &Output, file: &str) -> Result<String, String> {
    if output.success {
        return Err("SURVIVED".to_owned());
    }
    let panic = output.text.split_once("panicked at ").map(|(_, panic)| panic);
    let mut lines = panic.unwrap_or_default().lines();
    let (place, message) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    if message.starts_with("deadlock") {
        return Ok("died: deadlock".to_owned());
    }
    match place.split_once(file) {
        Some((_, line)) => {
            let line = line.trim_start_matches(':').split(':').next().unwrap_or_default();
            Ok(format!("died: {} (line {line})", message.replace('|', "/")))
        }
        None => Err(format!("SURVIVED: failed elsewhere, at {place} {message}")),
    }
}

impl Model {
    /// `model NAME executions=N preemptions=N mutants=A,B`
    fn parse(line: &str) -> Option<Model> {
        let mut words = line.strip_prefix("model ")?.split(' ');
        let name = words.next()?.to_owned();
        let mut value = |key: &str| words.next()?.strip_prefix(key)?.strip_prefix('=');
        let executions = value("executions")?.parse().ok()?;
        let preemptions = value("preemptions")?.parse().ok()?;
        let mutants = value("mutants")?.split(',').filter(|m| !m.is_empty());
        Some(Model { name, executions, preemptions, mutants: mutants.map(str::to_owned).collect() })
    }

    fn row(&self, suite: &Suite, mutant: &str, fate: &str) -> String {
        let Model { name, executions, preemptions, .. } = self;
        let package = suite.package.trim_start_matches("asyncio-");
        format!("| {package}: {name} | {executions} | {preemptions} | {mutant} | {fate} |")
    }
}

fn suites(tree: &Tree) -> Vec<Suite> {
    let mut suites = Vec::new();
    for member in tree.crates() {
        let dir = format!("{}/tests/", member.dir);
        let tests = tree.under(&dir).filter_map(model_name);
        suites.extend(tests.map(|test| Suite { package: member.package.clone(), test }));
    }
    suites
}

/// The package of each mutant.
fn mutant_homes(tree: &Tree) -> BTreeMap<String, String> {
    let mut homes = BTreeMap::new();
    for member in tree.crates() {
        for file in tree.under(&format!("{}/src/", member.dir)) {
            homes.extend(mutant_names(&file.text).map(|name| (name, member.package.clone())));
        }
    }
    homes
}

fn model_name(file: &File) -> Option<String> {
    let is_in_tests = Path::new(&file.path).parent().is_some_and(|dir| dir.ends_with("tests"));
    let name = file.name().strip_suffix(".rs")?;
    (is_in_tests && name.starts_with("loom")).then(|| name.to_owned())
}

/// The names in calls of `mutant`, and of `keep` and `change`, which turn a step into a mutant.
fn mutant_names(text: &str) -> impl Iterator<Item = String> {
    let calls = ["mutant(\"", "keep(\"", "change(\""];
    calls.into_iter().flat_map(|call| {
        let after = text.split(call).skip(1);
        after.filter_map(|rest| rest.split_once('"')).map(|(name, _)| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutants_are_read_from_the_sources() {
        let text = "if !mutant(\"no_recheck\") {}\nlet line = keep(\"joins_late\", &line, guard);";
        assert_eq!(mutant_names(text).collect::<Vec<_>>(), ["no_recheck", "joins_late"]);
    }

    #[test]
    fn a_model_says_what_it_did() {
        let line = "model push_against_sleep executions=12 preemptions=3 mutants=a,b";
        let model = Model::parse(line).unwrap();
        assert_eq!((model.name.as_str(), model.executions), ("push_against_sleep", 12));
        assert_eq!((model.preemptions, model.mutants.len()), (3, 2));
        assert_eq!(Model::parse("test a ... ok"), None);
    }

    #[test]
    fn a_mutant_dies_by_the_models_own_assertion_or_a_deadlock() {
        let fate = |success, text: &str| {
            let output = Output { success, text: text.to_owned(), stdout: String::new() };
            how_it_died(&output, "tests/loom.rs")
        };
        assert!(fate(true, "").is_err());
        assert!(fate(false, "a signal").is_err());
        assert!(fate(false, "panicked at crates/locks/src/raw.rs:1:2:\nno").is_err());
        let own = fate(false, "panicked at crates/locks/tests/loom.rs:7:2:\nnot held");
        assert_eq!(own.as_deref(), Ok("died: not held (line 7)"));
        assert!(fate(false, "panicked at loom/rt.rs:1:2:\ndeadlock; threads").is_ok());
    }
}
