//! Timeouts, after CPython's `test_timeouts`.

use asyncio::{
    AsyncContextManager, Error, Future, Result, TaskGroup, create_task, current_task,
    get_running_loop, sleep, timeout, timeout_at,
};
use asyncio_tests::support::{
    MS, Trace, boom, briefly, cancelled, iterations, message, outcome_of, run,
};
use futures_lite::future::block_on;
use std::{future::pending, time::Duration};

fn now() -> Duration {
    get_running_loop().expect("a loop runs").time()
}

fn cancelling() -> u32 {
    current_task().expect("this is a task").cancelling()
}

fn timed_out<T>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(Error::Timeout(_)))
}

#[test]
fn a_body_that_takes_too_long_is_a_timeout() {
    run(async {
        let (timeout, watch) = timeout(10 * MS).watched();
        let outcome = timeout.with(async |_| sleep(10_000 * MS).await).await;
        assert!(timed_out(&outcome));
        // The cancellation that ended the body is its context.
        let error = outcome.unwrap_err();
        assert!(error.context().is_some_and(Error::is_cancelled));
        assert!(watch.expired());
        assert_eq!((now(), watch.when(), cancelling()), (10 * MS, Some(10 * MS), 0));
        Ok(())
    });
}

#[test]
fn a_timeout_counts_from_its_call_and_timeout_at_says_when() {
    run(async {
        sleep(5 * MS).await?;
        let late = timeout(10 * MS);
        sleep(5 * MS).await?;
        assert!(timed_out(&late.with(async |_| sleep(90 * MS).await).await));
        assert_eq!(now(), 15 * MS);
        let outcome = timeout_at(20 * MS)
            .with(async |deadline| {
                assert_eq!(deadline.when(), Some(20 * MS));
                sleep(90 * MS).await
            })
            .await;
        assert!(timed_out(&outcome));
        assert_eq!(now(), 20 * MS);
        Ok(())
    });
}

#[test]
fn a_body_in_time_is_left_as_it_ends() {
    run(async {
        let (timeout, watch) = timeout(10 * MS).watched();
        assert_eq!(timeout.with(async |_| sleep(MS).result(7).await).await?, 7);
        assert!(!watch.expired());
        // The timer is gone.
        sleep(20 * MS).await?;
        assert!(!watch.expired());
        Ok(())
    });
}

#[test]
fn none_is_no_deadline() {
    run(async {
        let outcome = timeout(None)
            .with(async |deadline| {
                assert_eq!((deadline.when(), deadline.expired()), (None, false));
                sleep(10_000 * MS).await?;
                Ok(7)
            })
            .await;
        assert_eq!(outcome?, 7);
        assert_eq!(timeout_at(None).with(async |_| Ok(8)).await?, 8);
        Ok(())
    });
}

#[test]
fn a_deadline_that_has_passed_expires_before_a_sleep_of_nothing_is_over() {
    run(async {
        sleep(5 * MS).await?;
        for past in [timeout(Duration::ZERO), timeout_at(MS)] {
            let (past, watch) = past.watched();
            assert!(timed_out(&past.with(async |_| briefly().await).await));
            assert!(watch.expired());
        }
        assert_eq!(now(), 5 * MS);
        Ok(())
    });
}

#[test]
fn of_nested_timeouts_with_one_deadline_only_the_outer_is_one() {
    run(async {
        let (outer, outer_watch) = timeout(10 * MS).watched();
        let (inner, inner_watch) = timeout(10 * MS).watched();
        let outcome = outer
            .with(async |_| {
                let outcome = inner.with(async |_| sleep(90 * MS).await).await;
                assert!(cancelled(&outcome));
                outcome
            })
            .await;
        assert!(timed_out(&outcome));
        assert!(outer_watch.expired() && inner_watch.expired());
        assert_eq!(cancelling(), 0);
        Ok(())
    });
}

#[test]
fn a_timeout_that_was_handled_leaves_the_outer_in_force() {
    run(async {
        let outcome = timeout(20 * MS)
            .with(async |_| {
                let inner = timeout(10 * MS).with(async |_| sleep(90 * MS).await).await;
                assert!(timed_out(&inner));
                assert_eq!((now(), cancelling()), (10 * MS, 0));
                sleep(90 * MS).await
            })
            .await;
        assert!(timed_out(&outcome));
        assert_eq!((now(), cancelling()), (20 * MS, 0));
        Ok(())
    });
}

