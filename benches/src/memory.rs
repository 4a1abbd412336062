//! Memory: the size of a waiting task.

use crate::{
    peers::Cancel,
    workload::{Done, Measure, Workload, contestants},
};
use nix::sys::resource::{UsageWho, getrusage};

pub(crate) fn workloads() -> Vec<Workload> {
    vec![
        Workload::new("idle", "memory of an idle task", contestants!(idle: Asyncio, Tokio, Smol))
            .size(100_000)
            .measure(Measure::Bytes)
            .ceiling(0.60),
    ]
}

/// Suspended tasks, each with its timer, and everything that the runtime keeps for them.
async fn idle<P: Cancel>(size: usize) -> Done {
    let mut tasks = Vec::with_capacity(size);
    let before = local();
    tasks.extend((0..size).map(|_| P::park()));
    P::pass().await;
    Done::said(size, local() - before)
}

/// The peak memory of this process in bytes, including the overhead of the allocator.
fn local() -> f64 {
    let unit = if cfg!(target_os = "macos") { 1.0 } else { 1024.0 };
    getrusage(UsageWho::RUSAGE_SELF).map_or(f64::NAN, |usage| usage.max_rss() as f64 * unit)
}
