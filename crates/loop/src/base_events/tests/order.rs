//! Order: iterations, timers, the thread-safe queue, the virtual clock.

use super::*;
use asyncio_task::{Task, create_task, sleep};
use std::{
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering::SeqCst, mpsc},
    thread,
    time::Instant,
};

#[test]
fn callbacks_run_in_the_order_of_their_registration() {
    let event_loop = virtual_loop();
    let trace = Trace::default();
    for name in ["a", "b", "c"] {
        event_loop.call_soon(trace.note(name)).unwrap();
    }
    event_loop.stop();
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), "a b c");
    event_loop.close().unwrap();
}

#[test]
fn a_callback_added_by_a_callback_waits_for_the_next_iteration() {
    let event_loop = virtual_loop();
    let (trace, this) = (Trace::default(), event_loop.clone());
    let again = trace.clone();
    let first = move || {
        again.say("first");
        this.call_soon(again.note("second"))
    };
    event_loop.call_soon(first).unwrap();
    event_loop.stop();
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), "first");
    event_loop.stop();
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), "second");
    event_loop.close().unwrap();
}

#[test]
fn a_stop_lets_the_current_iteration_finish() {
    let event_loop = virtual_loop();
    let (trace, this) = (Trace::default(), event_loop.clone());
    event_loop.call_soon(move || this.stop()).unwrap();
    event_loop.call_soon(trace.note("queued already")).unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), "queued already");
    event_loop.close().unwrap();
}

#[test]
fn a_stop_before_the_run_allows_one_iteration_that_does_not_wait() {
    let event_loop = new_event_loop().unwrap();
    let trace = Trace::default();
    event_loop.call_later(Duration::from_secs(3600), trace.note("late")).unwrap();
    event_loop.stop();
    let started = Instant::now();
    event_loop.run_forever().unwrap();
    assert!(started.elapsed() < Duration::from_secs(60));
    assert_eq!(trace.take(), "");
    event_loop.close().unwrap();
}

#[test]
fn what_is_ready_runs_before_timers_that_are_due() {
    let event_loop = virtual_loop();
    let trace = Trace::default();
    event_loop.call_at(Duration::ZERO, trace.note("timer")).unwrap();
    event_loop.call_soon(trace.note("ready")).unwrap();
    event_loop.stop();
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), "ready timer");
    event_loop.close().unwrap();
}

#[test]
fn timers_run_by_deadline_even_when_that_has_passed() {
    let event_loop = virtual_loop();
    let (trace, this) = (Trace::default(), event_loop.clone());
    let again = trace.clone();
    event_loop
        .call_later(10 * MS, move || -> Result<()> {
            let now = this.time();
            this.call_at(now - MS, again.note("-1"))?;
            this.call_at(now - 2 * MS, again.note("-2"))?;
            this.call_at(now, again.note("0"))?;
            let stop = this.clone();
            this.call_later(MS, move || stop.stop())?;
            Ok(())
        })
        .unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), "-2 -1 0");
    assert_eq!(event_loop.time(), 11 * MS);
    event_loop.close().unwrap();
}

#[test]
fn a_delay_beyond_all_time_never_comes() {
    let event_loop = virtual_loop();
    let trace = Trace::default();
    let handle = event_loop.call_later(Duration::MAX, trace.note("never")).unwrap();
    assert_eq!(handle.when(), Duration::MAX);
    let outcome = event_loop.run_forever();
    assert!(matches!(outcome, Err(Error::Deadlock(_))), "{outcome:?}");
    assert_eq!(trace.take(), "");
    event_loop.close().unwrap();
}

#[test]
fn a_cancelled_callback_is_skipped_and_dropped_at_once() {
    let event_loop = virtual_loop();
    let held = Rc::new(());
    let (ready, timer) = (held.clone(), held.clone());
    let ready = event_loop.call_soon(move || drop(ready)).unwrap();
    let timer = event_loop.call_later(MS, move || drop(timer)).unwrap();
    assert_eq!(Rc::strong_count(&held), 3);
    ready.cancel();
    ready.cancel();
    timer.cancel();
    assert!(ready.cancelled() && timer.cancelled());
    assert_eq!(Rc::strong_count(&held), 1);
    assert!(matches!(event_loop.run_forever(), Err(Error::Deadlock(_))));
    event_loop.close().unwrap();
}

#[test]
fn timer_handles_compare_by_deadline() {
    let event_loop = virtual_loop();
    let early = event_loop.call_later(MS, || {}).unwrap();
    let late = event_loop.call_later(2 * MS, || {}).unwrap();
    assert!(early < late && early != late && early == early);
    assert_eq!((early.when(), late.when()), (MS, 2 * MS));
    event_loop.close().unwrap();
}

#[test]
fn a_callback_from_another_thread_wakes_a_loop_that_waits() {
    let event_loop = new_event_loop().unwrap();
    let handle = event_loop.handle();
    let sender = thread::spawn(move || {
        thread::sleep(20 * MS);
        handle.call_soon_threadsafe(|| get_running_loop().map(|this| this.stop()))
    });
    event_loop.run_forever().unwrap();
    sender.join().unwrap().unwrap();
    event_loop.close().unwrap();
}