#[test]
fn an_outer_timeout_goes_through_the_inner_as_a_cancellation() {
    run(async {
        let (inner, watch) = timeout(50 * MS).watched();
        let outcome = timeout(10 * MS)
            .with(async |_| {
                let outcome = inner.with(async |_| sleep(90 * MS).await).await;
                assert!(cancelled(&outcome));
                outcome
            })
            .await;
        assert!(timed_out(&outcome));
        assert!(!watch.expired());
        Ok(())
    });
}

#[test]
fn an_error_of_the_body_passes() {
    run(async {
        let (timeout, watch) = timeout(10 * MS).watched();
        let outcome: Result<()> = timeout.with(async |_| Err(boom())).await;
        assert_eq!(message(outcome), "Error: boom");
        assert!(!watch.expired());
        Ok(())
    });
}

#[test]
fn an_error_in_place_of_the_cancellation_passes_too() {
    run(async {
        let (timeout, watch) = timeout(10 * MS).watched();
        let outcome: Result<()> = timeout
            .with(async |_| {
                let outcome = sleep(90 * MS).await;
                assert!(cancelled(&outcome));
                Err(boom())
            })
            .await;
        assert_eq!(message(outcome), "Error: boom");
        assert!(watch.expired());
        assert_eq!(cancelling(), 0);
        Ok(())
    });
}

#[test]
fn a_body_that_swallows_the_cancellation_is_left_as_it_ends() {
    run(async {
        let (timeout, watch) = timeout(10 * MS).watched();
        let outcome = timeout
            .with(async |deadline| {
                assert!(cancelled(&sleep(90 * MS).await));
                assert!(deadline.expired());
                Ok(7)
            })
            .await;
        assert_eq!(outcome?, 7);
        assert!(watch.expired());
        assert_eq!(cancelling(), 0);
        Ok(())
    });
}

#[test]
fn a_cancellation_from_outside_stays_one() {
    run(async {
        let (timeout, watch) = timeout(50 * MS).watched();
        let task = create_task(timeout.with(async |_| sleep(90 * MS).await));
        sleep(MS).await?;
        task.cancel();
        assert!(cancelled(&task.clone().await));
        assert!(!watch.expired());
        assert_eq!(task.cancelling(), 1);
        Ok(())
    });
}

#[test]
fn a_cancellation_from_outside_at_the_instant_of_the_deadline_wins() {
    run(async {
        let (timeout, watch) = timeout(10 * MS).watched();
        let task = create_task(timeout.with(async |_| sleep(90 * MS).await));
        let name = (*task).clone();
        get_running_loop()?.call_later(10 * MS, move || name.cancel())?;
        assert!(cancelled(&task.clone().await));
        assert!(watch.expired());
        assert_eq!(task.cancelling(), 1);
        Ok(())
    });
}

#[test]
fn a_timeout_works_in_a_task_that_is_being_cancelled() {
    run(async {
        let task = create_task(async {
            assert!(cancelled(&sleep(90 * MS).await));
            // Cleaning up, for a limited time.
            let outcome = timeout(5 * MS).with(async |_| sleep(90 * MS).await).await;
            assert!(timed_out(&outcome));
            Ok(cancelling())
        });
        briefly().await?;
        task.cancel();
        assert_eq!(task.await?, 1);
        Ok(())
    });
}

#[test]
fn a_second_cancellation_wins_there_too() {
    run(async {
        let task = create_task(async {
            assert!(cancelled(&sleep(90 * MS).await));
            let outcome = timeout(50 * MS).with(async |_| sleep(90 * MS).await).await;
            assert!(cancelled(&outcome));
            Ok(cancelling())
        });
        briefly().await?;
        task.cancel();
        sleep(MS).await?;
        task.cancel();
        assert_eq!(task.await?, 2);
        Ok(())
    });
}

#[test]
fn a_task_is_not_cancelled_by_a_timeout_that_was_handled() {
    run(async {
        let task = create_task(async {
            let outcome = timeout(MS).with(async |_| sleep(90 * MS).await).await;
            assert!(timed_out(&outcome));
            sleep(MS).await
        });
        task.clone().await?;
        assert_eq!((task.cancelled(), task.cancelling()), (false, 0));
        Ok(())
    });
}

