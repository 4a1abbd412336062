//! The output: a row for each workload, and how its figure grows with the size.

use crate::{
    measure::{Process, median},
    python::Interpreter,
    workload::{Measure, Workload},
};
use std::io;

/// The width of the longest description of a row.
const WHAT: usize = 52;
/// The number of processes per contestant.
const ROUNDS: usize = 9;
/// The same for workloads whose process starts a server and measures it once.
const ROUNDS_OF_A_SERVER: usize = 21;
/// The same for a million operations.
const ROUNDS_OF_THE_LARGE: usize = 3;
/// The same for counts of system calls. Tracing takes long, and the counts hardly differ.
const ROUNDS_OF_THE_TRACED: usize = 1;
/// The sizes for which growth is shown.
const SIZES: [usize; 3] = [100, 10_000, 1_000_000];
/// The argument that selects, in place of a workload, the growth of all of them.
const GROWTH: &str = "growth";

/// Measures the workloads of these names, or all of them, and prints the table.
pub(crate) fn print(workloads: &[Workload], names: &[String]) -> io::Result<()> {
    let is_known = |name: &String| name == GROWTH || workloads.iter().any(|w| w.name == *name);
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        let mut message = format!("no workload is called {unknown:?}; there are:");
        for workload in workloads {
            message += &format!("\n  {:20}{}", workload.name, what(workload, workload.size));
        }
        message += &format!("\n  {GROWTH:20}how they grow");
        return Err(io::Error::other(message));
    }
    let is_wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let pythons = match workloads.iter().any(|w| is_wanted(w.name) && has_python(w)) {
        true => Interpreter::installed(),
        false => Vec::new(),
    };
    println!("{:<WHAT$}{:>10} {:>6} {:>7}  peers", "one operation", "asyncio", "ratio", "ceiling");
    for workload in workloads.iter().filter(|workload| is_wanted(workload.name)) {
        if let Err(why) = (workload.needs)() {
            eprintln!("SKIPPED: {}: {why}", workload.name);
            continue;
        }
        println!("{}", row(workload, &pythons)?);
    }
    if !is_wanted(GROWTH) {
        return Ok(());
    }
    for workload in workloads.iter().filter(|workload| workload.grows) {
        println!();
        for size in SIZES {
            println!("{}", row(&Workload { size, ceiling: None, ..workload.clone() }, &[])?);
        }
    }
    Ok(())
}

fn has_python(workload: &Workload) -> bool {
    workload.in_python
        || workload.contestants.iter().any(|(name, _)| Interpreter::named(name).is_some())
}

fn what(workload: &Workload, size: usize) -> String {
    let mut digits = size.to_string();
    let length = digits.len();
    for place in (1..length).rev().filter(|place| (length - place) % 3 == 0) {
        digits.insert(place, ',');
    }
    workload.what.replace("{n}", &digits)
}

/// Formats our figure, its ratio to the first peer's, the ceiling, and the figures of the peers.
fn row(workload: &Workload, pythons: &[Interpreter]) -> io::Result<String> {
    let is_there = |name| match Interpreter::named(name) {
        Some(python) => pythons.contains(&python),
        None => true,
    };
    let names = workload.contestants.iter().map(|(name, _)| *name);
    let mut processes: Vec<_> = names.filter(|name| is_there(name)).map(Process::Rust).collect();
    if workload.in_python {
        processes.extend(pythons.iter().map(|python| Process::Python(*python)));
    }
    let rounds = match workload {
        Workload { measure: Measure::SystemCalls, .. } => ROUNDS_OF_THE_TRACED,
        Workload { measure: Measure::Server, .. } => ROUNDS_OF_A_SERVER,
        Workload { size: 100_001.., .. } => ROUNDS_OF_THE_LARGE,
        _ => ROUNDS,
    };
    let mut runs = vec![Vec::new(); processes.len()];
    for _ in 0..rounds {
        for (process, runs) in processes.iter().zip(&mut runs) {
            runs.push(process.run(workload, workload.size)?);
        }
    }
    let medians = |which: usize| {
        let of = |runs: &Vec<Vec<f64>>| median(runs.iter().map(|run| run[which]).collect());
        runs.iter().map(of).collect::<Vec<f64>>()
    };
    let (what, measure) = (what(workload, workload.size), workload.measure);
    let mut row = line(&what, measure, workload.ceiling, &processes, &medians(0));
    if workload.with_p99 {
        row.push('\n');
        row += &line(
            "  99 % of them answered within",
            Measure::Wall,
            Some(1.0),
            &processes,
            &medians(1),
        );
    }
    Ok(row)
}

/// The figures of the contestants, ours first.
fn line(
    what: &str,
    measure: Measure,
    ceiling: Option<f64>,
    processes: &[Process],
    medians: &[f64],
) -> String {
    let shown = |figure: f64| show(measure, figure);
    // A figure near zero gives no meaningful ratio.
    let ratio = match medians[1] {
        0.01.. => format!("{:.2}", medians[0] / medians[1]),
        _ => String::new(),
    };
    let ceiling = ceiling.map_or(String::new(), |ceiling| format!("{ceiling:.2}"));
    let mut row = format!("{what:<WHAT$}{:>10} {ratio:>6} {ceiling:>7}", shown(medians[0]));
    for (process, figure) in processes.iter().zip(medians).skip(1) {
        row += &format!("  {} {}", process.name(), shown(*figure));
    }
    row
}

fn show(measure: Measure, figure: f64) -> String {
    match measure {
        Measure::Cpu | Measure::Wall | Measure::Server if figure < 1e4 => format!("{figure:.1} ns"),
        Measure::Cpu | Measure::Wall | Measure::Server => format!("{:.1} µs", figure / 1e3),
        Measure::Allocations | Measure::SystemCalls => format!("{figure:.3}"),
        Measure::Bytes => format!("{figure:.0} B"),
    }
}
