//! Futures, after CPython's `test_futures`: their states, their callbacks, unretrieved failures, and
//! `wrap_future`.

use asyncio::{
    Awaitable, ConcurrentFuture, Context, ContextVar, Error, Future, FutureLike, NotPending, Task,
    create_task, ensure_future, get_running_loop, new_event_loop, sleep, to_thread, wrap_future,
};
use asyncio_tests::support::{
    MS, Reports, Trace, awaiting, boom, briefly, cancel_message, cancelled, iterations, message,
    run, virtual_loop,
};
use futures_lite::future::block_on;
use std::{cell::Cell, rc::Rc, thread, time::Duration};

// States.

#[test]
fn a_future_is_pending_then_finished() {
    let future = Future::new();
    assert!(!future.done() && !future.cancelled());
    assert_eq!(message(future.result()), "InvalidStateError: Future.result: result is not ready");
    assert!(matches!(future.exception(), Err(Error::InvalidState(_))));
    future.set_result(42).unwrap();
    assert!(future.done() && !future.cancelled());
    assert_eq!(future.result().unwrap(), 42);
    assert!(future.exception().unwrap().is_none());
    assert!(!future.cancel());
}

#[test]
fn a_future_that_failed_gives_its_error_to_every_awaiter() {
    let future = Future::<()>::new();
    future.set_exception(std::io::Error::other("disk on fire")).unwrap();
    assert!(future.done() && !future.cancelled());
    assert_eq!(message(future.result()), "OSError: disk on fire");
    assert!(matches!(future.exception(), Ok(Some(Error::Io(_)))));
    assert!(matches!(block_on(future.clone()), Err(Error::Io(_))));
    assert!(!future.cancel());
}

#[test]
fn a_cancelled_future_gives_its_message_every_time() {
    let future = Future::<()>::new();
    assert!(future.cancel_with("why"));
    assert!(future.done() && future.cancelled());
    assert!(!future.cancel());
    for _ in 0..2 {
        assert_eq!(cancel_message(&future.result()), "why");
        assert_eq!(cancel_message(&future.exception()), "why");
        assert_eq!(cancel_message(&block_on(future.clone())), "why");
    }
}

#[test]
fn a_second_result_comes_back_and_changes_nothing() {
    let future = Future::new();
    future.set_result(1).unwrap();
    let refused: NotPending<i32> = future.set_result(2).unwrap_err();
    assert_eq!(refused.into_inner(), 2);
    assert!(matches!(future.set_exception(boom()), Err(Error::InvalidState(_))));
    assert!(matches!(future.set(Ok(3)), Err(Error::InvalidState(_))));
    assert_eq!(future.result().unwrap(), 1);

    let gone = Future::new();
    gone.cancel();
    assert_eq!(gone.set_result("late").unwrap_err().into_inner(), "late");
    assert!(matches!(gone.set_exception(boom()), Err(Error::InvalidState(_))));
    assert!(gone.cancelled());
}

#[test]
fn a_value_that_is_not_clone_is_taken_by_one() {
    #[derive(Debug, PartialEq)]
    struct Unique;
    run(async {
        let future = Future::new();
        future.set_result(Unique)?;
        assert_eq!(future.take().await?, Unique);
        assert!(matches!(future.take().await, Err(Error::InvalidState(_))));
        Ok(())
    });
}

#[test]
fn what_is_shown_of_a_future_says_how_it_stands() {
    let future = Future::<()>::new();
    let line = line!() - 1;
    let place = format!("created at {}:{line}:", file!());
    let text = format!("{future:?}");
    assert!(text.starts_with("<Future pending ") && text.contains(&place), "{text}");
    future.cancel();
    assert!(format!("{future:?}").starts_with("<Future cancelled "));
}

#[test]
fn a_future_knows_the_loop_that_ran_where_it_was_made() {
    assert!(Future::<()>::new().home().is_none());
    let event_loop = virtual_loop();
    assert_eq!(event_loop.create_future::<()>().home(), Some(event_loop.home()));
    let home = event_loop.home();
    event_loop
        .run_until_complete(async move {
            assert_eq!(Future::<()>::new().home(), Some(home));
            Ok(())
        })
        .unwrap();
    event_loop.close().unwrap();
}

#[test]
fn without_a_loop_a_future_is_awaited_but_given_no_callbacks() {
    let future = Future::new();
    assert_eq!(
        message(future.add_done_callback(|_| ())),
        "RuntimeError: Future.add_done_callback: no running event loop"
    );
    let setter = future.clone();
    let thread = thread::spawn(move || setter.set_result("from afar").is_ok());
    assert_eq!(block_on(future).unwrap(), "from afar");
    assert!(thread.join().unwrap());
}

