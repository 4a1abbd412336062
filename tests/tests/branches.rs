//! `join!`, `try_join!`, `select!` and `race`.

use asyncio::{
    AsyncContextManager, Error, Event, FirstCompleted, Future, Lock, Queue, Result, Semaphore,
    Task, all_tasks, create_task, current_task, gather, get_running_loop, join, race, select,
    sleep, timeout, try_join, wait, wait_for,
};
use asyncio_tests::support::{MS, Reports, Trace, boom, briefly, cancelled, iterations, run};
use std::{
    cell::{Cell, RefCell},
    future::pending,
    pin::pin,
    rc::Rc,
    time::Duration,
};

fn now() -> Duration {
    get_running_loop().unwrap().time()
}

async fn nap(ms: u32) -> Result<u32> {
    sleep(MS * ms).await?;
    Ok(ms)
}

/// Records how it ended, after a clean-up that takes a while.
async fn tidy(trace: &Trace, ms: u32) -> Result<u32> {
    let outcome = nap(ms).await;
    if outcome.is_err() {
        sleep(MS * 5).await?;
    }
    trace.say(outcome.as_ref().map_or_else(Error::kind, |_| "ok"));
    outcome
}

#[test]
fn join_gives_every_output_in_order_and_borrows() {
    run(async {
        let text = String::from("spam");
        let length = async { nap(3).await.map(|_| text.len()) };
        let (a, b, c) = join!(nap(5), length, async { 7 });
        assert_eq!((a?, b?, c), (5, 4, 7));
        assert_eq!(now(), 5 * MS);
        Ok(())
    });
}

#[test]
fn a_limit_in_one_branch_touches_no_other() {
    run(async {
        let limited = wait_for(sleep(MS * 1000), MS * 10);
        let (slow, fine) = join!(limited, wait_for(nap(100), MS * 5000));
        assert!(slow.unwrap_err().is_timeout());
        assert_eq!(fine?, 100);
        assert_eq!(current_task().unwrap().cancelling(), 0);
        Ok(())
    });
}

#[test]
fn a_cancellation_reaches_every_branch_of_join() {
    run(async {
        let task = create_task(async {
            let foreign = async { pending::<Result<u32>>().await };
            let (a, b, c) = join!(nap(50), foreign, wait_for(nap(60), MS * 90));
            Ok((cancelled(&a), cancelled(&b), cancelled(&c)))
        });
        sleep(MS).await?;
        task.cancel();
        assert_eq!(task.await?, (true, true, true));
        assert_eq!(now(), MS);
        Ok(())
    });
}

#[test]
fn try_join_cancels_what_is_left_and_awaits_its_end() {
    run(async {
        let trace = Trace::new();
        let failing = async {
            nap(3).await?;
            Err::<u32, _>(boom())
        };
        let outcome = try_join!(tidy(&trace, 100), failing, pending::<Result<()>>());
        assert!(outcome.unwrap_err().to_string().contains(&boom().to_string()));
        assert_eq!(trace.take(), "CancelledError");
        assert_eq!(now(), 8 * MS);
        assert_eq!(try_join!(nap(1), async { Ok("b") })?, (1, "b"));
        Ok(())
    });
}

#[test]
fn select_cancels_the_owned_and_puts_the_lent_aside() {
    run(async {
        let trace = Trace::new();
        let mut worker = create_task(sleep(MS * 100).result("worker"));
        let mut tick = pin!(sleep(MS * 50));
        let won = select! {
            _ = &mut worker => "worker",
            _ = tick.as_mut() => "tick",
            outcome = tidy(&trace, 1000) => { outcome?; "tidy" }
            outcome = nap(10) => { outcome?; "nap" },
        };
        assert_eq!((won, now()), ("nap", 15 * MS));
        assert_eq!(trace.take(), "CancelledError");
        tick.await?;
        assert_eq!((now(), worker.await?), (50 * MS, "worker"));
        Ok(())
    });
}

