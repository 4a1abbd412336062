//! Task groups, after CPython's `test_taskgroups`.

use asyncio::{
    AsyncContextManager, Error, Group, KeyboardInterrupt, Result, Task, TaskGroup, TaskStatus,
    create_task, current_task, get_running_loop, sleep, wait_for,
};
use asyncio_tests::support::{
    MS, Trace, boom, briefly, cancel_message, cancelled, iterations, message, outcome_of, run,
};
use futures_lite::future::block_on;
use std::{cell::Cell, future::pending, rc::Rc};

async fn fails(error: Error) -> Result<()> {
    Err(error)
}

/// The messages of the members of a group, which may be groups: `[a, [b]]`.
#[track_caller]
fn members<T: std::fmt::Debug>(outcome: Result<T>) -> String {
    fn text(error: &Error) -> String {
        match error {
            Error::Group(group) => {
                assert_eq!(group.message(), "unhandled errors in a TaskGroup");
                let list: Vec<_> = group.exceptions().iter().map(text).collect();
                format!("[{}]", list.join(", "))
            }
            other => other.to_string(),
        }
    }
    match outcome {
        Err(error @ Error::Group(_)) => text(&error),
        other => panic!("no group came out: {other:?}"),
    }
}

fn cancelling() -> u32 {
    current_task().expect("this is a task").cancelling()
}

// The good course.

#[test]
fn a_group_is_left_when_all_its_tasks_have_ended() {
    run(async {
        let trace = Trace::new();
        let child = |ms: u32, name: &'static str| {
            let trace = trace.clone();
            async move {
                sleep(ms * MS).await?;
                trace.say(name);
                Ok(ms)
            }
        };
        let (a, b) = TaskGroup::new()
            .with(async |group| {
                let tasks = (group.create_task(child(2, "a")), group.create_task(child(1, "b")));
                trace.say("body");
                Ok(tasks)
            })
            .await?;
        trace.say("left");
        assert_eq!((a.await?, b.await?), (2, 1));
        assert_eq!(trace.take(), "body b a left");
        Ok(())
    });
}

#[test]
fn a_group_gives_what_its_body_gives() {
    run(async {
        assert_eq!(TaskGroup::new().with(async |_| Ok(7)).await?, 7);
        Ok(())
    });
}

#[test]
fn children_add_children_while_the_group_is_left() {
    run(async {
        let order = Trace::new();
        let outer = order.clone();
        TaskGroup::new()
            .with(async |group| {
                let inside = group.clone();
                drop(group.create_task(async move {
                    sleep(MS).await?;
                    let trace = outer.clone();
                    drop(inside.create_task(async move {
                        sleep(MS).await?;
                        trace.say("grandchild");
                        Ok(())
                    }));
                    outer.say("child");
                    Ok(())
                }));
                Ok(())
            })
            .await?;
        order.say("left");
        assert_eq!(order.take(), "child grandchild left");
        Ok(())
    });
}

#[test]
fn a_child_may_have_a_name() {
    run(async {
        TaskGroup::new()
            .with(async |group| {
                let task = group.create_task_with(Task::builder().name("yolo"), briefly())?;
                assert_eq!(&*task.name(), "yolo");
                Ok(())
            })
            .await
    });
}

#[test]
fn a_group_lets_go_of_children_that_have_ended() {
    run(async {
        TaskGroup::new()
            .with(async |group| {
                drop(group.create_task(async { Ok(()) }));
                drop(group.create_task(sleep(MS)));
                assert_eq!(format!("{group:?}"), "<TaskGroup tasks=2 errors=0 entered>");
                iterations(2).await?;
                assert_eq!(format!("{group:?}"), "<TaskGroup tasks=1 errors=0 entered>");
                Ok(())
            })
            .await
    });
}

// Failures.

#[test]
fn a_child_that_fails_cancels_its_siblings_and_the_body() {
    run(async {
        let trace = Trace::new();
        let sibling = |name: &'static str| {
            let trace = trace.clone();
            async move {
                let outcome = sleep(10 * MS).await;
                trace.say(format!("{name}:{}", cancelled(&outcome)));
                outcome
            }
        };
        let body = sibling("body");
        let outcome = TaskGroup::new()
            .with(async |group| {
                drop(group.create_task(sibling("a")));
                drop(group.create_task(async {
                    sleep(MS).await?;
                    fails(boom()).await
                }));
                drop(group.create_task(sibling("c")));
                body.await
            })
            .await;
        assert_eq!(members(outcome), "[boom]");
        assert_eq!(trace.take(), "a:true c:true body:true");
        assert_eq!(cancelling(), 0);
        Ok(())
    });
}

