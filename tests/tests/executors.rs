//! The same programs on locks and queues, under several executors.

use asyncio::{
    Barrier, BoundedSemaphore, Condition, Error, Event, EventLoop, Lock, Queue, Semaphore,
    create_task,
};
use futures_lite::future::{block_on, yield_now};
use futures_util::future::join_all;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

/// One part of a program.
type Part = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A program, and the condition that must hold when all of its parts have ended.
type Program = (&'static str, Vec<Part>, Box<dyn FnOnce() -> bool + Send>);

fn parts<F: Future<Output = ()> + Send + 'static>(
    n: usize,
    part: impl FnMut(usize) -> F,
) -> Vec<Part> {
    (0..n).map(part).map(|part| Box::pin(part) as Part).collect()
}

fn one_at_a_time() -> Program {
    let lock = Arc::new(Lock::new(0));
    let part = |_| {
        let lock = lock.clone();
        async move {
            for _ in 0..50 {
                let mut n = lock.acquire().await.unwrap();
                let before = *n;
                yield_now().await;
                *n = before + 1;
            }
        }
    };
    let parts = parts(4, part);
    ("Lock", parts, Box::new(move || lock.try_acquire().is_some_and(|n| *n == 200)))
}

/// Ball games: each waits for its own event, and sets the next one's.
fn round_and_round() -> Program {
    let events: Arc<[Event; 3]> = Arc::default();
    events[0].set();
    let part = |n: usize| {
        let events = events.clone();
        async move {
            for _ in 0..30 {
                events[n].wait().await.unwrap();
                events[n].clear();
                events[(n + 1) % 3].set();
            }
        }
    };
    ("Event", parts(3, part), Box::new(move || events[0].is_set() && !events[1].is_set()))
}

/// The even ones bring ten each, the odd ones wait for ten each.
fn bring_and_take() -> Program {
    let shelf = Arc::new(Condition::new(0));
    let part = |n| {
        let shelf = shelf.clone();
        async move {
            for _ in 0..10 {
                let mut loaves = shelf.acquire().await.unwrap();
                if n % 2 == 0 {
                    *loaves += 1;
                    loaves.notify(1);
                } else {
                    loaves.wait_for(|loaves| *loaves > 0).await.unwrap();
                    *loaves -= 1;
                }
                drop(loaves);
                yield_now().await;
            }
        }
    };
    let parts = parts(6, part);
    ("Condition", parts, Box::new(move || shelf.try_acquire().is_some_and(|loaves| *loaves == 0)))
}

fn three_of_ten() -> Program {
    let shared = Arc::new((Semaphore::new(3), AtomicUsize::new(0)));
    let part = |_| {
        let shared = shared.clone();
        async move {
            let (semaphore, inside) = &*shared;
            for _ in 0..20 {
                let permit = semaphore.acquire().await.unwrap();
                assert!(inside.fetch_add(1, SeqCst) < 3, "more are inside than may be");
                yield_now().await;
                inside.fetch_sub(1, SeqCst);
                drop(permit);
            }
        }
    };
    ("Semaphore", parts(10, part), Box::new(move || shared.0.value() == 3))
}

fn bounded() -> Program {
    let semaphore = Arc::new(BoundedSemaphore::new(2));
    let part = |_| {
        let semaphore = semaphore.clone();
        async move {
            for _ in 0..20 {
                semaphore.acquire().await.unwrap().forget();
                yield_now().await;
                semaphore.release().unwrap();
            }
        }
    };
    ("BoundedSemaphore", parts(5, part), Box::new(move || semaphore.release().is_err()))
}

fn all_together() -> Program {
    let shared = Arc::new((Barrier::new(4).unwrap(), AtomicUsize::new(0)));
    let part = |_| {
        let shared = shared.clone();
        async move {
            for _ in 0..20 {
                shared.1.fetch_add(shared.0.wait().await.unwrap(), SeqCst);
            }
        }
    };
    let indices = 20 * (1 + 2 + 3);
    ("Barrier", parts(4, part), Box::new(move || shared.1.load(SeqCst) == indices))
}

