//! The second half of the table of hops (`hops.rs` has the first): operations on tasks and futures
//! (`gather`, `wait`, `shield`, timeouts, groups), the end of a run, locks and queues.

use asyncio::{
    AsyncContextManager, Barrier, Condition, Error, Event, FirstCompleted, Future, FutureLike,
    Lock, Queue, Result, Semaphore, Task, TaskGroup, as_completed, create_task, current_task,
    gather, get_running_loop, shield, sleep, timeout, wait, wait_for,
};
use asyncio_tests::support::{
    Iterations, MS, Trace, after, boom, briefly, cancelled, cancelled_after, iterations,
    sleep_until,
};
use std::{cell::Cell, future::pending, rc::Rc, time::Duration};

// gather.

#[test]
fn gather_ends_two_hops_after_its_last_child() {
    Iterations::count(|count| async move {
        let (a, b) = (Future::new(), Future::new());
        let gathered = count.of(gather([a.clone(), b.clone()]));
        briefly().await?;
        a.set_result(())?;
        iterations(3).await?;
        assert!(!gathered.done());
        let cause = count.now();
        b.set_result(())?;
        let (seen, outcome) = gathered.await?;
        assert_eq!((outcome?.len(), seen - cause), (2, 2));
        Ok(())
    });
}

#[test]
fn gather_ends_two_hops_after_the_first_child_that_fails() {
    Iterations::count(|count| async move {
        let (a, b) = (Future::<()>::new(), Future::new());
        let gathered = count.of(gather([a.clone(), b.clone()]));
        briefly().await?;
        let cause = count.now();
        b.set_exception(boom())?;
        let (seen, outcome) = gathered.await?;
        assert_eq!((outcome.is_err(), seen - cause, a.done()), (true, 2, false));
        Ok(())
    });
}

#[test]
fn gather_of_what_is_done_takes_no_hop() {
    Iterations::count(|count| async move {
        let (value, error) = (Future::new(), Future::<i32>::new());
        value.set_result(1)?;
        error.set_exception(boom())?;
        let before = count.now();
        assert_eq!(gather([value.clone(), value.clone()]).await?, [1, 1]);
        assert!(gather([Future::new(), error]).await.is_err());
        assert!(gather(Vec::<Future<i32>>::new()).await?.is_empty());
        assert_eq!(count.now(), before);
        Ok(())
    });
}

#[test]
fn a_cancelled_gather_ends_three_hops_later() {
    Iterations::count(|count| async move {
        for all in [false, true] {
            let children: Vec<_> = (0..2).map(|_| count.of(sleep(MS))).collect();
            let names: Vec<_> = children.iter().map(|child| (**child).clone()).collect();
            let gathering = gather(children);
            let waiter: Task<(u64, Result<()>)> = if all {
                count.of(async { gathering.return_exceptions().await.map(drop) })
            } else {
                count.of(async { gathering.await.map(drop) })
            };
            iterations(2).await?;
            let cause = count.now();
            waiter.cancel();
            assert!(names.iter().all(|child| child.cancelling() == 1));
            // The children swallow it here, at 1, and end; the gather is told at 2.
            assert_eq!(cancelled_after(cause, waiter.await?), 3);
        }
        Ok(())
    });
}

#[test]
fn a_cancelled_gather_waits_for_every_child_only_with_return_exceptions() {
    Iterations::count(|count| async move {
        for all in [false, true] {
            let quick = create_task(sleep(MS));
            let slow = create_task(async {
                let outcome = sleep(MS).await;
                iterations(5).await?;
                outcome
            });
            let gathering = gather([quick, slow]);
            let waiter = match all {
                true => count.of(async { gathering.return_exceptions().await.map(drop) }),
                false => count.of(async { gathering.await.map(drop) }),
            };
            iterations(2).await?;
            let cause = count.now();
            waiter.cancel();
            assert_eq!(cancelled_after(cause, waiter.await?), if all { 8 } else { 3 });
        }
        Ok(())
    });
}

// wait, wait_for, shield, as_completed.

#[test]
fn wait_ends_two_hops_after_the_child_that_decides() {
    Iterations::count(|count| async move {
        let (a, b) = (Future::<()>::new(), Future::<()>::new());
        let waiting = wait([a.clone(), b.clone()]).return_when(FirstCompleted);
        let waiter = count.of(async { waiting.await.map(drop) });
        briefly().await?;
        let cause = count.now();
        b.set_result(())?;
        assert_eq!(after(cause, waiter.await?), 2);
        Ok(())
    });
}