#[test]
fn a_future_set_in_another_thread_wakes_its_task() {
    run(async {
        let (future, gone) = (Future::new(), Future::<()>::new());
        let (setter, canceller) = (future.clone(), gone.clone());
        let set = to_thread(move || (setter.set_result(7).is_ok(), canceller.cancel()));
        let set = create_task(set);
        assert_eq!(future.await?, 7);
        assert!(cancelled(&gone.await));
        assert_eq!(set.await?, (true, true));
        Ok(())
    });
}

// Callbacks.

#[test]
fn callbacks_are_steps_of_their_own_in_order() {
    run(async {
        let (future, trace) = (Future::new(), Trace::new());
        for name in ["a", "b", "a"] {
            let trace = trace.clone();
            future.add_done_callback(move |future: &Future<i32>| {
                trace.say(format!("{name}{}", future.result().unwrap_or(0)));
            })?;
        }
        future.set_result(1)?;
        assert_eq!(trace.take(), "");
        briefly().await?;
        assert_eq!(trace.take(), "a1 b1 a1");
        // On a future that is done as well.
        let note = trace.note("late");
        future.add_done_callback(move |_| note())?;
        assert_eq!(trace.take(), "");
        briefly().await?;
        assert_eq!(trace.take(), "late");
        Ok(())
    });
}

#[test]
fn a_callback_is_removed_by_its_name_once() {
    run(async {
        let (future, trace) = (Future::new(), Trace::new());
        let add = |name: &str| {
            let note = trace.note(name);
            future.add_done_callback(move |_| note())
        };
        let (a, b, c) = (add("a")?, add("b")?, add("c")?);
        assert_eq!(future.remove_done_callback(&b), 1);
        assert_eq!(future.remove_done_callback(&b), 0);
        assert_eq!(future.remove_done_callback(&a), 1);
        future.set_result(())?;
        assert_eq!(future.remove_done_callback(&c), 0);
        briefly().await?;
        assert_eq!(trace.take(), "c");
        Ok(())
    });
}

#[test]
fn callbacks_may_add_and_remove_others_while_they_run() {
    run(async {
        let (future, trace) = (Future::new(), Trace::new());
        let (this, log) = (future.clone(), trace.clone());
        let note = trace.note("second");
        let second = Rc::new(Cell::new(None));
        let removed = second.clone();
        future.add_done_callback(move |_| {
            let second = removed.take().expect("it was added");
            log.say(format!("removed {}", this.remove_done_callback(&second)));
            let note = log.note("added");
            this.add_done_callback(move |_| note()).map(drop)
        })?;
        second.set(Some(future.add_done_callback(move |_| note())?));
        future.set_result(())?;
        iterations(2).await?;
        // Every callback of a future that is done is a step already.
        assert_eq!(trace.take(), "removed 0 second added");
        Ok(())
    });
}

#[test]
fn a_callback_that_fails_is_reported_and_the_others_run() {
    run(async {
        let (reports, trace) = (Reports::collect(), Trace::new());
        let future = Future::<()>::new();
        future.add_done_callback(|_| Err::<(), _>(boom()))?;
        future.add_done_callback(|future: &Future<()>| {
            if future.cancelled() {
                panic!("so did I");
            }
        })?;
        let note = trace.note("third");
        future.add_done_callback(move |_| note())?;
        future.cancel();
        briefly().await?;
        assert_eq!(trace.take(), "third");
        assert_eq!(reports.messages(), ["Exception in callback", "Exception in callback"]);
        Ok(())
    });
}

#[test]
fn a_callback_runs_in_a_copy_of_the_context_in_which_it_was_added() {
    static VAR: ContextVar<i32> = ContextVar::with_default("var", 0);
    run(async {
        let (future, seen) = (Future::new(), Rc::new(Cell::new(None)));
        VAR.set(1);
        let tell = seen.clone();
        future.add_done_callback(move |_| {
            tell.set(VAR.get());
            VAR.set(2);
        })?;
        // With its own context, like `context=` in Python.
        let own = Context::new();
        let inside = own.clone();
        future.add_done_callback(move |_| inside.run(|| drop(VAR.set(3))))?;
        VAR.set(4);
        future.set_result(())?;
        briefly().await?;
        assert_eq!((seen.get(), VAR.get(), own.get(&VAR)), (Some(1), Some(4), Some(3)));
        Ok(())
    });
}

// Results that are never retrieved.

