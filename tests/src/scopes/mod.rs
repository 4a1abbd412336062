//! Random programs of scopes, joins, selects and foreign futures, with random requests to cancel and
//! deadlines, under the virtual clock; and a check of each by the rules of cancellation.
//!
//! A [`program`] is a few tasks, each a tree of nodes. [`generate`] makes one from a seed, [`mod@run`]
//! records its run, the [`oracle`] decides whether the run is right, and [`shrink`] reduces a program that
//! fails.

use oracle::Fault;
use program::Program;

mod foreign;
pub mod generate;
pub mod oracle;
pub mod program;
pub mod record;
pub mod run;
pub mod shrink;

/// Returns the fault of a program, if it has one.
pub fn fault(program: &Program) -> Option<Fault> {
    let (tree, record) = run::run(program);
    oracle::check(program, &tree, &record)
}

/// Runs the program of a seed. The error shows the smallest program that fails in the same way.
///
/// # Errors
/// The fault, and the program that has it.
pub fn check(seed: u64) -> Result<(), String> {
    let program = generate::program(seed);
    let Some(first) = fault(&program) else { return Ok(()) };
    let fails = |smaller: &Program| fault(smaller).is_some_and(|fault| fault.kind == first.kind);
    let smallest = shrink::shrink(program, fails);
    let (tree, record) = run::run(&smallest);
    let Fault { kind, text } = oracle::check(&smallest, &tree, &record).unwrap_or(first);
    let happened = record.describe(&tree);
    Err(format!("seed {seed}: {kind}: {text}\n{smallest}It went like this:\n{happened}"))
}
