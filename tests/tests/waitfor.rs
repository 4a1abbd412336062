//! `wait_for`, after CPython's `test_waitfor`.

use asyncio::{
    Context, ContextVar, Error, Future, Lock, Result, Semaphore, cancellable, create_task,
    current_task, eager_task_factory, get_running_loop, prelude::*, shield, sleep, timeout,
    wait_for,
};
use asyncio_tests::support::{
    MS, awaiting, boom, briefly, cancel_message, cancelled, iterations, message, run,
};
use std::{cell::Cell, rc::Rc, time::Duration};

fn now() -> Duration {
    get_running_loop().expect("a loop runs").time()
}

#[test]
fn what_is_in_time_gives_its_result_or_error() {
    run(async {
        assert_eq!(wait_for(sleep(MS).result(7), 5 * MS).await?, 7);
        assert_eq!(wait_for(sleep(MS).result(8), None).await?, 8);
        assert_eq!(wait_for(create_task(async { Ok(9) }), 5 * MS).await?, 9);
        let fails = async { Err::<(), _>(boom()) };
        assert_eq!(message(wait_for(fails, 5 * MS).await), "Error: boom");
        Ok(())
    });
}

#[test]
fn a_coroutine_runs_in_the_calling_task_and_its_context() {
    static VAR: ContextVar<i32> = ContextVar::with_default("var", 0);
    run(async {
        let me = current_task();
        wait_for(
            async move {
                assert_eq!(current_task(), me);
                VAR.set(1);
                sleep(MS).await
            },
            5 * MS,
        )
        .await?;
        assert_eq!((VAR.get(), Context::current().get(&VAR)), (Some(1), Some(1)));
        Ok(())
    });
}

#[test]
fn what_is_too_late_is_cancelled_and_the_error_is_a_timeout() {
    run(async {
        let (task, future) = (create_task(sleep(90 * MS)), Future::<()>::new());
        let name = (*task).clone();
        let outcome = wait_for(task, 5 * MS).await;
        let error = outcome.unwrap_err();
        assert!(error.is_timeout() && error.context().is_some_and(Error::is_cancelled));
        assert!(name.done());
        assert!(wait_for(future.clone(), 5 * MS).await.unwrap_err().is_timeout());
        assert!(future.cancelled());
        assert!(wait_for(sleep(90 * MS), 5 * MS).await.unwrap_err().is_timeout());
        assert_eq!(now(), 15 * MS);
        assert_eq!(current_task().map(|task| task.cancelling()), Some(0));
        Ok(())
    });
}

#[test]
fn a_timeout_of_nothing_starts_no_coroutine() {
    run(async {
        let started = Rc::new(Cell::new(false));
        let tell = started.clone();
        let coroutine = async move {
            tell.set(true);
            Ok(())
        };
        assert!(wait_for(coroutine, Duration::ZERO).await.unwrap_err().is_timeout());
        assert!(!started.get());
        Ok(())
    });
}

/// A source of numbers, read one after another by futures that borrow it.
struct Numbers(u32);

impl Numbers {
    async fn next(&mut self) -> Result<u32> {
        sleep(MS).await?;
        self.0 += 1;
        Ok(self.0)
    }
}

#[test]
fn what_is_awaited_may_borrow() {
    run(async {
        let mut numbers = Numbers(0);
        for limit in [Some(5 * MS), None, Some(5 * MS)] {
            let before = numbers.0;
            assert_eq!(wait_for(numbers.next(), limit).await?, before + 1);
        }
        assert!(wait_for(numbers.next(), MS / 2).await.unwrap_err().is_timeout());
        assert!(wait_for(numbers.next(), Duration::ZERO).await.unwrap_err().is_timeout());
        assert_eq!(numbers.0, 3);
        let mut scoped = 0;
        scoped += timeout(5 * MS).with(async |_| numbers.next().await).await?;
        scoped += cancellable(numbers.next()).await?;
        assert_eq!((scoped, numbers.0), (4 + 5, 5));
        Ok(())
    });
}

#[test]
fn a_timeout_of_nothing_leaves_a_coroutine_alone_until_it_ends() {
    run(async {
        let held = Rc::new(());
        let inside = held.clone();
        let mut waiting = Box::pin(wait_for(
            async move {
                drop(inside);
                Ok(())
            },
            Duration::ZERO,
        ));
        assert!(asyncio_tests::support::poll_once(&mut waiting).await.is_none());
        assert_eq!(Rc::strong_count(&held), 2);
        assert!(waiting.as_mut().await.unwrap_err().is_timeout());
        assert_eq!(Rc::strong_count(&held), 1);
        Ok(())
    });
}

#[test]
fn a_timeout_of_nothing_starts_a_coroutine_where_tasks_are_eager() {
    run(async {
        get_running_loop()?.set_task_factory(eager_task_factory);
        let mut numbers = Numbers(0);
        assert!(wait_for(numbers.next(), Duration::ZERO).await.unwrap_err().is_timeout());
        assert_eq!(numbers.0, 0);
        let quick = async {
            numbers.0 = 7;
            Ok(numbers.0)
        };
        assert_eq!(wait_for(quick, Duration::ZERO).await?, 7);
        assert_eq!(now(), Duration::ZERO);
        Ok(())
    });
}

