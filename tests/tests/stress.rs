//! Locks and queues under threads, tasks and random interruptions: cancellations from any thread, and
//! drops.
//!
//! A moment of it runs as a test. For a long run, in release:
//!
//! ```sh
//! ASYNCIO_STRESS=5000000 cargo test --release -p asyncio-tests --test stress -- --nocapture
//! ```
//!
//! ASYNCIO_STRESS is the number of operations. ASYNCIO_STRESS_SEED repeats a run: exactly in one loop;
//! with threads its choices, but not how they met.

use asyncio::{
    AnyTask, EventLoop, Lock, Queue, Result, Semaphore, Task, create_task, current_task,
};
use asyncio_tests::support::{briefly, cancelled, iterations, run};
use futures_lite::future::{block_on, or, yield_now};
use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    future::Future,
    rc::Rc,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

/// Half of the threads run a loop of ours, half an executor of smol's.
const THREADS: u64 = 4;
const TASKS: u64 = 8;
const PERMITS: usize = 3;
const PLACES: usize = 5;

/// An item: the number of its producer, and its number there.
type Item = (u64, u64);

/// A generator of pseudorandom numbers (xorshift).
struct Random(u64);

impl Random {
    fn new(seed: u64, number: u64) -> Random {
        Random((seed ^ number << 32).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// How many operations, and the seed.
fn dimensions() -> (u64, u64) {
    let variable = |name| std::env::var(name).ok()?.parse().ok();
    let operations = variable("ASYNCIO_STRESS").unwrap_or(100_000);
    let clock = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(1, |time| time.subsec_nanos());
    let seed = variable("ASYNCIO_STRESS_SEED").unwrap_or(u64::from(clock));
    println!("ASYNCIO_STRESS={operations} ASYNCIO_STRESS_SEED={seed}");
    (operations, seed)
}

/// Drops `operation` after some polls, at random, which may be in the very step for which it was woken;
/// then there is no outcome.
async fn perhaps<T>(random: &mut Random, operation: impl Future<Output = T>) -> Option<T> {
    let (patience, looks_first) = (random.below(6), random.below(2) == 0);
    let give_up = async {
        for _ in 0..patience {
            yield_now().await;
        }
        None
    };
    let operation = async { Some(operation.await) };
    match looks_first {
        true => or(operation, give_up).await,
        false => or(give_up, operation).await,
    }
}

#[derive(Debug, Default)]
struct Counts {
    put: usize,
    got: usize,
    /// The balance of items: puts minus gets.
    sum: u64,
    dropped: usize,
    cancelled: usize,
    workers: u64,
}

struct Shared {
    queue: Queue<Item>,
    semaphore: Semaphore,
    inside: AtomicUsize,
    lock: Lock<Counts>,
    /// The tasks that may be cancelled.
    tasks: Mutex<Vec<AnyTask>>,
}

fn weight((producer, n): Item) -> u64 {
    (producer << 40 ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Works on all objects. In a task of `ours`, it is sometimes cancelled, and half of its operations
/// are not dropped.
async fn worker(shared: &Shared, number: u64, seed: u64, operations: u64, ours: bool) {
    let mut random = Random::new(seed, number);
    let mut newest = HashMap::new();
    let mut counts = Counts::default();
    for n in 0..operations {
        let waits = ours && random.below(2) == 0;
        macro_rules! outcome {
            ($operation:expr) => {{
                let operation = $operation;
                let outcome = match waits {
                    true => Some(operation.await),
                    false => perhaps(&mut random, operation).await,
                };
                counts.dropped += usize::from(outcome.is_none());
                counts.cancelled += usize::from(matches!(outcome, Some(Err(_))));
                outcome
            }};
        }
        match random.below(3) {
            0 => {
                let mut put = shared.queue.put((number, n));
                match outcome!(&mut put) {
                    Some(Ok(())) => {
                        counts.put += 1;
                        counts.sum = counts.sum.wrapping_add(weight((number, n)));
                    }
                    Some(Err(error)) => {
                        assert!(error.is_cancelled(), "{error:?}");
                        assert_eq!(put.into_item(), Some((number, n)));
                    }
                    None => {}
                }
            }
            1 => {
                if let Some(Ok(item)) = outcome!(shared.queue.get()) {
                    let before = newest.insert(item.0, item.1);
                    assert!(before < Some(item.1), "out of order: {before:?}, then {item:?}");
                    counts.got += 1;
                    counts.sum = counts.sum.wrapping_sub(weight(item));
                }
            }
            _ => {
                if let Some(Ok(_permit)) = outcome!(shared.semaphore.acquire()) {
                    let inside = shared.inside.fetch_add(1, Ordering::SeqCst);
                    assert!(inside < PERMITS, "{inside} permits are out already");
                    for _ in 0..random.below(8) {
                        pause(ours).await;
                    }
                    shared.inside.fetch_sub(1, Ordering::SeqCst);
                }
            }
        }
        if let Some(Ok(mut total)) = outcome!(shared.lock.acquire()) {
            pause(ours).await;
            total.dropped += std::mem::take(&mut counts.dropped);
            total.cancelled += std::mem::take(&mut counts.cancelled);
        }
    }
    let mut total = loop {
        if let Ok(total) = shared.lock.acquire().await {
            break total;
        }
    };
    total.put += counts.put;
    total.got += counts.got;
    total.sum = total.sum.wrapping_add(counts.sum);
    total.dropped += counts.dropped;
    total.cancelled += counts.cancelled;
    total.workers += 1;
}

/// An iteration of its executor. In a task of ours it may end in a cancellation, and that is all.
async fn pause(ours: bool) {
    match ours {
        true => _ = briefly().await,
        false => yield_now().await,
    }
}

/// Cancels one task after the other, of any loop.
async fn cancel_at_random(shared: &Shared, mut random: Random) -> Result<()> {
    loop {
        for _ in 0..=random.below(4) {
            briefly().await?;
        }
        let tasks = shared.tasks.lock().unwrap();
        if let Some(n) = random.0.checked_rem(tasks.len() as u64) {
            tasks[n as usize].cancel();
        }
    }
}

async fn in_a_loop(shared: &'static Shared, thread: u64, seed: u64, share: u64) -> Result<()> {
    let spawn = |n| {
        create_task(async move {
            shared.tasks.lock().unwrap().extend(current_task());
            worker(shared, thread * TASKS + n, seed, share, true).await;
            Ok(())
        })
    };
    let workers: Vec<Task<()>> = (0..TASKS).map(spawn).collect();
    let canceller = create_task(cancel_at_random(shared, Random::new(seed, !thread)));
    for worker in workers {
        // It may have been cancelled in its last step.
        let _ = worker.await;
    }
    canceller.cancel();
    Ok(())
}

fn under_smol(shared: &Shared, thread: u64, seed: u64, share: u64) {
    let executor = smol::LocalExecutor::new();
    let spawn = |n| executor.spawn(worker(shared, thread * TASKS + n, seed, share, false));
    let workers: Vec<_> = (0..TASKS).map(spawn).collect();
    block_on(executor.run(async {
        for worker in workers {
            worker.await;
        }
    }));
}

#[test]
fn threads_lose_nothing_and_double_nothing() {
    let (operations, seed) = dimensions();
    let shared: &Shared = Box::leak(Box::new(Shared {
        queue: Queue::new(PLACES),
        semaphore: Semaphore::new(PERMITS),
        inside: AtomicUsize::new(0),
        lock: Lock::new(Counts::default()),
        tasks: Mutex::default(),
    }));
    let share = operations / (THREADS * TASKS);
    let (sender, ends) = mpsc::channel();
    for thread in 0..THREADS {
        let sender = sender.clone();
        thread::spawn(move || {
            if thread % 2 == 0 {
                let event_loop = EventLoop::builder().build().unwrap();
                event_loop.run_until_complete(in_a_loop(shared, thread, seed, share)).unwrap();
                event_loop.close().unwrap();
            } else {
                under_smol(shared, thread, seed, share);
            }
            sender.send(())
        });
    }
    for _ in 0..THREADS {
        let limit = Duration::from_secs(60 + operations / 10_000);
        ends.recv_timeout(limit).expect("a thread fails, or waits for ever");
    }
    assert_eq!(shared.semaphore.value(), PERMITS, "permits");
    let mut total = shared.lock.try_acquire().expect("the lock is free in the end");
    println!("{total:?}, {} items left", shared.queue.qsize());
    assert_eq!(total.workers, THREADS * TASKS, "workers that came to their end");
    while let Ok(item) = shared.queue.get_nowait() {
        total.got += 1;
        total.sum = total.sum.wrapping_sub(weight(item));
    }
    assert_eq!((total.put, total.sum), (total.got, 0), "items");
    assert!(total.put > 0 && total.dropped > 0 && total.cancelled > 0, "there was nothing to see");
}

/// The expected order of events in one loop.
#[derive(Default)]
struct Expected {
    items: VecDeque<Item>,
    /// The uncancelled waiters for the lock and the semaphore, with their operations.
    lines: [VecDeque<Item>; 2],
    cancelled: usize,
    served: usize,
}

impl Expected {
    fn strike(&mut self, number: u64) {
        self.lines.iter_mut().for_each(|line| line.retain(|waiting| waiting.0 != number));
    }
}

struct InOrder {
    queue: Queue<Item>,
    lock: Lock,
    semaphore: Semaphore,
    expected: RefCell<Expected>,
}

impl InOrder {
    async fn worker(&self, number: u64, mut random: Random, operations: u64) {
        for n in 0..operations {
            let waits = random.below(2) == 0;
            macro_rules! outcome {
                ($operation:expr) => {
                    match waits {
                        true => Some($operation.await),
                        false => perhaps(&mut random, $operation).await,
                    }
                };
            }
            match random.below(5) {
                0 => {
                    let mut put = self.queue.put((number, n));
                    match outcome!(&mut put) {
                        Some(Ok(())) => self.expected.borrow_mut().items.push_back((number, n)),
                        Some(Err(_)) => assert_eq!(put.into_item(), Some((number, n))),
                        None => {}
                    }
                }
                1 => {
                    if let Some(Ok(item)) = outcome!(self.queue.get()) {
                        assert_eq!(self.expected.borrow_mut().items.pop_front(), Some(item));
                    }
                }
                2 => {
                    self.arrive(0, (number, n));
                    let lock = outcome!(self.lock.acquire());
                    self.serve(0, (number, n), matches!(lock, Some(Ok(_))));
                    let _ = briefly().await;
                }
                3 => {
                    self.arrive(1, (number, n));
                    let permit = outcome!(self.semaphore.acquire());
                    self.serve(1, (number, n), matches!(permit, Some(Ok(_))));
                    let _ = briefly().await;
                }
                _ => {
                    let at_once = (self.lock.try_acquire(), self.semaphore.try_acquire());
                    let taken = [at_once.0.is_some(), at_once.1.is_some()];
                    let lines = &self.expected.borrow().lines;
                    for (is_taken, line) in taken.into_iter().zip(lines) {
                        assert!(!is_taken || line.is_empty(), "overtaken: {line:?}");
                    }
                }
            }
            // A cancellation that came for an operation which was dropped ends here.
            let _ = briefly().await;
        }
    }

    fn arrive(&self, line: usize, waiting: Item) {
        self.expected.borrow_mut().lines[line].push_back(waiting);
    }

    /// The waiter that was served was the first in the queue.
    fn serve(&self, line: usize, waiting: Item, is_served: bool) {
        let expected = &mut *self.expected.borrow_mut();
        if is_served {
            assert_eq!(expected.lines[line].front(), Some(&waiting), "{:?}", expected.lines);
            expected.served += 1;
        }
        expected.strike(waiting.0);
    }

    /// Without cancellations, every waiter is served soon: no wake-up was lost.
    async fn calm(&self) -> Result<()> {
        let before = self.expected.borrow().lines.clone();
        iterations(20 * TASKS as usize).await?;
        let lines = &self.expected.borrow().lines;
        let forgotten = |waiting: &Item| lines.iter().any(|line| line.contains(waiting));
        assert!(!before.iter().flatten().any(forgotten), "{before:?}, and still {lines:?}");
        Ok(())
    }
}

#[test]
fn one_loop_serves_in_the_order_of_arrival() {
    let (operations, seed) = dimensions();
    run(async move {
        let shared = Rc::new(InOrder {
            queue: Queue::new(PLACES),
            lock: Lock::new(()),
            // With more than one permit, a waiter that is polled anyway may see its wake-up before
            // an earlier woken waiter runs.
            semaphore: Semaphore::new(1),
            expected: RefCell::default(),
        });
        let workers = (0..TASKS).map(|number| {
            let shared = shared.clone();
            let worker = async move {
                let random = Random::new(seed, number);
                shared.worker(number, random, operations / TASKS).await;
                Ok(())
            };
            create_task(worker)
        });
        let workers: Vec<_> = workers.collect();
        let mut random = Random::new(seed, TASKS);
        while workers.iter().any(|worker| !worker.done()) {
            if random.below(100) == 0 {
                shared.calm().await?;
            }
            for _ in 0..=random.below(4) {
                briefly().await?;
            }
            let number = random.below(TASKS);
            if workers[number as usize].cancel() {
                // From now on it is passed over.
                let expected = &mut *shared.expected.borrow_mut();
                expected.cancelled += 1;
                expected.strike(number);
            }
        }
        for worker in workers {
            // It may have been cancelled in its last step, but nothing else.
            let outcome = worker.await;
            assert!(outcome.is_ok() || cancelled(&outcome), "{outcome:?}");
        }
        let expected = shared.expected.borrow();
        println!("{} were served, {} cancelled", expected.served, expected.cancelled);
        assert!(expected.served > 0 && expected.cancelled > 0, "there was nothing to see");
        assert_eq!(shared.semaphore.value(), 1, "permits");
        assert!(!shared.lock.locked());
        assert_eq!(shared.queue.qsize(), expected.items.len(), "items");
        Ok(())
    });
}
