//! Safe code, however it is written, does nothing undefined: threads that run against each other for
//! a moment, each test with a seed that it prints (`ASYNCIO_SEED` repeats one). Most of what could go
//! wrong here shows in a sanitizer alone; what shows without one is asserted: every value is dropped
//! once, on a thread on which it may be, everybody who waits is woken, and who asks gets an answer.

mod scaffold;

use asyncio_core::{Error, Result, home, wait::Waiter};
use asyncio_future::{ConcurrentFuture, Future};
use asyncio_locks::{Event, Lock};
use asyncio_loop::{LoopHandle, new_event_loop};
use asyncio_queues::Queue;
use asyncio_task::{AnyTask, Task, all_tasks, create_task, run_coroutine_threadsafe, sleep};
use scaffold::*;
use std::{
    cell::{Cell, RefCell},
    future::{Future as StdFuture, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Poll, Waker},
    thread::{self},
    time::Duration,
};

const MS: Duration = Duration::from_millis(1);

/// Gives the waker with which it is polled to `wakers`, and is ready when `done` says so.
async fn lend_waker(wakers: Sender<Waker>, done: Arc<AtomicBool>, here: Here) -> Result<()> {
    let mut sent = false;
    poll_fn(|cx| {
        here.touch();
        if done.load(SeqCst) {
            return Poll::Ready(());
        }
        if !std::mem::replace(&mut sent, true) {
            wakers.send(cx.waker().clone());
        }
        Poll::Pending
    })
    .await;
    Ok(())
}

#[test]
fn a_waker_is_dropped_on_another_thread_after_the_loop_closed() {
    repeat("wakers after close", |random| {
        let (send, receive) = channel();
        let tasks = 1 + random.below(8);
        let kept = run(random, async move {
            let done = Arc::new(AtomicBool::new(false));
            let mut kept = Vec::new();
            for n in 0..tasks {
                let lent = lend_waker(send.clone(), done.clone(), Here::new());
                let task = create_task(lent);
                if n % 2 == 0 {
                    kept.push((*task).clone());
                }
            }
            sleep(Duration::ZERO).await?;
            Ok(kept)
        });
        let mut wakers: Vec<Waker> = receive.iter().collect();
        wakers.extend(wakers.clone());
        let half = wakers.split_off(wakers.len() / 2);
        let mut orders = [random.fork(), random.fork()];
        let [first, second] = &mut orders;
        let use_up = |wakers: Vec<Waker>, random: &mut Random| {
            for waker in wakers {
                match random.below(4) {
                    0 => drop(waker),
                    1 => waker.wake(),
                    2 => waker.wake_by_ref(),
                    _ => drop((waker.clone(), waker)),
                }
            }
        };
        at_once(vec![
            Box::new(|| use_up(wakers, first)),
            Box::new(|| use_up(half, second)),
            Box::new(|| kept.into_iter().for_each(|task| assert!(task.done()))),
        ]);
    });
}

#[test]
fn a_waker_is_called_on_other_threads_while_the_loop_runs_and_closes() {
    repeat("wakers during close", |random| {
        let (send, receive) = channel::<Waker>();
        let done = Arc::new(AtomicBool::new(false));
        let (stop, finishes) = (Arc::new(AtomicBool::new(false)), random.coin());
        beside(|threads| {
            let mut dawdler = random.fork();
            let (ended, finished) = (stop.clone(), done.clone());
            threads.spawn(move || {
                let mut wakers = Vec::new();
                while !ended.load(SeqCst) {
                    wakers.extend(receive.try_iter());
                    if finishes && dawdler.below(20) == 0 {
                        finished.store(true, SeqCst);
                    }
                    for waker in &wakers {
                        waker.wake_by_ref();
                    }
                    dawdler.dawdle();
                }
            });
            run(random, async move {
                for _ in 0..8 {
                    let lent = lend_waker(send.clone(), done.clone(), Here::new());
                    drop(create_task(lent));
                }
                for _ in 0..50 {
                    sleep(Duration::ZERO).await?;
                }
                Ok(())
            });
            stop.store(true, SeqCst);
        });
    });
}

