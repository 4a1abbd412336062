//! Functions on tasks, after CPython's `test_tasks`: `sleep`, `gather`, `shield`, `wait`,
//! `as_completed`. `wait_for` is tested in `waitfor.rs`.

use asyncio::{
    AsyncContextManager, Awaitable, CancelledError, Error, FirstCompleted, FirstException, Future,
    FutureLike, Result, Task, as_completed, create_task, current_task, gather, get_running_loop,
    shield, sleep, timeout, wait,
};
use asyncio_tests::support::{
    MS, Reports, Trace, awaiting, boom, briefly, cancel_message, cancelled, iterations, message,
    outcome_of, run,
};
use futures_lite::StreamExt;
use std::{cell::Cell, rc::Rc, time::Duration};

/// A task that returns `value` after `ms` milliseconds.
fn late<T: 'static>(ms: u32, value: T) -> Task<T> {
    create_task(async move {
        sleep(ms * MS).await?;
        Ok(value)
    })
}

/// A task that fails after `ms` milliseconds.
fn failing(ms: u32) -> Task<i32> {
    create_task(async move {
        sleep(ms * MS).await?;
        Err(boom())
    })
}

fn now() -> Duration {
    get_running_loop().expect("a loop runs").time()
}

// sleep.

#[test]
fn sleep_takes_its_time_and_gives_its_result() {
    run(async {
        assert_eq!(sleep(1500 * MS).result("rested").await?, "rested");
        assert_eq!(now(), 1500 * MS);
        assert_eq!(sleep(Duration::ZERO).result(7).await?, 7);
        assert_eq!(now(), 1500 * MS);
        Ok(())
    });
}

#[test]
fn a_delay_beyond_all_time_is_no_error() {
    run(async {
        sleep(MS).await?;
        let for_ever = create_task(sleep(Duration::MAX));
        let outcome = timeout(Duration::MAX).with(async |_| Ok(1)).await;
        assert_eq!(outcome?, 1);
        let (done, pending) = wait([create_task(briefly())]).timeout(Duration::MAX).await?;
        assert_eq!((done.len(), pending.len()), (1, 0));
        for_ever.cancel();
        assert!(cancelled(&for_ever.await));
        assert_eq!(now(), MS);
        Ok(())
    });
}

#[test]
fn sleep_and_wait_without_a_running_loop_are_errors() {
    use futures_lite::future::block_on;
    assert_eq!(message(block_on(sleep(MS))), "RuntimeError: sleep: no running event loop");
    assert!(matches!(block_on(wait([Future::<()>::new()]).into_future()), Err(Error::Runtime(_))));
    assert!(matches!(block_on(gather([async { Ok(1) }]).into_future()), Err(Error::Runtime(_))));
    let body = timeout(MS).with(async |_| Ok(1));
    assert_eq!(message(block_on(body)), "RuntimeError: timeout: no running event loop");
}

// gather.

#[test]
fn gather_gives_results_in_argument_order() {
    run(async {
        let naps = [30, 10, 20].map(|ms| async move {
            sleep(ms * MS).await?;
            Ok(ms)
        });
        assert_eq!(gather(naps).await?, [30, 10, 20]);
        assert_eq!(now(), 30 * MS);
        let (n, s) = gather!(late(2, 1), async { Ok("one") }).await?;
        assert_eq!((n, s), (1, "one"));
        Ok(())
    });
}

#[test]
fn gather_of_nothing_is_done() {
    run(async {
        let nothing = gather(Vec::<Future<i32>>::new()).into_inner();
        assert!(nothing.done());
        assert!(nothing.await?.is_empty());
        assert!(gather(Vec::<Future<i32>>::new()).return_exceptions().await?.is_empty());
        Ok(())
    });
}

#[test]
fn gather_runs_what_is_given_twice_once() {
    run(async {
        let runs = Rc::new(Cell::new(0));
        let tell = runs.clone();
        let task = create_task(async move {
            tell.set(tell.get() + 1);
            Ok(7)
        });
        let other = late(1, 8);
        assert_eq!(gather([task.clone(), other, task]).await?, [7, 8, 7]);
        assert_eq!(runs.get(), 1);
        Ok(())
    });
}

