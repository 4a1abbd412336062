//! The task object, after CPython's `test_tasks`: the end of tasks, and their attributes.
//! Cancellation is tested in `cancellation.rs`, the functions on tasks in `task_functions.rs`.

use asyncio::{
    CancelledError, Context, ContextVar, Error, EventLoop, Future, KeyboardInterrupt, Result, Task,
    all_tasks, create_task, current_task, get_running_loop, sleep,
};
use asyncio_tests::support::{
    MS, Reports, Trace, boom, briefly, cancel_message, cancelled, iterations, message, outcome_of,
    run, virtual_loop,
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{Arc, Mutex},
    thread::{self, ThreadId},
};

// Creation.

#[test]
fn create_task_without_a_running_loop_gives_a_task_that_has_failed() {
    let dropped = Rc::new(());
    let kept = dropped.clone();
    let task = create_task(async move {
        drop(kept);
        Ok(1)
    });
    assert!(task.done() && !task.cancelled());
    assert_eq!(Rc::strong_count(&dropped), 1);
    assert_eq!(
        message(futures_lite::future::block_on(task)),
        "RuntimeError: create_task: no running event loop"
    );
    assert!(current_task().is_none());
    assert!(matches!(all_tasks(), Err(Error::Runtime(_))));
}

#[test]
fn a_task_of_a_closed_loop_has_failed_and_its_coroutine_is_dropped() {
    let event_loop = virtual_loop();
    event_loop.close().unwrap();
    let held = Rc::new(());
    let inside = held.clone();
    let task = event_loop.create_task(async move {
        drop(inside);
        Ok(())
    });
    assert_eq!(Rc::strong_count(&held), 1);
    assert!(matches!(futures_lite::future::block_on(task), Err(Error::Runtime(_))));
}

#[test]
fn a_task_runs_on_when_its_handle_is_dropped() {
    run(async {
        let ran = Rc::new(Cell::new(false));
        let tell = ran.clone();
        drop(create_task(async move {
            sleep(5 * MS).await?;
            tell.set(true);
            Ok(())
        }));
        sleep(6 * MS).await?;
        assert!(ran.get());
        Ok(())
    });
}

#[test]
fn tasks_are_listed_from_creation_to_end() {
    run(async {
        let main = current_task().expect("this is a task");
        let (a, b) = (create_task(briefly()), create_task(sleep(MS)));
        assert_eq!(all_tasks()?, [main.clone(), (*a).clone(), (*b).clone()]);
        iterations(2).await?;
        assert_eq!(all_tasks()?, [main, (*b).clone()]);
        b.await
    });
}

#[test]
fn the_current_task_is_the_one_that_runs() {
    run(async {
        let main = current_task();
        let in_callback = Rc::new(RefCell::new(main.clone()));
        let tell = in_callback.clone();
        get_running_loop()?.call_soon(move || drop(tell.replace(current_task())))?;
        let task = create_task(async { Ok(current_task()) });
        let name = (*task).clone();
        assert_eq!(task.await?, Some(name));
        assert_eq!(*in_callback.borrow(), None);
        assert_eq!(current_task(), main);
        Ok(())
    });
}

// Names and contexts.

