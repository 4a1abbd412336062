//! `cargo xtask api`: compares the public API of each crate with its listing under `api/`, so that a reviewer sees
//! every change.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::shell::Workspace;
use crate::tidy::tree::Tree;
use crate::{Outcome, TaskResult, checkers};

pub(crate) const HELP: &str = "\
Check that api/ lists the public API of each crate.
  --write       bring it up to date";

/// The package that prints the listings.
const LISTING: &str = "asyncio-listing";
const LIMIT: Duration = Duration::from_secs(600);
/// A listing of macros would add nothing to their docs.
const LEFT_OUT: [&str; 1] = ["asyncio-macros"];

pub(crate) fn run(workspace: &Workspace, args: &[String]) -> TaskResult {
    let write = match args {
        [] => false,
        [flag] if flag == "--write" => true,
        _ => return Err(format!("takes `--write` or nothing, got {args:?}")),
    };
    if let Some(why) = checkers::missing(workspace, &[]) {
        return Ok(Outcome::Skipped(why));
    }
    let mut changed = Vec::new();
    for member in Tree::read(&workspace.root)?.crates() {
        if LEFT_OUT.contains(&&*member.package) {
            continue;
        }
        let listing = list(workspace, &member.package)?;
        let path = format!("api/{}.txt", member.package);
        let file = workspace.root.join(&path);
        if fs::read_to_string(&file).is_ok_and(|kept| kept == listing) {
            continue;
        }
        if write {
            keep(&file, &listing).map_err(|error| format!("cannot write {path}: {error}"))?;
            println!("wrote {path}");
        }
        changed.push(path);
    }
    match changed.is_empty() || write {
        true => Ok(Outcome::Done),
        false => Err(format!(
            "the public API differs from {}; run `cargo xtask api --write` and review the change",
            changed.join(", ")
        )),
    }
}

fn keep(file: &Path, listing: &str) -> std::io::Result<()> {
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(file, listing)
}

/// Lists the public items of a package with all features, one per line.
fn list(workspace: &Workspace, package: &str) -> Result<String, String> {
    let target = workspace.target("api");
    checkers::nightly(workspace)
        .args(["rustdoc", "--quiet", "--lib", "--all-features", "-p", package])
        .args(["--", "-Z", "unstable-options", "--output-format", "json", "--cap-lints", "allow"])
        .target_dir(target.clone())
        .run()?;
    let json = target.join("doc").join(format!("{}.json", package.replace('-', "_")));
    let run = workspace.cargo("run --quiet -p").args([LISTING, "--", &json.to_string_lossy()]);
    let output = run.shown().output(LIMIT)?;
    if output.success { Ok(output.stdout) } else { Err(format!("{package}: {}", output.text)) }
}
