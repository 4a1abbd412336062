//! What is measured. Each contestant does the same work, and says how many operations it did.

use asyncio::{Lock, Queue, Semaphore};
use std::{future::Future, rc::Rc, sync::Arc, time::Duration};

/// A piece of work, done by ours, by tokio's current-thread runtime and by smol's `LocalExecutor`.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// How many operations each contestant does.
    pub(crate) operations: usize,
    pub(crate) contestants: Vec<fn() -> usize>,
}

pub(crate) fn all() -> Vec<Workload> {
    vec![
        Workload {
            name: "spawn",
            what: "spawn 1,000 tasks and await them",
            operations: BATCHES * TASKS,
            contestants: vec![|| ours(spawn_asyncio()), || tokios(spawn_tokio()), || {
                smols(spawn_smol)
            }],
        },
        Workload {
            name: "yield",
            what: "sleep(0) in 100 tasks",
            operations: 100 * YIELDS,
            contestants: vec![|| ours(yield_asyncio()), || tokios(yield_tokio()), || {
                smols(yield_smol)
            }],
        },
        Workload {
            name: "cancel",
            what: "spawn, park, cancel and join (peers: abort)",
            operations: BATCHES * TASKS,
            contestants: vec![|| ours(cancel_asyncio()), || tokios(cancel_tokio())],
        },
        Workload {
            name: "pingpong",
            what: "ping-pong over two queues of one, round trip",
            operations: ROUND_TRIPS,
            contestants: vec![|| ours(ping_asyncio()), || tokios(ping_tokio())],
        },
        Workload {
            name: "lock",
            what: "lock, uncontended",
            operations: LOCKS,
            contestants: vec![|| ours(lock_asyncio()), || tokios(lock_tokio())],
        },
        Workload {
            name: "line",
            what: "lock, 100 tasks in line, one yield inside",
            operations: 100 * TURNS,
            contestants: vec![|| ours(line_asyncio()), || tokios(line_tokio())],
        },
        Workload {
            name: "semaphore",
            what: "semaphore, uncontended",
            operations: LOCKS,
            contestants: vec![|| ours(semaphore_asyncio()), || tokios(semaphore_tokio())],
        },
        Workload {
            name: "queue",
            what: "queue, put and get in one task",
            operations: LOCKS,
            contestants: vec![|| ours(queue_asyncio()), || tokios(queue_tokio())],
        },
        Workload {
            name: "bounded",
            what: "queue of 64, one producer, one consumer",
            operations: LOCKS,
            contestants: vec![|| ours(bounded_asyncio()), || tokios(bounded_tokio())],
        },
        Workload {
            name: "timeout",
            what: "timeout around one yield",
            operations: TIMEOUTS,
            contestants: vec![|| ours(timeout_asyncio()), || tokios(timeout_tokio())],
        },
    ]
}

const TASKS: usize = 1_000;
const BATCHES: usize = 100;
const YIELDS: usize = 2_000;
const ROUND_TRIPS: usize = 100_000;
const LOCKS: usize = 500_000;
const TURNS: usize = 1_000;
const TIMEOUTS: usize = 200_000;

fn ours(main: impl Future<Output = asyncio::Result<usize>> + 'static) -> usize {
    asyncio::run(main).expect("the workload does not fail")
}

fn tokios(main: impl Future<Output = usize> + 'static) -> usize {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().build_local(Default::default()).expect("tokio starts");
    runtime.block_on(main)
}

