//! The benchmarks: each workload beside its peers, interleaved, in one run.
//!
//! `cargo xtask bench [WORKLOAD…]` prints one table. A figure is the CPU time of a process for one
//! operation, as the median of several rounds; in each round every contestant runs once, in turn, so
//! that a noisy machine is noisy for all of them, and in a process of its own, so that none works in
//! a heap that another has left behind. What counts is the ratio.

mod measure;
mod workloads;

use std::process::ExitCode;

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let workloads = workloads::all();
    if let [flag, name, contestant] = &wanted[..] {
        if flag == measure::ALONE {
            return measure::alone(&workloads, name, contestant);
        }
    }
    if let Some(unknown) = wanted.iter().find(|name| workloads.iter().all(|w| w.name != **name)) {
        eprintln!("no workload is called {unknown:?}; there are:");
        workloads.iter().for_each(|workload| eprintln!("  {:10} {}", workload.name, workload.what));
        return ExitCode::FAILURE;
    }
    println!("{:<44} {:>10} {:>15} {:>15}", "CPU time per operation", "asyncio", "tokio", "smol");
    for workload in &workloads {
        if wanted.is_empty() || wanted.iter().any(|name| name == workload.name) {
            match measure::row(workload) {
                Ok(row) => println!("{row}"),
                Err(error) => {
                    eprintln!("{}: {error}", workload.name);
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    ExitCode::SUCCESS
}
