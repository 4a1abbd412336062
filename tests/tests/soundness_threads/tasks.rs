//! Tasks, their handles and their wakers.

use crate::{MS, scaffold::*};
use asyncio_core::{Error, Result};
use asyncio_future::Future;
use asyncio_task::{AnyTask, Task, all_tasks, create_task, sleep};
use std::{
    cell::Cell,
    future::poll_fn,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Poll, Waker},
    time::Duration,
};

/// Sends the waker with which it is polled to `wakers`, and is ready when `done` is set.
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
                        // The result is available only on the loop's thread; asking for it elsewhere
                        // is harmless.
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

/// Clones a handle on another thread, and waits for that.
fn cloned_elsewhere<T: Clone + Send + 'static>(task: &Task<T>) -> Task<T> {
    std::thread::scope(|scope| scope.spawn(|| task.clone()).join().unwrap())
}

#[test]
fn a_handle_that_was_cloned_on_another_thread_keeps_the_value_for_the_second() {
    let living = Arc::new(AtomicUsize::new(0));
    let counted = living.clone();
    asyncio_loop::run(async move {
        for is_done in [false, true] {
            let value = Counted::new(&counted);
            let task = create_task(async { Ok(value) });
            if is_done {
                sleep(Duration::ZERO).await?;
            }
            let clones = [(); 3].map(|()| cloned_elsewhere(&task));
            drop(task.await?);
            let after = cloned_elsewhere(&clones[0]);
            for clone in clones.into_iter().chain([after]) {
                drop(clone.await?);
            }
        }
        // Failed retrievals: through clones of tasks that fail, are dropped, or have returned their
        // value.
        let failing = create_task(async { Err::<Counted, _>(Error::value("on purpose")) });
        let clone = cloned_elsewhere(&failing);
        assert!(failing.await.is_err() && clone.await.is_err());
        let value = Counted::new(&counted);
        drop(cloned_elsewhere(&create_task(async { Ok(value) })));
        let value = Counted::new(&counted);
        let mut given = create_task(async { Ok(value) });
        drop((&mut given).await?);
        drop(cloned_elsewhere(&given));
        Ok(())
    })
    .unwrap();
    assert_eq!(living.load(SeqCst), 0);
}
