//! The benchmarks: each workload beside its peers, interleaved, in one run.
//!
//! `cargo xtask bench [WORKLOAD…]` prints one table. A figure is the median of several rounds; in each
//! round every contestant runs once, in turn, so that a noisy machine is noisy for all of them, and in
//! a process of its own on one processor, so that none works in a heap that another has left behind.
//! What counts is the ratio to the first peer, tokio's current-thread runtime; the ceiling is the ratio that we
//! aim not to exceed.
//!
//! A workload is written once, for whatever runs it ([`peers`]), and checks what it has computed, so
//! that no compiler leaves it out. A new one is a function, and an entry in its file's list.

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