#[test]
fn tasks_are_named_by_number_unless_a_name_was_given() {
    run(async {
        let number = |task: &Task<()>| {
            let name = task.name();
            let number = name.strip_prefix("Task-").map(str::parse::<u64>);
            number.expect("`Task-N`").expect("a number")
        };
        let (a, b) = (create_task(briefly()), create_task(briefly()));
        assert!(number(&a) < number(&b) && !a.is_named());
        let named = Task::builder().name("named").create(briefly());
        assert_eq!((&*named.name(), named.is_named()), ("named", true));
        named.set_name("renamed");
        named.clone().await?;
        // It keeps the name when it is done.
        assert_eq!(&*named.name(), "renamed");
        assert_eq!(format!("{named:?}"), r#"<Task finished name="renamed">"#);
        Ok(())
    });
}

#[test]
fn what_is_shown_of_a_task_says_how_it_stands() {
    run(async {
        let task = Task::builder().name("t").create(sleep(MS));
        assert_eq!(format!("{task:?}"), r#"<Task pending name="t">"#);
        briefly().await?;
        task.cancel();
        assert_eq!(format!("{task:?}"), r#"<Task cancelling name="t">"#);
        briefly().await?;
        assert_eq!(format!("{task:?}"), r#"<Task finished name="t">"#);
        Ok(())
    });
}

#[test]
fn a_task_runs_in_a_copy_of_its_creators_context_or_in_the_one_it_was_given() {
    static VAR: ContextVar<i32> = ContextVar::with_default("var", 0);
    run(async {
        VAR.set(1);
        let copied = create_task(async {
            assert_eq!(VAR.get(), Some(1));
            VAR.set(2);
            briefly().await?;
            Ok(VAR.get())
        });
        VAR.set(3);
        assert_eq!(copied.clone().await?, Some(2));
        assert_eq!(copied.get_context().and_then(|context| context.get(&VAR)), Some(2));
        assert_eq!(VAR.get(), Some(3));

        let context = Context::new();
        let given = Task::builder().context(context.clone()).create(async {
            assert_eq!(VAR.get(), Some(0));
            VAR.set(4);
            Ok(())
        });
        given.await?;
        assert_eq!((context.get(&VAR), VAR.get()), (Some(4), Some(3)));
        Ok(())
    });
}

// How tasks end.

#[test]
fn a_task_gives_its_value_error_or_cancellation() {
    run(async {
        let (value, error) =
            (create_task(async { Ok(7) }), create_task(async { Err::<(), _>(boom()) }));
        let gone =
            create_task(async { Err::<(), _>(Error::Cancelled(CancelledError::new("own"))) });
        assert!(matches!(value.result(), Err(Error::InvalidState(_))));
        assert!(matches!(value.exception(), Err(Error::InvalidState(_))));
        iterations(2).await?;
        assert_eq!(value.result()?, 7);
        assert_eq!(value.result()?, 7);
        assert!(value.exception()?.is_none());
        assert_eq!(error.exception()?.map(|e| e.to_string()).as_deref(), Some("boom"));
        assert!(!error.cancelled());
        // Returning a cancellation is ending by one.
        assert!(gone.cancelled());
        assert_eq!(cancel_message(&gone.exception()), "own");
        Ok(())
    });
}

#[test]
fn a_value_that_is_not_clone_is_moved_to_the_awaiting_task() {
    #[derive(Debug, PartialEq)]
    struct Unique(i32);
    run(async {
        let mut task = create_task(async { Ok(Unique(1)) });
        assert_eq!((&mut task).await?, Unique(1));
        assert!(task.done());
        assert!(matches!((&mut task).await, Err(Error::InvalidState(_))));
        Ok(())
    });
}

#[test]
fn a_task_is_awaited_by_many() {
    run(async {
        let task = create_task(async {
            sleep(MS).await?;
            Ok(String::from("shared"))
        });
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let task = task.clone();
                create_task(task)
            })
            .collect();
        for waiter in waiters {
            assert_eq!(waiter.await?, "shared");
        }
        assert_eq!(task.await?, "shared");
        Ok(())
    });
}

#[test]
fn callbacks_of_a_task_run_in_order_and_can_be_removed() {
    run(async {
        let (task, trace) = (create_task(async { Ok(7) }), Trace::new());
        let add = |name: &'static str| {
            let trace = trace.clone();
            task.add_done_callback(move |task: &Task<i32>| {
                trace.say(format!("{name}={}", task.result().unwrap_or(0)));
            })
        };
        add("a")?;
        let b = add("b")?;
        add("c")?;
        assert_eq!((task.remove_done_callback(&b), task.remove_done_callback(&b)), (1, 0));
        iterations(3).await?;
        assert_eq!(trace.take(), "a=7 c=7");
        let late = add("late")?;
        // It is already a separate step, and cannot be removed.
        assert_eq!(task.remove_done_callback(&late), 0);
        briefly().await?;
        assert_eq!(trace.take(), "late=7");
        Ok(())
    });
}

#[test]
fn a_panic_ends_its_task_and_the_loop_goes_on() {
    run(async {
        let reports = Reports::collect();
        let task = create_task(async {
            if current_task().is_some() {
                panic!("fell over");
            }
            Ok(())
        });
        let Err(Error::Panic(panic)) = task.await else { panic!("no panic came out") };
        assert_eq!(panic.message(), "fell over");
        get_running_loop()?.call_soon(|| {
            if current_task().is_none() {
                panic!("so did I");
            }
        })?;
        sleep(MS).await?;
        let [report] = &reports.take()[..] else { panic!("there was one panic") };
        assert_eq!(report.message(), "Exception in callback");
        assert!(matches!(report.exception(), Some(Error::Panic(p)) if p.message() == "so did I"));
        Ok(())
    });
}

#[test]
fn a_panic_while_a_coroutine_is_dropped_fails_its_task() {
    struct Fragile;
    impl Drop for Fragile {
        fn drop(&mut self) {
            if !thread::panicking() {
                panic!("dropped");
            }
        }
    }
    run(async {
        let task = create_task(async {
            let _fragile = Fragile;
            sleep(MS).await
        });
        briefly().await?;
        task.cancel();
        assert!(matches!(task.await, Err(Error::Panic(_))));
        Ok(())
    });
}

#[test]
fn a_keyboard_interrupt_is_stored_and_ends_the_run() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        let outcome = sleep(MS).await;
        assert!(cancelled(&outcome));
        Err::<(), _>(Error::KeyboardInterrupt(KeyboardInterrupt::default()))
    });
    let cancel = (*task).clone();
    let outcome = event_loop.run_until_complete(async move {
        briefly().await?;
        // An error that is raised while the cancellation is handled replaces it.
        cancel.cancel();
        Future::<()>::new().await
    });
    assert!(matches!(outcome, Err(Error::KeyboardInterrupt(_))));
    assert!(task.done() && !task.cancelled());
    assert!(matches!(task.exception(), Ok(Some(Error::KeyboardInterrupt(_)))));
    event_loop.close().unwrap();
}