#[test]
fn a_task_ends_while_it_is_cancelled_from_elsewhere() {
    repeat("cancelled from elsewhere", |random| {
        let (send, receive) = channel::<AnyTask>();
        let living = Arc::new(AtomicUsize::new(0));
        let (stop, counted) = (AtomicBool::new(false), living.clone());
        let mut own = random.fork();
        beside(|threads| {
            let mut dawdler = random.fork();
            let stop = &stop;
            threads.spawn(move || {
                let mut tasks = Vec::new();
                while !stop.load(SeqCst) {
                    tasks.extend(receive.try_iter());
                    for task in &tasks {
                        task.cancel_with("from elsewhere");
                        assert!(!format!("{task:?}{}", task.name()).is_empty());
                        dawdler.dawdle();
                    }
                    if tasks.len() > 20 {
                        tasks.drain(..10);
                    }
                }
                tasks.iter().for_each(|task| assert!(!task.cancel()));
            });
            run(random, async move {
                let mut tasks = Vec::new();
                for _ in 0..40 {
                    let (value, steps, swallows) =
                        (Counted::new(&counted), own.below(4), own.coin());
                    let here = Here::new();
                    let task = create_task(async move {
                        for _ in 0..steps {
                            match sleep(Duration::ZERO).await {
                                Err(Error::Cancelled(_)) if swallows => {}
                                other => other?,
                            }
                            here.touch();
                        }
                        Ok(value)
                    });
                    send.send((*task).clone());
                    tasks.push(task);
                    if own.coin() {
                        sleep(Duration::ZERO).await?;
                    }
                }
                for task in tasks {
                    match task.await {
                        Ok(value) => drop(value),
                        Err(error) => assert!(matches!(error, Error::Cancelled(_))),
                    }
                }
                Ok(())
            });
            stop.store(true, SeqCst);
        });
        assert_eq!(living.load(SeqCst), 0);
    });
}

#[test]
fn a_handle_is_dropped_while_callbacks_are_added_and_another_thread_cancels() {
    repeat("handles dropped", |random| {
        let (send, receive) = channel::<Task<Counted>>();
        let (tell, told) = channel::<AnyTask>();
        let living = Arc::new(AtomicUsize::new(0));
        let (counted, mut own) = (living.clone(), random.fork());
        beside(|threads| {
            let (mut one, mut other) = (random.fork(), random.fork());
            threads.spawn(move || {
                for task in receive.iter() {
                    one.dawdle();
                    drop(task);
                }
            });
            threads.spawn(move || {
                for task in told.iter() {
                    other.dawdle();
                    task.cancel();
                }
            });
            run(random, async move {
                let called = Rc::new(Cell::new(0));
                for _ in 0..40 {
                    let (value, forever) = (Counted::new(&counted), own.coin());
                    let task = create_task(async move {
                        match forever {
                            true => Future::<()>::new().await?,
                            false => sleep(Duration::ZERO).await?,
                        }
                        Ok(value)
                    });
                    tell.send((*task).clone());
                    for _ in 0..3 {
                        let count = called.clone();
                        let callback = move |task: &Task<Counted>| {
                            assert!(task.done());
                            count.set(count.get() + 1);
                        };
                        let callback = task.add_done_callback(callback)?;
                        if own.below(4) == 0 {
                            task.remove_done_callback(&callback);
                        }
                    }
                    send.send(if own.coin() { task.clone() } else { task });
                    if own.coin() {
                        sleep(Duration::ZERO).await?;
                    }
                }
                drop((send, tell));
                sleep(MS).await
            });
        });
        assert_eq!(living.load(SeqCst), 0);
    });
}

#[test]
fn handles_are_cloned_and_dropped_on_several_threads_while_tasks_finish() {
    repeat("handles cloned", |random| {
        let living = Arc::new(AtomicUsize::new(0));
        let channels: Vec<_> = (0..3).map(|_| channel::<Task<Counted>>()).collect();
        let (senders, receivers): (Vec<_>, Vec<_>) = channels.into_iter().unzip();
        let (counted, mut own) = (living.clone(), random.fork());
        beside(|threads| {
            for receiver in receivers {
                let mut random = random.fork();
                threads.spawn(move || {
                    let mut kept = Vec::new();
                    for task in receiver.iter() {
                        // The result is for the loop's thread alone; that it is asked for is no harm.
                        assert!(task.result().is_err() && task.exception().is_err());
                        assert!(!task.cancelled());
                        kept.push(task.clone());
                        kept.push(task);
                        if random.below(3) == 0 {
                            kept.truncate(random.below(5) as usize);
                        }
                        random.dawdle();
                    }
                    // Now the loop may be closed, or not.
                    random.dawdle();
                });
            }
            run(random, async move {
                for n in 0..40 {
                    let (value, steps) = (Counted::new(&counted), own.below(3));
                    let task = create_task(async move {
                        for _ in 0..steps {
                            sleep(Duration::ZERO).await?;
                        }
                        Ok(value)
                    });
                    for sender in &senders {
                        sender.send(task.clone());
                    }
                    match n % 4 {
                        0 => drop(task.await?),
                        1 => drop(task),
                        2 => drop(task.name()),
                        _ => sleep(Duration::ZERO).await?,
                    }
                }
                Ok(())
            });
        });
        assert_eq!(living.load(SeqCst), 0);
    });
}

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
        // The loop is closed: whoever drops the last handle drops the result, where that is.
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

