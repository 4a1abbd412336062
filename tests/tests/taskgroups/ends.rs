//! Groups that are interrupted, cancelled from outside or dropped, with eager children and foreign futures.

use super::*;

// KeyboardInterrupt in a group.

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

// Groups that are cancelled from outside.

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
fn a_cancellation_that_leaves_nested_groups_stays_one_error() {
    async fn nested(n: u32) -> Result<()> {
        let inner = Box::pin(async move {
            match n {
                0 => sleep(MS).await,
                _ => nested(n - 1).await,
            }
        });
        TaskGroup::new().with(async |_| inner.await).await
    }
    run(async {
        for message in [None, Some("stop")] {
            let task = create_task(nested(20));
            briefly().await?;
            match message {
                None => task.cancel(),
                Some(message) => task.cancel_with(message),
            };
            let error = task.await.unwrap_err();
            assert_eq!(error.as_cancelled().unwrap().message(), message);
            assert!(error.context().is_none());
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
                // The parent is cancelled, and never sees it.
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

// Groups that are dropped, and foreign futures in them.

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
