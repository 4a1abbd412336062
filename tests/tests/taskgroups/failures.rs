//! Children and bodies that fail.

use super::*;

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
fn an_error_in_the_bodies_of_nested_groups_is_shown_once() {
    run(async {
        let outcome = TaskGroup::new().with(async |_| {
            TaskGroup::new().with(async |_| Err::<(), _>(Error::value("body"))).await
        });
        let error = outcome.await.unwrap_err();
        let unhandled = "ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)";
        let text = format!("{unhandled}\n  1. {unhandled}\n      1. ValueError: body");
        assert_eq!(format!("{error:?}"), text);
        assert!(matches!(error.context(), Some(Error::Group(_))));
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