#[test]
fn a_timeout_in_a_group_is_an_error_of_its_child() {
    run(async {
        let outcome: Result<()> = timeout(10 * MS)
            .with(async |_| {
                TaskGroup::new()
                    .with(async |group| {
                        drop(group.create_task(async {
                            assert!(cancelled(&sleep(90 * MS).await));
                            Err::<(), _>(boom())
                        }));
                        sleep(90 * MS).await
                    })
                    .await
            })
            .await;
        let Err(Error::Group(group)) = outcome else { panic!("{outcome:?}") };
        let [error] = group.exceptions() else { panic!("{group:?}") };
        assert_eq!(error.to_string(), "boom");
        assert_eq!(cancelling(), 0);
        sleep(MS).await
    });
}

// Moving the deadline.

#[test]
fn a_deadline_is_moved_back_forth_and_away() {
    run(async {
        let outcome = timeout(10 * MS)
            .with(async |deadline| {
                deadline.reschedule(20 * MS)?;
                assert_eq!(deadline.when(), Some(20 * MS));
                sleep(15 * MS).await?;
                deadline.reschedule(None)?;
                sleep(85 * MS).await?;
                deadline.reschedule(105 * MS)?;
                sleep(90 * MS).await
            })
            .await;
        assert!(timed_out(&outcome));
        assert_eq!(now(), 105 * MS);
        Ok(())
    });
}

#[test]
fn a_deadline_moved_into_the_past_takes_effect_in_the_next_iteration() {
    run(async {
        sleep(5 * MS).await?;
        let outcome = timeout(None)
            .with(async |deadline| {
                deadline.reschedule(MS)?;
                assert!(!deadline.expired());
                iterations(2).await
            })
            .await;
        assert!(timed_out(&outcome));
        assert_eq!(now(), 5 * MS);
        Ok(())
    });
}

#[test]
fn a_deadline_that_is_not_in_force_cannot_be_moved() {
    run(async {
        let said = |text: &str| format!("RuntimeError: Timeout.reschedule: the timeout {text}");
        let (timeout, watch) = timeout(10 * MS).watched();
        assert_eq!(message(watch.reschedule(MS)), said("has not been entered"));
        let during = watch.clone();
        let outcome = timeout
            .with(async |deadline| {
                let outcome = sleep(90 * MS).await;
                assert_eq!(message(deadline.reschedule(MS)), said("is expiring"));
                assert_eq!(message(during.reschedule(MS)), said("is expiring"));
                outcome
            })
            .await;
        assert!(timed_out(&outcome));
        assert_eq!(message(watch.reschedule(MS)), said("has expired"));
        let (timeout, watch) = asyncio::timeout(10 * MS).watched();
        timeout.with(async |_| Ok(())).await?;
        assert_eq!(message(watch.reschedule(MS)), said("has finished"));
        assert!(!watch.expired());
        Ok(())
    });
}

// Misuse.

#[test]
fn a_timeout_is_entered_once_and_in_a_task() {
    run(async {
        let mut timeout = timeout(MS);
        let deadline = timeout.enter().await?;
        assert_eq!(
            message(timeout.enter().await),
            "RuntimeError: Timeout has already been entered"
        );
        timeout.exit(deadline, None).await
    });
    let outcome = block_on(timeout(MS).with(async |_| Ok(())));
    assert_eq!(message(outcome), "RuntimeError: timeout: no running event loop");
    run(async {
        let seen = Trace::new();
        let log = seen.clone();
        get_running_loop()?.call_soon(move || {
            log.say(message(block_on(timeout(MS).with(async |_| Ok(())))));
        })?;
        briefly().await?;
        assert_eq!(seen.take(), "RuntimeError: Timeout should be used inside a task");
        Ok(())
    });
}

#[test]
fn a_timeout_that_is_dropped_in_its_body_leaves_no_timer() {
    let outcome: Result<()> = outcome_of(async {
        let mut body = Box::pin(timeout(10 * MS).with(async |_| pending::<Result<()>>().await));
        assert!(asyncio_tests::support::poll_once(&mut body).await.is_none());
        drop(body);
        let outcome = Future::<()>::new().await;
        // No task was cancelled, and the time did not jump to a timer either.
        assert!(matches!(outcome, Err(Error::Cancelled(_))));
        assert_eq!(now(), Duration::ZERO);
        outcome
    });
    // So all wait forever.
    assert!(matches!(outcome, Err(Error::Deadlock(_))));
}