fn smols<F: Future<Output = usize>>(
    main: impl FnOnce(Rc<smol::LocalExecutor<'static>>) -> F,
) -> usize {
    let executor = Rc::new(smol::LocalExecutor::new());
    smol::block_on(executor.run(main(executor.clone())))
}

async fn spawn_asyncio() -> asyncio::Result<usize> {
    let mut done = 0;
    for _ in 0..BATCHES {
        let tasks: Vec<_> =
            (0..TASKS).map(|n| asyncio::create_task(async move { Ok(n) })).collect();
        for (n, task) in tasks.into_iter().enumerate() {
            done += usize::from(task.await? == n);
        }
    }
    Ok(done)
}

async fn spawn_tokio() -> usize {
    let mut done = 0;
    for _ in 0..BATCHES {
        let tasks: Vec<_> =
            (0..TASKS).map(|n| tokio::task::spawn_local(async move { n })).collect();
        for (n, task) in tasks.into_iter().enumerate() {
            done += usize::from(task.await.is_ok_and(|m| m == n));
        }
    }
    done
}

async fn spawn_smol(executor: Rc<smol::LocalExecutor<'static>>) -> usize {
    let mut done = 0;
    for _ in 0..BATCHES {
        let tasks: Vec<_> = (0..TASKS).map(|n| executor.spawn(async move { n })).collect();
        for (n, task) in tasks.into_iter().enumerate() {
            done += usize::from(task.await == n);
        }
    }
    done
}

async fn yield_asyncio() -> asyncio::Result<usize> {
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            asyncio::create_task(async {
                for _ in 0..YIELDS {
                    asyncio::sleep(Duration::ZERO).await?;
                }
                Ok(YIELDS)
            })
        })
        .collect();
    Ok(asyncio::gather(tasks).await?.into_iter().sum())
}

async fn yield_tokio() -> usize {
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            tokio::task::spawn_local(async {
                for _ in 0..YIELDS {
                    tokio::task::yield_now().await;
                }
                YIELDS
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap_or(0);
    }
    done
}

async fn yield_smol(executor: Rc<smol::LocalExecutor<'static>>) -> usize {
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            executor.spawn(async {
                for _ in 0..YIELDS {
                    smol::future::yield_now().await;
                }
                YIELDS
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await;
    }
    done
}

async fn cancel_asyncio() -> asyncio::Result<usize> {
    let mut done = 0;
    for _ in 0..BATCHES {
        let hour = Duration::from_secs(3600);
        let tasks: Vec<_> =
            (0..TASKS).map(|_| asyncio::create_task(asyncio::sleep(hour))).collect();
        asyncio::sleep(Duration::ZERO).await?;
        tasks.iter().for_each(|task| _ = task.cancel());
        for task in tasks {
            done += usize::from(task.await.is_err_and(|error| error.is_cancelled()));
        }
    }
    Ok(done)
}

async fn cancel_tokio() -> usize {
    let mut done = 0;
    for _ in 0..BATCHES {
        let hour = Duration::from_secs(3600);
        let tasks: Vec<_> =
            (0..TASKS).map(|_| tokio::task::spawn_local(tokio::time::sleep(hour))).collect();
        tokio::task::yield_now().await;
        tasks.iter().for_each(|task| task.abort());
        for task in tasks {
            done += usize::from(task.await.is_err_and(|error| error.is_cancelled()));
        }
    }
    done
}

async fn ping_asyncio() -> asyncio::Result<usize> {
    let (ping, pong) = (Rc::new(Queue::new(1)), Rc::new(Queue::new(1)));
    let (ping2, pong2) = (ping.clone(), pong.clone());
    let other = asyncio::create_task(async move {
        for _ in 0..ROUND_TRIPS {
            let n: usize = ping2.get().await?;
            pong2.put(n + 1).await?;
        }
        Ok(())
    });
    let mut n = 0;
    for _ in 0..ROUND_TRIPS {
        ping.put(n).await?;
        n = pong.get().await?;
    }
    other.await?;
    Ok(n)
}

async fn ping_tokio() -> usize {
    let (to, mut from_here) = tokio::sync::mpsc::channel::<usize>(1);
    let (back, mut from_there) = tokio::sync::mpsc::channel::<usize>(1);
    let other = tokio::task::spawn_local(async move {
        while let Some(n) = from_here.recv().await {
            if back.send(n + 1).await.is_err() {
                break;
            }
        }
    });
    let mut n = 0;
    for _ in 0..ROUND_TRIPS {
        if to.send(n).await.is_err() {
            break;
        }
        n = from_there.recv().await.unwrap_or(0);
    }
    drop(to);
    let _ = other.await;
    n
}

async fn lock_asyncio() -> asyncio::Result<usize> {
    let lock = Lock::new(0usize);
    for _ in 0..LOCKS {
        *lock.acquire().await? += 1;
    }
    Ok(lock.into_inner())
}

async fn lock_tokio() -> usize {
    let lock = Arc::new(tokio::sync::Mutex::new(0usize));
    for _ in 0..LOCKS {
        *lock.lock().await += 1;
    }
    *lock.lock().await
}

async fn line_asyncio() -> asyncio::Result<usize> {
    let lock = Rc::new(Lock::new(0usize));
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let lock = lock.clone();
            asyncio::create_task(async move {
                for _ in 0..TURNS {
                    let mut count = lock.acquire().await?;
                    asyncio::sleep(Duration::ZERO).await?;
                    *count += 1;
                }
                Ok(())
            })
        })
        .collect();
    asyncio::gather(tasks).await?;
    Ok(*lock.acquire().await?)
}

