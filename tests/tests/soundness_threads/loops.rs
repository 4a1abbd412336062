//! Loops, and requests from other threads.

use crate::{MS, futures::Leaf, scaffold::*};
use asyncio_core::{
    Error,
    raw::{LoopRef, with_entered},
    wait::Waiter,
};
use asyncio_future::{ConcurrentFuture, Future};
use asyncio_loop::{LoopHandle, new_event_loop};
use asyncio_task::{AnyTask, Task, create_task, run_coroutine_threadsafe, sleep};
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Poll, Waker},
    thread,
    time::Duration,
};

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
                // Until all have been served; or less long, so that the loop closes meanwhile.
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
        // Objects that outlive their loop, and are used while its home belongs to another loop.
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
                        // The cancellation from the other thread may have come.
                        let _ = sleep(Duration::ZERO).await;
                        Ok(())
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

/// Types that can be sent and shared. The documentation has compile-fail examples of those that
/// cannot.
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

/// A reference to a loop in the destructor of a thread-local reaches no data once the thread has
/// released the home.
#[test]
fn a_loop_that_is_kept_until_its_thread_ends_gives_nothing_then() {
    struct AtTheEnd(LoopRef, Sender<bool>);
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            let found = self.0.with(|_| ()).or_else(|| self.0.enter(|| with_entered(|_| ())));
            self.1.send(found.is_none());
        }
    }
    thread_local!(static END: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) });
    let (send, receive) = channel();
    let thread = thread::spawn(move || {
        END.set(None);
        let event_loop = new_event_loop().unwrap();
        END.set(Some(AtTheEnd(event_loop.home(), send)));
        event_loop.close().unwrap();
    });
    thread.join().unwrap();
    assert!(receive.iter().next().unwrap());
}
