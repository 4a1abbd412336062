//! Queues: items passed from task to task, and a queue that is filled and emptied.

use crate::{
    peers::Queues,
    workload::{Measure, Workload, batches, contestants},
};

pub(crate) fn workloads() -> Vec<Workload> {
    vec![
        Workload::new(
            "pingpong",
            "ping-pong over two queues of one slot",
            contestants!(pingpong: Asyncio, Tokio, Smol, Monoio),
        )
        .ceiling(0.55)
        .in_python(),
        Workload::new(
            "bounded",
            "queue of {n}, one producer, one consumer",
            contestants!(bounded: Asyncio, Tokio, Smol, Monoio),
        )
        .size(64)
        .ceiling(0.60)
        .in_python(),
        Workload::new(
            "queue",
            "queue filled with {n}, and emptied",
            contestants!(filled: Asyncio, Tokio, Smol, Monoio),
        )
        .size(64)
        .grows(),
        Workload::new(
            "queue-allocations",
            "allocations for an item of a queue",
            contestants!(bounded: Asyncio, Tokio, Smol, Monoio),
        )
        .size(64)
        .measure(Measure::Allocations),
    ]
}

async fn pingpong<P: Queues>(_: usize) -> usize {
    let times = batches(1);
    let ((ping, mut pinged), (pong, mut ponged)) = (P::queue(1), P::queue(1));
    let other = P::spawn(async move {
        for _ in 0..times {
            let n = P::get(&mut pinged).await;
            P::put(&pong, n + 1).await;
        }
    });
    let mut n = 0;
    for _ in 0..times {
        P::put(&ping, n).await;
        n = P::get(&mut ponged).await;
    }
    P::join(other).await;
    assert_eq!(n, times);
    times
}

async fn bounded<P: Queues>(size: usize) -> usize {
    let times = 5 * batches(1);
    let (sender, mut receiver) = P::queue(size);
    let producer = P::spawn(async move {
        for n in 0..times {
            P::put(&sender, n).await;
        }
    });
    for n in 0..times {
        assert_eq!(P::get(&mut receiver).await, n);
    }
    P::join(producer).await;
    times
}

async fn filled<P: Queues>(size: usize) -> usize {
    let (sender, mut receiver) = P::queue(size);
    let times = 5 * batches(size);
    for _ in 0..times {
        for n in 0..size {
            P::put(&sender, n).await;
        }
        for n in 0..size {
            assert_eq!(P::get(&mut receiver).await, n);
        }
    }
    times * size
}