async fn line_tokio() -> usize {
    let lock = Arc::new(tokio::sync::Mutex::new(0usize));
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let lock = lock.clone();
            tokio::task::spawn_local(async move {
                for _ in 0..TURNS {
                    let mut count = lock.lock().await;
                    tokio::task::yield_now().await;
                    *count += 1;
                }
            })
        })
        .collect();
    for task in tasks {
        let _ = task.await;
    }
    *lock.lock().await
}

async fn semaphore_asyncio() -> asyncio::Result<usize> {
    let semaphore = Semaphore::new(3);
    let mut done = 0;
    for _ in 0..LOCKS {
        let permit = semaphore.acquire().await?;
        done += 1;
        drop(permit);
    }
    Ok(done)
}

async fn semaphore_tokio() -> usize {
    let semaphore = tokio::sync::Semaphore::new(3);
    let mut done = 0;
    for _ in 0..LOCKS {
        let permit = semaphore.acquire().await;
        done += usize::from(permit.is_ok());
        drop(permit);
    }
    done
}

async fn queue_asyncio() -> asyncio::Result<usize> {
    let queue = Queue::new(64);
    let mut done = 0;
    for n in 0..LOCKS {
        queue.put(n).await?;
        done += usize::from(queue.get().await? == n);
    }
    Ok(done)
}

async fn queue_tokio() -> usize {
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<usize>(64);
    let mut done = 0;
    for n in 0..LOCKS {
        if sender.send(n).await.is_ok() {
            done += usize::from(receiver.recv().await == Some(n));
        }
    }
    done
}

async fn bounded_asyncio() -> asyncio::Result<usize> {
    let queue = Rc::new(Queue::new(64));
    let ours = queue.clone();
    let producer = asyncio::create_task(async move {
        for n in 0..LOCKS {
            ours.put(n).await?;
        }
        Ok(())
    });
    let mut done = 0;
    for n in 0..LOCKS {
        done += usize::from(queue.get().await? == n);
    }
    producer.await?;
    Ok(done)
}

async fn bounded_tokio() -> usize {
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<usize>(64);
    let producer = tokio::task::spawn_local(async move {
        for n in 0..LOCKS {
            if sender.send(n).await.is_err() {
                return;
            }
        }
    });
    let mut done = 0;
    for n in 0..LOCKS {
        done += usize::from(receiver.recv().await == Some(n));
    }
    let _ = producer.await;
    done
}

async fn timeout_asyncio() -> asyncio::Result<usize> {
    let hour = Duration::from_secs(3600);
    for _ in 0..TIMEOUTS {
        asyncio::wait_for(asyncio::sleep(Duration::ZERO), hour).await?;
    }
    Ok(TIMEOUTS)
}

async fn timeout_tokio() -> usize {
    let hour = Duration::from_secs(3600);
    let mut done = 0;
    for _ in 0..TIMEOUTS {
        done += usize::from(tokio::time::timeout(hour, tokio::task::yield_now()).await.is_ok());
    }
    done
}
