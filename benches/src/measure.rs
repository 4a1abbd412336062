//! How a figure is measured: each contestant has a process, which repeats the work several times.

use crate::{
    counting,
    python::Interpreter,
    workload::{Measure, Workload},
};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use std::{io, process::Command};

/// How often a process repeats the work, after one run to warm up.
const REPEATS: usize = 5;
/// The argument that makes a process do one contestant's work.
pub(crate) const ALONE: &str = "--alone";

/// The CPU time that this process has used, in nanoseconds.
fn cpu_time() -> nix::Result<f64> {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
    Ok(time.tv_sec() as f64 * 1e9 + time.tv_nsec() as f64)
}

pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Pins the process to one processor, the last one that is allowed.
fn pin() -> nix::Result<()> {
    let allowed = sched_getaffinity(Pid::this())?;
    let last = (0..CpuSet::count()).rev().find(|cpu| allowed.is_set(*cpu).unwrap_or(false));
    let mut one = CpuSet::new();
    one.set(last.unwrap_or(0))?;
    sched_setaffinity(Pid::this(), &one)
}

/// Does the work of one contestant, and prints its figure, and within which time 99 of 100 operations have ended
/// if the work says so.
pub(crate) fn alone(
    workloads: &[Workload],
    name: &str,
    size: &str,
    contestant: &str,
) -> io::Result<()> {
    let wrong = || io::Error::other(format!("{ALONE} takes a workload, a size and a contestant"));
    let workload = workloads.iter().find(|workload| workload.name == name).ok_or_else(wrong)?;
    let size = size.parse().map_err(|_| wrong())?;
    let contestants = &workload.contestants;
    let (_, work) = *contestants.iter().find(|(name, _)| *name == contestant).ok_or_else(wrong)?;
    if !matches!(workload.measure, Measure::Wall | Measure::Server | Measure::SystemCalls) {
        pin()?;
    }
    if workload.measure == Measure::Allocations {
        counting::start();
    }
    // Memory is measured once because it would be reused, servers because each run starts another one, and system
    // calls because tracing takes long.
    let once = matches!(workload.measure, Measure::Bytes | Measure::Server | Measure::SystemCalls);
    let repeats = if once { 0 } else { REPEATS };
    let (mut figures, mut p99s) = (Vec::new(), Vec::new());
    for repeat in 0..=repeats {
        let (cpu, asked) = (cpu_time()?, counting::times());
        let done = work(size);
        let total = match (workload.measure, done.said) {
            (Measure::Cpu, _) => cpu_time()? - cpu,
            (Measure::Allocations, None) => (counting::times() - asked) as f64,
            (_, said) => said.unwrap_or(f64::NAN),
        };
        if repeat > 0 || repeats == 0 {
            figures.push(total / done.operations as f64);
            p99s.extend(done.p99);
        }
    }
    println!("{}", median(figures));
    if !p99s.is_empty() {
        println!("{}", median(p99s));
    }
    Ok(())
}

/// A contestant in a separate process.
pub(crate) enum Process {
    Rust(&'static str),
    Python(Interpreter),
}

impl Process {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Process::Rust(name) => name,
            Process::Python(interpreter) => interpreter.name(),
        }
    }

    /// Runs it once, and gives what it prints: its figure, and what else it says.
    pub(crate) fn run(&self, workload: &Workload, size: usize) -> io::Result<Vec<f64>> {
        let size = size.to_string();
        let mut command = match self {
            Process::Rust(name) => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args([ALONE, workload.name, &size, name]);
                command
            }
            Process::Python(interpreter) => interpreter.command(workload.name, &size),
        };
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let figures: Result<Vec<f64>, _> = said.lines().map(|line| line.trim().parse()).collect();
        figures.ok().filter(|figures| !figures.is_empty()).ok_or_else(|| {
            let complaint = String::from_utf8_lossy(&output.stderr);
            let (workload, name) = (workload.name, self.name());
            io::Error::other(format!("{workload}, {name}: {}", complaint.trim()))
        })
    }
}
