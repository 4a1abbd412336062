//! Threads, tasks and random cancellation on a queue, a semaphore and a lock at once.
//!
//! A few seconds of it run as a test. For a long run, in release:
//!
//! ```sh
//! ASYNCIO_STRESS=5000000 cargo test --release -p asyncio-queues --test stress -- --nocapture
//! ```
//!
//! ASYNCIO_STRESS is the number of operations; ASYNCIO_STRESS_SEED repeats the choices of a run, though
//! not how its threads met.
#![cfg(not(loom))]

use asyncio_locks::{Lock, Semaphore};
use asyncio_queues::Queue;
use futures_lite::future::{block_on, or, yield_now};
use std::{
    collections::HashMap,
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

const THREADS: u64 = 4;
const TASKS: u64 = 8;
const PERMITS: usize = 3;
const PLACES: usize = 5;

/// An item: who put it, and which of theirs it is.
type Item = (u64, u64);

#[derive(Default)]
struct Counts {
    put: usize,
    got: usize,
    given_up: usize,
}

struct Shared {
    queue: Queue<Item>,
    semaphore: Semaphore,
    inside: AtomicUsize,
    lock: Lock<Counts>,
}

/// A generator of pseudorandom numbers (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Drops `operation` after some polls, at random: a foreign task gives up so.
async fn perhaps<T>(random: &mut Random, operation: impl Future<Output = T>) -> Option<T> {
    let patience = random.below(6);
    let give_up = async {
        for _ in 0..patience {
            yield_now().await;
        }
        None
    };
    or(async { Some(operation.await) }, give_up).await
}

async fn task(shared: &Shared, number: u64, seed: u64, operations: u64) {
    let mut random = Random((seed ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut counts = Counts::default();
    let mut newest = HashMap::new();
    for n in 0..operations {
        let done = match random.below(3) {
            0 => {
                let put = perhaps(&mut random, shared.queue.put((number, n))).await;
                counts.put += usize::from(put.as_ref().is_some_and(|put| put.is_ok()));
                put.is_some()
            }
            1 => {
                let got = perhaps(&mut random, shared.queue.get()).await;
                if let Some(item) = &got {
                    let (producer, n) = item.as_ref().copied().expect("the queue is open");
                    let before = newest.insert(producer, n);
                    assert!(before < Some(n), "out of order: {before:?}, {n} of {producer}");
                    counts.got += 1;
                }
                got.is_some()
            }
            _ => {
                let permit = perhaps(&mut random, shared.semaphore.acquire()).await;
                if permit.is_some() {
                    let inside = shared.inside.fetch_add(1, Ordering::SeqCst);
                    assert!(inside < PERMITS, "{inside} permits are out already");
                    for _ in 0..random.below(8) {
                        yield_now().await;
                    }
                    shared.inside.fetch_sub(1, Ordering::SeqCst);
                }
                permit.is_some()
            }
        };
        if let Some(Ok(mut total)) = perhaps(&mut random, shared.lock.acquire()).await {
            yield_now().await;
            total.given_up += usize::from(!done);
        }
    }
    let mut total = shared.lock.acquire().await.expect("nobody cancels here");
    total.put += counts.put;
    total.got += counts.got;
}

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn nothing_is_lost_doubled_or_out_of_order() {
    let operations = variable("ASYNCIO_STRESS", 200_000);
    let clock = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_nanos());
    let seed = variable("ASYNCIO_STRESS_SEED", u64::try_from(clock % 1_000_000_007).unwrap_or(1));
    println!("ASYNCIO_STRESS={operations} ASYNCIO_STRESS_SEED={seed}");
    let shared = Shared {
        queue: Queue::new(PLACES),
        semaphore: Semaphore::new(PERMITS),
        inside: AtomicUsize::new(0),
        lock: Lock::new(Counts::default()),
    };
    let share = operations / (THREADS * TASKS);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let shared = &shared;
            scope.spawn(move || {
                let executor = smol::LocalExecutor::new();
                let tasks = (0..TASKS).map(|n| thread * TASKS + n);
                let tasks: Vec<_> =
                    tasks.map(|number| executor.spawn(task(shared, number, seed, share))).collect();
                block_on(executor.run(async {
                    for task in tasks {
                        task.await;
                    }
                }));
            });
        }
    });
    assert_eq!(shared.semaphore.value(), PERMITS, "permits");
    let total = shared.lock.into_inner();
    let left = std::iter::from_fn(|| shared.queue.get_nowait().ok()).count();
    let Counts { put, got, given_up } = total;
    println!("{put} put, {got} got, {left} left, {given_up} given up");
    assert_eq!(put, got + left, "items");
    assert!(put > 0 && got > 0 && given_up > 0, "there was something to see");
}