#[test]
fn select_in_a_loop_over_a_task_loses_nothing() {
    run(async {
        let queue = Queue::new(0);
        let mut worker = create_task(async {
            for _ in 0..5 {
                sleep(MS * 10).await?;
            }
            Ok("done")
        });
        let (mut sum, mut limits) = (0, 0);
        let outcome = loop {
            select! {
                outcome = &mut worker => break outcome?,
                item = queue.get() => sum += item?,
                late = wait_for(sleep(MS * 90), MS * 7) => {
                    assert!(late.unwrap_err().is_timeout());
                    limits += 1;
                    queue.put_nowait(1).unwrap();
                }
            }
        };
        assert_eq!((outcome, sum, limits, now()), ("done", 7, 7, 50 * MS));
        assert_eq!(current_task().unwrap().cancelling(), 0);
        Ok(())
    });
}

#[test]
fn what_a_loser_had_been_given_goes_back() {
    run(async {
        let (queue, semaphore, lock) = (Queue::new(0), Semaphore::new(0), Lock::new(()));
        let event = Event::new();
        let held = lock.acquire().await?;
        let giver = async {
            sleep(MS).await?;
            // All in one step: the first branch wins, and the others have been given something.
            event.set();
            queue.put_nowait(7).unwrap();
            semaphore.release();
            drop(held);
            Ok(())
        };
        let chooser = async {
            select! {
                outcome = event.wait() => outcome?,
                item = queue.get() => panic!("{item:?}"),
                permit = semaphore.acquire() => panic!("{permit:?}"),
                guard = lock.acquire() => panic!("{guard:?}"),
            }
            assert_eq!(queue.get_nowait()?, 7);
            assert_eq!(semaphore.value(), 1);
            assert!(!lock.locked());
            drop(lock.acquire().await?);
            Ok(())
        };
        let (given, chosen) = join!(giver, chooser);
        given?;
        chosen
    });
}

#[test]
fn a_value_that_a_loser_insists_on_is_reported() {
    run(async {
        let reports = Reports::collect();
        let stubborn = async {
            assert!(cancelled(&sleep(MS * 90).await));
            Ok("kept")
        };
        let failing = async {
            assert!(cancelled(&sleep(MS * 90).await));
            Err::<(), _>(boom())
        };
        let silent = async {
            assert!(cancelled(&sleep(MS * 90).await));
            Ok(())
        };
        select! {
            _ = stubborn => unreachable!(),
            _ = failing => unreachable!(),
            _ = silent => unreachable!(),
            outcome = nap(1) => assert_eq!(outcome?, 1),
        }
        assert_eq!(reports.take().len(), 2);
        Ok(())
    });
}

#[test]
fn conditions_patterns_and_else() {
    run(async {
        let disabled = Cell::new(false);
        let make = || {
            disabled.set(true);
            sleep(MS)
        };
        let chosen = select! {
            _ = make(), if false => 1,
            Some(n) = async { None::<u32> } => n,
            else => 3,
        };
        assert_eq!((chosen, disabled.get()), (3, false));
        let mut numbers = [Some(5), None].into_iter();
        let chosen = select! {
            Some(mut n) = async { numbers.next().flatten() } => { n += 1; n }
            outcome = nap(1) => outcome?,
        };
        assert_eq!(chosen, 6);
        Ok(())
    });
}

#[test]
fn branches_are_polled_in_order_from_where_it_is_said() {
    run(async {
        let ready = |n: u32| async move { n };
        let first = select! { n = ready(1) => n, n = ready(2) => n, n = ready(3) => n };
        assert_eq!(first, 1);
        let mut seen = Vec::new();
        for round in 0..4_usize {
            select! {
                start = round;
                n = ready(1) => seen.push(n),
                n = ready(2) => seen.push(n),
                n = ready(3) => seen.push(n),
            }
        }
        assert_eq!(seen, [1, 2, 3, 1]);
        Ok(())
    });
}

