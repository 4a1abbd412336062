//! Foreign futures inside our scopes, and our leaves inside foreign combinators: `join!`,
//! `select!`, `FuturesUnordered`. Moved leaves are tested in `moved_leaves.rs`.

use asyncio::{
    AsyncContextManager, Error, Event, Future, Lock, Queue, Result, Semaphore, Task, TaskGroup,
    as_completed, cancellable, create_task, current_task, gather, get_running_loop, shield, sleep,
    timeout, wait_for,
};
use asyncio_tests::support::{
    MS, Trace, boom, briefly, cancel_message, cancelled, iterations, outcome_of, poll_once, run,
};
use futures_util::{
    future::{FutureExt, join, join_all, select},
    pin_mut,
    stream::{FuturesUnordered, StreamExt},
};
use std::{
    cell::{Cell, RefCell},
    future::{Future as StdFuture, pending},
    pin::Pin,
    rc::Rc,
    sync::{Arc, mpsc},
    task::{Context, Wake, Waker},
    thread,
    time::Duration,
};

type Foreign = Pin<Box<dyn StdFuture<Output = Result<()>>>>;

/// Foreign futures that never complete, and the values that keep them pending.
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

/// A user's context manager, whose `exit` awaits.
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

// Foreign futures inside our scopes.

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
                // The task continues after it.
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

// Our leaves inside foreign combinators.

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
            // The next wait is no longer cancelled.
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

// Wait sites.

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
        // These two name the line of the `.await`, which is that of `site`.
        let (future, task) = (site(inner.clone()).await?, site(create_task(never())).await?);
        assert_eq!((&*future.0, &*task.0), ("Future", "Task"));
        assert!(future.1 == task.1 && future.1 < inner.made_at().line(), "{future:?} {task:?}");
        let inner = Future::<()>::new();
        waits_at! {
            "sleep": sleep(90 * MS);
            "gather": gather([never()]);
            "shield": shield(never());
            "wait": asyncio::wait([inner.clone()]);
            "as_completed": as_completed([never()]).next_future().expect("one");
            "cancellable": cancellable(pending::<Result<()>>());
            "wait_for": wait_for(pending::<Result<()>>(), 90 * MS);
            "timeout": timeout(90 * MS).with(async |_| pending::<Result<()>>().await);
            "TaskGroup": TaskGroup::new().with(async |group| { drop(group.create_task(sleep(90 * MS))); Ok(()) });
            "Lock.acquire": async move { l.acquire().await.map(drop) };
            "Semaphore.acquire": async move { s.acquire().await.map(drop) };
            "Event.wait": async move { e.wait().await };
            "Queue.get": async move { queue.get().await };
            "Queue.put": async move { full.put(2).await };
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
        // The last reference to the first waker is dropped here, outside the future's lock.
        assert!(Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        sender.send(future.result())
    });
    let result = receiver.recv_timeout(Duration::from_secs(30)).expect("the second poll hangs");
    assert_eq!(result.unwrap(), 1);
}