#[test]
fn wait_for_what_is_done_takes_two_hops_all_the_same() {
    Iterations::count(|count| async move {
        let done = Future::<()>::new();
        done.set_result(())?;
        let before = count.now();
        wait([done]).await?;
        assert_eq!(count.now() - before, 2);
        Ok(())
    });
}

#[test]
fn wait_that_times_out_ends_one_hop_after_the_timer() {
    Iterations::count(|count| async move {
        let due = count.pause(5 * MS);
        let (done, pending) = wait([Future::<()>::new()]).timeout(5 * MS).await?;
        assert_eq!((done.len(), pending.len(), count.now() - due.get()), (0, 1, 1));
        Ok(())
    });
}

#[test]
fn wait_for_adds_no_hop() {
    Iterations::count(|count| async move {
        for limit in [None, Some(MS)] {
            let before = count.now();
            let (me, inner) = (current_task(), count.clone());
            let here = async move {
                assert!(current_task() == me);
                Ok(inner.now())
            };
            assert_eq!(wait_for(here, limit).await?, before);
            assert_eq!(count.now(), before);

            let future = Future::new();
            let waiter = count.of(wait_for(future.clone(), limit));
            briefly().await?;
            let cause = count.now();
            future.set_result(())?;
            assert_eq!(after(cause, waiter.await?), 1);
        }
        Ok(())
    });
}

#[test]
fn wait_for_that_expires_ends_one_hop_after_the_timer_or_two_for_a_task() {
    Iterations::count(|count| async move {
        let task = create_task(sleep(100 * MS));
        let due = count.pause(5 * MS);
        let of_task = count.of(wait_for(task, 5 * MS));
        let of_coroutine = count.of(wait_for(async { sleep(100 * MS).await }, 5 * MS));
        let of_future = count.of(wait_for(Future::<()>::new(), 5 * MS));
        let seen = of_task.await?;
        assert!(seen.1.unwrap_err().is_timeout());
        assert_eq!(seen.0 - due.get(), 2);
        for (seen, outcome) in [of_coroutine.await?, of_future.await?] {
            assert!(outcome.unwrap_err().is_timeout());
            assert_eq!(seen - due.get(), 1);
        }
        Ok(())
    });
}

#[test]
fn wait_for_nothing_gives_the_result_of_what_is_done() {
    Iterations::count(|count| async move {
        let done = Future::new();
        done.set_result(7)?;
        let before = count.now();
        assert_eq!(wait_for(done, Duration::ZERO).await?, 7);
        assert_eq!(count.now(), before);
        Ok(())
    });
}

#[test]
fn wait_for_nothing_cancels_at_once_and_ends_two_hops_after_that_has_ended() {
    Iterations::count(|count| async move {
        let ran = Rc::new(Cell::new(false));
        let tell = ran.clone();
        let before = count.now();
        let coroutine = async move {
            tell.set(true);
            Ok(())
        };
        assert!(wait_for(coroutine, Duration::ZERO).await.unwrap_err().is_timeout());
        // Made a task, cancelled, ended at 1 without having run, reported at 2.
        assert_eq!((count.now() - before, ran.get()), (3, false));

        let before = count.now();
        let future = Future::<()>::new();
        assert!(wait_for(future.clone(), Duration::ZERO).await.unwrap_err().is_timeout());
        assert!(future.cancelled());
        assert_eq!(count.now() - before, 2);

        let ended = Rc::new(Cell::new(0));
        let (inner, tell) = (count.clone(), ended.clone());
        let task = create_task(async move {
            let outcome = sleep(MS).await;
            briefly().await?;
            tell.set(inner.now());
            outcome
        });
        briefly().await?;
        assert!(wait_for(task, Duration::ZERO).await.unwrap_err().is_timeout());
        assert_eq!(count.now() - ended.get(), 2);
        Ok(())
    });
}

#[test]
fn shield_ends_two_hops_after_what_it_shields() {
    Iterations::count(|count| async move {
        let future = Future::new();
        let waiter = count.of(shield(future.clone()));
        briefly().await?;
        let cause = count.now();
        future.set_result(())?;
        assert_eq!(after(cause, waiter.await?), 2);
        Ok(())
    });
}