#[test]
fn a_body_that_fails_cancels_the_children() {
    run(async {
        let child = Rc::new(Cell::new(None));
        let tell = child.clone();
        let outcome = TaskGroup::new()
            .with(async |group| {
                tell.set(Some(group.create_task(sleep(10 * MS))));
                briefly().await?;
                fails(boom()).await
            })
            .await;
        assert_eq!(members(outcome), "[boom]");
        assert!(child.take().expect("it was created").cancelled());
        Ok(())
    });
}

#[test]
fn a_child_cancelled_by_hand_does_not_abort_the_group() {
    run(async {
        let value = TaskGroup::new()
            .with(async |group| {
                let (a, b) = (group.create_task(sleep(10 * MS)), group.create_task(sleep(MS)));
                briefly().await?;
                a.cancel();
                b.await?;
                assert!(a.cancelled());
                Ok(7)
            })
            .await?;
        assert_eq!((value, cancelling()), (7, 0));
        Ok(())
    });
}

#[test]
fn errors_come_in_the_order_of_failure_and_the_bodys_last() {
    run(async {
        let outcome = TaskGroup::new()
            .with(async |group| {
                for name in ["second", "first"] {
                    drop(group.create_task(async move {
                        let _ = sleep(if name == "first" { MS } else { 5 * MS }).await;
                        fails(Error::msg(name)).await
                    }));
                }
                let _ = sleep(10 * MS).await;
                fails(Error::value("body")).await
            })
            .await;
        // The second fails while it is cancelled.
        assert_eq!(members(outcome), "[first, second, body]");
        assert_eq!(cancelling(), 0);
        Ok(())
    });
}

#[test]
fn an_error_of_the_body_while_it_is_cancelled_wins_over_the_cancellation() {
    run(async {
        let task = create_task(TaskGroup::new().with(async |group| {
            drop(group.create_task(sleep(10 * MS)));
            let outcome = sleep(10 * MS).await;
            assert!(cancelled(&outcome));
            fails(boom()).await
        }));
        sleep(MS).await?;
        task.cancel();
        assert_eq!(members(task.await), "[boom]");
        Ok(())
    });
}

#[test]
fn nested_groups_nest_their_errors() {
    run(async {
        let outcome = TaskGroup::new()
            .with(async |_| {
                TaskGroup::new()
                    .with(async |inner| {
                        drop(inner.create_task(fails(boom())));
                        sleep(10 * MS).await
                    })
                    .await
            })
            .await;
        assert_eq!(members(outcome), "[[boom]]");
        assert_eq!(cancelling(), 0);
        Ok(())
    });
}

#[test]
fn a_group_that_is_killed_from_outside_adds_no_nesting() {
    run(async {
        let outcome = TaskGroup::new()
            .with(async |outer| {
                drop(outer.create_task(async {
                    sleep(MS).await?;
                    fails(boom()).await
                }));
                TaskGroup::new()
                    .with(async |inner| {
                        drop(inner.create_task(sleep(10 * MS)));
                        sleep(10 * MS).await
                    })
                    .await
            })
            .await;
        assert_eq!(members(outcome), "[boom]");
        Ok(())
    });
}

#[test]
fn nested_groups_that_both_fail_leave_the_count_right() {
    run(async {
        let between = Rc::new(Cell::new(u32::MAX));
        let tell = between.clone();
        let outcome = TaskGroup::new()
            .with(async |outer| {
                drop(outer.create_task(fails(Error::msg("outer"))));
                let inner = TaskGroup::new()
                    .with(async |inner| {
                        drop(inner.create_task(fails(Error::msg("inner"))));
                        sleep(10 * MS).await
                    })
                    .await;
                tell.set(cancelling());
                inner
            })
            .await;
        assert_eq!(members(outcome), "[outer, [inner]]");
        assert_eq!((between.get(), cancelling()), (1, 0));
        Ok(())
    });
}

#[test]
fn a_failing_exit_inside_of_a_group_is_one_of_its_errors() {
    struct Failing;
    impl AsyncContextManager for Failing {
        type Target = ();
        async fn enter(&mut self) -> Result<()> {
            Ok(())
        }
        async fn exit(&mut self, (): (), error: Option<&Error>) -> Result<()> {
            assert!(error.is_some_and(Error::is_cancelled));
            fails(Error::msg("exit")).await
        }
    }
    run(async {
        let outcome = TaskGroup::new()
            .with(async |group| {
                drop(group.create_task(fails(boom())));
                Failing.with(async |()| sleep(10 * MS).await).await
            })
            .await;
        assert_eq!(members(outcome), "[boom, exit]");
        assert_eq!(cancelling(), 0);
        Ok(())
    });
}

