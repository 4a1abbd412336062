//! The cancellation of a task, after CPython's `test_tasks`: which errors arrive in it, when, and how
//! often. Everything else about tasks is tested in `task_object.rs`.

use asyncio::{
    AsyncContextManager, Error, Event, Future, Result, Task, create_task, current_task,
    get_running_loop, sleep,
};
use asyncio_tests::support::{
    MS, awaiting, boom, briefly, cancel_message, cancelled, iterations, message, run, virtual_loop,
};
use std::{
    cell::Cell,
    future::{Future as StdFuture, poll_fn},
    pin::pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};

#[test]
fn a_cancellation_gives_true_until_the_task_is_done() {
    run(async {
        let task = create_task(sleep(MS));
        briefly().await?;
        assert_eq!((task.cancelling(), task.cancelled()), (0, false));
        assert!(task.cancel());
        assert_eq!(task.cancelling(), 1);
        assert!(task.cancel());
        assert_eq!(task.cancelling(), 2);
        // It is cancelled only when it has ended.
        assert!(!task.cancelled() && !task.done());
        briefly().await?;
        assert!(task.cancelled() && task.done());
        assert!(!task.cancel());
        assert_eq!(task.cancelling(), 2);
        Ok(())
    });
}

#[test]
fn requests_are_counted_however_many_there_are() {
    run(async {
        let task = create_task(sleep(MS));
        briefly().await?;
        for requests in 1..=70_000 {
            task.cancel();
            assert_eq!(task.cancelling(), requests);
        }
        for left in (0..70_000).rev() {
            assert_eq!((task.uncancel(), task.cancelling()), (left, left));
        }
        assert!(cancelled(&task.await));
        Ok(())
    });
}

#[test]
fn a_task_cancelled_before_its_first_step_keeps_the_message() {
    run(async {
        let ran = Rc::new(Cell::new(false));
        let tell = ran.clone();
        let task = create_task(async move {
            tell.set(true);
            Ok(())
        });
        task.cancel_with("never mind");
        let waiter = awaiting_task(task.clone());
        assert_eq!(cancel_message(&waiter.await), "never mind");
        assert!(!ran.get());
        Ok(())
    });
}

fn awaiting_task(task: Task<()>) -> Task<()> {
    create_task(task)
}

#[test]
fn the_message_comes_out_once() {
    run(async {
        let task = create_task(sleep(MS));
        briefly().await?;
        task.cancel_with("why");
        iterations(2).await?;
        assert_eq!(cancel_message(&task.result()), "why");
        assert_eq!(cancel_message(&task.result()), "");
        Ok(())
    });
}

#[test]
fn a_second_cancellation_before_the_first_is_delivered_changes_nothing() {
    run(async {
        let times = Rc::new(Cell::new(0));
        let tell = times.clone();
        let task = create_task(async move {
            let first = sleep(MS).await;
            tell.set(tell.get() + u32::from(cancelled(&first)));
            sleep(MS).await?;
            Ok(cancel_message(&first))
        });
        briefly().await?;
        task.cancel_with("first");
        task.cancel_with("second");
        assert_eq!(task.await?, "first");
        assert_eq!(times.get(), 1);
        Ok(())
    });
}

#[test]
fn what_begins_to_wait_in_the_step_that_is_cancelled_waits() {
    run(async {
        let event = Rc::new(Event::new());
        let waited_for = event.clone();
        let task = create_task(async move {
            // One of each is the task's first wait, the other stands beside it.
            let (mut old, mut old_beside) = (pin!(briefly()), pin!(briefly()));
            let (mut new, mut new_beside) = (pin!(waited_for.wait()), pin!(waited_for.wait()));
            poll_fn(|cx| {
                let Poll::Ready(first) = old.as_mut().poll(cx) else {
                    assert!(old_beside.as_mut().poll(cx).is_pending());
                    return Poll::Pending;
                };
                assert!(cancelled(&first));
                for _ in 0..2 {
                    assert!(new.as_mut().poll(cx).is_pending());
                    assert!(new_beside.as_mut().poll(cx).is_pending());
                }
                old_beside.as_mut().poll(cx)
            })
            .await
            .expect_err("it is as old as the first");
            new.await?;
            new_beside.await
        });
        briefly().await?;
        task.cancel();
        iterations(3).await?;
        assert!(!task.done());
        event.set();
        task.await.map(drop)
    });
}

#[test]
fn a_task_that_swallows_a_cancellation_goes_on() {
    run(async {
        let (one, two, three) = (Future::new(), Future::<()>::new(), Future::new());
        let (a, b, c) = (one.clone(), two.clone(), three.clone());
        let task = create_task(async move {
            a.await?;
            assert!(cancelled(&b.await));
            c.await
        });
        one.set_result(())?;
        iterations(2).await?;
        task.cancel();
        assert!(two.cancelled());
        briefly().await?;
        three.set_result(42)?;
        assert_eq!(task.clone().await?, 42);
        assert_eq!((task.cancelling(), task.cancelled()), (1, false));
        Ok(())
    });
}

#[test]
fn cancelling_a_task_and_what_it_awaits_delivers_one() {
    run(async {
        let future = Future::<()>::new();
        let inner = future.clone();
        let task = create_task(async move {
            assert!(cancelled(&inner.await));
            sleep(MS).await?;
            Ok("went on")
        });
        briefly().await?;
        future.cancel();
        task.cancel();
        assert_eq!(task.await?, "went on");
        Ok(())
    });
}

