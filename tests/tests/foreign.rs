//! Futures that are not ours inside of our scopes, and our leaves inside of what is not ours:
//! `join!`, `select!`, `FuturesUnordered`, other tasks, other threads.

use asyncio::{
    AnyTask, AsCompleted, AsyncContextManager, Awaitable, ConcurrentFuture, Error, Event, Future,
    Lock, NextCompleted, Queue, Result, Semaphore, Shield, Sleep, Task, TaskGroup, as_completed,
    cancellable, create_task, current_task, gather, get_running_loop, shield, sleep, timeout,
    to_thread, wait_for,
};
use asyncio_tests::support::{
    MS, Reports, Trace, awaiting, boom, briefly, cancel_message, cancelled, iterations, outcome_of,
    poll_once, run,
};
use futures_util::{
    future::{FutureExt, join, join_all, select},
    pin_mut,
    stream::{FuturesUnordered, StreamExt},
};
use std::{
    cell::{Cell, RefCell},
    future::{Future as StdFuture, pending, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::{Arc, mpsc},
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

type Foreign = Pin<Box<dyn StdFuture<Output = Result<()>>>>;

/// Futures of others that will never be done, and what keeps them so.
fn foreign() -> Vec<Foreign> {
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    let (queue, mut items) = tokio::sync::mpsc::channel::<()>(1);
    vec![
        Box::pin(pending()),
        Box::pin(async move {
            let _kept = sender;
            Ok(receiver.await?)
        }),
        Box::pin(async move {
            let _kept = queue;
            items.recv().await.ok_or_else(boom)
        }),
    ]
}

/// A context manager of a user's, whose `exit` awaits.
struct Connection(Trace);

impl AsyncContextManager for Connection {
    type Target = ();
    async fn enter(&mut self) -> Result<()> {
        briefly().await
    }
    async fn exit(&mut self, (): (), error: Option<&Error>) -> Result<()> {
        sleep(MS).await?;
        self.0.say(error.map_or("closed", Error::kind));
        Ok(())
    }
}

// Not ours inside of ours.

#[test]
fn a_timeout_around_a_foreign_future_is_a_timeout_and_the_task_lives_on() {
    run(async {
        for never in foreign() {
            let outcome = timeout(5 * MS).with(async |_| never.await).await;
            assert!(outcome.unwrap_err().is_timeout());
        }
        sleep(MS).await?;
        assert_eq!(current_task().map(|task| task.cancelling()), Some(0));
        Ok(())
    });
}

#[test]
fn wait_for_of_a_foreign_future_is_a_timeout_and_the_task_lives_on() {
    run(async {
        for limit in [5 * MS, Duration::ZERO] {
            for never in foreign() {
                assert!(wait_for(never, limit).await.unwrap_err().is_timeout());
            }
        }
        sleep(MS).await?;
        assert_eq!(current_task().map(|task| task.cancelling()), Some(0));
        Ok(())
    });
}

#[test]
fn a_foreign_future_in_a_context_manager_is_cancelled_and_exit_runs() {
    run(async {
        for never in foreign() {
            let trace = Trace::new();
            let connection = Connection(trace.clone());
            let task = create_task(async move {
                let outcome = connection.with(async |()| never.await).await;
                // The task goes on after it.
                sleep(MS).await?;
                Ok(cancel_message(&outcome))
            });
            iterations(3).await?;
            task.cancel_with("why");
            assert_eq!(task.await?, "why");
            assert_eq!(trace.take(), "CancelledError");
        }
        Ok(())
    });
}

#[test]
fn a_cancellable_foreign_future_is_dropped_and_the_task_lives_on() {
    run(async {
        for never in foreign() {
            let task = create_task(async move {
                let outcome = cancellable(never).await;
                sleep(MS).await?;
                Ok((cancelled(&outcome), current_task().map(|task| task.cancelling())))
            });
            briefly().await?;
            task.cancel();
            assert_eq!(task.await?, (true, Some(1)));
        }
        Ok(())
    });
}

#[test]
fn a_foreign_future_in_a_group_is_cancelled_with_it() {
    run(async {
        for never in foreign() {
            let trace = Trace::new();
            let inside = Connection(trace.clone());
            let outcome: Result<()> = TaskGroup::new()
                .with(async |group| {
                    drop(group.create_task(async {
                        iterations(3).await?;
                        Err::<(), _>(boom())
                    }));
                    drop(group.create_task(pending::<Result<()>>()));
                    inside.with(async |()| never.await).await
                })
                .await;
            let Err(Error::Group(group)) = outcome else { panic!("{outcome:?}") };
            assert_eq!(group.exceptions().len(), 1);
            assert_eq!(trace.take(), "CancelledError");
        }
        sleep(MS).await
    });
}

#[test]
fn of_nested_scopes_the_innermost_gives_way() {
    run(async {
        let trace = Trace::new();
        let (outer, inner) = (Connection(trace.clone()), Connection(trace.clone()));
        let log = trace.clone();
        let task = create_task(outer.with(async move |()| {
            let outcome = inner.with(async |()| pending::<Result<()>>().await).await;
            assert!(cancelled(&outcome));
            log.say("between");
            Ok(())
        }));
        iterations(3).await?;
        task.cancel();
        task.await?;
        assert_eq!(trace.take(), "CancelledError between closed");
        Ok(())
    });
}

#[test]
fn a_task_that_is_suspended_in_nothing_of_ours_ends_cancelled() {
    run(async {
        let dropped = Rc::new(());
        let inside = dropped.clone();
        let task = create_task(async move {
            let _inside = inside;
            pending::<Result<()>>().await
        });
        briefly().await?;
        task.cancel_with("why");
        assert_eq!(cancel_message(&task.await), "why");
        assert_eq!(Rc::strong_count(&dropped), 1);
        Ok(())
    });
}

#[test]
fn a_leaf_of_ours_inside_of_a_scope_gets_the_cancellation_itself() {
    run(async {
        let task = create_task(cancellable(async {
            assert!(cancelled(&sleep(90 * MS).await));
            Ok("handled")
        }));
        briefly().await?;
        task.cancel();
        assert_eq!(task.await?, "handled");
        Ok(())
    });
}

#[test]
fn a_scope_that_goes_from_a_foreign_future_to_ours_and_back_is_reached_in_each() {
    run(async {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let task: Task<()> = create_task(async move {
            cancellable(async {
                receiver.await?;
                assert!(cancelled(&sleep(90 * MS).await));
                pending().await
            })
            .await
        });
        briefly().await?;
        sender.send(()).map_err(|()| boom())?;
        iterations(2).await?;
        task.cancel();
        iterations(2).await?;
        assert!(!task.done());
        task.cancel();
        assert!(cancelled(&task.await));
        Ok(())
    });
}

#[test]
fn a_foreign_future_is_woken_from_another_thread() {
    let event_loop = asyncio::new_event_loop().unwrap();
    let sum = event_loop.run_until_complete(async {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        let thread =
            thread::spawn(move || (1..=10).try_for_each(|n| sender.blocking_send(n)).is_ok());
        let mut sum = 0;
        while let Some(n) = receiver.recv().await {
            sum += n;
        }
        assert!(thread.join().expect("nothing panics there"));
        Ok(sum)
    });
    assert_eq!(sum.unwrap(), 55);
    event_loop.close().unwrap();
}

// Ours inside of what is not ours.

#[test]
fn a_cancellation_reaches_every_leaf_of_join_and_counts_once() {
    run(async {
        let (future, lock) = (Future::<()>::new(), Rc::new(Lock::new(())));
        let guard = lock.acquire().await?;
        let (a, l, queue) = (future.clone(), lock.clone(), Queue::<u32>::new(0));
        let task = create_task(async move {
            let (a, b, (c, d)) = futures_util::join!(
                a,
                sleep(90 * MS),
                join(async { l.acquire().await.map(drop) }, queue.get()),
            );
            let all = [cancelled(&a), cancelled(&b), cancelled(&c), cancelled(&d)];
            // The next wait is not cancelled any more.
            sleep(MS).await?;
            Ok((all, current_task().map(|task| task.cancelling())))
        });
        briefly().await?;
        task.cancel();
        assert!(future.cancelled());
        assert_eq!(task.await?, ([true; 4], Some(1)));
        drop(guard);
        assert!(!lock.locked() && lock.try_acquire().is_some());
        Ok(())
    });
}

#[test]
fn leaves_of_join_are_woken_one_by_one() {
    run(async {
        let (a, b) = (Future::new(), Future::new());
        let both = create_task(join(a.clone(), b.clone()).map(|(a, b)| Ok((a?, b?))));
        briefly().await?;
        b.set_result(2)?;
        iterations(2).await?;
        assert!(!both.done());
        a.set_result(1)?;
        assert_eq!(both.await?, (1, 2));
        let naps = (1..=100).rev().map(|n| sleep(n * MS).result(n));
        let done: Result<Vec<u32>> = join_all(naps).await.into_iter().collect();
        assert_eq!(done?.iter().sum::<u32>(), 5050);
        assert_eq!(get_running_loop()?.time(), 100 * MS);
        Ok(())
    });
}

#[test]
fn select_drops_the_loser_and_loses_no_item() {
    run(async {
        let queue = Rc::new(Queue::new(0));
        {
            let get = queue.get();
            pin_mut!(get);
            let nap = sleep(MS);
            assert!(matches!(select(get, nap).await, futures_util::future::Either::Right(_)));
        }
        queue.put_nowait(7)?;
        assert_eq!(queue.get().await?, 7);

        // Given and dropped in one iteration: the item stays for the next.
        let getter = queue.clone();
        let task = create_task(async move {
            let wake = Future::<()>::new();
            let waker = wake.clone();
            get_running_loop()?.call_soon({
                let queue = getter.clone();
                move || {
                    waker.cancel();
                    queue.put_nowait(8).is_ok()
                }
            })?;
            let get = getter.get();
            pin_mut!(get);
            let first = select(wake, get).await;
            assert!(matches!(first, futures_util::future::Either::Left(_)));
            Ok(())
        });
        task.await?;
        assert_eq!(queue.get_nowait()?, 8);
        Ok(())
    });
}

#[test]
fn a_cancellation_reaches_the_leaves_of_select() {
    run(async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let tell = seen.clone();
        let task = create_task(async move {
            let (mut a, mut b) = (Future::<()>::new().fuse(), sleep(90 * MS).fuse());
            for _ in 0..2 {
                let outcome = futures_util::select! { a = a => a, b = b => b };
                tell.borrow_mut().push(cancelled(&outcome));
            }
            sleep(MS).await
        });
        briefly().await?;
        task.cancel();
        task.await?;
        assert_eq!(*seen.borrow(), [true, true]);
        Ok(())
    });
}

#[test]
fn a_cancellation_reaches_every_leaf_of_futures_unordered_and_counts_once() {
    run(async {
        let event = Rc::new(Event::new());
        let inside = event.clone();
        let task = create_task(async move {
            let mut all: FuturesUnordered<Foreign> = FuturesUnordered::new();
            for n in 1..=10 {
                all.push(Box::pin(sleep(n * MS)));
                let event = inside.clone();
                all.push(Box::pin(async move { event.wait().await.map(drop) }));
                all.push(Box::pin(Future::new()));
            }
            let (mut gone, mut done) = (0, 0);
            while let Some(outcome) = all.next().await {
                match outcome {
                    Err(Error::Cancelled(_)) => gone += 1,
                    outcome => {
                        outcome?;
                        done += 1;
                    }
                }
            }
            sleep(MS).await?;
            Ok((done, gone, current_task().map(|task| task.cancelling())))
        });
        sleep(3 * MS + MS / 2).await?;
        task.cancel();
        // Three sleeps were over.
        assert_eq!(task.await?, (3, 27, Some(1)));
        event.set();
        Ok(())
    });
}

#[test]
fn a_timeout_over_join_is_one_timeout() {
    run(async {
        let outcome = timeout(5 * MS)
            .with(async |_| {
                let (a, b) = futures_util::join!(sleep(90 * MS), Future::<()>::new());
                a.and(b)
            })
            .await;
        assert!(outcome.unwrap_err().is_timeout());
        assert_eq!(current_task().map(|task| task.cancelling()), Some(0));
        Ok(())
    });
}

// Moved to another task.

/// Polls the leaf in a task that then ends, and gives the leaf on.
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
        // The task can wait as ever, and is cancelled as ever.
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
fn a_waker_that_outlives_its_loop_wakes_nobody() {
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

// Where they wait.

/// The site of a task that waits in `leaf`, and the line at which it was made.
async fn site<T: 'static>(
    leaf: impl IntoFuture<Output = Result<T>> + 'static,
) -> Result<(String, u32)> {
    let task = create_task(async move { leaf.await });
    iterations(2).await?;
    let site = task.wait_site().expect("it waits");
    assert_eq!(site.location().file(), file!());
    task.cancel();
    assert!(cancelled(&task.await));
    Ok((site.what().to_owned(), site.location().line()))
}

/// Each leaf stands on a line of its own, in order.
macro_rules! waits_at {
    ($($what:literal: $leaf:expr;)*) => {
        let mut last = line!();
        $(
            let (what, line) = site($leaf).await?;
            assert_eq!(what, $what);
            assert!(line > last, "{what}: line {line}, after {last}");
            last = line;
        )*
        assert!(last < END_OF_SITES);
    };
}

#[test]
fn every_leaf_says_where_it_waits() {
    run(async {
        let (lock, held) = (Arc::new(Lock::new(())), Arc::new(Semaphore::new(0)));
        let never = || async { sleep(90 * MS).await };
        let _guard = lock.acquire().await?;
        let (l, s, e) = (lock.clone(), held.clone(), Event::new());
        let (queue, full) = (Queue::<u32>::new(0), Queue::new(1));
        full.put_nowait(1)?;
        let inner = Future::<()>::new();
        waits_at! {
            "sleep": sleep(90 * MS);
            "Future": Future::<()>::new();
            "Task": create_task(never());
            "gather": gather([never()]);
            "shield": shield(never());
            "wait": asyncio::wait([inner.clone()]);
            "as_completed": as_completed([never()]).next_future().expect("one");
            "cancellable": cancellable(pending::<Result<()>>());
            "wait_for": wait_for(pending::<Result<()>>(), 90 * MS);
            "with": timeout(90 * MS).with(async |_| pending::<Result<()>>().await);
            "TaskGroup": TaskGroup::new().with(async |group| { drop(group.create_task(sleep(90 * MS))); Ok(()) });
            "Lock.acquire": async move { l.acquire().await.map(drop) };
            "Semaphore.acquire": async move { s.acquire().await.map(drop) };
            "Event.wait": async move { e.wait().await };
            "Queue.get": async move { queue.get().await };
            "Queue.put": async move { Ok(full.put(2).await?) };
        }
        Ok(())
    });
}

const END_OF_SITES: u32 = line!();

#[test]
fn a_task_in_a_foreign_future_is_told_to_be_so() {
    let outcome: Result<()> = outcome_of(async {
        let _task = Task::builder().name("lost").create(pending::<Result<()>>());
        let name = Rc::new(Cell::new(0));
        name.set(1);
        pending().await
    });
    let Err(Error::Deadlock(report)) = outcome else { panic!("{outcome:?}") };
    assert!(report.tasks()[1].starts_with("lost: in a future of another library"), "{report}");
}

#[test]
fn a_scope_that_was_moved_with_a_leaf_inside_still_gives_way() {
    run(async {
        let scope = create_task(async {
            let mut scope = Box::pin(cancellable(async {
                sleep(MS).await?;
                pending::<Result<()>>().await
            }));
            assert!(poll_once(&mut scope).await.is_none());
            Ok(scope)
        })
        .await?;
        let task = create_task(async move {
            let outcome = scope.await;
            sleep(MS).await?;
            Ok(cancelled(&outcome))
        });
        sleep(5 * MS).await?;
        assert_eq!(task.wait_site().map(|site| site.what()), Some("cancellable"));
        task.cancel();
        assert!(task.await?);
        Ok(())
    });
}

/// A waker that owns a future, and sets its result when it is dropped.
struct Sets(Future<u32>);

impl Wake for Sets {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Sets {
    fn drop(&mut self) {
        let _ = self.0.set_result(1);
    }
}

#[test]
fn what_a_former_waker_owned_may_use_the_future() {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut future = Future::new();
        let waker = Waker::from(Arc::new(Sets(future.clone())));
        assert!(Pin::new(&mut future).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        // The last of the first waker goes here, outside of the future's lock.
        assert!(Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        sender.send(future.result())
    });
    let result = receiver.recv_timeout(Duration::from_secs(30)).expect("the second poll hangs");
    assert_eq!(result.unwrap(), 1);
}