#[test]
fn shield_of_what_is_done_takes_no_hop() {
    Iterations::count(|count| async move {
        let done = Future::new();
        done.set_result(7)?;
        let before = count.now();
        assert_eq!(shield(done).await?, 7);
        assert_eq!(count.now(), before);
        Ok(())
    });
}

#[test]
fn a_cancelled_shield_ends_one_hop_later_and_leaves_the_rest_alone() {
    Iterations::count(|count| async move {
        let (future, inner) = (Future::<()>::new(), create_task(sleep(MS)));
        let name = (*inner).clone();
        let a = count.of(shield(future.clone()));
        let b = count.of(shield(inner));
        iterations(2).await?;
        let cause = count.now();
        a.cancel();
        b.cancel();
        assert_eq!(cancelled_after(cause, a.await?), 1);
        assert_eq!(cancelled_after(cause, b.await?), 1);
        assert!(!future.done() && !name.done() && name.cancelling() == 0);
        Ok(())
    });
}

#[test]
fn as_completed_yields_two_hops_after_a_child_is_done() {
    Iterations::count(|count| async move {
        let (a, b) = (Future::<()>::new(), Future::<()>::new());
        let mut soonest = as_completed([a.clone(), b.clone()]);
        let next = soonest.next_future().expect("there are two");
        let waiter = count.of(next);
        briefly().await?;
        let cause = count.now();
        b.set_result(())?;
        assert_eq!(after(cause, waiter.await?), 2);
        Ok(())
    });
}

#[test]
fn as_completed_yields_what_is_done_two_hops_later_and_the_rest_at_once() {
    Iterations::count(|count| async move {
        let done = || {
            let future = Future::new();
            future.set_result(()).map(|()| future)
        };
        let mut soonest = as_completed([done()?, done()?, done()?]);
        let mut seen = Vec::new();
        let before = count.now();
        while let Some(outcome) = soonest.next().await {
            outcome?;
            seen.push(count.now() - before);
        }
        assert_eq!(seen, [2, 2, 2]);
        Ok(())
    });
}

// timeout.

#[test]
fn a_timeout_reaches_the_body_one_hop_after_the_timer_and_is_one_in_that_step() {
    Iterations::count(|count| async move {
        let due = count.pause(5 * MS);
        let body = Rc::new(Cell::new(0));
        let (tell, inner) = (body.clone(), count.clone());
        let outcome = timeout(5 * MS)
            .with(async |_| {
                let outcome = Future::<()>::new().await;
                assert!(cancelled(&outcome));
                tell.set(inner.now());
                outcome
            })
            .await;
        assert!(outcome.unwrap_err().is_timeout());
        assert_eq!((body.get() - due.get(), count.now() - due.get()), (1, 1));
        Ok(())
    });
}

#[test]
fn a_timeout_of_nothing_expires_after_one_hop_and_cancels_after_two() {
    Iterations::count(|count| async move {
        sleep_until(&count, MS).await?;
        let past = [timeout(Duration::ZERO), asyncio::timeout_at(Duration::ZERO)];
        for timeout in past {
            let before = count.now();
            let outcome = timeout.with(async |_| Future::<()>::new().await).await;
            assert!(outcome.unwrap_err().is_timeout());
            assert_eq!(count.now() - before, 2);
        }
        Ok(())
    });
}

#[test]
fn a_timeout_of_nothing_expires_before_a_sleep_of_nothing_is_over() {
    Iterations::count(|count| async move {
        let before = count.now();
        let outcome = timeout(Duration::ZERO).with(async |_| briefly().await).await;
        assert!(outcome.unwrap_err().is_timeout());
        assert_eq!(count.now() - before, 1);
        Ok(())
    });
}

#[test]
fn a_timeout_of_nothing_lets_a_body_go_that_does_not_suspend() {
    Iterations::count(|_| async move {
        let (timeout, watch) = timeout(Duration::ZERO).watched();
        assert_eq!(timeout.with(async |_| Ok(7)).await?, 7);
        iterations(3).await?;
        assert!(!watch.expired());
        Ok(())
    });
}

// TaskGroup.

#[test]
fn a_group_without_children_is_left_without_a_hop() {
    Iterations::count(|count| async move {
        let before = count.now();
        TaskGroup::new().with(async |_| Ok(())).await?;
        assert_eq!(count.now(), before);
        let inner = count.clone();
        let left = TaskGroup::new()
            .with(async |group| {
                drop(group.create_task(async { Ok(()) }));
                // It ends at 1, and the group hears of it at 2.
                iterations(2).await?;
                Ok(inner.now())
            })
            .await?;
        assert_eq!(count.now(), left);
        Ok(())
    });
}

