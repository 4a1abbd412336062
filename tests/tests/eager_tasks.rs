//! Eager tasks, after CPython's `test_eager_task_factory`.

use asyncio::{
    Context, ContextVar, Future, Result, Task, TaskGroup, all_tasks, as_completed, create_task,
    current_task, eager_task_factory, gather, get_running_loop, prelude::*, sleep,
    staggered::staggered_race, wait, wait_for,
};
use asyncio_tests::support::{
    MS, Reports, boom, briefly, cancel_message, cancelled, message, run, virtual_loop,
};
use futures_lite::StreamExt;
use std::{
    cell::{Cell, RefCell},
    future::Future as StdFuture,
    rc::Rc,
};

/// Runs a test in which every task is eager by default.
#[track_caller]
fn run_eagerly(main: impl StdFuture<Output = Result<()>> + 'static) {
    run(async {
        get_running_loop()?.set_task_factory(eager_task_factory);
        main.await
    });
}

fn eager<T: 'static>(coroutine: impl StdFuture<Output = Result<T>> + 'static) -> Task<T> {
    Task::builder().eager_start(true).create(coroutine)
}

#[test]
fn a_task_that_need_not_wait_is_done_on_return() {
    run_eagerly(async {
        let task = create_task(async { Ok(7) });
        assert!(task.done());
        assert_eq!(task.result()?, 7);
        let gone = create_task(async {
            current_task().expect("this is a task").cancel_with("own");
            Ok(())
        });
        assert!(gone.cancelled());
        Ok(())
    });
}

#[test]
fn a_task_that_fails_in_its_first_step_keeps_the_error() {
    run_eagerly(async {
        let reports = Reports::collect();
        let task = create_task(async { Err::<(), _>(boom()) });
        assert!(task.done());
        assert_eq!(message(task.await), "Error: boom");
        assert_eq!(reports.messages(), [""; 0]);
        // No code retrieves this one.
        drop(create_task(async { Err::<(), _>(boom()) }));
        assert_eq!(reports.messages(), ["Task exception was never retrieved"]);
        Ok(())
    });
}

#[test]
fn a_panic_in_the_first_step_stays_in_the_task() {
    run_eagerly(async {
        let me = current_task();
        let task = create_task(async {
            if current_task().is_some() {
                panic!("fell over");
            }
            Ok(())
        });
        assert_eq!(message(task.await), "PanicError: panicked: fell over");
        assert_eq!(current_task(), me);
        Ok(())
    });
}

#[test]
fn the_new_task_is_the_current_one_before_and_after_it_suspends() {
    run_eagerly(async {
        let me = current_task();
        let task = create_task(async {
            let first = current_task();
            briefly().await?;
            assert_eq!(current_task(), first);
            Ok(first)
        });
        assert_eq!(current_task(), me);
        let name = (*task).clone();
        assert_eq!(task.await?, Some(name));
        Ok(())
    });
}

#[test]
fn a_task_is_listed_during_its_first_step_and_not_after_its_end() {
    run_eagerly(async {
        let listed = || all_tasks().map(|tasks| tasks.len());
        let during = create_task(async move { listed() });
        assert_eq!((during.await?, listed()?), (2, 1));
        let waiting = create_task(sleep(MS));
        assert_eq!(listed()?, 2);
        waiting.await?;
        assert_eq!(listed()?, 1);
        Ok(())
    });
}

#[test]
fn a_name_is_there_in_the_first_step() {
    run(async {
        let task = Task::builder()
            .name("eager")
            .eager_start(true)
            .create(async { Ok(current_task().map(|task| task.name().to_string())) });
        assert_eq!(task.await?.as_deref(), Some("eager"));
        Ok(())
    });
}

#[test]
fn the_first_step_runs_in_a_copy_of_the_context_or_in_the_one_given() {
    static VAR: ContextVar<i32> = ContextVar::with_default("var", 0);
    run_eagerly(async {
        VAR.set(1);
        let task = create_task(async {
            assert_eq!(VAR.get(), Some(1));
            VAR.set(2);
            briefly().await?;
            Ok(VAR.get())
        });
        assert_eq!(VAR.get(), Some(1));
        VAR.set(3);
        assert_eq!(task.await?, Some(2));
        let context = Context::new();
        let given = Task::builder().context(context.clone()).create(async {
            VAR.set(4);
            Ok(())
        });
        assert!(given.done());
        assert_eq!((VAR.get(), context.get(&VAR)), (Some(3), Some(4)));
        Ok(())
    });
}

