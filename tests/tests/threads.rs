//! Work in other threads and from them, after CPython's `test_threads`, the part of `test_tasks` about
//! `run_coroutine_threadsafe`, and `test_free_threading`.

use asyncio::{
    Context, ContextVar, Error, Future, LoopHandle, Task, ThreadPoolExecutor, create_task,
    current_task, eager_task_factory, get_running_loop, new_event_loop, run_coroutine_threadsafe,
    sleep, to_thread,
};
use asyncio_tests::support::{
    MS, boom, briefly, cancelled, iterations, message, run, virtual_loop,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

// to_thread.

#[test]
fn to_thread_runs_a_function_in_another_thread() {
    run(async {
        let here = thread::current().id();
        let there = to_thread(|| thread::current().id()).await?;
        assert_ne!(here, there);
        let outcome = to_thread(|| "x".parse::<i32>()).await?;
        assert!(outcome.is_err());
        Ok(())
    });
}

#[test]
fn a_panic_in_a_thread_is_an_error_and_the_loop_goes_on() {
    run(async {
        let outcome = to_thread(|| {
            if thread::current().name() != Some("?") {
                panic!("fell over")
            }
        });
        assert_eq!(message(outcome.await), "PanicError: panicked: fell over");
        assert_eq!(to_thread(|| 7).await?, 7);
        let job = get_running_loop()?.run_in_executor(None, || {
            if thread::current().name() != Some("?") {
                panic!("so did I")
            }
        })?;
        assert_eq!(message(job.await), "PanicError: panicked: so did I");
        Ok(())
    });
}

#[test]
fn the_context_is_copied_into_the_thread() {
    static VAR: ContextVar<&str> = ContextVar::with_default("var", "unset");
    run(async {
        VAR.set("main's");
        let seen = to_thread(|| {
            let seen = VAR.get();
            VAR.set("the thread's");
            (seen, Context::current().get(&VAR))
        });
        assert_eq!(seen.await?, (Some("main's"), Some("the thread's")));
        assert_eq!(VAR.get(), Some("main's"));
        // The thread keeps nothing of it, and run_in_executor copies nothing.
        let bare = get_running_loop()?.run_in_executor(None, || VAR.get())?;
        assert_eq!(bare.await?, Some("unset"));
        Ok(())
    });
}

#[test]
fn cancelling_to_thread_does_not_stop_the_thread() {
    run(async {
        let (begin, began) = mpsc::channel();
        let (end, ending) = mpsc::channel::<()>();
        let finished = Arc::new(AtomicBool::new(false));
        let tell = finished.clone();
        let task = create_task(to_thread(move || {
            let _ = begin.send(());
            let _ = ending.recv();
            tell.store(true, Ordering::Release);
        }));
        to_thread(move || began.recv().is_ok()).await?;
        task.cancel();
        assert!(cancelled(&task.await));
        assert!(!finished.load(Ordering::Acquire));
        assert!(end.send(()).is_ok());
        // The default executor is joined.
        get_running_loop()?.shutdown_default_executor(None).await?;
        assert!(finished.load(Ordering::Acquire));
        Ok(())
    });
}

#[test]
fn a_function_that_was_cancelled_before_it_began_never_does() {
    run(async {
        get_running_loop()?
            .set_default_executor(ThreadPoolExecutor::builder().max_workers(1).build()?);
        let (end, ending) = mpsc::channel::<()>();
        let busy = create_task(to_thread(move || ending.recv().is_err()));
        let ran = Arc::new(AtomicBool::new(false));
        let tell = ran.clone();
        let task = create_task(to_thread(move || tell.store(true, Ordering::Release)));
        iterations(2).await?;
        task.cancel();
        assert!(cancelled(&task.await));
        drop(end);
        assert!(busy.await?);
        get_running_loop()?.shutdown_default_executor(None).await?;
        assert!(!ran.load(Ordering::Acquire));
        Ok(())
    });
}

#[test]
fn to_thread_suspends_even_if_the_thread_is_quick() {
    asyncio::run(async {
        for _ in 0..20_000 {
            let mut quick = to_thread(|| ());
            assert!(futures_lite::future::poll_once(&mut quick).await.is_none());
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn to_thread_without_a_loop_or_an_executor_is_an_error() {
    let outcome = futures_lite::future::block_on(to_thread(|| ()));
    assert_eq!(message(outcome), "RuntimeError: to_thread: no running event loop");
    run(async {
        let event_loop = get_running_loop()?;
        event_loop.shutdown_default_executor(None).await?;
        assert!(matches!(to_thread(|| ()).await, Err(Error::Runtime(_))));
        assert!(matches!(event_loop.run_in_executor(None, || ()), Err(Error::Runtime(_))));
        sleep(MS).await
    });
}

// run_coroutine_threadsafe.

/// Runs `work` in a thread, and the loop until that has ended.
fn beside_a_loop<T: Send + 'static>(work: impl FnOnce(LoopHandle) -> T + Send + 'static) -> T {
    let event_loop = new_event_loop().unwrap();
    let handle = event_loop.handle();
    let outcome = event_loop.run_until_complete(to_thread(move || work(handle)));
    event_loop.close().unwrap();
    outcome.unwrap()
}

#[test]
fn a_coroutine_from_another_thread_runs_on_the_loop() {
    beside_a_loop(|handle| {
        let here = thread::current().id();
        let future = run_coroutine_threadsafe(
            async move {
                briefly().await?;
                assert!(current_task().is_some());
                Ok(thread::current().id())
            },
            handle,
        );
        assert_ne!(future.result(None).unwrap(), here);
        assert!(future.done() && !future.cancelled());
        let failed = run_coroutine_threadsafe(async { Err::<(), _>(boom()) }, handle);
        assert_eq!(message(failed.result(None)), "Error: boom");
    });
}

#[test]
fn cancelling_its_future_cancels_the_task() {
    beside_a_loop(|handle| {
        let (begin, began) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let future = run_coroutine_threadsafe(
            async move {
                let _ = begin.send(());
                let outcome = Future::<()>::new().await;
                let _ = end.send(cancelled(&outcome));
                outcome
            },
            handle,
        );
        assert!(began.recv().is_ok());
        assert!(future.result(Duration::ZERO).unwrap_err().is_timeout());
        assert!(future.cancel());
        assert_eq!(ended.recv(), Ok(true));
        assert!(future.cancelled());
    });
}

#[test]
fn a_task_that_is_cancelled_cancels_its_future() {
    beside_a_loop(|handle| {
        let future = run_coroutine_threadsafe(
            async {
                current_task().expect("this is a task").cancel();
                briefly().await
            },
            handle,
        );
        assert!(cancelled(&future.result(None)));
        assert!(future.cancelled());
    });
}

#[test]
fn a_closed_loop_takes_no_coroutine() {
    let event_loop = virtual_loop();
    let handle = event_loop.handle();
    event_loop.close().unwrap();
    let future = run_coroutine_threadsafe(async { Ok(1) }, handle);
    assert_eq!(message(future.result(None)), "RuntimeError: Event loop is closed");
    assert!(handle.call_soon_threadsafe(|| ()).is_err());
}

#[test]
fn a_coroutine_that_lives_can_be_cancelled_at_any_time() {
    let event_loop = new_event_loop().unwrap();
    let handle = event_loop.handle();
    let survived = Arc::new(AtomicUsize::new(0));
    let seen = survived.clone();
    let cancel = to_thread(move || {
        let sleepers = thread::scope(|scope| {
            let cancel = || {
                for n in 0..3000 {
                    let survived = seen.clone();
                    let sleeper = async move {
                        sleep(3600 * 1000 * MS).await?;
                        survived.fetch_add(1, Ordering::Relaxed);
                        Ok(())
                    };
                    let future = run_coroutine_threadsafe(sleeper, handle);
                    (0..n % 64).for_each(|_| std::hint::spin_loop());
                    assert!(future.cancel(), "it lives, and cannot be cancelled");
                    assert!(future.cancelled() && !future.running());
                }
            };
            let threads = [scope.spawn(cancel), scope.spawn(cancel)];
            threads.into_iter().all(|thread| thread.join().is_ok())
        });
        // Behind all requests to cancel, and behind the steps of the tasks.
        let count = async {
            iterations(3).await?;
            Ok(asyncio::all_tasks()?.len())
        };
        (sleepers, run_coroutine_threadsafe(count, handle).result(None))
    });
    let (cancelled, left) = event_loop.run_until_complete(cancel).unwrap();
    assert!(cancelled);
    // The main task, and the counting task.
    assert_eq!(left.unwrap(), 2);
    assert_eq!(survived.load(Ordering::Relaxed), 0);
    event_loop.close().unwrap();
}

#[test]
fn the_future_of_a_coroutine_is_pending_until_the_task_has_ended() {
    beside_a_loop(|handle| {
        let (begin, began) = mpsc::channel();
        let future = run_coroutine_threadsafe(
            async move {
                let _ = begin.send(());
                Future::<()>::new().await
            },
            handle,
        );
        assert!(began.recv().is_ok());
        assert!(!future.running() && !future.done());
        assert!(future.cancel() && future.cancel());
    });
}

#[test]
fn a_coroutine_in_a_loop_that_is_closed_fails_for_its_sender() {
    let event_loop = new_event_loop().unwrap();
    let waits = || async { Future::<i32>::new().await };
    let early = run_coroutine_threadsafe(waits(), event_loop.handle());
    event_loop.run_until_complete(async { sleep(MS).await }).unwrap();
    assert!(!early.done());
    let late = run_coroutine_threadsafe(async { Ok(1) }, event_loop.handle());
    event_loop.close().unwrap();
    let after = run_coroutine_threadsafe(waits(), event_loop.handle());
    assert!(early.done() && late.done() && after.done());
    for future in [early, late, after] {
        assert_eq!(message(future.result(None)), "RuntimeError: Event loop is closed");
    }
}

#[test]
fn every_coroutine_sent_to_a_loop_that_ends_is_answered() {
    for _ in 0..100 {
        let event_loop = new_event_loop().unwrap();
        let handle = event_loop.handle();
        let (begin, began) = mpsc::channel();
        let sender = thread::spawn(move || {
            let mut sent = Vec::new();
            for _ in 0..200 {
                sent.push(run_coroutine_threadsafe(async { briefly().await }, handle));
                let _ = begin.send(());
            }
            sent
        });
        assert!(began.recv().is_ok());
        event_loop.run_until_complete(iterations(3)).unwrap();
        event_loop.close().unwrap();
        for future in sender.join().unwrap() {
            assert!(future.done());
            let outcome = future.result(None).map_err(|error| error.to_string());
            assert!(outcome.is_ok() || outcome == Err("Event loop is closed".to_owned()));
        }
    }
}

#[test]
fn a_thread_that_waits_for_its_own_loop_is_told_so() {
    run(async {
        let event_loop = get_running_loop()?;
        let future = run_coroutine_threadsafe(async { Ok(7) }, event_loop.handle());
        let Err(error @ Error::Runtime(_)) = future.result(None) else { panic!("no error") };
        assert!(error.to_string().contains("await wrap_future"), "{error}");
        // The wait comes to an end, so it is an ordinary one.
        assert!(future.result(Duration::ZERO).unwrap_err().is_timeout());
        assert_eq!(asyncio::wrap_future(future)?.await?, 7);
        // The program may block on work that other threads complete, although the loop does not run
        // meanwhile.
        let executor = ThreadPoolExecutor::builder().max_workers(1).build()?;
        assert_eq!(executor.submit(|| 8)?.result(None)?, 8);
        Ok(())
    });
}

#[test]
fn a_coroutine_from_another_thread_may_be_started_eagerly() {
    let event_loop = new_event_loop().unwrap();
    event_loop.set_task_factory(eager_task_factory);
    let handle = event_loop.handle();
    let outcome = event_loop.run_until_complete(to_thread(move || {
        run_coroutine_threadsafe(async { Ok(7) }, handle).result(None)
    }));
    assert_eq!(outcome.unwrap().unwrap(), 7);
    event_loop.close().unwrap();
}

#[test]
fn ten_threads_run_their_coroutines_at_once() {
    let event_loop = new_event_loop().unwrap();
    let handle = event_loop.handle();
    let total = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..10)
        .map(|n| {
            let total = total.clone();
            thread::spawn(move || {
                for m in 0..20 {
                    let sum = async move {
                        briefly().await?;
                        Ok(n * m)
                    };
                    let sum = run_coroutine_threadsafe(sum, handle).result(None).unwrap();
                    total.fetch_add(sum, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let join = to_thread(move || threads.into_iter().all(|thread| thread.join().is_ok()));
    assert!(event_loop.run_until_complete(join).unwrap());
    assert_eq!(total.load(Ordering::Relaxed), 45 * 190);
    event_loop.close().unwrap();
}

#[test]
fn tasks_are_listed_for_other_threads_by_asking_the_loop() {
    let event_loop = new_event_loop().unwrap();
    let handle = event_loop.handle();
    let outcome = event_loop.run_until_complete(async move {
        let tasks: Vec<_> = (0..5).map(|_| create_task(Future::<()>::new())).collect();
        let counted = to_thread(move || {
            let count = || async { Ok(asyncio::all_tasks()?.len()) };
            (0..10)
                .map(|_| run_coroutine_threadsafe(count(), handle).result(None))
                .collect::<Vec<_>>()
        });
        for count in counted.await? {
            // Those, main, and the one that asks.
            assert_eq!(count?, 7);
        }
        assert!(tasks.iter().all(|task| task.cancel()));
        Ok(())
    });
    outcome.unwrap();
    event_loop.close().unwrap();
}

// Jobs that wait for coroutines, under the virtual clock.

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn the_virtual_clock_goes_on_while_a_job_waits_for_a_coroutine_that_sleeps() {
    let event_loop = virtual_loop();
    let (this, handle) = (event_loop.clone(), event_loop.handle());
    let nap = move |n: u32| {
        let nap = async move {
            sleep(n * HOUR).await?;
            Ok(n)
        };
        run_coroutine_threadsafe(nap, handle).result(None)
    };
    let outcome = event_loop.run_until_complete(async move {
        let jobs = [1, 2, 3].map(|n| create_task(to_thread(move || nap(n))));
        let other = this.run_in_executor(None, move || nap(4))?;
        for (job, n) in jobs.into_iter().zip(1..) {
            assert_eq!(job.await??, n);
        }
        assert_eq!(other.await??, 4);
        // One after another, in one job: in between, the clock does not advance.
        to_thread(move || (1..=10).map(|_| nap(1)).filter(|nap| nap.is_ok()).count()).await
    });
    assert_eq!(outcome.unwrap(), 10);
    assert_eq!(event_loop.time(), 14 * HOUR);
    event_loop.close().unwrap();
}

#[test]
fn a_job_and_a_coroutine_that_wait_for_each_other_are_a_deadlock() {
    let event_loop = virtual_loop();
    let handle = event_loop.handle();
    let (tell, told) = mpsc::channel();
    let job = to_thread(move || {
        let never = run_coroutine_threadsafe(async { Future::<()>::new().await }, handle);
        let _ = tell.send(message(never.result(None)));
    });
    let outcome = event_loop.run_until_complete(job);
    let Err(Error::Deadlock(deadlock)) = outcome else { panic!("{outcome:?}") };
    assert!(deadlock.to_string().contains("to_thread at "), "{deadlock}");
    event_loop.close().unwrap();
    assert_eq!(told.recv().unwrap(), "RuntimeError: Event loop is closed");
}

#[test]
fn a_job_that_waits_with_a_limit_gets_what_comes_before_and_is_no_deadlock() {
    let event_loop = virtual_loop();
    let handle = event_loop.handle();
    let job = to_thread(move || {
        let nap = run_coroutine_threadsafe(async { sleep(HOUR).await }, handle);
        assert!(nap.result(HOUR).is_ok());
        let never = run_coroutine_threadsafe(async { Future::<()>::new().await }, handle);
        assert!(never.result(MS).unwrap_err().is_timeout());
        assert!(never.cancel());
        // The clock does not advance again, and the loop waits for this.
        thread::sleep(5 * MS);
    });
    event_loop.run_until_complete(job).unwrap();
    assert_eq!(event_loop.time(), HOUR);
    event_loop.close().unwrap();
}

#[test]
fn when_the_wait_of_a_job_is_over_the_loop_waits_for_the_job_again() {
    let event_loop = virtual_loop();
    let handle = event_loop.handle();
    let main = async move {
        // Until then, an event is always outstanding.
        let ticks: Task<()> = create_task(async {
            loop {
                sleep(HOUR).await?;
            }
        });
        let job = to_thread(move || {
            let never = run_coroutine_threadsafe(async { Future::<()>::new().await }, handle);
            let cancel = never.clone();
            let canceller = thread::spawn(move || cancel.cancel());
            assert!(cancelled(&never.result(None)));
            assert!(canceller.join().unwrap());
        });
        job.await?;
        ticks.cancel();
        // Nothing else: if the loop did not wait, this would be a deadlock.
        to_thread(|| thread::sleep(5 * MS)).await
    };
    event_loop.run_until_complete(main).unwrap();
    event_loop.close().unwrap();
}

#[test]
fn a_job_that_outlives_main_may_still_wait_for_a_coroutine_that_sleeps() {
    let (end, ending) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let outcome = asyncio::Runner::new().virtual_time(true).with(|runner| {
        runner.run(async move {
            let event_loop = get_running_loop()?;
            let handle = event_loop.handle();
            let job = event_loop.run_in_executor(None, move || {
                let _ = ending.recv();
                let nap = || run_coroutine_threadsafe(async { sleep(HOUR / 60).await }, handle);
                // The end of the run cancels what it still finds, and then waits for this job.
                let outcome = (0..).map(|_| nap().result(None)).find(|nap| !cancelled(nap));
                let _ = tell.send(outcome.is_some_and(|nap| nap.is_ok()));
            })?;
            drop((end, job));
            Ok(5)
        })
    });
    assert_eq!(outcome.unwrap(), 5);
    assert!(told.recv().unwrap());
}