#[test]
fn a_group_is_left_two_hops_after_its_last_child() {
    Iterations::count(|count| async move {
        let ended = Rc::new(Cell::new(0));
        let (tell, inner) = (ended.clone(), count.clone());
        TaskGroup::new()
            .with(async |group| {
                drop(group.create_task(async move {
                    iterations(3).await?;
                    tell.set(inner.now());
                    Ok(())
                }));
                Ok(())
            })
            .await?;
        assert_eq!(count.now() - ended.get(), 2);
        Ok(())
    });
}

#[test]
fn a_child_that_fails_aborts_its_group_one_hop_later() {
    Iterations::count(|count| async move {
        let (failed, trace) = (Rc::new(Cell::new(0)), Trace::new());
        let (tell, inner) = (failed.clone(), count.clone());
        let sibling = |name: &'static str| {
            let (failed, count, trace) = (failed.clone(), count.clone(), trace.clone());
            async move {
                let outcome = Future::<()>::new().await;
                trace.say(format!("{name}+{}", count.now() - failed.get()));
                outcome
            }
        };
        let body = sibling("body");
        let outcome = TaskGroup::new()
            .with(async |group| {
                drop(group.create_task(sibling("a")));
                drop(group.create_task(async move {
                    iterations(3).await?;
                    tell.set(inner.now());
                    Err::<(), _>(boom())
                }));
                drop(group.create_task(sibling("c")));
                body.await
            })
            .await;
        assert!(matches!(outcome, Err(Error::Group(_))));
        // Cancelled at 1: the siblings in the order of creation, then the parent.
        assert_eq!(trace.take(), "a+2 c+2 body+2");
        assert_eq!(count.now() - failed.get(), 4);
        Ok(())
    });
}

#[test]
fn a_parent_cancelled_while_it_leaves_the_group_aborts_it_one_hop_later() {
    Iterations::count(|count| async move {
        let (seen, inner) = (Rc::new(Cell::new(0)), count.clone());
        let tell = seen.clone();
        let parent = count.of(async move {
            TaskGroup::new()
                .with(async |group| {
                    drop(group.create_task(async move {
                        let outcome = Future::<()>::new().await;
                        tell.set(inner.now());
                        outcome
                    }));
                    Ok(())
                })
                .await
        });
        iterations(3).await?;
        let cause = count.now();
        parent.cancel();
        assert_eq!(cancelled_after(cause, parent.await?), 4);
        assert_eq!(seen.get() - cause, 2);
        Ok(())
    });
}

// The end of the run.

#[test]
fn the_iteration_after_the_end_of_main_is_the_last() {
    let trace = Trace::new();
    let log = trace.clone();
    Iterations::count(|_| async move {
        let event_loop = get_running_loop()?;
        let (this, inner) = (event_loop.clone(), log.clone());
        // Queued before main ends, for the iteration in which the loop learns of the end.
        event_loop.call_soon(move || {
            inner.say("k+1");
            this.call_soon(inner.note("k+2")).map(drop)
        })?;
        log.say("k");
        Ok(())
    });
    assert_eq!(trace.take(), "k k+1");
}

// Locks and queues.

#[test]
fn an_uncontended_primitive_takes_no_hop() {
    Iterations::count(|count| async move {
        let (lock, semaphore, queue) = (Lock::new(()), Semaphore::new(1), Queue::new(2));
        let (event, barrier) = (Event::new(), Barrier::new(1)?);
        event.set();
        let before = count.now();
        drop(lock.acquire().await?);
        drop(semaphore.acquire().await?);
        queue.put(1).await?;
        assert_eq!(queue.get().await?, 1);
        event.wait().await?;
        barrier.wait().await?;
        assert_eq!(count.now(), before);
        Ok(())
    });
}

