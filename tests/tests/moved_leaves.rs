//! Leaves that were moved to another task or thread, and the types that may be moved there.

use asyncio::{
    AnyTask, AsCompleted, Awaitable, ConcurrentFuture, Error, Event, Future, Lock, NextCompleted,
    Queue, Result, Semaphore, Shield, Sleep, Task, TaskGroup, as_completed, create_task,
    current_task, gather, get_running_loop, shield, sleep, to_thread, wait_for,
};
use asyncio_tests::support::{
    MS, Reports, awaiting, briefly, cancelled, iterations, poll_once, run,
};
use std::{
    cell::RefCell,
    future::{Future as StdFuture, pending, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::{Arc, mpsc},
    task::{Poll, Waker},
    thread,
    time::Duration,
};

type Foreign = Pin<Box<dyn StdFuture<Output = Result<()>>>>;

// Moved to another task.

/// Polls the leaf in a task that then ends, and passes the leaf on.
async fn polled_elsewhere<F>(leaf: F) -> Result<F>
where
    F: StdFuture + Unpin + 'static,
    F::Output: 'static,
{
    create_task(async move {
        let mut leaf = leaf;
        assert!(poll_once(&mut leaf).await.is_none());
        briefly().await?;
        Ok(leaf)
    })
    .await
}

#[test]
fn a_leaf_polled_in_one_task_is_finished_in_another() {
    run(async {
        let future = Future::new();
        let awaiting_future = polled_elsewhere(future.clone()).await?;
        let take = polled_elsewhere(future.take()).await?;
        let nap = polled_elsewhere(sleep(5 * MS).result("rested")).await?;
        let inner = create_task(sleep(7 * MS).result("task"));
        let awaiting_task = polled_elsewhere(inner.clone()).await?;
        let shielded = polled_elsewhere(shield(inner.clone())).await?;
        let gathered = polled_elsewhere(gather([inner.clone()]).into_future()).await?;
        let next = as_completed([inner]).next_future().expect("one");
        let next = polled_elsewhere(next).await?;
        let setter = future.clone();
        get_running_loop()?.call_later(3 * MS, move || setter.set_result(7).is_ok())?;
        assert_eq!(awaiting_future.await?, 7);
        assert_eq!(take.await?, 7);
        assert_eq!(nap.await?, "rested");
        assert_eq!(get_running_loop()?.time(), 5 * MS);
        assert_eq!(awaiting_task.await?, "task");
        assert_eq!(shielded.await?, "task");
        assert_eq!(gathered.await?, ["task"]);
        assert_eq!(next.await?, "task");
        Ok(())
    });
}

#[test]
fn a_leaf_whose_time_comes_between_two_tasks_is_woken_in_the_second() {
    run(async {
        let yielding = polled_elsewhere_briefly(sleep(Duration::ZERO)).await?;
        let nap = polled_elsewhere(sleep(5 * MS)).await?;
        let inner = create_task(sleep(5 * MS).result(7));
        let next = as_completed([inner]).next_future().expect("one");
        let next = polled_elsewhere(next).await?;
        sleep(9 * MS).await?;
        // The tasks in which they were polled have ended, and could not be woken.
        yielding.await?;
        nap.await?;
        assert_eq!(next.await?, 7);
        assert_eq!(get_running_loop()?.time(), 9 * MS);
        Ok(())
    });
}

#[test]
fn an_item_meant_for_a_leaf_whose_task_has_ended_goes_on_when_that_is_dropped() {
    run(async {
        let (a, b) = (Future::new(), Future::<u32>::new());
        let mut soonest = as_completed([a.clone(), b]);
        let first = polled_elsewhere(soonest.next_future().expect("of two")).await?;
        let second = create_task(soonest.next_future().expect("of two"));
        briefly().await?;
        a.set_result(7)?;
        iterations(2).await?;
        assert!(!second.done());
        drop(first);
        assert_eq!(second.await?, 7);
        Ok(())
    });
}

/// [`polled_elsewhere`], in a task that ends in the same step.
async fn polled_elsewhere_briefly<F: StdFuture + Unpin + 'static>(leaf: F) -> Result<F> {
    create_task(async move {
        let mut leaf = leaf;
        assert!(poll_once(&mut leaf).await.is_none());
        Ok(leaf)
    })
    .await
}

