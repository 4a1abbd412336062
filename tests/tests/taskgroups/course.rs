//! Groups that end well, what their handles do, and tasks that a group refuses.

use super::*;

// Groups that end well, and what their handles do.

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

// Tasks that a group refuses.

/// What happens to a coroutine that is passed to a group.
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