#[test]
fn a_failure_never_retrieved_is_reported_once_when_the_future_is_dropped() {
    run(async {
        let reports = Reports::collect();
        let line = line!() + 1;
        let future = Future::<()>::new();
        let id = future.id();
        future.set_exception(boom())?;
        drop(future.clone());
        assert!(reports.take().is_empty());
        drop(future);
        let [report] = &reports.take()[..] else { panic!("it is reported once") };
        assert_eq!(report.message(), "Future exception was never retrieved");
        assert_eq!(report.exception().map(|e| e.to_string()).as_deref(), Some("boom"));
        assert_eq!(report.future(), Some(id));
        assert_eq!(report.made_at().map(|place| place.line()), Some(line));
        Ok(())
    });
}

#[test]
fn a_failure_that_was_looked_at_or_cancelled_is_not_reported() {
    run(async {
        let reports = Reports::collect();
        let fail = || {
            let future = Future::<()>::new();
            future.set_exception(boom()).map(|()| future)
        };
        assert!(fail()?.result().is_err());
        assert!(fail()?.exception()?.is_some());
        assert!(fail()?.await.is_err());
        assert!(!fail()?.cancel());
        assert!(reports.take().is_empty());
        // An unretrieved result is not a failure.
        Future::new().set_result(1)?;
        assert!(reports.take().is_empty());
        Ok(())
    });
}

// Dropping.

#[test]
fn a_dropped_await_takes_no_wake_up_with_it() {
    run(async {
        let future = Future::new();
        let (mut first, second) = (future.clone(), awaiting(&future));
        assert!(asyncio_tests::support::poll_once(&mut first).await.is_none());
        briefly().await?;
        drop(first);
        future.set_result(7)?;
        assert_eq!(second.await?, 7);
        Ok(())
    });
}

#[test]
fn a_take_that_is_dropped_when_the_value_has_come_leaves_it() {
    run(async {
        let future = Future::new();
        let mut take = future.take();
        assert!(asyncio_tests::support::poll_once(&mut take).await.is_none());
        future.set_result(7)?;
        drop(take);
        assert_eq!(future.take().await?, 7);
        Ok(())
    });
}

// ensure_future and similar functions.

#[test]
fn ensure_future_of_a_task_is_that_task_and_of_a_coroutine_a_new_one() {
    run(async {
        let task = create_task(async { Ok(1) });
        let name = (*task).clone();
        let same = ensure_future(task);
        assert_eq!(*same, name);
        assert_eq!(same.await?, 1);
        let new = ensure_future(async { Ok(2) });
        assert_ne!(*new, name);
        assert_eq!(new.await?, 2);
        // A future becomes a task that awaits it.
        let future = Future::new();
        let task = ensure_future(future.clone());
        future.set_result(3)?;
        assert_eq!(task.await?, 3);
        Ok(())
    });
}

#[test]
fn ensure_future_without_a_running_loop_drops_the_coroutine() {
    let held = Rc::new(());
    let inside = held.clone();
    let task = ensure_future(async move {
        drop(inside);
        Ok(())
    });
    assert_eq!(Rc::strong_count(&held), 1);
    assert!(matches!(block_on(task), Err(Error::Runtime(_))));
}

#[test]
fn tasks_and_futures_are_what_wait_takes() {
    fn states(futures: &[&dyn Fn() -> (bool, bool)]) -> Vec<(bool, bool)> {
        futures.iter().map(|state| state()).collect()
    }
    fn state<F: FutureLike>(future: &F) -> (bool, bool) {
        (future.done(), future.cancelled())
    }
    run(async {
        let (future, task) = (Future::<()>::new(), create_task(sleep(MS)));
        let either: Awaitable<()> = task.clone().into();
        future.cancel();
        let seen = states(&[&|| state(&future), &|| state(&task), &|| state(&either)]);
        assert_eq!(seen, [(true, true), (false, false), (false, false)]);
        assert_eq!(FutureLike::id(&either), FutureLike::id(&task));
        Ok(())
    });
}

// wrap_future.

#[test]
fn a_wrapped_future_gets_the_result_through_the_loops_queue() {
    run(async {
        let source = ConcurrentFuture::new();
        let future = wrap_future(source.clone())?;
        source.set_result(7)?;
        // Not immediately: another thread might have set it.
        assert!(!future.done());
        assert_eq!(future.await?, 7);

        let failed = ConcurrentFuture::<()>::new();
        failed.set_exception(boom())?;
        assert_eq!(message(wrap_future(failed)?.await), "Error: boom");
        Ok(())
    });
}

#[test]
fn a_wrapped_future_set_in_another_thread_wakes_its_task() {
    run(async {
        let source = ConcurrentFuture::new();
        let setter = source.clone();
        let set = create_task(to_thread(move || setter.set_result("from afar").is_ok()));
        assert_eq!(wrap_future(source)?.await?, "from afar");
        assert!(set.await?);
        Ok(())
    });
}