#[test]
fn the_first_error_comes_out_of_gather_and_the_others_run_on() {
    run(async {
        let reports = Reports::collect();
        let (quick, slow, worse) = (failing(2), late(5, 1), failing(4));
        let rest = slow.clone();
        let outcome = gather([quick, slow, worse]).await;
        assert_eq!((message(outcome), now()), ("Error: boom".to_owned(), 2 * MS));
        assert!(!rest.done());
        assert_eq!(rest.await?, 1);
        // The later error belongs to no caller, and is not reported either.
        assert_eq!(reports.messages(), [""; 0]);
        Ok(())
    });
}

#[test]
fn with_return_exceptions_gather_gives_every_outcome() {
    run(async {
        let gone = late(9, 3);
        get_running_loop()?.call_later(MS, {
            let gone = (*gone).clone();
            move || gone.cancel()
        })?;
        let outcomes = gather([late(1, 1), failing(5), gone]).return_exceptions().await?;
        let [Ok(1), Err(error), Err(Error::Cancelled(_))] = &outcomes[..] else {
            panic!("{outcomes:?}")
        };
        assert_eq!((error.to_string().as_str(), now()), ("boom", 5 * MS));
        Ok(())
    });
}

#[test]
fn a_cancelled_child_fails_gather_without_cancelling_it() {
    run(async {
        let (gone, other) = (late(9, 1), late(5, 2));
        let (name, rest) = ((*gone).clone(), other.clone());
        let outer = gather([gone, other]).into_inner();
        briefly().await?;
        name.cancel();
        assert!(cancelled(&outer.clone().await));
        assert!(outer.done() && !outer.cancelled());
        assert!(matches!(outer.exception(), Ok(Some(Error::Cancelled(_)))));
        assert!(!rest.done());
        assert_eq!(rest.await?, 2);
        Ok(())
    });
}

#[test]
fn cancelling_gather_cancels_every_child() {
    run(async {
        let children = [late(5, 1), late(6, 2)];
        let names = children.each_ref().map(|child| (**child).clone());
        let outer = gather(children).into_inner();
        briefly().await?;
        assert!(outer.cancel());
        assert!(!outer.done());
        assert!(cancelled(&outer.clone().await));
        assert!(names.iter().all(|child| child.done()));
        // Refused from now on.
        assert!(!outer.cancel());
        assert!(!outer.cancelled());
        Ok(())
    });
}

#[test]
fn gather_refuses_to_be_cancelled_when_all_children_are_done() {
    run(async {
        let children = [Future::new(), Future::new()];
        let outer = gather(children.clone()).into_inner();
        children.iter().try_for_each(|child| child.set_result(1))?;
        // Its children's callbacks have not run yet.
        assert!(!outer.done() && !outer.cancel());
        assert_eq!(outer.await?, [1, 1]);
        Ok(())
    });
}

#[test]
fn a_cancelled_gather_with_return_exceptions_raises_when_all_have_ended() {
    run(async {
        let stubborn = create_task(async {
            let _ = sleep(5 * MS).await;
            sleep(5 * MS).await
        });
        let rest = stubborn.clone();
        let gathering = gather([create_task(sleep(9 * MS)), stubborn]).return_exceptions();
        let task = create_task(async move { gathering.await.map(drop) });
        sleep(MS).await?;
        task.cancel_with("why");
        let outcome = task.await;
        assert!(cancelled(&outcome) && rest.done());
        assert_eq!(now(), 6 * MS);
        // The message is that of the last child, if that was cancelled.
        let children = [create_task(sleep(9 * MS)), create_task(sleep(9 * MS))];
        let gathering = gather(children).return_exceptions();
        let task = create_task(async move { gathering.await.map(drop) });
        briefly().await?;
        briefly().await?;
        task.cancel_with("why");
        assert_eq!(cancel_message(&task.await), "why");
        Ok(())
    });
}

