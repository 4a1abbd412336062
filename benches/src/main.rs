//! The benchmarks: each workload for us and its peers, interleaved, in one run.
//!
//! `cargo xtask bench [WORKLOAD…]` prints one table. A figure is the median of several rounds. In each round every
//! contestant runs once, so that a noisy machine affects all of them. Each runs in a separate process on one processor,
//! so that none inherits the heap of another. What counts is the ratio to the first peer, tokio's current-thread
//! runtime. The ceiling is the ratio that we aim not to exceed.
//!
//! A workload is written once, for all runtimes ([`peers`]), and checks its result, so that the compiler cannot remove
//! it. To add a workload, write a function and add it to the list in its file.

mod branches;
mod counting;
mod echo;
mod files;
mod http;
mod locks;
mod measure;
mod memory;
mod peers;
mod processes;
mod python;
mod queues;
mod system_calls;
mod table;
mod tasks;
mod threads;
mod timers;
mod tls;
mod workload;

use std::process::ExitCode;
use workload::Workload;

/// The groups, in the order of the table.
fn all() -> Vec<Workload> {
    [
        tasks::workloads(),
        timers::workloads(),
        branches::workloads(),
        locks::workloads(),
        queues::workloads(),
        threads::workloads(),
        processes::workloads(),
        echo::workloads(),
        tls::workloads(),
        http::workloads(),
        files::workloads(),
        memory::workloads(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let workloads = all();
    let outcome = match &arguments[..] {
        [flag, name, size, contestant] if flag == measure::ALONE => {
            measure::alone(&workloads, name, size, contestant)
        }
        [flag, number] if flag == echo::SERVE => echo::serve(number),
        [flag, address] if flag == tls::KEEP_IDLE => tls::keep_idle(address),
        names => table::print(&workloads, names),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