#[test]
fn cancelled_and_timed_out_are_seen_by_an_exit_in_between() {
    struct Exit(Trace);
    impl AsyncContextManager for Exit {
        type Target = ();
        async fn enter(&mut self) -> Result<()> {
            Ok(())
        }
        async fn exit(&mut self, (): (), error: Option<&Error>) -> Result<()> {
            self.0.say(error.map_or("nothing", Error::kind));
            // It may await even while its task is being cancelled.
            sleep(MS).await
        }
    }
    run(async {
        let trace = Trace::new();
        let (inside, outside) = (Exit(trace.clone()), Exit(trace.clone()));
        let outcome = outside
            .with(async |()| {
                timeout(5 * MS)
                    .with(async |_| inside.with(async |()| sleep(90 * MS).await).await)
                    .await
            })
            .await;
        assert!(timed_out(&outcome));
        assert_eq!((trace.take().as_str(), now()), ("CancelledError TimeoutError", 7 * MS));
        Ok(())
    });
}

/// The kinds of an error and of its contexts.
fn kinds(error: &Error) -> String {
    let contexts = std::iter::successors(Some(error), |error| error.context());
    contexts.map(Error::kind).collect::<Vec<_>>().join(" < ")
}

/// Fails with `boom` where it is cancelled.
async fn fails_when_cancelled() -> Result<()> {
    sleep(10_000 * MS).await.map_err(|cancelled| boom().with_context(cancelled))
}

#[test]
fn a_timeout_takes_the_place_of_the_cancellation_behind_another_error() {
    run(async {
        let failing = async |_: &mut asyncio::Deadline| fails_when_cancelled().await;
        let error = timeout(10 * MS).with(failing).await.unwrap_err();
        assert_eq!(kinds(&error), "Error < TimeoutError < CancelledError");
        // It may be further down the chain.
        let outcome = timeout(10 * MS).with(async |_| {
            fails_when_cancelled().await.map_err(|error| Error::value("late").with_context(error))
        });
        assert_eq!(
            kinds(&outcome.await.unwrap_err()),
            "ValueError < Error < TimeoutError < CancelledError"
        );
        let error = asyncio::wait_for(fails_when_cancelled(), 10 * MS).await.unwrap_err();
        assert_eq!(kinds(&error), "Error < TimeoutError < CancelledError");
        // The deadline of the one around it has nothing to do with it.
        let inner = async |_: &mut asyncio::Deadline| timeout(10 * MS).with(failing).await;
        let error = timeout(20 * MS).with(inner).await.unwrap_err();
        assert_eq!(kinds(&error), "Error < TimeoutError < CancelledError");
        Ok(())
    });
}

#[test]
fn a_timeout_takes_no_place_where_the_deadline_ended_nothing() {
    run(async {
        let failing = async |_: &mut asyncio::Deadline| fails_when_cancelled().await;
        let task = create_task(timeout(10 * MS).with(failing));
        briefly().await?;
        task.cancel();
        assert_eq!(kinds(&task.await.unwrap_err()), "Error < CancelledError");
        let failed = timeout(10 * MS).with(async |_| {
            Err::<(), _>(boom().with_context(Error::Cancelled(Default::default())))
        });
        assert_eq!(kinds(&failed.await.unwrap_err()), "Error < CancelledError");
        Ok(())
    });
}

#[test]
fn a_timeout_takes_the_place_of_the_cancellation_behind_a_group_and_its_members() {
    run(async {
        let outcome = timeout(10 * MS).with(async |_| {
            TaskGroup::new()
                .with(async |group| {
                    drop(group.create_task(fails_when_cancelled()));
                    sleep(10_000 * MS).await
                })
                .await
        });
        let error = outcome.await.unwrap_err();
        assert_eq!(kinds(&error), "ExceptionGroup < TimeoutError < CancelledError");
        let Error::Group(group) = &error else { panic!("{error:?}") };
        let members: Vec<String> = group.exceptions().iter().map(kinds).collect();
        assert_eq!(members, ["Error < TimeoutError < CancelledError"]);
        assert_eq!(group.message(), "unhandled errors in a TaskGroup");
        Ok(())
    });
}
