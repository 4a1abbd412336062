//! Beyond asyncio 3.14: `cancel`, of 3.15; groups that do not abort; children that say when they are ready.

use super::*;

#[test]
fn a_cancelled_group_ends_and_its_cancellation_with_it() {
    run(async {
        let trace = Trace::new();
        let child = {
            let trace = trace.clone();
            async move {
                let outcome = sleep(90 * MS).await;
                trace.say("child cleans up");
                outcome
            }
        };
        let outcome = TaskGroup::new().with_suppress(async |group| {
            let task = group.create_task(child);
            let stop = group.clone();
            get_running_loop()?.call_later(MS, move || stop.cancel())?;
            let outcome = sleep(90 * MS).await;
            trace.say("body cleans up");
            assert!(cancelled(&outcome));
            assert!(task.done() && cancelling() == 1);
            let refused = group.create_task(async { Ok(()) });
            assert_eq!(
                message(refused.await),
                "RuntimeError: TaskGroup.create_task: the group is shutting down"
            );
            Err::<(), _>(Error::Cancelled(Default::default()))
        });
        assert_eq!((outcome.await?, cancelling()), (None, 0));
        assert_eq!(trace.take(), "child cleans up body cleans up");
        // Nothing is left of it.
        sleep(MS).await
    });
}

#[test]
fn a_group_may_be_cancelled_before_it_is_entered_and_after_it_has_ended() {
    run(async {
        let group = TaskGroup::new();
        let handle = group.handle();
        handle.cancel();
        let outcome = group.with_suppress(async |_| sleep(90 * MS).await).await;
        assert_eq!(outcome?, None);
        handle.cancel();
        sleep(MS).await?;
        assert_eq!(cancelling(), 0);
        Ok(())
    });
}

#[test]
fn a_body_that_returns_all_the_same_gives_its_value() {
    run(async {
        let at_once = TaskGroup::new().with_suppress(async |group| {
            group.cancel();
            group.cancel();
            Ok(7)
        });
        assert_eq!(at_once.await?, Some(7));
        let swallowed = TaskGroup::new().with(async |group| {
            drop(group.create_task(sleep(90 * MS)));
            group.cancel();
            assert!(cancelled(&sleep(MS).await));
            Ok(8)
        });
        assert_eq!((swallowed.await?, cancelling()), (8, 0));
        sleep(MS).await
    });
}

#[test]
fn with_gives_the_cancellation_of_a_cancelled_group_and_no_more_comes() {
    run(async {
        let outcome = TaskGroup::new().with(async |group| {
            group.cancel();
            sleep(MS).await
        });
        assert!(cancelled(&outcome.await));
        assert_eq!(cancelling(), 0);
        sleep(MS).await
    });
}

#[test]
fn errors_of_a_cancelled_group_come_out() {
    run(async {
        let outcome = TaskGroup::new().with_suppress(async |group| {
            drop(group.create_task(async {
                let _ = sleep(90 * MS).await;
                Err::<(), _>(boom())
            }));
            sleep(MS).await?;
            group.cancel();
            sleep(90 * MS).await
        });
        assert_eq!(members(outcome.await), "[boom]");
        assert_eq!(cancelling(), 0);
        Ok(())
    });
}

#[test]
fn a_cancellation_from_outside_is_not_ended_by_the_group() {
    run(async {
        let task = create_task(TaskGroup::new().with_suppress(async |group| {
            let stop = group.clone();
            get_running_loop()?.call_later(MS, move || stop.cancel())?;
            let _ = sleep(90 * MS).await;
            sleep(90 * MS).await
        }));
        sleep(2 * MS).await?;
        task.cancel();
        assert!(cancelled(&task.await));
        Ok(())
    });
}

#[test]
fn cancelling_an_inner_group_leaves_the_outer_one_alone() {
    run(async {
        let outcome = TaskGroup::new().with(async |outer| {
            let other = outer.create_task(sleep(5 * MS).result(1));
            let inner = TaskGroup::new().with_suppress(async |inner| {
                inner.cancel();
                sleep(90 * MS).await
            });
            assert_eq!(inner.await?, None);
            other.await
        });
        assert_eq!(outcome.await?, 1);
        Ok(())
    });
}