#[test]
fn a_loop_stopped_before_main_is_done_says_so() {
    let event_loop = virtual_loop();
    let stopped: Result<()> = event_loop.run_until_complete(async {
        get_running_loop()?.stop();
        Future::new().await
    });
    assert_eq!(message(stopped), "RuntimeError: Event loop stopped before Future completed.");
    event_loop.close().unwrap();
}

// Results that are never retrieved.

#[test]
fn a_failure_never_retrieved_is_reported_with_name_and_place() {
    run(async {
        let reports = Reports::collect();
        let line = line!() + 1;
        let task = Task::builder().name("lost").create(async { Err::<(), _>(boom()) });
        sleep(MS).await?;
        assert!(reports.take().is_empty());
        drop(task);
        let [report] = &reports.take()[..] else { panic!("it is reported once") };
        assert_eq!(report.message(), "Task exception was never retrieved");
        assert_eq!(report.exception().map(|e| e.to_string()).as_deref(), Some("boom"));
        assert_eq!(report.task_name().as_deref(), Some("lost"));
        let made_at = report.made_at().expect("it is known");
        assert_eq!((made_at.file(), made_at.line()), (file!(), line));
        let text = report.to_string();
        assert!(text.contains("lost") && text.contains(file!()), "{text}");
        Ok(())
    });
}

#[test]
fn a_failure_without_a_handle_is_reported_as_soon_as_it_happens() {
    run(async {
        let reports = Reports::collect();
        drop(create_task(async {
            sleep(MS).await?;
            Err::<(), _>(boom())
        }));
        sleep(2 * MS).await?;
        assert_eq!(reports.messages(), ["Task exception was never retrieved"]);
        Ok(())
    });
}

#[test]
fn a_failure_that_was_seen_or_given_up_is_not_reported() {
    run(async {
        let reports = Reports::collect();
        let fail = || create_task(async { Err::<(), _>(boom()) });
        let (awaited, asked, given_up) = (fail(), fail(), fail());
        assert!(awaited.await.is_err());
        iterations(2).await?;
        assert!(asked.exception()?.is_some());
        assert!(!given_up.cancel());
        drop((asked, given_up));
        assert_eq!(reports.messages(), [""; 0]);
        Ok(())
    });
}

#[test]
fn a_report_is_made_in_the_context_of_the_task() {
    static VAR: ContextVar<&str> = ContextVar::new("var");
    let event_loop = virtual_loop();
    let seen = Rc::new(Cell::new(None));
    let tell = seen.clone();
    event_loop.set_exception_handler(move |_, _| tell.set(VAR.get()));
    event_loop
        .run_until_complete(async {
            drop(create_task(async {
                VAR.set("the task's");
                Err::<(), _>(boom())
            }));
            iterations(2).await
        })
        .unwrap();
    assert_eq!(seen.get(), Some("the task's"));
    event_loop.close().unwrap();
}

#[test]
fn a_task_that_is_pending_when_its_loop_closes_is_reported_and_dropped() {
    struct Dropped(Trace);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.say("dropped");
        }
    }
    let (event_loop, trace) = (virtual_loop(), Trace::new());
    let reports = Reports::of(&event_loop);
    let inside = Dropped(trace.clone());
    let task = event_loop.create_task(async move {
        let _inside = inside;
        sleep(MS).await
    });
    event_loop.run_until_complete(briefly()).unwrap();
    event_loop.close().unwrap();
    assert_eq!(reports.messages(), ["Task was destroyed but it is pending!"]);
    assert_eq!(trace.take(), "dropped");
    assert!(task.done() && task.cancelled());
}