#[test]
fn a_sleep_that_began_is_refused_in_another_thread() {
    run(async {
        let mut nap = sleep(5 * MS);
        assert!(poll_once(&mut nap).await.is_none());
        let outcome = to_thread(move || {
            let event_loop = asyncio_tests::support::virtual_loop();
            // Keys of timers are alike in all loops: this one's must not be taken for that.
            let outcome = event_loop.run_until_complete(async {
                let other = create_task(sleep(7 * MS));
                briefly().await?;
                let outcome = nap.await;
                other.await?;
                Ok(outcome)
            });
            event_loop.close()?;
            outcome
        });
        assert!(matches!(outcome.await??, Err(Error::Runtime(_))));
        Ok(())
    });
}

#[test]
fn a_moved_leaf_is_cancelled_with_the_task_that_awaits_it_now() {
    run(async {
        let future = Future::<()>::new();
        for leaf in [true, false] {
            let leaf: Foreign = match leaf {
                true => Box::pin(polled_elsewhere(future.clone()).await?),
                false => Box::pin(polled_elsewhere(sleep(90 * MS)).await?),
            };
            let task = create_task(leaf);
            briefly().await?;
            assert!(task.wait_site().is_some());
            task.cancel();
            assert!(cancelled(&task.await));
        }
        assert!(future.cancelled());
        Ok(())
    });
}

#[test]
fn a_task_whose_leaf_was_taken_away_waits_for_nothing() {
    run(async {
        let (slot, future) = (Rc::new(RefCell::new(None)), Future::<()>::new());
        let (given, leaf) = (slot.clone(), future.clone());
        let task = create_task(async move {
            let mut leaf = leaf;
            assert!(poll_once(&mut leaf).await.is_none());
            given.replace(Some(leaf));
            pending::<Result<()>>().await
        });
        briefly().await?;
        drop(slot.take());
        future.set_result(())?;
        iterations(2).await?;
        task.cancel();
        assert!(cancelled(&task.await));
        Ok(())
    });
}

// Moved to another thread.

#[test]
fn a_leaf_that_is_dropped_in_another_thread_takes_nothing_with_it() {
    run(async {
        let (future, event) = (Future::new(), Arc::new(Event::new()));
        let inside = event.clone();
        let mut leaf = future.clone();
        let mut nap = sleep(5 * MS);
        let mut wait: Pin<Box<dyn StdFuture<Output = bool> + Send>> =
            Box::pin(async move { inside.wait().await.is_ok() });
        assert!(poll_once(&mut leaf).await.is_none());
        assert!(poll_once(&mut nap).await.is_none());
        assert!(poll_once(&mut wait).await.is_none());
        let (other, waiter) = (awaiting(&future), create_task(async move { event.wait().await }));
        briefly().await?;
        let dropped = to_thread(move || drop((leaf, nap, wait)));
        dropped.await?;
        future.set_result(7)?;
        assert_eq!(other.await?, 7);
        // The task can wait and be cancelled as usual.
        sleep(10 * MS).await?;
        let me = current_task().expect("this is a task");
        me.cancel();
        assert!(cancelled(&sleep(MS).await));
        waiter.cancel();
        assert!(cancelled(&waiter.await));
        Ok(())
    });
}

#[test]
fn a_future_goes_on_in_another_thread() {
    run(async {
        let future = Future::new();
        let mut leaf = future.clone();
        assert!(poll_once(&mut leaf).await.is_none());
        let (sender, receiver) = mpsc::channel();
        let job = to_thread(move || {
            let mut leaf = leaf;
            let first = {
                let mut cx = std::task::Context::from_waker(Waker::noop());
                Pin::new(&mut leaf).poll(&mut cx).is_pending()
            };
            let told = sender.send(()).is_ok();
            (first, told, futures_lite::future::block_on(leaf))
        });
        let job = create_task(job);
        to_thread(move || receiver.recv().is_ok()).await?;
        future.set_result(7)?;
        let (first, told, outcome) = job.await?;
        assert_eq!((first, told, outcome?), (true, true, 7));
        Ok(())
    });
}

