//! How a workload is measured, and how it is shown.

use crate::workloads::Workload;
use nix::time::{ClockId, clock_gettime};
use std::{
    io,
    process::{Command, ExitCode},
};

/// How often each contestant's process is started.
const ROUNDS: usize = 9;
/// How often it repeats the work, after it has done it once to warm up.
const REPEATS: usize = 5;
/// The argument with which it is told to do one contestant's work.
pub(crate) const ALONE: &str = "--alone";

/// The CPU time that this process has used, in nanoseconds.
fn cpu_time() -> nix::Result<f64> {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
    Ok(time.tv_sec() as f64 * 1e9 + time.tv_nsec() as f64)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Does the work of one contestant, and prints its figure.
pub(crate) fn alone(workloads: &[Workload], name: &str, contestant: &str) -> ExitCode {
    let workload = workloads.iter().find(|workload| workload.name == name);
    let work = contestant.parse::<usize>().ok().and_then(|n| workload?.contestants.get(n).copied());
    let (Some(workload), Some(work)) = (workload, work) else {
        eprintln!("{ALONE} takes a workload and the number of a contestant");
        return ExitCode::FAILURE;
    };
    let mut figures = Vec::new();
    for repeat in 0..=REPEATS {
        let (Ok(before), done, Ok(after)) = (cpu_time(), work(), cpu_time()) else {
            eprintln!("this system has no clock for the CPU time of a process");
            return ExitCode::FAILURE;
        };
        if done != workload.operations {
            eprintln!("{name}: {done} operations instead of {}", workload.operations);
            return ExitCode::FAILURE;
        }
        if repeat > 0 {
            figures.push((after - before) / done as f64);
        }
    }
    println!("{}", median(figures));
    ExitCode::SUCCESS
}

/// One line of the table: nanoseconds for an operation, and in brackets what ours are of the peer's.
pub(crate) fn row(workload: &Workload) -> io::Result<String> {
    let program = std::env::current_exe()?;
    let mut figures = vec![Vec::new(); workload.contestants.len()];
    for _ in 0..ROUNDS {
        for (contestant, figures) in figures.iter_mut().enumerate() {
            let number = contestant.to_string();
            let output = Command::new(&program).args([ALONE, workload.name, &number]).output()?;
            let text = String::from_utf8_lossy(&output.stdout);
            let figure: f64 = text.trim().parse().map_err(|_| {
                io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())
            })?;
            figures.push(figure);
        }
    }
    let medians: Vec<f64> = figures.into_iter().map(median).collect();
    let mut row = format!("{:<44} {:>7.1} ns", workload.what, medians[0]);
    for peer in &medians[1..] {
        row += &format!(" {:>8.1} ({:.2})", peer, medians[0] / peer);
    }
    Ok(row)
}