#[test]
fn cancelling_a_wrapped_future_cancels_its_source_unless_that_is_done() {
    run(async {
        let source = ConcurrentFuture::<()>::new();
        let future = wrap_future(source.clone())?;
        future.cancel();
        briefly().await?;
        assert!(source.cancelled());

        let source = ConcurrentFuture::new();
        let future = wrap_future(source.clone())?;
        source.set_result(7)?;
        future.cancel();
        iterations(2).await?;
        assert!(future.cancelled() && !source.cancelled());
        assert_eq!(source.result(Duration::ZERO)?, 7);
        Ok(())
    });
}

#[test]
fn a_cancelled_source_cancels_what_wraps_it() {
    run(async {
        let source = ConcurrentFuture::<()>::new();
        let future = wrap_future(source.clone())?;
        let task: Task<()> = awaiting(&future);
        briefly().await?;
        assert!(source.cancel());
        assert!(cancelled(&task.await));
        assert!(future.cancelled());
        Ok(())
    });
}

#[test]
fn each_wrapper_of_a_source_ends() {
    run(async {
        for shared in [false, true] {
            let mut source = ConcurrentFuture::new();
            if shared {
                source = source.shared();
            }
            let (one, two) = (wrap_future(source.clone())?, wrap_future(source.clone())?);
            source.set_result(7)?;
            let third = wrap_future(source.clone())?;
            assert_eq!(one.await?, 7);
            for late in [two.await, third.await] {
                match late {
                    Ok(value) => assert_eq!((value, shared), (7, true)),
                    Err(error) => assert!(matches!(error, Error::InvalidState(_)) && !shared),
                }
            }
            assert_eq!(source.result(None).is_ok(), shared);
        }
        Ok(())
    });
}

#[test]
fn a_wrapper_of_a_value_that_was_moved_out_is_an_invalid_state() {
    run(async {
        let source = ConcurrentFuture::new();
        source.set_result(7)?;
        assert_eq!(source.result(None)?, 7);
        assert!(matches!(wrap_future(source)?.await, Err(Error::InvalidState(_))));
        Ok(())
    });
}

#[test]
fn a_wrapper_without_a_handle_leaves_the_value_to_others() {
    run(async {
        let source = ConcurrentFuture::new();
        drop(wrap_future(source.clone())?);
        let late = wrap_future(source.clone())?;
        source.set_result(7)?;
        assert_eq!(late.await?, 7);
        Ok(())
    });
}

#[test]
fn a_clone_that_panics_is_the_error_of_the_wrapper() {
    struct Panics;
    impl Clone for Panics {
        fn clone(&self) -> Panics {
            panic!("no second one")
        }
    }
    run(async {
        let source = ConcurrentFuture::new().shared();
        let future = wrap_future(source.clone())?;
        source.set_result(Panics)?;
        assert_eq!(message(future.take().await), "PanicError: panicked: no second one");
        Ok(())
    });
}

#[test]
fn a_wrapper_whose_loop_is_closed_fails_for_waiters_elsewhere() {
    let other = new_event_loop().unwrap();
    // The result is on its way when the loop is closed, or comes later.
    for early in [true, false] {
        let (source, event_loop) = (ConcurrentFuture::new(), new_event_loop().unwrap());
        let inside = source.clone();
        let future = event_loop.run_until_complete(async move { wrap_future(inside) }).unwrap();
        let set = source.clone();
        if early {
            set.set_result(7).unwrap();
            event_loop.close().unwrap();
        } else {
            event_loop.close().unwrap();
            set.set_result(7).unwrap();
        }
        let outcome = other.run_until_complete(future);
        assert_eq!(message(outcome), "RuntimeError: Event loop is closed");
        assert_eq!(source.result(None).unwrap(), 7);
    }
    other.close().unwrap();
}

#[test]
fn without_a_running_loop_nothing_is_wrapped() {
    let outcome = wrap_future(ConcurrentFuture::<()>::new());
    assert_eq!(message(outcome), "RuntimeError: wrap_future: no running event loop");
    assert!(get_running_loop().is_err());
}

#[test]
fn a_concurrent_future_is_set_once_and_times_out() {
    let future = ConcurrentFuture::new();
    assert!(future.result(Duration::ZERO).unwrap_err().is_timeout());
    future.set_result(1).unwrap();
    assert!(matches!(future.set_result(2), Err(Error::InvalidState(_))));
    assert!(!future.cancel());
    assert_eq!(future.result(None).unwrap(), 1);
    assert!(matches!(future.result(None), Err(Error::InvalidState(_))));
}