type Leaf = Pin<Box<dyn StdFuture<Output = Result<()>> + Send>>;

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

#[test]
fn coroutines_come_from_ten_threads() {
    repeat("ten threads", |random| {
        let living = Arc::new(AtomicUsize::new(0));
        let early = random.coin();
        let mut jobs: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
        let finished = Arc::new(AtomicUsize::new(0));
        let handle = Slot::new();
        let (place, count) = (handle.clone(), finished.clone());
        let mut own = random.fork();
        jobs.push(Box::new(move || {
            run(&mut own, async move {
                let event_loop = asyncio_loop::get_running_loop()?;
                place.set(event_loop.handle());
                // Until all have been served; or not so long, and the loop closes under them.
                while !early && count.load(SeqCst) < 10 {
                    sleep(MS).await?;
                }
                sleep(MS).await
            });
        }));
        for _ in 0..10 {
            let (mut random, living) = (random.fork(), living.clone());
            let (handle, finished) = (handle.clone(), finished.clone());
            jobs.push(Box::new(move || {
                let event_loop: LoopHandle = handle.get();
                let futures: Vec<ConcurrentFuture<Counted>> = (0..10)
                    .map(|_| {
                        let (value, delay) = (Counted::new(&living), random.below(2) as u32);
                        let job = async move {
                            sleep(delay * MS / 4).await?;
                            Ok(value)
                        };
                        run_coroutine_threadsafe(job, event_loop)
                    })
                    .collect();
                for future in futures {
                    if random.below(4) == 0 {
                        future.cancel();
                    }
                    // One whose loop closes before it begins stays pending, as in Python.
                    let patience = if early { 50 * MS } else { 60_000 * MS };
                    match future.result(patience) {
                        Ok(value) => assert_eq!(value.text, "alive"),
                        Err(Error::Timeout(_)) => assert!(early),
                        Err(_) => {}
                    }
                }
                finished.fetch_add(1, SeqCst);
            }));
        }
        at_once(jobs);
        assert_eq!(living.load(SeqCst), 0);
    });
}

#[test]
fn threadsafe_callbacks_are_cancelled_from_other_threads_while_they_run() {
    repeat("threadsafe callbacks", |random| {
        let living = Arc::new(AtomicUsize::new(0));
        let handle = Slot::new();
        let mut jobs: Vec<Box<dyn FnOnce() + Send + '_>> = Vec::new();
        let (mut own, ended) = (random.fork(), AtomicUsize::new(0));
        let (place, ended) = (&handle, &ended);
        jobs.push(Box::new(move || {
            let event_loop = new_event_loop().unwrap();
            place.set(event_loop.handle());
            let early = own.below(3) == 0;
            while !early && ended.load(SeqCst) < 3 {
                event_loop.stop();
                event_loop.run_forever().unwrap();
                own.dawdle();
            }
            event_loop.close().unwrap();
        }));
        for _ in 0..3 {
            let (mut random, living) = (random.fork(), living.clone());
            jobs.push(Box::new(move || {
                let event_loop: LoopHandle = place.get();
                for _ in 0..30 {
                    let (value, running) =
                        (Counted::new(&living), Arc::new(AtomicBool::new(false)));
                    let (inside, mut slow) = (running.clone(), random.fork());
                    let callback = move || {
                        inside.store(true, SeqCst);
                        slow.dawdle();
                        assert_eq!(value.text, "alive");
                        drop(value);
                        inside.store(false, SeqCst);
                    };
                    let Ok(handle) = event_loop.call_soon_threadsafe(callback) else { break };
                    random.dawdle();
                    if random.coin() {
                        let other = handle.clone();
                        other.cancel();
                        assert!(!running.load(SeqCst), "cancel waits for one that runs");
                    }
                }
                ended.fetch_add(1, SeqCst);
            }));
        }
        at_once(jobs);
        assert_eq!(living.load(SeqCst), 0);
    });
}

#[test]
fn handles_and_timers_are_cancelled_from_other_threads() {
    repeat("handles cancelled", |random| {
        let (send, receive) = channel();
        let mut own = random.fork();
        beside(|threads| {
            let mut random_there = random.fork();
            threads.spawn(move || {
                for handle in receive.iter() {
                    let handle: asyncio_core::handle::TimerHandle = handle;
                    random_there.dawdle();
                    handle.cancel();
                    assert!(handle.cancelled());
                    drop(handle.get_context());
                }
            });
            run(random, async move {
                let event_loop = asyncio_loop::get_running_loop()?;
                for _ in 0..60 {
                    let (here, delay) = (Here::new(), own.below(3) as u32);
                    let callback = move || here.touch();
                    send.send(event_loop.call_later(delay * MS / 20, callback)?);
                    if own.coin() {
                        sleep(Duration::ZERO).await?;
                    }
                }
                Ok(())
            });
        });
    });
}