#[test]
fn cancelling_gather_cancels_its_shields_and_not_what_they_shield() {
    run(async {
        let inner = [Future::<i32>::new(), Future::new()];
        let shields = inner.clone().map(|inner| shield(inner).into_inner());
        let seen = shields.clone();
        let outer = create_task(async move { gather(shields).await });
        briefly().await?;
        outer.cancel();
        assert!(cancelled(&outer.await));
        assert!(seen.iter().all(FutureLike::cancelled));
        assert!(inner.iter().all(|inner| !inner.done()));
        Ok(())
    });
}

#[test]
fn a_dropped_gather_lets_its_children_run() {
    run(async {
        let child = late(1, 7);
        let kept = child.clone();
        drop(gather([child]));
        assert_eq!(kept.await?, 7);
        Ok(())
    });
}

// shield.

#[test]
fn shield_gives_result_error_and_cancellation() {
    run(async {
        assert_eq!(shield(late(1, 7)).await?, 7);
        assert_eq!(message(shield(failing(1)).await), "Error: boom");
        let inner = Future::<()>::new();
        let outer = shield(inner.clone()).into_inner();
        inner.cancel();
        assert!(cancelled(&outer.clone().await));
        assert!(outer.cancelled());
        Ok(())
    });
}

#[test]
fn a_shield_of_what_is_done_is_that_itself() {
    run(async {
        let inner = Future::new();
        inner.set_result(7)?;
        let same = shield(inner.clone()).into_inner();
        assert_eq!(FutureLike::id(&same), inner.id());
        assert_eq!(same.await?, 7);
        Ok(())
    });
}

#[test]
fn a_cancelled_shield_leaves_its_task_running() {
    run(async {
        let inner = late(5, 7);
        let shielded = shield(inner.clone());
        let outer = create_task(shielded);
        sleep(MS).await?;
        outer.cancel();
        assert!(cancelled(&outer.await));
        assert_eq!((inner.cancelling(), now()), (0, MS));
        assert_eq!(inner.await?, 7);
        Ok(())
    });
}

/// A future, and so many shields around it.
fn shielded(n: usize) -> (Future<i32>, Vec<Awaitable<i32>>) {
    let inner = Future::new();
    let shields = (0..n).map(|_| shield(inner.clone()).into_inner()).collect();
    (inner, shields)
}

#[test]
fn a_failure_behind_a_cancelled_shield_is_reported_once() {
    run(async {
        let reports = Reports::collect();
        for shields in 1..=3 {
            let (inner, outer) = shielded(shields);
            for outer in &outer {
                outer.cancel_as(CancelledError::default());
            }
            briefly().await?;
            inner.set_exception(boom())?;
            briefly().await?;
            drop((inner, outer));
            assert_eq!(reports.messages(), ["Error exception in shielded future"]);
        }
        Ok(())
    });
}

#[test]
fn a_result_or_cancellation_behind_a_cancelled_shield_is_not_reported() {
    run(async {
        let reports = Reports::collect();
        let (inner, outer) = shielded(1);
        outer[0].cancel_as(CancelledError::default());
        briefly().await?;
        inner.set_result(1)?;
        let (inner, outer) = shielded(1);
        outer[0].cancel_as(CancelledError::default());
        briefly().await?;
        inner.cancel();
        briefly().await?;
        assert_eq!(reports.messages(), [""; 0]);
        Ok(())
    });
}

// wait.

#[test]
fn wait_gives_what_is_done_and_what_is_not() {
    run(async {
        let tasks = [late(1, 1), late(3, 2), late(2, 3)];
        let (done, pending) = wait(tasks).timeout(2 * MS + MS / 2).await?;
        assert_eq!(now(), 2 * MS + MS / 2);
        let results: Vec<_> = done.iter().map(|task| task.result()).collect::<Result<_>>()?;
        assert_eq!((results, pending.len()), (vec![1, 3], 1));
        // Nothing was cancelled.
        assert_eq!(pending[0].cancelling(), 0);
        let (done, pending) = wait(pending).await?;
        assert_eq!((done[0].result()?, pending.len(), now()), (2, 0, 3 * MS));
        Ok(())
    });
}