#[test]
fn a_released_lock_or_semaphore_wakes_one_hop_later() {
    Iterations::count(|count| async move {
        let (lock, semaphore) = (Rc::new(Lock::new(())), Rc::new(Semaphore::new(1)));
        let (guard, permit) = (lock.acquire().await?, semaphore.acquire().await?);
        let (l, s) = (lock.clone(), semaphore.clone());
        let a = count.of(async move { l.acquire().await.map(drop) });
        let b = count.of(async move { s.acquire().await.map(drop) });
        briefly().await?;
        let cause = count.now();
        drop((guard, permit));
        // Free in between, but not for new waiters.
        assert!(!lock.locked() && lock.try_acquire().is_none());
        assert_eq!(after(cause, a.await?), 1);
        assert_eq!(after(cause, b.await?), 1);
        Ok(())
    });
}

#[test]
fn an_event_that_is_set_wakes_all_one_hop_later_even_if_it_is_cleared() {
    Iterations::count(|count| async move {
        let event = Rc::new(Event::new());
        let wait = |event: Rc<Event>| async move { event.wait().await.map(drop) };
        let (a, b) = (count.of(wait(event.clone())), count.of(wait(event.clone())));
        briefly().await?;
        let cause = count.now();
        event.set();
        event.clear();
        assert_eq!(after(cause, a.await?), 1);
        assert_eq!(after(cause, b.await?), 1);
        Ok(())
    });
}

#[test]
fn a_notified_waiter_goes_on_one_hop_later_or_when_it_gets_the_lock() {
    Iterations::count(|count| async move {
        let condition = Rc::new(Condition::new(()));
        let waiter = |condition: Rc<Condition<()>>| async move {
            let mut guard = condition.acquire().await?;
            guard.wait().await?;
            // WaitKey for another iteration, so that the second has to queue for it.
            briefly().await
        };
        let a = count.of(waiter(condition.clone()));
        let b = count.of(waiter(condition.clone()));
        iterations(3).await?;
        let guard = condition.acquire().await?;
        guard.notify_all();
        let cause = count.now();
        drop(guard);
        assert_eq!(after(cause, a.await?), 2);
        // The lock is released at 2, taken at 3, and kept until 4.
        assert_eq!(after(cause, b.await?), 4);
        Ok(())
    });
}

#[test]
fn the_last_party_at_a_barrier_wakes_the_others_one_hop_later_in_order() {
    Iterations::count(|count| async move {
        let (barrier, trace) = (Rc::new(Barrier::new(3)?), Trace::new());
        let party = |name: &'static str| {
            let (barrier, trace, count) = (barrier.clone(), trace.clone(), count.clone());
            create_task(async move {
                barrier.wait().await?;
                trace.say(name);
                Ok(count.now())
            })
        };
        let (a, b) = (party("a"), party("b"));
        briefly().await?;
        let cause = count.now();
        barrier.wait().await?;
        assert_eq!(count.now(), cause);
        assert_eq!((a.await? - cause, b.await? - cause), (1, 1));
        assert_eq!(trace.take(), "a b");
        Ok(())
    });
}

#[test]
fn put_wakes_a_getter_and_get_a_putter_one_hop_later() {
    Iterations::count(|count| async move {
        let queue = Rc::new(Queue::new(1));
        let getting = queue.clone();
        let getter = count.of(async move { getting.get().await.map(drop) });
        briefly().await?;
        let cause = count.now();
        queue.put_nowait(1)?;
        assert_eq!(after(cause, getter.await?), 1);

        queue.put_nowait(2)?;
        let putting = queue.clone();
        let putter = count.of(async move { putting.put(3).await });
        briefly().await?;
        let cause = count.now();
        assert_eq!(queue.get_nowait()?, 2);
        assert_eq!(after(cause, putter.await?), 1);
        Ok(())
    });
}

#[test]
fn the_last_task_done_ends_join_one_hop_later() {
    Iterations::count(|count| async move {
        let queue = Rc::new(Queue::new(0));
        queue.put_nowait(1)?;
        let joining = queue.clone();
        let join = count.of(async move { joining.join().await });
        briefly().await?;
        queue.get_nowait()?;
        let cause = count.now();
        queue.task_done()?;
        assert_eq!(after(cause, join.await?), 1);
        Ok(())
    });
}

// A cancellation also reaches foreign futures: see `foreign.rs`. A scope adds no hop.

#[test]
fn a_cancellation_reaches_a_scope_around_a_foreign_future_one_hop_later() {
    Iterations::count(|count| async move {
        let task = count.of(asyncio::cancellable(pending::<Result<()>>()));
        briefly().await?;
        let cause = count.now();
        task.cancel();
        assert_eq!(cancelled_after(cause, task.await?), 1);
        Ok(())
    });
}