#[test]
fn loops_are_opened_and_closed_by_the_thousand_on_many_threads() {
    repeat("homes", |random| {
        // What outlives its loop, and is used while the home is another loop's.
        let (send, receive) = channel::<(AnyTask, LoopHandle, Waker, Leaf)>();
        let mut jobs: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
        for _ in 0..4 {
            let (mut random, send) = (random.fork(), send.clone());
            jobs.push(Box::new(move || {
                for _ in 0..25 {
                    // Two at a time, closed in either order.
                    let first = new_event_loop().unwrap();
                    let second = random.coin().then(|| new_event_loop().unwrap());
                    if random.coin() {
                        first.close().unwrap();
                    } else if let Some(second) = &second {
                        second.close().unwrap();
                    }
                    drop(second.map(|second| second.close()));
                    first.close().unwrap();
                    let send = send.clone();
                    run(&mut random, async move {
                        let mut leaf: Leaf = Box::pin(sleep(Duration::from_secs(9)));
                        let waker = poll_fn(|cx| {
                            assert!(leaf.as_mut().poll(cx).is_pending());
                            Poll::Ready(cx.waker().clone())
                        });
                        let waker = waker.await;
                        let task = asyncio_task::current_task().unwrap();
                        let handle = asyncio_loop::get_running_loop()?.handle();
                        send.send((task, handle, waker, leaf));
                        drop(create_task(async { Future::<()>::new().await }));
                        sleep(Duration::ZERO).await
                    });
                }
            }));
        }
        drop(send);
        jobs.push(Box::new(move || {
            for (task, handle, waker, leaf) in receive.iter() {
                waker.wake_by_ref();
                task.cancel();
                let _ = handle.call_soon_threadsafe(|| ());
                drop(leaf);
                drop((waker, task));
            }
        }));
        // Each thread ends, and leaves its homes to the next round's.
        at_once(jobs);
    });
}

#[test]
fn coroutines_spawn_cancel_and_run_others_when_they_are_dropped() {
    repeat("coroutines dropped", |random| {
        let living = Arc::new(AtomicUsize::new(0));
        let (counted, mut own) = (living.clone(), random.fork());
        run(random, async move {
            let mut names: Vec<AnyTask> = Vec::new();
            for n in 0..20 {
                let (value, others) = (Counted::new(&counted), names.clone());
                let guard = OnDrop(move || {
                    assert_eq!(value.text, "alive");
                    others.iter().for_each(|task| _ = task.cancel());
                    let inner = value.clone();
                    let again = Task::builder().eager_start(true).create(async move {
                        let _inner = inner;
                        sleep(Duration::ZERO).await
                    });
                    again.cancel();
                    drop(again);
                    for task in all_tasks().unwrap_or_default() {
                        drop(task.downcast::<()>());
                    }
                });
                let eager = own.coin();
                let task = Task::builder().eager_start(eager).create(async move {
                    let _guard = guard;
                    sleep(n % 3 * MS / 10).await?;
                    Future::<()>::new().await
                });
                names.push((*task).clone());
                match own.below(4) {
                    0 => _ = task.cancel(),
                    1 => sleep(Duration::ZERO).await?,
                    _ => drop(task),
                }
            }
            Ok(())
        });
        assert_eq!(living.load(SeqCst), 0);
    });
}

/// What is sent and shared, by type; what stays, by the compiler's refusal in the documentation.
#[test]
fn what_may_be_sent_may_be_sent() {
    fn sent<T: Send>() {}
    fn shared<T: Sync>() {}
    sent::<Task<Cell<u32>>>();
    shared::<Task<Cell<u32>>>();
    sent::<Future<Cell<u32>>>();
    shared::<Future<Cell<u32>>>();
    sent::<AnyTask>();
    shared::<AnyTask>();
    sent::<LoopHandle>();
    sent::<Waiter>();
    shared::<Waiter>();
}

/// What a thread keeps when it ends, and gives to the destructors of its thread-locals.
#[test]
fn a_forgotten_guard_names_no_loop_of_another_thread() {
    struct AtTheEnd(Sender<bool>);
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            self.0.send(home::entered().is_none());
        }
    }
    thread_local!(static END: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) });
    let (send, receive) = channel();
    let thread = thread::spawn(move || {
        END.set(Some(AtTheEnd(send)));
        let event_loop = new_event_loop().unwrap();
        std::mem::forget(event_loop.home().enter());
        event_loop.close().unwrap();
    });
    thread.join().unwrap();
    assert!(receive.iter().next().unwrap());
}