#[test]
fn wait_for_nothing_at_all_is_an_error() {
    run(async {
        let outcome = wait(Vec::<Task<()>>::new()).await;
        assert_eq!(message(outcome), "ValueError: wait: there is nothing to wait for");
        Ok(())
    });
}

#[test]
fn wait_counts_what_is_given_twice_once() {
    run(async {
        let task = late(1, 1);
        let (done, pending) = wait([task.clone(), task.clone(), task]).await?;
        assert_eq!((done.len(), pending.len()), (1, 0));
        Ok(())
    });
}

#[test]
fn wait_returns_at_the_first_that_is_done() {
    run(async {
        let tasks = [late(5, 1), late(2, 2), failing(9)];
        let (done, pending) = wait(tasks).return_when(FirstCompleted).await?;
        assert_eq!((done.len(), done[0].result()?, pending.len(), now()), (1, 2, 2, 2 * MS));
        Ok(())
    });
}

#[test]
fn wait_returns_at_the_first_failure_and_a_cancellation_is_none() {
    run(async {
        let (gone, fails) = (late(9, 1), failing(4));
        let name = (*gone).clone();
        get_running_loop()?.call_later(MS, move || name.cancel())?;
        let (done, pending) =
            wait([gone, late(2, 2), fails, late(6, 3)]).return_when(FirstException).await?;
        assert_eq!((done.len(), pending.len(), now()), (3, 1, 4 * MS));
        // Without a failure it waits for all.
        let (done, _) = wait(pending).return_when(FirstException).await?;
        assert_eq!((done.len(), now()), (1, 6 * MS));
        Ok(())
    });
}

#[test]
fn what_is_done_at_the_instant_of_the_timeout_is_done() {
    run(async {
        let tasks = [late(15, "b"), late(10, "a")];
        briefly().await?;
        let (done, pending) = wait(tasks).timeout(10 * MS).await?;
        assert_eq!((done.len(), done[0].result()?, pending.len()), (1, "a", 1));
        Ok(())
    });
}

#[test]
fn cancelling_wait_cancels_nothing_it_waits_for() {
    run(async {
        let inner = late(5, 7);
        let waiting = inner.clone();
        let task = create_task(async move { wait([waiting]).await.map(drop) });
        briefly().await?;
        task.cancel();
        assert!(cancelled(&task.await));
        assert_eq!((inner.cancelling(), inner.await?), (0, 7));
        Ok(())
    });
}

#[test]
fn a_wait_that_is_dropped_leaves_no_timer_and_no_callback() {
    let outcome: Result<()> = outcome_of(async {
        let future = Future::<()>::new();
        let mut waiting = wait([future.clone()]).timeout(Duration::from_secs(9)).into_future();
        assert!(asyncio_tests::support::poll_once(&mut waiting).await.is_none());
        drop(waiting);
        let time = now();
        let outcome: Result<()> = Future::new().await;
        // A deadlock immediately: the timer is gone.
        assert_eq!(now(), time);
        outcome
    });
    assert!(matches!(outcome, Err(Error::Deadlock(_))));
}

// as_completed.

#[test]
fn as_completed_gives_results_as_they_come() {
    run(async {
        let mut soonest = as_completed([late(3, 3), late(1, 1), late(2, 2)]);
        let mut seen = Vec::new();
        while let Some(n) = soonest.next().await {
            seen.push((n?, now()));
        }
        assert_eq!(seen, [(1, MS), (2, 2 * MS), (3, 3 * MS)]);
        Ok(())
    });
}

#[test]
fn as_completed_gives_the_very_tasks_if_asked_for_them() {
    run(async {
        let tasks = [late(2, 2), late(1, 1), failing(3)];
        let ids = tasks.each_ref().map(FutureLike::id);
        let mut futures = as_completed(tasks).futures();
        let mut seen = Vec::new();
        while let Some(task) = futures.next().await {
            let task = task?;
            assert!(task.done());
            seen.push(FutureLike::id(&task));
            let _ = task.exception()?;
        }
        assert_eq!(seen, [ids[1], ids[0], ids[2]]);
        Ok(())
    });
}

