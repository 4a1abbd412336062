//! The number of iterations between a cause and its effect, for each line of the table of hops,
//! which holds for CPython 3.14. A hop means that the continuation is appended to the ready queue
//! at the moment of the cause, and therefore runs in the next iteration.

use asyncio::{
    Error, Future, FutureLike, Result, Task, create_task, current_task, get_running_loop, sleep,
};
use asyncio_tests::support::{
    Iterations, MS, Trace, after, awaiting, boom, briefly, cancelled, cancelled_after, iterations,
    sleep_until,
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

// Operations that do not suspend.

#[test]
fn awaiting_a_future_that_is_done_takes_no_hop() {
    Iterations::count(|count| async move {
        let (value, error, gone) = (Future::new(), Future::<()>::new(), Future::<()>::new());
        value.set_result(1)?;
        error.set_exception(boom())?;
        gone.cancel();
        let before = count.now();
        assert_eq!(value.await?, 1);
        assert!(error.await.is_err());
        assert!(cancelled(&gone.await));
        assert_eq!(count.now(), before);
        Ok(())
    });
}

#[test]
fn awaiting_a_task_that_is_done_takes_no_hop() {
    Iterations::count(|count| async move {
        let value = create_task(async { Ok(1) });
        let error = create_task(async { Err::<(), _>(boom()) });
        let gone = create_task(sleep(MS));
        gone.cancel();
        briefly().await?;
        let before = count.now();
        assert_eq!(value.await?, 1);
        assert!(error.await.is_err());
        assert!(cancelled(&gone.await));
        assert_eq!(count.now(), before);
        Ok(())
    });
}

#[test]
fn awaiting_a_coroutine_is_a_call() {
    Iterations::count(|count| async move {
        let before = count.now();
        let inner = count.clone();
        assert_eq!(async move { Ok::<_, Error>(inner.now()) }.await?, before);
        assert_eq!(count.now(), before);
        Ok(())
    });
}

// The start of a task.

#[test]
fn a_task_starts_one_hop_after_it_was_created() {
    Iterations::count(|count| async move {
        let before = count.now();
        let inner = count.clone();
        let first_step = create_task(async move { Ok(inner.now()) });
        assert_eq!(first_step.await? - before, 1);
        Ok(())
    });
}

#[test]
fn an_eager_task_starts_inside_create_task() {
    Iterations::count(|count| async move {
        let (before, me) = (count.now(), current_task());
        let (inner, seen) = (count.clone(), Rc::new(RefCell::new(None)));
        let tell = seen.clone();
        let done = Task::builder().eager_start(true).create(async move {
            tell.replace(current_task());
            Ok(inner.now())
        });
        // It had no need to wait, so it is done.
        assert!(done.done());
        assert_eq!(seen.take().as_ref(), Some(&*done));
        assert!(current_task() == me);
        assert_eq!((done.await?, count.now()), (before, before));
        Ok(())
    });
}

#[test]
fn an_eager_task_that_waits_goes_on_as_any_task_does() {
    Iterations::count(|count| async move {
        let before = count.now();
        let inner = count.clone();
        let task = Task::builder().eager_start(true).create(async move {
            let first = inner.now();
            briefly().await?;
            Ok((first, inner.now()))
        });
        assert!(!task.done());
        assert_eq!(task.await?, (before, before + 1));
        // One hop to the task's second step, one more to the task that awaits it.
        assert_eq!(count.now(), before + 2);
        Ok(())
    });
}

// Callbacks, timers, sleep.

#[test]
fn call_soon_takes_one_hop() {
    Iterations::count(|count| async move {
        let (ran, callback) = count.callback();
        let before = count.now();
        get_running_loop()?.call_soon(callback)?;
        iterations(2).await?;
        assert_eq!(ran.get() - before, 1);
        Ok(())
    });
}

#[test]
fn sleep_of_nothing_takes_one_hop_and_no_timer() {
    Iterations::count(|count| async move {
        let trace = Trace::new();
        let before = count.now();
        // A timer would come after this one; a bare reschedule comes before it.
        get_running_loop()?.call_later(Duration::ZERO, trace.note("timer"))?;
        sleep(Duration::ZERO).await?;
        trace.say("sleeper");
        assert_eq!(count.now() - before, 1);
        briefly().await?;
        assert_eq!(trace.take(), "sleeper timer");
        Ok(())
    });
}

#[test]
fn a_timer_that_is_due_runs_in_the_same_iteration() {
    Iterations::count(|count| async move {
        let due = count.pause(5 * MS);
        let (ran, callback) = count.callback();
        get_running_loop()?.call_later(5 * MS, callback)?;
        sleep(5 * MS).await?;
        assert_eq!(ran.get(), due.get());
        Ok(())
    });
}

#[test]
fn a_timer_that_is_due_runs_behind_what_is_ready() {
    Iterations::count(|count| async move {
        let (event_loop, trace) = (get_running_loop()?, Trace::new());
        count.pause(5 * MS);
        let (this, log) = (event_loop.clone(), trace.clone());
        event_loop.call_later(5 * MS, move || {
            // Both are for the next iteration, in which the timer is due.
            this.call_at(Duration::ZERO, log.note("timer"))?;
            this.call_soon(log.note("ready")).map(drop)
        })?;
        sleep(5 * MS).await?;
        iterations(2).await?;
        assert_eq!(trace.take(), "ready timer");
        Ok(())
    });
}

#[test]
fn call_later_of_nothing_is_for_the_next_iteration_behind_all_that_is_ready() {
    Iterations::count(|count| async move {
        sleep_until(&count, 3 * MS).await?;
        let (event_loop, trace) = (get_running_loop()?, Trace::new());
        let (zero, at_zero) = count.callback();
        let (past, at_past) = count.callback();
        let before = count.now();
        event_loop.call_later(Duration::ZERO, at_zero)?;
        event_loop.call_at(MS, at_past)?;
        event_loop.call_later(Duration::ZERO, trace.note("now"))?;
        event_loop.call_at(2 * MS, trace.note("2"))?;
        event_loop.call_at(MS, trace.note("1"))?;
        event_loop.call_at(2 * MS, trace.note("also-2"))?;
        event_loop.call_soon(trace.note("ready"))?;
        iterations(2).await?;
        assert_eq!((zero.get() - before, past.get() - before), (1, 1));
        assert_eq!(trace.take(), "ready 1 2 also-2 now");
        Ok(())
    });
}

#[test]
fn a_sleeper_goes_on_one_hop_after_its_timer() {
    Iterations::count(|count| async move {
        let due = count.pause(5 * MS);
        sleep(5 * MS).await?;
        assert_eq!(count.now() - due.get(), 1);
        Ok(())
    });
}

// Futures.

#[test]
fn a_task_that_awaits_a_future_continues_one_hop_after_it_is_set() {
    Iterations::count(|count| async move {
        let (value, error, gone) = (Future::new(), Future::new(), Future::new());
        let (a, b, c) = (count.of(value.clone()), count.of(error.clone()), count.of(gone.clone()));
        briefly().await?;
        let cause = count.now();
        value.set_result(())?;
        error.set_exception(boom())?;
        gone.cancel();
        assert_eq!(after(cause, a.await?), 1);
        let (seen, outcome): (u64, Result<()>) = b.await?;
        assert_eq!((seen - cause, outcome.is_err()), (1, true));
        let gone: (u64, Result<()>) = c.await?;
        assert_eq!(cancelled_after(cause, gone), 1);
        Ok(())
    });
}

#[test]
fn waiters_and_callbacks_of_a_future_are_served_in_one_order() {
    Iterations::count(|count| async move {
        let (future, trace) = (Future::new(), Trace::new());
        let (ran, callback) = count.callback();
        let waiter = |name: &'static str| {
            let (future, trace) = (future.clone(), trace.clone());
            create_task(async move {
                future.await?;
                trace.say(name);
                Ok(())
            })
        };
        let callback_of = |name: &'static str| {
            let note = trace.note(name);
            future.add_done_callback(move |_| note())
        };
        let a = waiter("a");
        briefly().await?;
        callback_of("b")?;
        let c = waiter("c");
        briefly().await?;
        callback_of("d")?;
        future.add_done_callback(move |_| callback())?;
        let cause = count.now();
        future.set_result(())?;
        assert_eq!(trace.take(), "");
        briefly().await?;
        assert_eq!(trace.take(), "a b c d");
        assert_eq!(ran.get() - cause, 1);
        assert!(a.done() && c.done());
        Ok(())
    });
}