#[test]
fn a_panic_in_one_branch_ends_the_others_first() {
    run(async {
        let trace = Trace::new();
        let falling = async {
            nap(2).await?;
            if now() > MS {
                panic!("fell");
            }
            Ok(0)
        };
        let inside = trace.clone();
        let task: Task<()> = create_task(async move {
            let inside = &inside;
            let _ = join!(tidy(inside, 1000), falling);
            Ok(())
        });
        let outcome = task.await;
        assert!(matches!(outcome, Err(Error::Panic(_))), "{outcome:?}");
        assert_eq!((trace.take().as_str(), now()), ("CancelledError", 7 * MS));
        Ok(())
    });
}

#[test]
fn a_cancelled_select_goes_on_with_the_first_that_ends() {
    run(async {
        let trace = Trace::new();
        let inside = trace.clone();
        let task = create_task(async move {
            let event = Event::new();
            select! {
                outcome = event.wait() => cancelled(&outcome),
                _ = tidy(&inside, 1000) => false,
            };
            Ok(now())
        });
        sleep(MS).await?;
        task.cancel();
        assert_eq!(task.await?, 6 * MS);
        assert_eq!(trace.take(), "CancelledError");
        Ok(())
    });
}

/// The branches of a cancelled task or of an expired limit clean up as long as they need.
async fn all_clean_up(body: impl AsyncFnOnce(&Trace) -> Result<()> + Clone + 'static) {
    let trace = Trace::new();
    let begun = now();
    let (inside, ours) = (trace.clone(), body.clone());
    let task = create_task(async move { ours(&inside).await });
    iterations(2).await.unwrap();
    task.cancel();
    assert!(cancelled(&task.await));
    assert_eq!((trace.take().as_str(), now() - begun), ("short long", 20 * MS));
    let outcome = wait_for(async { body(&trace).await }, MS).await;
    assert!(outcome.unwrap_err().is_timeout());
    assert_eq!((trace.take().as_str(), now() - begun), ("short long", 41 * MS));
    assert_eq!(current_task().unwrap().cancelling(), 0);
}

/// Waits, and cleans up for that long.
async fn cleaning(trace: &Trace, name: &str, ms: u32) -> Result<()> {
    let outcome = nap(1000).await;
    if outcome.is_err() {
        nap(ms).await?;
        trace.say(name);
    }
    outcome.map(drop)
}

#[test]
fn a_branch_that_cleans_up_is_not_cancelled_again_when_another_has_ended() {
    run(async {
        let short = async |trace: &Trace| cleaning(trace, "short", 10).await;
        let long = async |trace: &Trace| cleaning(trace, "long", 20).await;
        all_clean_up(async move |trace| {
            let event = Event::new();
            select! {
                outcome = long(trace) => outcome,
                outcome = event.wait() => outcome,
                outcome = short(trace) => outcome,
            }
        })
        .await;
        all_clean_up(async move |trace| try_join!(long(trace), short(trace)).map(drop)).await;
        all_clean_up(async move |trace| {
            let limited = wait_for(long(trace), MS * 500);
            select! { outcome = limited => outcome, outcome = short(trace) => outcome }
        })
        .await;
        all_clean_up(async move |trace| {
            race([cleaning(trace, "long", 20), cleaning(trace, "short", 10)]).await
        })
        .await;
        Ok(())
    });
}

#[test]
fn a_clean_up_in_a_task_or_in_something_foreign_is_not_cut_short_either() {
    run(async {
        all_clean_up(async |trace| {
            let in_task = |name, ms| {
                let trace = trace.clone();
                async move { create_task(async move { cleaning(&trace, name, ms).await }).await }
            };
            try_join!(in_task("long", 20), in_task("short", 10)).map(drop)
        })
        .await;
        all_clean_up(async |trace| {
            let foreign = async {
                let outcome = nap(1000).await;
                let (sender, receiver) = tokio::sync::oneshot::channel();
                get_running_loop()?.call_later(20 * MS, move || sender.send("long").is_ok())?;
                trace.say(receiver.await.unwrap());
                outcome.map(drop)
            };
            select! { outcome = foreign => outcome, outcome = cleaning(trace, "short", 10) => outcome }
        })
        .await;
        Ok(())
    });
}

