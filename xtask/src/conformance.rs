//! `cargo xtask conformance`: compares our traces with those recorded on CPython.

use std::fs;

use crate::shell::Workspace;
use crate::{Outcome, TaskResult};

pub(crate) const HELP: &str = "\
Run every scenario of tests/conformance and compare its trace with CPython's.
Further arguments are passed on, such as --filter NAME.";

pub(crate) fn run(workspace: &Workspace, args: &[String]) -> TaskResult {
    if !runner_exists(workspace) {
        return Ok(Outcome::Skipped("tests/ has no `conformance` binary yet".to_owned()));
    }
    let corpora = corpora(workspace)?;
    if corpora.is_empty() {
        return Err("no *.jsonl* in tests/conformance: nothing would be compared".to_owned());
    }
    workspace
        .cargo("run --release -p asyncio-tests --bin conformance --")
        .args(corpora)
        .args(args)
        .run()?;
    Ok(Outcome::Done)
}

fn runner_exists(workspace: &Workspace) -> bool {
    let tests = workspace.root.join("tests");
    let named = fs::read_to_string(tests.join("Cargo.toml"))
        .is_ok_and(|manifest| manifest.contains("name = \"conformance\""));
    let bins = tests.join("src/bin");
    named || bins.join("conformance.rs").exists() || bins.join("conformance").exists()
}

fn corpora(workspace: &Workspace) -> Result<Vec<String>, String> {
    let dir = "tests/conformance";
    let entries = match fs::read_dir(workspace.root.join(dir)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("cannot list {dir}: {error}")),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| format!("cannot list {dir}: {error}"))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.contains(".jsonl") {
            files.push(format!("{dir}/{name}"));
        }
    }
    files.sort();
    Ok(files)
}
