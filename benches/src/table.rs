//! What is shown: a row for each workload, and how it grows.

use crate::{
    measure::{Process, median},
    python::Interpreter,
    workload::{Measure, Workload},
};
use std::io;

/// How often each contestant's process is started.
const ROUNDS: usize = 9;
/// The same, for work of a million.
const ROUNDS_OF_THE_LARGE: usize = 3;
/// The sizes at which growth is shown.
const SIZES: [usize; 3] = [100, 10_000, 1_000_000];
/// In place of a workload: how all of them grow, and nothing else.
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
    let pythons = match workloads.iter().any(|w| is_wanted(w.name) && w.in_python) {
        true => Interpreter::installed(),
        false => Vec::new(),
    };
    println!("{:<48}{:>10} {:>6} {:>6}  peers", "one operation", "asyncio", "ratio", "floor");
    for workload in workloads.iter().filter(|workload| is_wanted(workload.name)) {
        println!("{}", row(workload, &pythons)?);
    }
    if !is_wanted(GROWTH) {
        return Ok(());
    }
    for workload in workloads.iter().filter(|workload| workload.grows) {
        println!();
        for size in SIZES {
            println!("{}", row(&Workload { size, floor: None, ..workload.clone() }, &[])?);
        }
    }
    Ok(())
}

fn what(workload: &Workload, size: usize) -> String {
    let mut digits = size.to_string();
    let length = digits.len();
    for place in (1..length).rev().filter(|place| (length - place) % 3 == 0) {
        digits.insert(place, ',');
    }
    workload.what.replace("{n}", &digits)
}

/// Our figure, what part of the first peer's it is and may be; then the peers.
fn row(workload: &Workload, pythons: &[Interpreter]) -> io::Result<String> {
    let mut processes: Vec<_> =
        workload.contestants.iter().map(|(name, _)| Process::Rust(name)).collect();
    if workload.in_python {
        processes.extend(pythons.iter().map(|python| Process::Python(*python)));
    }
    let rounds = if workload.size > 100_000 { ROUNDS_OF_THE_LARGE } else { ROUNDS };
    let mut figures = vec![Vec::new(); processes.len()];
    for _ in 0..rounds {
        for (process, figures) in processes.iter().zip(&mut figures) {
            figures.push(process.run(workload, workload.size)?);
        }
    }
    let medians: Vec<f64> = figures.into_iter().map(median).collect();
    let shown = |figure: f64| show(workload.measure, figure);
    let ratio = format!("{:.2}", medians[0] / medians[1]);
    let floor = workload.floor.map_or(String::new(), |floor| format!("{floor:.2}"));
    let what = what(workload, workload.size);
    let mut row = format!("{what:<48}{:>10} {ratio:>6} {floor:>6}", shown(medians[0]));
    for (process, figure) in processes.iter().zip(&medians).skip(1) {
        row += &format!("  {} {}", process.name(), shown(*figure));
    }
    Ok(row)
}

fn show(measure: Measure, figure: f64) -> String {
    match measure {
        Measure::Cpu | Measure::Wall if figure < 1e4 => format!("{figure:.1} ns"),
        Measure::Cpu | Measure::Wall => format!("{:.1} µs", figure / 1e3),
        Measure::Allocations => format!("{figure:.3}"),
        Measure::Bytes => format!("{figure:.0} B"),
    }
}