#[test]
fn a_branch_that_took_a_cancellation_back_is_cancelled_when_it_loses() {
    run(async {
        let task = create_task(async {
            let swallows = async {
                assert!(cancelled(&nap(1000).await));
                current_task().unwrap().uncancel();
                nap(1000).await
            };
            let cleans_up = async {
                let outcome = nap(1000).await;
                nap(10).await?;
                outcome
            };
            select! { outcome = swallows => outcome, outcome = cleans_up => outcome }
        });
        briefly().await?;
        task.cancel();
        assert!(cancelled(&task.await));
        assert_eq!(now(), 10 * MS);
        Ok(())
    });
}

#[test]
fn race_gives_the_first_and_ends_the_others() {
    run(async {
        let trace = Trace::new();
        let runners = [30, 10, 20].map(|ms| tidy(&trace, ms));
        assert_eq!(race(runners).await?, 10);
        assert_eq!((trace.take().as_str(), now()), ("ok CancelledError CancelledError", 15 * MS));
        let empty: [asyncio::Sleep; 0] = [];
        assert_eq!(race(empty).await.unwrap_err().kind(), "ValueError");
        let mut tasks = [create_task(nap(50)), create_task(nap(5))];
        assert_eq!(race(&mut tasks).await?, 5);
        assert_eq!(tasks.iter().map(|task| task.done()).collect::<Vec<_>>(), [false, true]);
        let [slow, _] = tasks;
        assert_eq!(slow.await?, 50);
        Ok(())
    });
}

#[test]
fn a_branch_of_an_error_type_of_ones_own_takes_a_cancellation() {
    #[derive(Debug)]
    struct Mine(bool);
    impl From<Error> for Mine {
        fn from(error: Error) -> Mine {
            Mine(error.is_cancelled())
        }
    }
    run(async {
        let task = create_task(async {
            let (a, _) = join!(async { pending::<Result<(), Mine>>().await }, nap(90));
            Ok(a.unwrap_err().0)
        });
        briefly().await?;
        task.cancel();
        assert!(task.await?);
        Ok(())
    });
}

#[test]
fn scopes_in_branches_and_branches_in_scopes() {
    run(async {
        let log = Rc::new(RefCell::new(Vec::new()));
        let inner = async {
            let (a, b) = join!(nap(3), timeout(MS).with(async |_| nap(50).await));
            log.borrow_mut().push(a.is_ok());
            log.borrow_mut().push(b.is_err());
            Future::<()>::new().await
        };
        let outcome = wait_for(inner, 9 * MS).await;
        assert!(outcome.unwrap_err().is_timeout());
        assert_eq!(*log.borrow(), [true, true]);
        iterations(2).await?;
        assert_eq!(current_task().unwrap().cancelling(), 0);
        Ok(())
    });
}

#[test]
fn tasks_of_different_types_are_awaited_together() {
    run(async {
        let number = create_task(nap(5));
        let text = create_task(async { sleep(MS * 50).await.map(|()| "text") });
        let (done, pending) = wait([number.any(), text.any()]).return_when(FirstCompleted).await?;
        assert_eq!((done.as_slice(), pending.as_slice()), (&[number.any()][..], &[text.any()][..]));
        let failing: Task<u8> = create_task(async { Err(boom()) });
        let stubborn: Task<u8> = create_task(pending_forever());
        briefly().await?;
        stubborn.cancel();
        let mine = current_task().unwrap();
        let all = all_tasks()?.into_iter().filter(|task| *task != mine);
        let outcomes = gather(all).return_exceptions().await?;
        let kinds: Vec<_> =
            outcomes.iter().map(|o| o.as_ref().map_or_else(Error::kind, |()| "ok")).collect();
        assert_eq!(kinds, ["ok", "CancelledError"]);
        assert_eq!(failing.any().await.unwrap_err().to_string(), boom().to_string());
        assert_eq!(
            (race([number.any(), text.any()]).await?, (&number).await?, text.await?),
            ((), 5, "text")
        );
        // A task without handles no longer has an outcome.
        let gone = create_task(async { Err::<(), _>(boom()) }).any();
        iterations(2).await?;
        gone.await
    });
}

async fn pending_forever<T>() -> Result<T> {
    pending().await
}