/// Two producers, three consumers; the last part joins the queue when all is put, and shuts it down.
fn produce_and_consume() -> Program {
    let shared = Arc::new((Queue::new(2), Semaphore::new(0), AtomicUsize::new(0)));
    let part = |n| {
        let shared = shared.clone();
        async move {
            let (queue, produced, sum) = &*shared;
            match n {
                0 | 1 => {
                    for item in 1..=100 {
                        queue.put(item).await.unwrap();
                    }
                    produced.release();
                }
                2..5 => loop {
                    match queue.get().await {
                        Ok(item) => sum.fetch_add(item, SeqCst),
                        Err(Error::QueueShutDown(_)) => break,
                        Err(error) => panic!("{error:?}"),
                    };
                    yield_now().await;
                    queue.task_done().unwrap();
                },
                _ => {
                    for _ in 0..2 {
                        produced.acquire().await.unwrap().forget();
                    }
                    queue.join().await.unwrap();
                    queue.shutdown(false);
                }
            }
        }
    };
    ("Queue", parts(6, part), Box::new(move || shared.2.load(SeqCst) == 2 * 5050))
}

const PROGRAMS: [fn() -> Program; 7] = [
    one_at_a_time,
    round_and_round,
    bring_and_take,
    three_of_ten,
    bounded,
    all_together,
    produce_and_consume,
];

/// Runs every program under `executor`, which runs parts to their end.
#[track_caller]
fn run_all(executor: fn(Vec<Part>)) {
    for program in PROGRAMS {
        let (name, parts, is_right) = program();
        let (sender, ended) = mpsc::channel();
        let run = thread::spawn(move || {
            executor(parts);
            sender.send(())
        });
        if let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(Duration::from_secs(60)) {
            panic!("{name}: hangs");
        }
        assert!(run.join().is_ok(), "{name}: a part failed");
        assert!(is_right(), "{name}: wrong in the end");
    }
}

#[test]
fn in_tasks_of_a_loop() {
    run_all(|parts| {
        let event_loop = EventLoop::builder().build().unwrap();
        let spawn = |part| create_task(part_of(part));
        let outcome = event_loop.run_until_complete(async move {
            for task in parts.into_iter().map(spawn).collect::<Vec<_>>() {
                task.await?;
            }
            Ok(())
        });
        event_loop.close().unwrap();
        outcome.unwrap();
    });
}

async fn part_of(part: Part) -> asyncio::Result<()> {
    part.await;
    Ok(())
}

#[test]
fn in_a_loop_for_each_thread() {
    run_all(|parts| {
        let run = |part| {
            let event_loop = EventLoop::builder().build().unwrap();
            let outcome = event_loop.run_until_complete(part_of(part));
            event_loop.close().unwrap();
            outcome.unwrap();
        };
        in_threads(parts, run);
    });
}

fn in_threads(parts: Vec<Part>, run: fn(Part)) {
    thread::scope(|scope| {
        for part in parts {
            scope.spawn(move || run(part));
        }
    });
}

#[test]
fn under_tokio_with_several_threads() {
    run_all(|parts| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        runtime.block_on(async {
            for task in parts.into_iter().map(tokio::spawn).collect::<Vec<_>>() {
                task.await.unwrap();
            }
        });
    });
}

#[test]
fn under_smol() {
    run_all(|parts| {
        smol::block_on(async {
            for task in parts.into_iter().map(smol::spawn).collect::<Vec<_>>() {
                task.await;
            }
        });
    });
}

#[test]
fn in_one_future_that_is_blocked_on() {
    run_all(|parts| _ = block_on(join_all(parts)));
}

#[test]
fn in_a_thread_each() {
    run_all(|parts| in_threads(parts, block_on));
}