#[test]
fn a_child_that_panics_is_a_child_that_fails() {
    run(async {
        let outcome: Result<()> = TaskGroup::new()
            .with(async |group| {
                drop(group.create_task(async {
                    if current_task().is_some() {
                        panic!("fell over");
                    }
                    Ok(())
                }));
                sleep(10 * MS).await
            })
            .await;
        assert_eq!(members(outcome), "[panicked: fell over]");
        Ok(())
    });
}

#[test]
fn a_body_that_panics_goes_on_panicking_when_the_children_have_ended() {
    run(async {
        let child = Rc::new(Cell::new(None));
        let tell = child.clone();
        let task: Task<()> = create_task(TaskGroup::new().with(async move |group| {
            tell.set(Some(group.create_task(sleep(10 * MS))));
            briefly().await?;
            panic!("fell over")
        }));
        assert!(matches!(task.await, Err(Error::Panic(_))));
        assert!(child.take().expect("it was created").cancelled());
        Ok(())
    });
}

// KeyboardInterrupt.

#[test]
fn a_keyboard_interrupt_of_the_body_comes_out_bare() {
    run(async {
        let child = Rc::new(Cell::new(None));
        let tell = child.clone();
        let outcome = TaskGroup::new()
            .with(async |group| {
                tell.set(Some(group.create_task(async {
                    let _ = sleep(10 * MS).await;
                    fails(boom()).await
                })));
                briefly().await?;
                fails(Error::KeyboardInterrupt(KeyboardInterrupt::default())).await
            })
            .await;
        assert!(matches!(outcome, Err(Error::KeyboardInterrupt(_))), "{outcome:?}");
        assert!(child.take().expect("it was created").done());
        Ok(())
    });
}

#[test]
fn a_keyboard_interrupt_of_a_child_ends_the_run() {
    let outcome: Result<()> = outcome_of(async {
        TaskGroup::new()
            .with(async |group| {
                drop(group.create_task(fails(Error::KeyboardInterrupt(Default::default()))));
                sleep(10 * MS).await
            })
            .await
    });
    assert!(matches!(outcome, Err(Error::KeyboardInterrupt(_))));
}

// Cancelled from outside.

/// A task with a group, in its body or at its exit, whose child ends with `child` when cancelled.
fn cancelled_group(in_body: bool, child: Result<()>) -> Task<u32> {
    create_task(async move {
        let outcome = TaskGroup::new()
            .with(async |group| {
                drop(group.create_task(async {
                    let _ = sleep(10 * MS).await;
                    child
                }));
                if in_body { sleep(10 * MS).await } else { Ok(()) }
            })
            .await;
        let count = cancelling();
        match outcome {
            Err(Error::Group(_)) => {
                // Still to be delivered.
                assert!(cancelled(&briefly().await));
                Ok(count)
            }
            outcome => outcome.map(|()| count),
        }
    })
}

#[test]
fn a_cancellation_from_outside_cancels_the_children_and_comes_out() {
    run(async {
        for in_body in [true, false] {
            let task = cancelled_group(in_body, Ok(()));
            sleep(MS).await?;
            task.cancel_with("why");
            assert_eq!(cancel_message(&task.clone().await), "why");
            assert_eq!(task.cancelling(), 1);
        }
        Ok(())
    });
}

#[test]
fn a_child_that_fails_while_the_parent_is_cancelled_makes_it_a_group_and_the_rest_comes_later() {
    run(async {
        for in_body in [true, false] {
            let task = cancelled_group(in_body, Err(boom()));
            sleep(MS).await?;
            task.cancel();
            assert_eq!(task.await?, 1);
        }
        Ok(())
    });
}

#[test]
fn an_abort_leaves_no_cancellation_behind() {
    run(async {
        let outcome = TaskGroup::new()
            .with(async |group| {
                drop(group.create_task(fails(boom())));
                // The parent is cancelled, and never gets to see it.
                iterations(1).await
            })
            .await;
        assert_eq!(members(outcome), "[boom]");
        assert_eq!(cancelling(), 0);
        briefly().await?;
        sleep(MS).await
    });
}

#[test]
fn a_group_in_a_task_that_is_cancelled_again_and_again_waits_for_its_children() {
    run(async {
        let ended = Rc::new(Cell::new(false));
        let tell = ended.clone();
        let task = create_task(TaskGroup::new().with(async move |group| {
            drop(group.create_task(async move {
                let _ = sleep(10 * MS).await;
                sleep(5 * MS).await?;
                tell.set(true);
                Ok(())
            }));
            Ok(())
        }));
        sleep(MS).await?;
        for _ in 0..3 {
            task.cancel();
            sleep(MS).await?;
            assert!(!task.done());
        }
        assert!(cancelled(&task.clone().await));
        assert!(ended.get());
        assert_eq!(task.cancelling(), 3);
        Ok(())
    });
}

// Tasks that are refused.

