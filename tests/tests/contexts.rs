//! Context variables in tasks and callbacks, after CPython's `test_context` and the tests of
//! `context=` in `test_base_events`.

use asyncio::{
    AsyncContextManager, Context, ContextVar, Error, Future, Result, Runner, Task, TaskGroup,
    create_task, current_task, get_running_loop, sleep, timeout, to_thread, wait_for,
};
use asyncio_tests::support::{MS, Trace, briefly, iterations, message, run};
use std::{cell::Cell, rc::Rc};

static VAR: ContextVar<i32> = ContextVar::with_default("var", 0);

fn var() -> i32 {
    VAR.get().expect("it has a default")
}

#[test]
fn tasks_do_not_see_each_others_changes() {
    run(async {
        let work = |n: i32| async move {
            VAR.set(n);
            for _ in 0..3 {
                briefly().await?;
                assert_eq!(var(), n);
            }
            Ok(())
        };
        let tasks = [create_task(work(1)), create_task(work(2))];
        VAR.set(9);
        for task in tasks {
            task.await?;
        }
        assert_eq!(var(), 9);
        Ok(())
    });
}

#[test]
fn a_given_context_is_shared_and_not_copied() {
    run(async {
        let context = Context::current();
        let in_context = |n: i32| {
            Task::builder().context(context.clone()).create(async move {
                let before = var();
                VAR.set(n);
                Ok(before)
            })
        };
        let (a, b) = (in_context(1), in_context(2));
        assert_eq!((a.await?, b.await?), (0, 1));
        assert_eq!((context.get(&VAR), var()), (Some(2), 0));
        Ok(())
    });
}

#[test]
fn a_task_started_eagerly_in_the_context_of_its_creator_shares_it() {
    run(async {
        let here = || current_task().and_then(|task| task.get_context()).expect("a task runs");
        for _ in 0..2 {
            VAR.set(1);
            let task = Task::builder().context(here()).eager_start(true).create(async move {
                VAR.set(2);
                let deep = async {
                    VAR.set(var() + 1);
                    Ok(())
                };
                Task::builder().context(here()).eager_start(true).create(deep).await?;
                sleep(MS).await?;
                VAR.set(2 * var());
                Ok(())
            });
            assert_eq!((var(), here().get(&VAR)), (3, Some(3)));
            VAR.set(5);
            task.await?;
            assert_eq!((var(), here().get(&VAR)), (10, Some(10)));
        }
        Ok(())
    });
}

#[test]
fn a_child_of_a_group_may_be_given_a_context() {
    run(async {
        let context = Context::new();
        let given = Task::builder().context(context.clone());
        TaskGroup::new()
            .with(async |group| {
                drop(group.create_task_with(given, async {
                    VAR.set(5);
                    Ok(())
                })?);
                Ok(())
            })
            .await?;
        assert_eq!((context.get(&VAR), var()), (Some(5), 0));
        Ok(())
    });
}

#[test]
fn callbacks_run_in_a_copy_made_when_they_were_registered() {
    run(async {
        let (event_loop, trace) = (get_running_loop()?, Trace::new());
        let note = || {
            let trace = trace.clone();
            move || {
                trace.say(var());
                VAR.set(-1);
            }
        };
        VAR.set(1);
        event_loop.call_soon(note())?;
        VAR.set(2);
        event_loop.call_later(MS, note())?;
        VAR.set(3);
        event_loop.call_at(2 * MS, note())?;
        VAR.set(4);
        let future = Future::new();
        let last = note();
        future.add_done_callback(move |_| last())?;
        VAR.set(5);
        future.set_result(())?;
        sleep(5 * MS).await?;
        assert_eq!((trace.take().as_str(), var()), ("1 4 2 3", 5));
        Ok(())
    });
}

#[test]
fn a_thread_safe_callback_runs_in_a_copy_of_the_threads_context() {
    run(async {
        let (event_loop, seen) = (get_running_loop()?.handle(), Future::new());
        let tell = seen.clone();
        VAR.set(1);
        to_thread(move || {
            VAR.set(2);
            event_loop.call_soon_threadsafe(move || drop(tell.set_result(var())))
        })
        .await??;
        assert_eq!((seen.await?, var()), (2, 1));
        Ok(())
    });
}

