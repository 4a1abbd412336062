//! `cargo xtask bench`: runs all benchmarks, or the named ones.

use crate::shell::Workspace;
use crate::tidy::tree::Tree;
use crate::{Outcome, TaskResult, plot};

pub(crate) const HELP: &str = "\
Run the benchmarks; arguments are passed on to them.
  --plot        draw the first table of README.md instead, into benches/figures.svg";

pub(crate) fn run(workspace: &Workspace, args: &[String]) -> TaskResult {
    if args == ["--plot"] {
        let picture = plot::picture(&Tree::read(&workspace.root)?)
            .ok_or("README.md has no table of figures to draw")?;
        let path = workspace.root.join(plot::PICTURE);
        std::fs::write(&path, picture)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        return Ok(Outcome::Done);
    }
    workspace.cargo("run --release -p asyncio-benches --").args(args).run()?;
    Ok(Outcome::Done)
}
