//! Futures of both kinds, and leaves that go from one thread to another.

use crate::{MS, scaffold::*};
use asyncio_core::{Error, Result};
use asyncio_future::Future;
use asyncio_locks::{Event, Lock};
use asyncio_queues::Queue;
use asyncio_task::{AnyTask, Task, create_task, sleep};
use std::{
    cell::Cell,
    future::{Future as StdFuture, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    thread,
    time::Duration,
};

#[test]
fn a_result_that_another_thread_drops_is_not_found_again() {
    repeat("results dropped", |random| {
        let living = Arc::new(AtomicUsize::new(0));
        let counted = living.clone();
        let (tasks, names): (Vec<Task<Counted>>, Vec<AnyTask>) = run(random, async move {
            let tasks: Vec<_> = (0..20)
                .map(|_| {
                    let value = Counted::new(&counted);
                    create_task(async move { Ok(value) })
                })
                .collect();
            sleep(MS).await?;
            // From now on the value is copied.
            let names = tasks.iter().map(|task| (*task.clone()).clone()).collect();
            Ok((tasks, names))
        });
        // The loop is closed: the thread that drops the last handle drops the result.
        let gate = Arc::new(Gate::new(2));
        let there = gate.clone();
        let thread = thread::spawn(move || {
            there.wait();
            tasks.into_iter().for_each(drop);
        });
        gate.wait();
        for task in names.iter().rev() {
            if let Some(task) = task.downcast::<Counted>() {
                assert_eq!(task.result().unwrap().text, "alive");
            }
        }
        thread.join().unwrap();
        assert!(names.iter().all(|task| task.downcast::<Counted>().is_none()));
        assert_eq!(living.load(SeqCst), 0);
    });
}

#[test]
fn futures_are_set_cancelled_and_awaited_across_threads_and_loops() {
    repeat("futures across loops", |random| {
        let futures: Vec<Future<Arc<String>>> = (0..10).map(|_| Future::new()).collect();
        let waits = |mut random: Random| {
            let futures = futures.clone();
            move || {
                let mut own = random.fork();
                run(&mut random, async move {
                    let called = Rc::new(Cell::new(0));
                    let mut tasks = Vec::new();
                    for future in &futures {
                        let count = called.clone();
                        let callback = move |_: &Future<_>| count.set(count.get() + 1);
                        let callback = future.add_done_callback(callback)?;
                        if own.below(4) == 0 {
                            future.remove_done_callback(&callback);
                        }
                        let task = create_task(future.clone());
                        if own.below(8) == 0 {
                            // The task cancels the future.
                            sleep(Duration::ZERO).await?;
                            task.cancel();
                        }
                        tasks.push(task);
                    }
                    let mut ended = 0;
                    for task in tasks {
                        match task.await {
                            Ok(text) => assert_eq!(*text, "set"),
                            Err(error) => assert!(matches!(error, Error::Cancelled(_))),
                        }
                        ended += 1;
                    }
                    assert_eq!(ended, 10);
                    Ok(())
                });
            }
        };
        let sets = |mut random: Random| {
            let futures = futures.clone();
            move || {
                for future in futures {
                    random.dawdle();
                    match random.below(3) {
                        0 => _ = future.set_result(Arc::new("set".to_owned())),
                        1 => _ = future.cancel(),
                        _ => drop(future.clone()),
                    }
                    let _ = future.set_result(Arc::new("set".to_owned()));
                }
            }
        };
        let blocks = {
            let futures = futures.clone();
            move || {
                for future in futures {
                    drop(futures_lite::future::block_on(future));
                }
            }
        };
        at_once(vec![
            Box::new(waits(random.fork())),
            Box::new(waits(random.fork())),
            Box::new(sets(random.fork())),
            Box::new(sets(random.fork())),
            Box::new(blocks),
        ]);
        assert!(futures.iter().all(Future::done));
    });
}

pub(super) type Leaf = Pin<Box<dyn StdFuture<Output = Result<()>> + Send>>;

/// A leaf of some kind, which may be sent, and waits for long.
fn some_leaf(
    random: &mut Random,
    future: &Future<()>,
    lock: &Arc<Lock>,
    event: &Arc<Event>,
    queue: &Arc<Queue<u32>>,
    task: &Task<()>,
) -> Leaf {
    let (lock, event, queue) = (lock.clone(), event.clone(), queue.clone());
    match random.below(7) {
        0 => Box::pin(sleep(Duration::from_secs(100))),
        1 => Box::pin(sleep(MS)),
        2 => Box::pin(future.clone()),
        3 => Box::pin(async move { lock.acquire().await.map(drop) }),
        4 => Box::pin(async move { event.wait().await.map(drop) }),
        5 => Box::pin(async move { queue.get().await.map(drop) }),
        _ => Box::pin(task.clone()),
    }
}

#[test]
fn leaves_are_moved_to_other_tasks_threads_and_loops_and_dropped_there() {
    repeat("leaves moved", |random| {
        let (send, receive) = channel::<Leaf>();
        let (future, lock) = (Future::new(), Arc::new(Lock::new(())));
        let (event, queue) = (Arc::new(Event::new()), Arc::new(Queue::new(0)));
        let guard = lock.try_acquire().unwrap();
        let things = (future.clone(), lock.clone(), event.clone(), queue.clone());
        let mut own = random.fork();
        beside(|threads| {
            let mut random_there = random.fork();
            threads.spawn(move || {
                let leaves: Vec<Leaf> = receive.iter().collect();
                let mut own = random_there.fork();
                run(&mut random_there, async move {
                    for mut leaf in leaves {
                        if own.coin() {
                            // Polled here, in a task of this loop; then dropped, or cancelled.
                            let task = create_task(async move {
                                let once = poll_fn(|cx| Poll::Ready(leaf.as_mut().poll(cx)));
                                if once.await.is_pending() {
                                    leaf.await?;
                                }
                                Ok(())
                            });
                            sleep(Duration::ZERO).await?;
                            task.cancel();
                            drop(task.await);
                        }
                    }
                    Ok(())
                });
            });
            run(random, async move {
                let (future, lock, event, queue) = things;
                let slow = create_task(async { sleep(20 * MS).await });
                let mut moved = Vec::new();
                for _ in 0..20 {
                    let mut leaf = some_leaf(&mut own, &future, &lock, &event, &queue, &slow);
                    let (send, kind) = (send.clone(), own.below(4));
                    moved.push(create_task(async move {
                        let polled = poll_fn(|cx| Poll::Ready(leaf.as_mut().poll(cx))).await;
                        if polled.is_ready() {
                            return Ok(());
                        }
                        match kind {
                            // Dropped by another task, by another thread; awaited by another task.
                            0 => drop(create_task(async move {
                                drop(leaf);
                                Ok(())
                            })),
                            1 | 2 => send.send(leaf),
                            _ => _ = create_task(leaf).cancel_with("enough"),
                        }
                        sleep(Duration::ZERO).await
                    }));
                }
                drop(send);
                for task in moved {
                    task.await?;
                }
                event.set();
                let _ = queue.put_nowait(1);
                let _ = future.set_result(());
                drop(slow);
                sleep(MS).await
            });
            drop(guard);
        });
    });
}