#[test]
fn the_first_awaiter_gets_what_is_completed_first() {
    run(async {
        let mut soonest = as_completed([late(2, "b"), late(1, "a")]);
        let (first, second) = (soonest.next_future(), soonest.next_future());
        let (first, second) = (first.expect("of two"), second.expect("of two"));
        assert!(soonest.next_future().is_none());
        assert_eq!(second.await?, "a");
        assert_eq!(first.await?, "b");
        Ok(())
    });
}

#[test]
fn an_iteration_that_was_broken_off_goes_on() {
    run(async {
        let mut soonest = as_completed([late(1, 1), late(2, 2), late(3, 3)]);
        assert_eq!(soonest.next().await.transpose()?, Some(1));
        sleep(5 * MS).await?;
        let mut rest = Vec::new();
        while let Some(n) = soonest.next().await {
            rest.push(n?);
        }
        assert_eq!(rest, [2, 3]);
        assert!(soonest.next().await.is_none());
        Ok(())
    });
}

#[test]
fn after_the_timeout_every_missing_item_is_one_and_nothing_is_cancelled() {
    run(async {
        let slow = [late(9, 1), late(8, 2)];
        let kept = slow.clone();
        let [a, b] = slow;
        let mut soonest = as_completed([a, b, late(1, 3)]).timeout(5 * MS);
        assert_eq!(soonest.next().await.transpose()?, Some(3));
        for _ in 0..2 {
            assert!(soonest.next().await.expect("two are missing").unwrap_err().is_timeout());
        }
        assert!(soonest.next().await.is_none());
        assert_eq!(now(), 5 * MS);
        assert!(kept.iter().all(|task| task.cancelling() == 0));
        let mut futures = as_completed(kept).timeout(MS).futures();
        assert!(futures.next().await.expect("one").unwrap_err().is_timeout());
        Ok(())
    });
}

#[test]
fn as_completed_gives_what_is_given_twice_once() {
    run(async {
        let task = late(1, 7);
        let items: Vec<_> = as_completed([task.clone(), task]).collect().await;
        assert_eq!(items.len(), 1);
        assert_eq!(items.into_iter().collect::<Result<Vec<_>>>()?, [7]);
        Ok(())
    });
}

#[test]
fn waiting_for_the_next_item_is_cancelled_and_the_tasks_go_on() {
    run(async {
        let inner = late(5, 7);
        let mut soonest = as_completed([inner.clone()]);
        let task = create_task(async move {
            let outcome = soonest.next().await.expect("one");
            assert!(cancelled(&outcome));
            Ok(())
        });
        briefly().await?;
        task.cancel();
        task.await?;
        assert_eq!((inner.cancelling(), inner.await?), (0, 7));
        Ok(())
    });
}

#[test]
fn an_item_that_is_dropped_after_it_was_woken_goes_to_the_next() {
    run(async {
        let (a, b) = (Future::new(), Future::<i32>::new());
        let mut soonest = as_completed([a.clone(), b]);
        let mut first = soonest.next_future().expect("of two");
        let second = create_task(soonest.next_future().expect("of two"));
        assert!(asyncio_tests::support::poll_once(&mut first).await.is_none());
        briefly().await?;
        a.set_result(7)?;
        briefly().await?;
        // The first was woken for it, and will not ask again.
        drop(first);
        assert_eq!(second.await?, 7);
        Ok(())
    });
}

// Values that a waiting task may receive.

#[test]
fn a_request_that_passes_through_wait_and_shield_reaches_no_task() {
    run(async {
        let (trace, inner) = (Trace::new(), Future::<()>::new());
        let kept = awaiting(&inner);
        let shielded = kept.clone();
        let log = trace.clone();
        let task = create_task(async move {
            assert!(cancelled(&wait([shielded.clone()]).await));
            log.say("wait");
            assert!(cancelled(&shield(shielded).await));
            log.say("shield");
            Ok(current_task().map(|task| task.cancelling()))
        });
        briefly().await?;
        task.cancel();
        iterations(2).await?;
        task.cancel();
        assert_eq!(task.await?, Some(2));
        assert_eq!(trace.take(), "wait shield");
        assert!(!kept.done() && kept.cancelling() == 0);
        Ok(())
    });
}
