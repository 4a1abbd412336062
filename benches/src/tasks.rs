//! Tasks: creating and awaiting them, switching between them, cancelling them.

use crate::{
    peers::{Cancel, Peer},
    system_calls::Trace,
    workload::{Done, Measure, Workload, batches, contestants},
};

pub(crate) fn workloads() -> Vec<Workload> {
    vec![
        Workload::new(
            "spawn",
            "spawn {n} tasks and await them",
            contestants!(spawn: Asyncio, Tokio, Smol, Monoio),
        )
        .size(1_000)
        .ceiling(0.35)
        .grows()
        .in_python(),
        Workload::new("yield", "sleep(0) in {n} tasks", contestants!(passes: Asyncio, Tokio, Smol))
            .size(100)
            .ceiling(0.70)
            .grows()
            .in_python(),
        Workload::new(
            "alone",
            "sleep(0) in one task alone",
            contestants!(passes: Asyncio, Tokio, Smol),
        )
        .size(1)
        .ceiling(0.30)
        .in_python(),
        Workload::new(
            "cancel",
            "spawn, park, cancel and join {n} tasks",
            contestants!(cancel: Asyncio, Tokio, Smol),
        )
        .size(1_000)
        .ceiling(0.70)
        .grows()
        .in_python(),
        Workload::new(
            "spawn-allocations",
            "allocations for a task",
            contestants!(spawn: Asyncio, Tokio, Smol, Monoio),
        )
        .size(1_000)
        .measure(Measure::Allocations),
        Workload::new(
            "yield-allocations",
            "allocations for a wake-up",
            contestants!(passes: Asyncio, Tokio, Smol),
        )
        .size(100)
        .measure(Measure::Allocations),
        Workload::new(
            "alone-calls",
            "system calls for sleep(0) in one task alone",
            contestants!(calls: Asyncio, Tokio, Smol),
        )
        .size(1)
        .measure(Measure::SystemCalls)
        .needs(Trace::is_installed),
    ]
}

async fn spawn<P: Peer>(size: usize) -> usize {
    for _ in 0..batches(size) {
        let tasks: Vec<_> = (0..size).map(|n| P::spawn(async move { n })).collect();
        for (n, task) in tasks.into_iter().enumerate() {
            assert_eq!(P::join(task).await, n);
        }
    }
    batches(size) * size
}

async fn passes<P: Peer>(size: usize) -> usize {
    let each = batches(size).max(10);
    let pass = move || async move {
        for _ in 0..each {
            P::pass().await;
        }
        each
    };
    let tasks: Vec<_> = (0..size).map(|_| P::spawn(pass())).collect();
    let mut done = 0;
    for task in tasks {
        done += P::join(task).await;
    }
    assert_eq!(done, each * size);
    done
}

/// The system calls of the same.
async fn calls<P: Peer>(size: usize) -> Done {
    let trace = Trace::of(std::process::id()).expect("strace works");
    let operations = passes::<P>(size).await;
    let said = trace.end().expect("strace has written");
    Done::said(operations, said as f64)
}

async fn cancel<P: Cancel>(size: usize) -> usize {
    for _ in 0..batches(size) {
        let tasks: Vec<_> = (0..size).map(|_| P::park()).collect();
        P::pass().await;
        assert_eq!(P::cancel(tasks).await, size);
    }
    batches(size) * size
}
