//! `cargo xtask loom`: the model checks, and the mutants that show that each model can fail.
//!
//! A model is a test in `crates/*/tests/loom*.rs`. A mutant is a name in `mutant = "…"` in the
//! sources of the same crate: with that cfg set, the crate's models must fail.

use std::collections::BTreeSet;
use std::path::Path;

use crate::shell::{Run, Workspace};
use crate::tidy::tree::{File, Tree};
use crate::{Outcome, TaskResult};

pub(crate) const HELP: &str = "\
Run the loom models.
  --mutants   then each model against its mutants: every mutant must die";

struct Models {
    package: String,
    tests: Vec<String>,
    mutants: BTreeSet<String>,
}

pub(crate) fn run(workspace: &Workspace, args: &[String]) -> TaskResult {
    let mutants = match args {
        [] => false,
        [arg] if arg == "--mutants" => true,
        _ => return Err(format!("unknown arguments {args:?}; --mutants is the only one")),
    };
    let found = find(&workspace.root)?;
    if found.is_empty() {
        return Ok(Outcome::Skipped(
            "no crate has a model (crates/*/tests/loom*.rs) yet".to_owned(),
        ));
    }
    for models in &found {
        models.cargo(workspace, "").run()?;
    }
    if mutants {
        let survivors = survivors(workspace, &found)?;
        if !survivors.is_empty() {
            return Err(format!("mutants SURVIVED: {}", survivors.join(", ")));
        }
    }
    Ok(Outcome::Done)
}

/// One process per mutant: loom ends the process at a deadlock.
fn survivors(workspace: &Workspace, found: &[Models]) -> Result<Vec<String>, String> {
    let mut survivors = Vec::new();
    for models in found {
        for mutant in &models.mutants {
            let cfg = format!(" --cfg mutant=\"{mutant}\"");
            // A mutant that does not compile proves nothing.
            models.cargo(workspace, &cfg).args(["--no-run"]).run()?;
            let survived = models.cargo(workspace, &cfg).succeeds();
            println!(
                "{}: {mutant}: {}",
                models.package,
                if survived { "SURVIVED" } else { "died" }
            );
            if survived {
                survivors.push(format!("{}: {mutant}", models.package));
            }
        }
    }
    Ok(survivors)
}

impl Models {
    fn cargo(&self, workspace: &Workspace, mutant_cfg: &str) -> Run {
        let tests = self.tests.iter().flat_map(|test| ["--test", test.as_str()]);
        workspace
            .cargo(&format!("test --release -p {}", self.package))
            .args(tests)
            .flags("RUSTFLAGS", &format!("--cfg loom{mutant_cfg}"))
            .target_dir(workspace.target("loom"))
    }
}

fn find(root: &Path) -> Result<Vec<Models>, String> {
    let tree = Tree::read(root)?;
    let mut found = Vec::new();
    for member in tree.crates() {
        let (models, sources) = (format!("{}/tests/", member.dir), format!("{}/src/", member.dir));
        let tests: Vec<String> = tree.under(&models).filter_map(model_name).collect();
        if !tests.is_empty() {
            let mutants = tree.under(&sources).flat_map(|file| mutant_names(&file.text)).collect();
            found.push(Models { package: member.package, tests, mutants });
        }
    }
    Ok(found)
}

fn model_name(file: &File) -> Option<String> {
    let name = file.name().strip_suffix(".rs")?;
    name.starts_with("loom").then(|| name.to_owned())
}

fn mutant_names(text: &str) -> Vec<String> {
    let after = text.split("mutant = \"").skip(1);
    after.filter_map(|rest| rest.split_once('"')).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutants_are_read_from_the_sources() {
        let text = "#[cfg(not(mutant = \"no_recheck\"))]\nif cfg!(mutant = \"no_pass_on\") {}";
        assert_eq!(mutant_names(text), ["no_recheck", "no_pass_on"]);
    }
}