#[test]
fn a_timeout_of_nothing_gives_what_is_there() {
    run(async {
        let done = Future::new();
        done.set_result("done")?;
        assert_eq!(wait_for(done, Duration::ZERO).await?, "done");
        let task = create_task(async { Ok(7) });
        iterations(2).await?;
        assert_eq!(wait_for(task, Duration::ZERO).await?, 7);
        let failed = Future::<()>::new();
        failed.set_exception(boom())?;
        assert_eq!(message(wait_for(failed, Duration::ZERO).await), "Error: boom");
        let gone = Future::<()>::new();
        gone.cancel();
        // It was cancelled before, so that is no timeout.
        assert!(cancelled(&wait_for(gone, Duration::ZERO).await));
        Ok(())
    });
}

#[test]
fn a_timeout_of_nothing_cancels_what_is_not_done_and_a_shielded_task_survives() {
    run(async {
        let future = Future::<()>::new();
        assert!(wait_for(future.clone(), Duration::ZERO).await.unwrap_err().is_timeout());
        assert!(future.cancelled());
        let inner = create_task(sleep(MS).result(7));
        let outcome = wait_for(shield(inner.clone()), Duration::ZERO).await;
        assert!(outcome.unwrap_err().is_timeout());
        assert_eq!(inner.await?, 7);
        Ok(())
    });
}

#[test]
fn wait_for_waits_until_the_cancellation_is_over() {
    run(async {
        for limit in [5 * MS, Duration::ZERO] {
            let ended = Rc::new(Cell::new(false));
            let tell = ended.clone();
            let task = create_task(async move {
                let outcome = sleep(90 * MS).await;
                sleep(MS).await?;
                tell.set(true);
                outcome
            });
            briefly().await?;
            assert!(wait_for(task, limit).await.unwrap_err().is_timeout());
            assert!(ended.get());
        }
        Ok(())
    });
}

#[test]
fn what_swallows_the_cancellation_and_returns_gives_its_value() {
    run(async {
        for limit in [5 * MS, Duration::ZERO] {
            let task = create_task(async {
                let _ = sleep(90 * MS).await;
                Ok("done all the same")
            });
            briefly().await?;
            assert_eq!(wait_for(task, limit).await?, "done all the same");
        }
        Ok(())
    });
}

#[test]
fn an_error_while_the_cancellation_is_handled_comes_out() {
    run(async {
        for limit in [5 * MS, Duration::ZERO] {
            let task = create_task(async {
                let _ = sleep(90 * MS).await;
                Err::<(), _>(boom())
            });
            briefly().await?;
            assert_eq!(message(wait_for(task, limit).await), "Error: boom");
        }
        Ok(())
    });
}

#[test]
fn cancelling_wait_for_cancels_what_it_waits_for() {
    run(async {
        let inner = create_task(sleep(90 * MS));
        let name = (*inner).clone();
        let outer = create_task(wait_for(inner, 50 * MS));
        briefly().await?;
        outer.cancel_with("why");
        assert_eq!(cancel_message(&outer.await), "why");
        assert!(name.done() && name.cancelling() == 1);
        assert_eq!(now(), Duration::ZERO);
        Ok(())
    });
}

#[test]
fn cancelling_wait_for_of_a_coroutine_that_cleans_up_waits_for_that() {
    run(async {
        let ended = Rc::new(Cell::new(false));
        let tell = ended.clone();
        let outer = create_task(wait_for(
            async move {
                let outcome = sleep(90 * MS).await;
                sleep(MS).await?;
                tell.set(true);
                outcome
            },
            50 * MS,
        ));
        briefly().await?;
        outer.cancel();
        assert!(cancelled(&outer.await));
        assert!(ended.get());
        Ok(())
    });
}

#[test]
fn a_cancellation_in_the_iteration_in_which_the_task_ends_is_not_lost() {
    run(async {
        let future = Future::new();
        let outer = create_task(wait_for(awaiting(&future), 50 * MS));
        iterations(2).await?;
        future.set_result("done")?;
        briefly().await?;
        // The inner task has just ended, and the outer is woken already.
        outer.cancel();
        assert!(cancelled(&outer.await));
        Ok(())
    });
}

#[test]
fn a_dropped_wait_for_drops_its_coroutine_and_its_timer() {
    run(async {
        let held = Rc::new(());
        let inside = held.clone();
        let mut waiting = Box::pin(wait_for(
            async move {
                let outcome = sleep(90 * MS).await;
                drop(inside);
                outcome
            },
            50 * MS,
        ));
        assert!(asyncio_tests::support::poll_once(&mut waiting).await.is_none());
        drop(waiting);
        assert_eq!(Rc::strong_count(&held), 1);
        sleep(60 * MS).await
    });
}

#[test]
fn it_may_borrow_whatever_the_timeout() {
    run(async {
        let (lock, semaphore, text) = (Lock::new(1), Semaphore::new(1), String::from("text"));
        for limit in [None, Some(MS), Some(Duration::ZERO)] {
            let guard = wait_for(lock.acquire(), limit).await;
            let permit = wait_for(semaphore.acquire(), limit).await;
            let slice = wait_for(async { Ok(&text[1..]) }, limit).await;
            if limit == Some(Duration::ZERO) {
                assert!(guard.is_err_and(|error| error.is_timeout()));
                assert!(permit.is_err_and(|error| error.is_timeout()));
                assert!(slice.is_err_and(|error| error.is_timeout()));
            } else {
                assert_eq!((*guard?, slice?), (1, "ext"));
                drop(permit?);
            }
            assert!(!lock.locked() && !semaphore.locked());
        }
        Ok(())
    });
}

#[test]
fn without_a_loop_a_timeout_of_zero_is_an_error() {
    let outcome = futures_lite::future::block_on(wait_for(async { Ok(()) }, Duration::ZERO));
    assert_eq!(message(outcome), "RuntimeError: create_task: no running event loop");
}