#[test]
fn a_callback_added_to_a_future_that_is_done_takes_one_hop() {
    Iterations::count(|count| async move {
        let future = Future::new();
        future.set_result(())?;
        let (ran, callback) = count.callback();
        let cause = count.now();
        future.add_done_callback(move |_| callback())?;
        iterations(2).await?;
        assert_eq!(ran.get() - cause, 1);
        Ok(())
    });
}

// Tasks.

#[test]
fn a_task_that_awaits_a_task_continues_one_hop_after_it_ends() {
    Iterations::count(|count| async move {
        for fails in [false, true] {
            let gate = Future::new();
            let (inner, opened) = (count.clone(), gate.clone());
            let ended = Rc::new(Cell::new(0));
            let tell = ended.clone();
            let task = create_task(async move {
                opened.await?;
                tell.set(inner.now());
                if fails { Err(boom()) } else { Ok(()) }
            });
            let (ran, callback) = count.callback();
            task.add_done_callback(move |_| callback())?;
            let waiter = count.of(task);
            iterations(2).await?;
            gate.set_result(())?;
            let (seen, outcome) = waiter.await?;
            assert_eq!(outcome.is_err(), fails);
            assert_eq!((seen - ended.get(), ran.get() - ended.get()), (1, 1));
        }
        Ok(())
    });
}

