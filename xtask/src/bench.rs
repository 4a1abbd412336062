//! `cargo xtask bench`: the benchmarks, all of them or those that are named, in one run.

use crate::shell::Workspace;
use crate::{Outcome, TaskResult};

pub(crate) const HELP: &str = "Run the benchmarks; arguments are passed on to them.";

pub(crate) fn run(workspace: &Workspace, args: &[String]) -> TaskResult {
    workspace.cargo("run --release -p asyncio-benches --").args(args).run()?;
    Ok(Outcome::Done)
}
