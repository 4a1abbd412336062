//! Timers: creating and cancelling them, and timers that fire.

use crate::{
    peers::{HOUR, Timers},
    workload::{Done, Measure, Workload, batches, contestants},
};
use std::time::{Duration, Instant};

pub(crate) fn workloads() -> Vec<Workload> {
    vec![
        Workload::new(
            "timeout",
            "timeout around one yield",
            contestants!(timeout: Asyncio, Tokio, Smol),
        )
        .ceiling(0.50)
        .in_python(),
        Workload::new(
            "timers",
            "timers made and cancelled, {n} at a time",
            contestants!(made: Asyncio, Tokio, Smol),
        )
        .size(1_000)
        .ceiling(0.70)
        .grows()
        .in_python(),
        Workload::new(
            "firing",
            "{n} timers firing within 200 ms, CPU",
            contestants!(fire: Asyncio, Tokio, Smol),
        )
        .size(100_000)
        .ceiling(1.00)
        .in_python(),
        Workload::new(
            "late",
            "{n} timers firing within 200 ms, how late",
            contestants!(fire: Asyncio, Tokio, Smol),
        )
        .size(100_000)
        .measure(Measure::Wall),
        Workload::new(
            "timer-allocations",
            "allocations for a timer",
            contestants!(made: Asyncio, Tokio, Smol),
        )
        .size(1_000)
        .measure(Measure::Allocations),
    ]
}

async fn timeout<P: Timers>(_: usize) -> usize {
    let times = batches(1);
    for _ in 0..times {
        assert!(P::timeout(HOUR, P::pass()).await);
    }
    times
}

async fn made<P: Timers>(size: usize) -> usize {
    for _ in 0..batches(size) {
        P::make_and_lift((0..size).map(|n| HOUR + Duration::from_micros(n as u64))).await;
    }
    batches(size) * size
}

/// Tasks that sleep, and wake within 200 ms of one another in random order. Also measures how late they are.
async fn fire<P: Timers>(size: usize) -> Done {
    // All tasks are asleep before the first one wakes.
    let least = Duration::from_micros(size as u64);
    let span = Duration::from_millis(200).as_nanos() as u64;
    let task = |n: usize| {
        let spread = (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) % span;
        let delay = least + Duration::from_nanos(spread);
        P::spawn(async move {
            let start = Instant::now();
            P::sleep(delay).await;
            start.elapsed().checked_sub(delay).expect("never too early")
        })
    };
    let tasks: Vec<_> = (0..size).map(task).collect();
    let mut late = Duration::ZERO;
    for task in tasks {
        late += P::join(task).await;
    }
    Done::said(size, late.as_nanos() as f64)
}