#[test]
fn callbacks_of_many_threads_each_run_once_and_in_order() {
    const THREADS: usize = 4;
    const CALLS: usize = 5_000;
    let event_loop = new_event_loop().unwrap();
    let seen = Arc::new([const { AtomicUsize::new(0) }; THREADS]);
    let left = Arc::new(AtomicUsize::new(THREADS * CALLS));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (handle, seen, left) = (event_loop.handle(), seen.clone(), left.clone());
            thread::spawn(move || {
                for call in 0..CALLS {
                    let (seen, left) = (seen.clone(), left.clone());
                    let callback = move || -> Result<()> {
                        assert_eq!(seen[thread].fetch_add(1, SeqCst), call);
                        if left.fetch_sub(1, SeqCst) == 1 {
                            get_running_loop()?.stop();
                        }
                        Ok(())
                    };
                    handle.call_soon_threadsafe(callback).unwrap();
                    if call % 64 == 0 {
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    event_loop.run_forever().unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(left.load(SeqCst), 0);
    event_loop.close().unwrap();
}

#[test]
fn a_cancel_from_another_thread_waits_for_the_callback_that_runs() {
    let event_loop = new_event_loop().unwrap();
    let (started, has_started) = mpsc::channel();
    let (finished, has_finished) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let done = finished.clone();
    let running = event_loop
        .call_soon_threadsafe(move || {
            started.send(()).unwrap();
            thread::sleep(50 * MS);
            done.store(1, SeqCst);
        })
        .unwrap();
    let seen = has_finished.clone();
    let handle = event_loop.handle();
    let canceller = thread::spawn(move || {
        has_started.recv().unwrap();
        running.cancel();
        seen.store(finished.load(SeqCst), SeqCst);
        assert!(!running.cancelled());
        handle.call_soon_threadsafe(|| get_running_loop().map(|this| this.stop()))
    });
    event_loop.run_forever().unwrap();
    canceller.join().unwrap().unwrap();
    assert_eq!(has_finished.load(SeqCst), 1, "cancel returned while the callback ran");
    event_loop.close().unwrap();
}

#[test]
fn a_thread_safe_callback_cancelled_before_it_starts_never_runs() {
    let event_loop = virtual_loop();
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    let handle = event_loop.call_soon_threadsafe(move || seen.store(1, SeqCst)).unwrap();
    thread::spawn(move || {
        handle.cancel();
        assert!(handle.cancelled());
    })
    .join()
    .unwrap();
    event_loop.stop();
    event_loop.run_forever().unwrap();
    assert_eq!(count.load(SeqCst), 0);
    event_loop.close().unwrap();
}

#[test]
fn virtual_time_jumps_and_costs_none() {
    let event_loop = virtual_loop();
    let started = Instant::now();
    let end = event_loop
        .run_until_complete(async {
            sleep(Duration::from_secs(3600)).await?;
            Ok(get_running_loop()?.time())
        })
        .unwrap();
    assert_eq!(end, Duration::from_secs(3600));
    assert!(started.elapsed() < Duration::from_secs(60));
    event_loop.close().unwrap();
}

#[test]
fn a_deadlock_names_every_task_and_where_it_waits() {
    let event_loop = virtual_loop();
    let outcome: Result<()> = event_loop.run_until_complete(async {
        let never = asyncio_future::Future::<()>::new();
        let _waiter = Task::builder().name("waiter").create(never.clone());
        never.await
    });
    let Err(Error::Deadlock(deadlock)) = outcome else { panic!("{outcome:?}") };
    let [main, waiter] = deadlock.tasks() else { panic!("{deadlock}") };
    assert!(main.starts_with("Task-") && waiter.starts_with("waiter: Future at "), "{deadlock}");
    assert!(waiter.contains("order.rs") && waiter.contains("created at"), "{deadlock}");
    // The loop continues.
    assert_eq!(event_loop.run_until_complete(async { Ok(1) }).unwrap(), 1);
    event_loop.close().unwrap();
}

#[test]
fn the_iteration_after_the_end_of_main_runs_whole_and_the_next_one_not_at_all() {
    let event_loop = virtual_loop();
    let trace = Trace::default();
    let (inside, this) = (trace.clone(), event_loop.clone());
    let main = async move {
        // Ready together with the callback that stops the loop.
        let (next, again) = (inside.clone(), this.clone());
        this.call_soon(move || -> Result<()> {
            next.say("same");
            again.call_soon(next.note("too late"))?;
            Ok(())
        })?;
        inside.say("main");
        Ok(())
    };
    event_loop.run_until_complete(main).unwrap();
    assert_eq!(trace.take(), "main same");
    event_loop.close().unwrap();
}

#[test]
fn sleeps_below_the_clock_s_resolution_do_not_spin() {
    let event_loop = new_event_loop().unwrap();
    let turns = Rc::new(RefCell::new(0));
    let count = turns.clone();
    event_loop
        .run_until_complete(async move {
            let counter = create_task(async move {
                loop {
                    *count.borrow_mut() += 1;
                    sleep(Duration::ZERO).await?;
                }
                #[allow(unreachable_code)]
                Ok(())
            });
            sleep(Duration::ZERO).await?;
            counter.cancel();
            for exponent in 1..10 {
                sleep(Duration::from_secs_f64(0.1_f64.powi(exponent + 1))).await?;
            }
            Ok(())
        })
        .unwrap();
    assert!(*turns.borrow() < 5);
    event_loop.close().unwrap();
}

#[test]
fn a_busy_loop_still_looks_at_its_timers() {
    let event_loop = new_event_loop().unwrap();
    let this = event_loop.clone();
    event_loop.call_later(5 * MS, move || this.stop()).unwrap();
    fn again() -> Result<()> {
        get_running_loop()?.call_soon(again).map(drop)
    }
    event_loop.call_soon(again).unwrap();
    event_loop.run_forever().unwrap();
    event_loop.close().unwrap();
}

#[test]
fn in_one_iteration_what_is_ready_comes_first_then_io_then_timers() {
    let event_loop = virtual_loop();
    let (mut here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    std::io::Write::write_all(&mut here, b"x").unwrap();
    let trace = Trace::default();
    let (inside, this) = (trace.clone(), event_loop.clone());
    event_loop.call_at(Duration::ZERO, trace.note("timer")).unwrap();
    let reader = std::os::fd::AsRawFd::as_raw_fd(&there);
    let read = move || {
        inside.say("io");
        this.remove_reader(&reader).map(drop)
    };
    event_loop.add_reader(&there, read).unwrap();
    event_loop.call_soon(trace.note("ready")).unwrap();
    event_loop.stop();
    event_loop.run_forever().unwrap();
    assert_eq!(trace.take(), "ready io timer");
    event_loop.close().unwrap();
}

#[test]
fn io_is_looked_at_even_while_there_is_always_something_to_run() {
    let event_loop = new_event_loop().unwrap();
    let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    let this = event_loop.clone();
    event_loop.add_reader(&there, move || this.stop()).unwrap();
    let writer = thread::spawn(move || {
        thread::sleep(10 * MS);
        std::io::Write::write_all(&mut &here, b"x")
    });
    fn again() -> Result<()> {
        // The steps take long, so the clock is read after every step.
        thread::sleep(MS);
        get_running_loop()?.call_soon(again).map(drop)
    }
    event_loop.call_soon(again).unwrap();
    let started = Instant::now();
    event_loop.run_forever().unwrap();
    assert!(started.elapsed() < Duration::from_secs(5));
    writer.join().unwrap().unwrap();
    event_loop.close().unwrap();
}

#[test]
fn under_the_virtual_clock_io_that_may_come_is_waited_for() {
    let event_loop = virtual_loop();
    let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    let this = event_loop.clone();
    event_loop.add_reader(&there, move || this.stop()).unwrap();
    let writer = thread::spawn(move || {
        thread::sleep(10 * MS);
        std::io::Write::write_all(&mut &here, b"x")
    });
    event_loop.run_forever().unwrap();
    assert_eq!(event_loop.time(), Duration::ZERO);
    writer.join().unwrap().unwrap();
    event_loop.close().unwrap();
}

/// The order of CPython 3.14, with a readable descriptor and a callback for it.
#[test]
fn with_a_poll_in_every_iteration_io_has_its_place_in_the_order() {
    let trace = Trace::default();
    let main = |inside: Trace| async move {
        let event_loop = get_running_loop()?;
        let (mut here, there) = std::os::unix::net::UnixStream::pair()?;
        std::io::Write::write_all(&mut here, b"x")?;
        let (io, this) = (inside.clone(), event_loop.clone());
        let reader = std::os::fd::AsRawFd::as_raw_fd(&there);
        event_loop.add_reader(&there, move || {
            io.say("io");
            this.remove_reader(&reader).map(drop)
        })?;
        event_loop.call_soon(inside.note("s1"))?;
        sleep(Duration::ZERO).await?;
        inside.say("t");
        sleep(Duration::ZERO).await?;
        inside.say("t2");
        for _ in 0..3 {
            sleep(Duration::ZERO).await?;
        }
        Ok(())
    };
    let event_loop = EventLoop::builder().poll_every_iteration(true).build().unwrap();
    for _ in 0..100 {
        event_loop.run_until_complete(main(trace.clone())).unwrap();
        assert_eq!(trace.take(), "s1 t io t2");
    }
    event_loop.close().unwrap();
    let runner = crate::Runner::new().poll_every_iteration(true);
    runner.with(|runner| runner.run(main(trace.clone()))).unwrap();
    assert_eq!(trace.take(), "s1 t io t2");
}