#[test]
fn a_cancelled_task_that_awaits_a_future_gets_it_one_hop_later() {
    Iterations::count(|count| async move {
        let future = Future::<()>::new();
        let task = count.of(future.clone());
        briefly().await?;
        let cause = count.now();
        task.cancel();
        // The future is cancelled at once.
        assert!(future.cancelled());
        assert_eq!(cancelled_after(cause, task.await?), 1);
        Ok(())
    });
}

#[test]
fn a_cancelled_sleeper_gets_it_one_hop_later() {
    Iterations::count(|count| async move {
        let task = count.of(sleep(MS));
        briefly().await?;
        let cause = count.now();
        task.cancel();
        assert_eq!(cancelled_after(cause, task.await?), 1);
        Ok(())
    });
}

#[test]
fn a_request_goes_down_a_chain_of_tasks_at_once_and_comes_up_hop_by_hop() {
    Iterations::count(|count| async move {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let link = |below: Box<dyn FnOnce() -> Task<()>>| {
            let (count, seen, below) = (count.clone(), seen.clone(), below());
            create_task(async move {
                let outcome = below.await;
                seen.borrow_mut().push(count.now());
                outcome
            })
        };
        let future = Future::<()>::new();
        let innermost = awaiting(&future);
        let inner = (*innermost).clone();
        let middle = link(Box::new(|| innermost));
        let outer = link(Box::new(|| middle));
        iterations(3).await?;
        let cause = count.now();
        outer.cancel();
        assert!(future.cancelled());
        assert_eq!(inner.cancelling(), 1);
        assert!(cancelled(&outer.await));
        // The innermost task sees it at 1, the one that awaits it at 2, and so on.
        assert_eq!(*seen.borrow(), [cause + 2, cause + 3]);
        assert_eq!(count.now(), cause + 4);
        Ok(())
    });
}

#[test]
fn a_cancelled_task_that_is_ready_gets_it_at_the_step_that_is_queued() {
    Iterations::count(|count| async move {
        let future = Future::new();
        let woken = count.of(future.clone());
        briefly().await?;
        future.set_result(())?;
        let cause = count.now();
        woken.cancel();
        assert_eq!(cancelled_after(cause, woken.await?), 1);
        // The event that it waited for has happened nevertheless.
        assert!(future.result().is_ok());

        let yielding = count.of(briefly());
        briefly().await?;
        let cause = count.now();
        yielding.cancel();
        assert_eq!(cancelled_after(cause, yielding.await?), 1);
        Ok(())
    });
}

#[test]
fn a_task_cancelled_before_its_first_step_never_runs() {
    Iterations::count(|count| async move {
        let ran = Rc::new(Cell::new(false));
        let tell = ran.clone();
        let task = create_task(async move {
            tell.set(true);
            Ok(())
        });
        let cause = count.now();
        task.cancel();
        let (ended, callback) = count.callback();
        task.add_done_callback(move |_| callback())?;
        assert!(cancelled(&task.await));
        assert!(!ran.get());
        // The step that was queued ends it, its callbacks take one more hop.
        assert_eq!((ended.get() - cause, count.now() - cause), (2, 2));
        Ok(())
    });
}

#[test]
fn a_task_that_cancels_itself_gets_it_at_its_next_suspension() {
    Iterations::count(|count| async move {
        let me = || current_task().expect("this is a task");
        let done = Future::new();
        done.set_result(())?;

        let before = count.now();
        me().cancel();
        done.clone().await?;
        assert_eq!(count.now(), before);
        assert!(cancelled(&briefly().await));
        assert_eq!(count.now() - before, 1);

        let (before, future) = (count.now(), Future::<()>::new());
        me().cancel();
        assert!(cancelled(&future.clone().await));
        assert!(future.cancelled());
        assert_eq!(count.now() - before, 1);

        // One hop to the task's step that it ends, one back.
        let task = create_task(async { sleep(MS).await });
        briefly().await?;
        let before = count.now();
        me().cancel();
        assert!(cancelled(&task.await));
        assert_eq!(count.now() - before, 2);
        for _ in 0..3 {
            me().uncancel();
        }
        Ok(())
    });
}

#[test]
fn a_task_that_cancels_itself_and_returns_ends_cancelled() {
    Iterations::count(|count| async move {
        let task = create_task(async {
            current_task().expect("this is a task").cancel();
            Ok("lost")
        });
        let before = count.now();
        assert!(cancelled(&task.await));
        assert_eq!(count.now() - before, 2);
        Ok(())
    });
}

#[test]
fn a_task_that_awaits_itself_fails_after_one_hop() {
    Iterations::count(|count| async move {
        let itself = Rc::new(RefCell::new(None::<Task<u64>>));
        let (own, inner) = (itself.clone(), count.clone());
        let task = create_task(async move {
            let me = own.take().expect("put there below");
            let before = inner.now();
            match me.await {
                Err(Error::Runtime(error)) => {
                    assert_eq!(error.to_string(), "Task cannot await on itself");
                    Ok(inner.now() - before)
                }
                other => panic!("{other:?}"),
            }
        });
        itself.replace(Some(task.clone()));
        assert_eq!(task.await?, 1);
        Ok(())
    });
}