// Where tasks wait.

#[test]
fn a_deadlock_names_each_task_and_where_it_waits() {
    let line = line!() + 2;
    let outcome: Result<()> = outcome_of(async move {
        let first = Task::builder().name("first").create(async { Future::<()>::new().await });
        let second = Task::builder().name("second").create(first);
        second.await
    });
    let Err(Error::Deadlock(report)) = outcome else { panic!("{outcome:?}") };
    let [main, first, second] = report.tasks() else { panic!("{:?}", report.tasks()) };
    assert!(main.starts_with("Task-") && main.contains(": Task at "), "{main}");
    let place = format!("first: Future at {}:{line}:", file!());
    assert!(first.starts_with(&place), "{first} does not start with {place}");
    assert!(second.starts_with("second: Task at ") && second.contains("created at"), "{second}");
    assert!(report.to_string().contains("nothing is left that could wake a task"));
}

#[test]
fn a_task_that_runs_or_is_ready_waits_nowhere() {
    run(async {
        assert_eq!(current_task().and_then(|task| task.wait_site()), None);
        let task = create_task(sleep(MS));
        assert_eq!(task.wait_site(), None);
        briefly().await?;
        assert_eq!(task.wait_site().map(|site| site.what()), Some("sleep"));
        task.clone().await?;
        assert_eq!(task.wait_site(), None);
        Ok(())
    });
}

// Other threads.

#[test]
fn on_another_thread_a_task_can_be_cancelled_and_let_go_but_not_awaited() {
    run(async {
        let mut task = create_task(Future::<()>::new());
        let other = create_task(sleep(MS));
        briefly().await?;
        task = thread::spawn(move || {
            assert!(!task.done());
            assert!(matches!(task.add_done_callback(|_| ()), Err(Error::Runtime(_))));
            assert!(matches!(futures_lite::future::block_on(&mut task), Err(Error::Runtime(_))));
            assert!(task.cancel());
            drop(other);
            task
        })
        .join()
        .expect("nothing panics there");
        assert!(cancelled(&task.await));
        Ok(())
    });
}

#[test]
fn a_finished_task_that_is_let_go_in_another_thread_is_dropped_in_its_own() {
    struct Value(Arc<Mutex<Option<ThreadId>>>);
    impl Drop for Value {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = Some(thread::current().id());
        }
    }
    run(async {
        let dropped = Arc::new(Mutex::new(None));
        let value = Value(dropped.clone());
        let task = create_task(async move { Ok(value) });
        iterations(2).await?;
        thread::spawn(move || drop(task)).join().expect("nothing panics there");
        briefly().await?;
        assert_eq!(*dropped.lock().unwrap(), Some(thread::current().id()));
        Ok(())
    });
}

#[test]
fn a_task_is_awaited_from_another_loop_of_the_same_thread() {
    let (one, two) = (virtual_loop(), virtual_loop());
    let task = one.create_task(async { Ok(7) });
    assert_eq!(one.run_until_complete(task.clone()).unwrap(), 7);
    let one_more = async move { Ok(task.await? + 1) };
    assert_eq!(two.run_until_complete(one_more).unwrap(), 8);
    one.close().unwrap();
    two.close().unwrap();
}

#[test]
fn a_loop_does_not_run_until_a_task_of_another_is_done() {
    let (one, two) = (virtual_loop(), virtual_loop());
    let task = one.create_task(async { Ok(7) });
    let outcome = two.run_until_complete(task.clone());
    assert!(matches!(outcome, Err(Error::Value(_))), "{outcome:?}");
    assert_eq!(one.run_until_complete(task.clone()).unwrap(), 7);
    // Its result is available anywhere in the thread.
    assert_eq!(two.run_until_complete(task).unwrap(), 7);
    one.close().unwrap();
    two.close().unwrap();
}

#[test]
fn a_loop_is_used_again_after_an_error() {
    let event_loop: EventLoop = virtual_loop();
    assert_eq!(
        message(event_loop.run_until_complete(async { Err::<(), _>(boom()) })),
        "Error: boom"
    );
    assert_eq!(event_loop.run_until_complete(async { Ok(7) }).unwrap(), 7);
    event_loop.close().unwrap();
}
