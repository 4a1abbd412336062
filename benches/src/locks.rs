//! Locks, uncontended and with a queue of waiters.

use crate::{
    peers::Locks,
    workload::{Workload, batches, contestants},
};
use std::rc::Rc;

pub(crate) fn workloads() -> Vec<Workload> {
    vec![
        Workload::new("lock", "lock, uncontended", contestants!(free: Asyncio, Tokio, Smol))
            .ceiling(0.50)
            .in_python(),
        Workload::new("line", "lock, {n} tasks in line", contestants!(line: Asyncio, Tokio, Smol))
            .size(100)
            .ceiling(0.40)
            .grows()
            .in_python(),
    ]
}

async fn free<P: Locks>(_: usize) -> usize {
    let lock = P::new_lock();
    let times = 5 * batches(1);
    for _ in 0..times {
        *P::lock(&lock).await += 1;
    }
    assert_eq!(*P::lock(&lock).await, times);
    times
}

/// Each holder lets the other tasks run once, so that all of them are in the queue.
async fn line<P: Locks>(size: usize) -> usize {
    let lock = Rc::new(P::new_lock());
    let each = batches(size);
    let queue_up = |lock: Rc<P::Lock>| async move {
        for _ in 0..each {
            let mut count = P::lock(&lock).await;
            P::pass().await;
            *count += 1;
        }
    };
    let tasks: Vec<_> = (0..size).map(|_| P::spawn(queue_up(lock.clone()))).collect();
    for task in tasks {
        P::join(task).await;
    }
    assert_eq!(*P::lock(&lock).await, each * size);
    each * size
}