#[test]
fn a_task_that_waits_can_be_cancelled_with_a_message() {
    run_eagerly(async {
        let task = create_task(sleep(MS));
        assert!(!task.done());
        assert_eq!(task.wait_site().map(|site| site.what()), Some("sleep"));
        task.cancel_with("why");
        assert_eq!(cancel_message(&task.await), "why");
        Ok(())
    });
}

#[test]
fn a_task_says_itself_whether_it_is_eager() {
    run(async {
        assert!(eager(async { Ok(()) }).done());
        get_running_loop()?.set_task_factory(eager_task_factory);
        let lazy = Task::builder().eager_start(false).create(async { Ok(7) });
        assert!(!lazy.done());
        assert_eq!(lazy.await?, 7);
        get_running_loop()?.set_task_factory(None);
        assert!(!create_task(async { Ok(()) }).done());
        Ok(())
    });
}

#[test]
fn in_a_loop_that_does_not_run_a_task_is_not_eager() {
    let event_loop = virtual_loop();
    event_loop.set_task_factory(eager_task_factory);
    let task = event_loop.create_task(async { Ok(7) });
    assert!(!task.done());
    assert_eq!(event_loop.run_until_complete(task).unwrap(), 7);
    event_loop.close().unwrap();
}

#[test]
fn eager_tasks_in_eager_tasks_run_depth_first() {
    run_eagerly(async {
        let order = Rc::new(RefCell::new(Vec::new()));
        let (outer, inner) = (order.clone(), order.clone());
        let task = create_task(async move {
            outer.borrow_mut().push("outer");
            let task = create_task(async move {
                inner.borrow_mut().push("inner");
                Ok(())
            });
            outer.borrow_mut().push("outer again");
            task.await
        });
        order.borrow_mut().push("main");
        task.await?;
        assert_eq!(*order.borrow(), ["outer", "inner", "outer again", "main"]);
        Ok(())
    });
}

#[test]
fn gather_wait_and_as_completed_take_eager_tasks() {
    run_eagerly(async {
        let runs = Rc::new(Cell::new(0));
        let job = |n: i32| {
            let runs = runs.clone();
            async move {
                runs.set(runs.get() + 1);
                if n % 2 == 0 {
                    sleep(MS).await?;
                }
                Ok(n)
            }
        };
        let gathering = gather([job(1), job(2), job(3)]);
        // They have run as far as they can at the call.
        assert_eq!(runs.get(), 3);
        assert_eq!(gathering.await?, [1, 2, 3]);
        assert_eq!(gather([job(1), job(3)]).await?, [1, 3]);
        let (done, pending) = wait([create_task(job(1)), create_task(job(2))]).await?;
        assert_eq!((done.len(), pending.len()), (2, 0));
        let results: Vec<_> = as_completed([job(4), job(5)]).collect().await;
        assert_eq!(results.into_iter().collect::<Result<Vec<_>>>()?, [5, 4]);
        assert_eq!(wait_for(create_task(job(6)), 5 * MS).await?, 6);
        Ok(())
    });
}

#[test]
fn a_group_of_eager_tasks_waits_for_those_that_are_not_done() {
    run_eagerly(async {
        let (a, b) = TaskGroup::new()
            .with(async |group| {
                let a = group.create_task(async { Ok(1) });
                assert!(a.done());
                Ok((a, group.create_task(sleep(MS).result(2))))
            })
            .await?;
        assert_eq!((a.await?, b.await?), (1, 2));
        Ok(())
    });
}

#[test]
fn a_staggered_race_runs_with_eager_tasks() {
    run_eagerly(async {
        let attempt =
            |fails: bool| move || async move { if fails { Err(boom()) } else { Ok("won") } };
        let race = staggered_race([attempt(true), attempt(false)], None).await?;
        assert_eq!(race.winner, Some(("won", 1)));
        assert_eq!(race.exceptions.len(), 2);
        Ok(())
    });
}

#[test]
fn an_eager_task_that_waits_for_its_creator_goes_on_after_it() {
    run_eagerly(async {
        let gate = Future::<i32>::new();
        let waiting = create_task(gate.clone());
        let gone = create_task(Future::<()>::new());
        gate.set_result(7)?;
        gone.cancel();
        assert_eq!(waiting.await?, 7);
        assert!(cancelled(&gone.await));
        Ok(())
    });
}