#[test]
fn a_waker_that_outlives_its_loop_wakes_no_task() {
    let slot = Arc::new(std::sync::Mutex::new(None::<Waker>));
    let given = slot.clone();
    let event_loop = asyncio_tests::support::virtual_loop();
    let reports = Reports::of(&event_loop);
    drop(event_loop.create_task(poll_fn(move |cx| {
        given.lock().unwrap().replace(cx.waker().clone());
        Poll::<Result<()>>::Pending
    })));
    event_loop.run_until_complete(briefly()).unwrap();
    event_loop.close().unwrap();
    assert_eq!(reports.messages(), ["Task was destroyed but it is pending!"]);
    let waker = slot.lock().unwrap().take().unwrap();
    waker.wake_by_ref();
    thread::spawn(move || {
        waker.wake_by_ref();
        drop(waker);
    })
    .join()
    .unwrap();
}

// `Send`.

fn is_send<T: Send>() {}
fn is_sync<T: Sync>() {}

#[test]
fn handles_and_leaves_are_send_where_their_contents_are() {
    is_send::<Task<String>>();
    is_send::<AnyTask>();
    is_send::<Future<String>>();
    is_sync::<Future<String>>();
    is_send::<asyncio::Take<String>>();
    is_send::<Sleep<String>>();
    is_send::<ConcurrentFuture<String>>();
    is_send::<asyncio::Timeout>();
    is_send::<asyncio::Deadline>();
    is_send::<TaskGroup>();
    is_send::<asyncio::Group>();
    is_send::<asyncio::LoopHandle>();
    is_send::<asyncio::Handle>();
    is_sync::<Lock<String>>();
    is_sync::<Semaphore>();
    is_sync::<Queue<String>>();
    is_send::<Error>();
    is_sync::<Error>();
    is_send::<asyncio::Context>();
    // Not so: `gather`, `shield`, `as_completed` hold callbacks of the loop's thread.
    fn _exist(_: &AsCompleted<()>, _: &NextCompleted<()>, _: &Shield<()>, _: &Awaitable<()>) {}
}

#[test]
fn a_send_boxed_future_of_our_leaves_is_run() {
    type SendFuture = Pin<Box<dyn StdFuture<Output = Result<u32>> + Send>>;
    fn handler(lock: Arc<Lock<u32>>, queue: Arc<Queue<u32>>, future: Future<u32>) -> SendFuture {
        Box::pin(async move {
            sleep(MS).await?;
            let n = *lock.acquire().await? + queue.get().await? + future.await?;
            wait_for(sleep(MS), 5 * MS).await?;
            Ok(n + create_task(async { Ok(1) }).await?)
        })
    }
    run(async {
        let (queue, future) = (Arc::new(Queue::new(0)), Future::new());
        let task = create_task(handler(Arc::new(Lock::new(10)), queue.clone(), future.clone()));
        queue.put(100).await?;
        future.set_result(1000)?;
        assert_eq!(task.await?, 1111);
        Ok(())
    });
}

// The task that waited in it has ended.

#[test]
fn a_leaf_that_was_woken_outlives_its_task_and_passes_the_wake_up_on() {
    run(async {
        let lock = Arc::new(Lock::new(0));
        for is_polled in [true, false] {
            let guard = lock.acquire().await?;
            let ours = lock.clone();
            let mut leaf = polled_elsewhere_briefly(Box::pin(async move {
                let mut guard = ours.acquire().await?;
                *guard += 1;
                Ok::<_, Error>(*guard)
            }))
            .await?;
            let behind = lock.clone();
            let next = create_task(async move { behind.acquire().await.map(|guard| *guard) });
            briefly().await?;
            drop(guard);
            if is_polled {
                assert_eq!(leaf.as_mut().await?, 1);
            }
            drop(leaf);
            assert_eq!(next.await?, 1);
        }
        Ok(())
    });
}

#[test]
fn a_sleep_that_ended_or_was_cancelled_refuses_to_be_polled_again() {
    run(async {
        let ended = |outcome: Option<Result<()>>| {
            let text = outcome.expect("it is ready").unwrap_err().to_string();
            text.contains("polled after its end")
        };
        for delay in [Duration::ZERO, 5 * MS] {
            let mut nap = sleep(delay);
            (&mut nap).await?;
            assert!(ended(poll_once(&mut nap).await));
            let mut nap = sleep(delay);
            let me = current_task().expect("this is a task");
            me.cancel();
            assert!(cancelled(&(&mut nap).await));
            assert!(ended(poll_once(&mut nap).await));
            me.uncancel();
        }
        Ok(())
    });
}