#[test]
fn a_chain_of_any_length_is_cancelled() {
    run(async {
        const LENGTH: usize = 100_000;
        let first = create_task(sleep(MS));
        let mut tasks = vec![first];
        for n in 0..LENGTH {
            let inner = tasks[n].clone();
            tasks.push(create_task(async move { inner.await }));
        }
        briefly().await?;
        assert!(tasks[LENGTH].cancel());
        assert!(tasks.iter().all(|task| task.cancelling() == 1));
        assert!(tasks[LENGTH].clone().await.is_err_and(|error| error.is_cancelled()));
        assert!(tasks.iter().all(Task::cancelled));
        Ok(())
    });
}

#[test]
fn a_result_that_has_come_does_not_stop_a_cancellation_and_stays() {
    run(async {
        let future = Future::new();
        let task = awaiting(&future);
        briefly().await?;
        future.set_result(7)?;
        task.cancel();
        assert!(cancelled(&task.await));
        assert_eq!(future.await?, 7);
        Ok(())
    });
}

#[test]
fn a_task_that_cancels_itself_and_awaits_a_task_cancels_that() {
    run(async {
        let nested = create_task(sleep(MS));
        let name = (*nested).clone();
        let task = create_task(async move {
            current_task().expect("this is a task").cancel();
            nested.await
        });
        assert!(cancelled(&task.await));
        assert!(name.done() && name.cancelling() == 1);
        Ok(())
    });
}

#[test]
fn an_error_of_a_task_that_cancelled_itself_comes_out() {
    run(async {
        let task = create_task(async {
            current_task().expect("this is a task").cancel();
            Err::<(), _>(boom())
        });
        assert_eq!(message(task.await), "Error: boom");
        Ok(())
    });
}

#[test]
fn an_error_while_a_cancellation_is_handled_keeps_it_as_its_context() {
    struct Failing;
    impl AsyncContextManager for Failing {
        type Target = ();
        async fn enter(&mut self) -> Result<()> {
            Ok(())
        }
        async fn exit(&mut self, (): (), _: Option<&Error>) -> Result<()> {
            Err(boom())
        }
    }
    run(async {
        let task = create_task(Failing.with(async |()| sleep(MS).await));
        briefly().await?;
        task.cancel_with("why");
        let error = task.await.unwrap_err();
        assert_eq!(error.to_string(), "boom");
        let context = error.context().cloned();
        assert_eq!(cancel_message(&Err::<(), _>(context.expect("it has one"))), "why");
        Ok(())
    });
}

#[test]
fn uncancel_takes_requests_back_one_by_one() {
    run(async {
        let task = create_task(async {
            assert!(cancelled(&sleep(MS).await));
            sleep(MS).await
        });
        briefly().await?;
        task.cancel();
        task.cancel();
        assert_eq!((task.uncancel(), task.uncancel(), task.uncancel()), (1, 0, 0));
        briefly().await?;
        // It was already delivered; a new one works as usual.
        assert!(!task.done());
        task.cancel();
        assert_eq!(task.cancelling(), 1);
        assert!(cancelled(&task.await));
        Ok(())
    });
}

#[test]
fn a_cancellation_that_is_taken_back_before_it_is_delivered_does_not_happen() {
    run(async {
        let future = Future::new();
        let task = awaiting(&future);
        briefly().await?;
        future.set_result(42)?;
        task.cancel();
        assert_eq!(task.uncancel(), 0);
        assert_eq!(task.await?, 42);

        // Not so if one of two is left.
        let future = Future::new();
        let task = awaiting(&future);
        briefly().await?;
        future.set_result(42)?;
        task.cancel();
        task.cancel();
        assert_eq!(task.uncancel(), 1);
        assert!(cancelled(&task.await));
        Ok(())
    });
}

/// The pattern of structured blocks: a block that cancels its own task withdraws that request, and
/// then knows from the count whether other code requested a cancellation too.
async fn block(delay: Duration, body: impl StdFuture<Output = Result<()>>) -> Result<bool> {
    let task = current_task().expect("this is a task");
    let (mine, victim) = (Rc::new(Cell::new(false)), task.clone());
    let tell = mine.clone();
    let timer = get_running_loop()?.call_later(delay, move || {
        tell.set(true);
        victim.cancel()
    })?;
    let outcome = body.await;
    timer.cancel();
    match outcome {
        Err(Error::Cancelled(_)) if mine.get() && task.uncancel() == 0 => Ok(true),
        outcome => outcome.map(|()| false),
    }
}

#[test]
fn a_structured_block_tells_its_own_cancellation_from_another() {
    run(async {
        assert!(block(MS, sleep(5 * MS)).await?);
        assert!(!block(5 * MS, sleep(MS)).await?);
        sleep(MS).await?;
        assert_eq!(current_task().map(|task| task.cancelling()), Some(0));
        // Cancelled from outside as well, at the same time.
        let task = create_task(block(5 * MS, sleep(10 * MS)));
        let name = (*task).clone();
        get_running_loop()?.call_later(5 * MS, move || name.cancel())?;
        assert!(cancelled(&task.clone().await));
        assert_eq!(task.cancelling(), 1);
        Ok(())
    });
}

#[test]
fn a_cancelled_sleep_takes_its_timer_with_it() {
    // A remaining timer would let the time jump before the deadlock is detected.
    let event_loop = virtual_loop();
    let outcome: Result<()> = event_loop.run_until_complete(async {
        let task = create_task(sleep(Duration::from_secs(3600)));
        briefly().await?;
        task.cancel();
        Future::new().await
    });
    assert!(matches!(outcome, Err(Error::Deadlock(_))));
    assert_eq!(event_loop.time(), Duration::ZERO);
    event_loop.close().unwrap();
}