#[test]
fn a_group_that_does_not_abort_lets_the_others_run_on() {
    run(async {
        let trace = Trace::new();
        let say = trace.clone();
        let outcome = TaskGroup::new().abort_on_error(false).with(async |group| {
            drop(group.create_task(async { Err::<(), _>(Error::msg("first")) }));
            drop(group.create_task(async move {
                sleep(5 * MS).await?;
                say.say("child");
                Err::<(), _>(Error::msg("second"))
            }));
            sleep(2 * MS).await?;
            trace.say("body");
            drop(group.create_task(async { Ok(()) }));
            Ok(())
        });
        assert_eq!(members(outcome.await), "[first, second]");
        assert_eq!((trace.take(), cancelling()), ("body child".into(), 0));
        Ok(())
    });
}

#[test]
fn a_failing_body_or_a_keyboard_interrupt_aborts_any_group() {
    run(async {
        let group = || TaskGroup::new().abort_on_error(false);
        let outcome = group().with(async |group| {
            drop(group.create_task(sleep(3_600_000 * MS)));
            sleep(MS).await?;
            Err::<(), _>(boom())
        });
        assert_eq!(members(outcome.await), "[boom]");
        assert!(get_running_loop()?.time() < 90 * MS);
        Ok(())
    });
}

#[test]
fn a_child_says_when_it_is_ready_and_with_what() {
    run(async {
        let outcome = TaskGroup::new().with(async |group| {
            let n = group
                .start(async |ready: TaskStatus<u32>| {
                    sleep(5 * MS).await?;
                    ready.started(7)?;
                    sleep(5 * MS).await?;
                    Err::<(), _>(Error::msg("later"))
                })
                .await?;
            assert_eq!((n, get_running_loop()?.time()), (7, 5 * MS));
            // It is now a child like any other.
            assert!(cancelled(&sleep(90 * MS).await));
            Ok(n)
        });
        assert_eq!(members(outcome.await), "[later]");
        Ok(())
    });
}

#[test]
fn a_child_that_ends_before_it_is_ready_is_the_callers_error() {
    run(async {
        let sum = TaskGroup::new().with(async |group| {
            let failed = group.start(async |_: TaskStatus<u32>| Err::<(), _>(boom())).await;
            assert_eq!(message(failed), "Error: boom");
            let returned = group.start(async |_: TaskStatus<u32>| Ok(())).await;
            assert_eq!(
                message(returned),
                "RuntimeError: TaskGroup.start: the child returned before it was started"
            );
            // The group has no error of it.
            Ok(1)
        });
        assert_eq!(sum.await?, 1);
        let group = TaskGroup::new();
        let refused = group.handle().start(async |_: TaskStatus<u32>| Ok(())).await;
        assert!(message(refused).ends_with("the group has not been entered"));
        Ok(())
    });
}

#[test]
fn giving_up_the_wait_for_a_child_ends_it() {
    run(async {
        let trace = Trace::new();
        let child = |trace: Trace| {
            async move |_: TaskStatus<u32>| {
                let outcome = sleep(90 * MS).await;
                sleep(MS).await?;
                trace.say("ended");
                outcome
            }
        };
        TaskGroup::new()
            .with(async |group| {
                let late = wait_for(group.start(child(trace.clone())), 5 * MS).await;
                assert!(late.unwrap_err().is_timeout());
                assert_eq!(trace.take(), "ended", "before the wait is over");
                let mut dropped = Box::pin(group.start(child(trace.clone())));
                assert!(futures_lite::future::poll_once(&mut dropped).await.is_none());
                briefly().await?;
                drop(dropped);
                sleep(2 * MS).await
            })
            .await?;
        assert_eq!(trace.take(), "ended");
        Ok(())
    });
}