/// What becomes of a coroutine that is given to a group.
fn refused(group: &Group) -> (String, bool) {
    let held = Rc::new(());
    let inside = held.clone();
    let task = group.create_task(async move {
        drop(inside);
        Ok(())
    });
    (message(block_on(task)), Rc::strong_count(&held) == 1)
}

#[test]
fn a_group_that_takes_no_more_tasks_drops_the_coroutine() {
    run(async {
        let group = TaskGroup::new();
        let handle = group.handle();
        let said = |text: &str| (format!("RuntimeError: TaskGroup.create_task: {text}"), true);
        assert_eq!(refused(&handle), said("the group has not been entered"));
        let outcome = group
            .with(async |group| {
                drop(group.create_task(fails(boom())));
                assert!(cancelled(&sleep(10 * MS).await));
                assert_eq!(refused(group), said("the group is shutting down"));
                Ok(())
            })
            .await;
        assert_eq!(members(outcome), "[boom]");
        assert_eq!(refused(&handle), said("the group is finished"));
        let task: Result<Task<()>> = handle.create_task_with(Task::builder(), briefly());
        assert!(matches!(task, Err(Error::Runtime(_))));
        Ok(())
    });
}

#[test]
fn a_group_is_entered_once_and_in_a_task() {
    run(async {
        let mut group = TaskGroup::new();
        let inside = group.enter().await?;
        assert_eq!(
            message(group.enter().await),
            "RuntimeError: TaskGroup has already been entered"
        );
        group.exit(inside, None).await?;
        assert!(matches!(group.enter().await, Err(Error::Runtime(_))));
        Ok(())
    });
    let outside = block_on(TaskGroup::new().with(async |_| Ok(())));
    assert_eq!(message(outside), "RuntimeError: TaskGroup: no running event loop");
    run(async {
        let seen = Trace::new();
        let log = seen.clone();
        get_running_loop()?.call_soon(move || {
            log.say(message(block_on(TaskGroup::new().with(async |_| Ok(())))));
        })?;
        briefly().await?;
        assert_eq!(seen.take(), "RuntimeError: TaskGroup cannot determine the parent task");
        Ok(())
    });
}

// Eager children.

#[test]
fn an_eager_child_that_fails_at_once_cancels_the_others() {
    run(async {
        let sibling = Rc::new(Cell::new(None));
        let tell = sibling.clone();
        let eager = || Task::builder().eager_start(true);
        let outcome: Result<()> = TaskGroup::new()
            .with(async |group| {
                tell.set(Some(group.create_task_with(eager(), sleep(10 * MS))?));
                let failed = group.create_task_with(eager(), fails(boom()))?;
                // Its callback is a step as any other.
                assert!(failed.done());
                assert_eq!(cancelling(), 0);
                sleep(10 * MS).await
            })
            .await;
        assert_eq!(members(outcome), "[boom]");
        assert!(sibling.take().expect("it was created").cancelled());
        assert_eq!(cancelling(), 0);
        Ok(())
    });
}

#[test]
fn a_task_that_an_eager_child_creates_is_cancelled_with_the_rest() {
    run(async {
        let eager = Task::builder().eager_start(true);
        let outcome = TaskGroup::new()
            .with(async |group| {
                let inside = group.clone();
                let child = group.create_task_with(eager, async move {
                    drop(inside.create_task(sleep(10 * MS)));
                    fails(boom()).await
                })?;
                drop(child);
                Ok(())
            })
            .await;
        assert_eq!(members(outcome), "[boom]");
        Ok(())
    });
}

// Dropping, and what is not ours.

#[test]
fn a_group_that_is_dropped_in_its_body_cancels_its_children() {
    run(async {
        let child = Rc::new(Cell::new(None));
        let tell = child.clone();
        {
            let mut group = Box::pin(TaskGroup::new().with(async move |group| {
                tell.set(Some(group.create_task(sleep(10 * MS))));
                pending::<Result<()>>().await
            }));
            assert!(asyncio_tests::support::poll_once(&mut group).await.is_none());
            briefly().await?;
        }
        let child = child.take().expect("it was created");
        assert!(cancelled(&child.await));
        Ok(())
    });
}

#[test]
fn a_child_in_a_foreign_future_is_ended_with_the_group() {
    run(async {
        let outcome: Result<()> = TaskGroup::new()
            .with(async |group| {
                drop(group.create_task(pending::<Result<()>>()));
                briefly().await?;
                fails(boom()).await
            })
            .await;
        assert_eq!(members(outcome), "[boom]");
        Ok(())
    });
}

// Beyond asyncio 3.14: `cancel`, of 3.15; groups that do not abort; children that say when they are ready.

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
            // It is a child like any other now.
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
fn who_gives_up_waiting_for_a_child_ends_it() {
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