#[test]
fn callbacks_in_a_given_context_share_it() {
    run(async {
        let (event_loop, context) = (get_running_loop()?, Context::new());
        let add = || drop(VAR.set(var() + 1));
        event_loop.in_context(&context).call_soon(add)?;
        event_loop.in_context(&context).call_later(MS, add)?;
        let handle = event_loop.in_context(&context).call_at(2 * MS, add)?;
        sleep(5 * MS).await?;
        assert_eq!((context.get(&VAR), var()), (Some(3), 0));
        assert_eq!(handle.get_context().get(&VAR), Some(3));
        Ok(())
    });
}

#[test]
fn scopes_run_in_the_calling_task_and_its_context() {
    struct Scope;
    impl AsyncContextManager for Scope {
        type Target = ();
        async fn enter(&mut self) -> Result<()> {
            VAR.set(var() + 1);
            briefly().await
        }
        async fn exit(&mut self, (): (), _: Option<&Error>) -> Result<()> {
            VAR.set(var() + 10);
            briefly().await
        }
    }
    run(async {
        Scope
            .with(async |()| {
                VAR.set(var() + 100);
                Ok(())
            })
            .await?;
        assert_eq!(var(), 111);
        let add = |n: i32| async move {
            sleep(MS).await?;
            VAR.set(var() + n);
            Ok(())
        };
        timeout(5 * MS).with(async |_| add(1000).await).await?;
        wait_for(add(10_000), 5 * MS).await?;
        TaskGroup::new().with(async |_| add(100_000).await).await?;
        assert_eq!(var(), 111_111);
        // A task is another matter.
        wait_for(create_task(add(1)), 5 * MS).await?;
        assert_eq!(var(), 111_111);
        Ok(())
    });
}

#[test]
fn the_exception_handler_runs_in_the_context_of_what_failed() {
    run(async {
        let trace = Trace::new();
        let log = trace.clone();
        let handler = move |_: &_, context: &asyncio::ExceptionContext| {
            log.say(format!("{}:{}", context.message(), var()));
        };
        get_running_loop()?.set_exception_handler(handler);
        VAR.set(9);
        drop(create_task(async {
            VAR.set(1);
            briefly().await?;
            Err::<(), _>(Error::msg("boom"))
        }));
        iterations(3).await?;
        get_running_loop()?.call_soon(|| {
            VAR.set(2);
            Err::<(), _>(Error::msg("boom"))
        })?;
        iterations(2).await?;
        let said = "Task exception was never retrieved:1 Exception in callback:2";
        assert_eq!((trace.take().as_str(), var()), (said, 9));
        Ok(())
    });
}

#[test]
fn the_runs_of_a_runner_share_a_context() {
    let outcome = Runner::new().virtual_time(true).with(|runner| {
        runner.run(async {
            VAR.set(7);
            Ok(())
        })?;
        runner.run(async { Ok(var()) })
    });
    assert_eq!((outcome.unwrap(), var()), (7, 0));
}

#[test]
fn a_context_is_entered_once_at_a_time() {
    let context = Context::new();
    let inside = context.run(|| message(context.run(|| ())));
    assert_eq!(inside.unwrap(), "RuntimeError: Context.run: the context is already entered");
    assert!(context.run(|| ()).is_ok());
}

#[test]
fn a_token_gives_back_what_was_there() {
    run(async {
        let token = VAR.set(1);
        let inner = VAR.set(2);
        VAR.reset(inner)?;
        assert_eq!(var(), 1);
        VAR.reset(token)?;
        assert_eq!(var(), 0);
        Ok(())
    });
}

#[test]
fn a_dropped_coroutine_is_dropped_in_its_own_context() {
    struct Look(Rc<Cell<i32>>);
    impl Drop for Look {
        fn drop(&mut self) {
            self.0.set(var());
        }
    }
    run(async {
        let seen = Rc::new(Cell::new(-1));
        let look = Look(seen.clone());
        let task = create_task(async move {
            let _look = look;
            VAR.set(7);
            sleep(MS).await
        });
        briefly().await?;
        task.cancel();
        iterations(2).await?;
        assert_eq!((seen.get(), var()), (7, 0));
        Ok(())
    });
}
