//! The life of a process: its start, its end, and signals between.

mod common;

use asyncio_core::Error;
use asyncio_subprocess::{DEVNULL, create_subprocess_exec, create_subprocess_shell};
use asyncio_task::{create_task, sleep};
use common::{Guard, is_alive, run, run_virtually, state, wait_until_dead, wait_until_gone};
use std::{io, time::Duration};

const YIELD: Duration = Duration::ZERO;
const SIGUSR1: i32 = 10;

fn kind(error: Error) -> io::ErrorKind {
    match error {
        Error::Io(error) => error.kind(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_return_code_is_the_exit_status() {
    run(async {
        let process = create_subprocess_shell("exit 7").await?;
        assert_eq!(process.returncode(), None);
        assert_eq!(process.wait().await?, 7);
        assert_eq!(process.returncode(), Some(7));
        assert_eq!(process.wait().await?, 7);
        Ok(())
    });
}

#[test]
fn the_return_code_is_the_negative_number_of_the_signal() {
    run(async {
        let sleeper = || create_subprocess_exec("sleep", ["1000"]);
        let process = sleeper().await?;
        process.terminate()?;
        assert_eq!(process.wait().await?, -15);
        let process = sleeper().await?;
        process.kill()?;
        assert_eq!(process.wait().await?, -9);
        let process = sleeper().await?;
        process.send_signal(SIGUSR1)?;
        assert_eq!(process.wait().await?, -SIGUSR1);
        let process = sleeper().await?;
        // A signal that has no name.
        process.send_signal(40)?;
        assert_eq!(process.wait().await?, -40);
        Ok(())
    });
}

#[test]
fn ten_waiters_get_the_same_code() {
    run(async {
        let process = create_subprocess_exec("sleep", ["1000"]).await?;
        let waiters: Vec<_> = (0..10).map(|_| create_task(process.wait())).collect();
        sleep(YIELD).await?;
        process.kill()?;
        for waiter in waiters {
            assert_eq!(waiter.await?, -9);
        }
        Ok(())
    });
}

#[test]
fn a_cancelled_wait_leaves_the_process_and_the_other_waiters() {
    run(async {
        let process = create_subprocess_exec("sleep", ["1000"]).await?;
        let (cancelled, other) = (create_task(process.wait()), create_task(process.wait()));
        sleep(YIELD).await?;
        cancelled.cancel();
        assert!(cancelled.await.unwrap_err().is_cancelled());
        assert_eq!(process.returncode(), None);
        // One that is dropped is forgotten.
        let mut dropped = Box::pin(process.wait());
        assert!(futures_lite::future::poll_once(&mut dropped).await.is_none());
        drop(dropped);
        process.kill()?;
        assert_eq!((other.await?, process.wait().await?), (-9, -9));
        Ok(())
    });
}

#[test]
fn the_return_code_is_set_without_a_wait() {
    run(async {
        let process = create_subprocess_exec("true", ()).await?;
        while process.returncode().is_none() {
            sleep(Duration::from_millis(1)).await?;
        }
        assert_eq!(process.returncode(), Some(0));
        assert_eq!(state(process.pid()), None);
        Ok(())
    });
}

#[test]
fn a_dropped_process_runs_on_and_leaves_no_zombie() {
    run(async {
        let process = create_subprocess_exec("sleep", ["0.05"]).await?;
        let pid = process.pid();
        drop(process);
        assert!(is_alive(pid));
        while state(pid).is_some() {
            sleep(Duration::from_millis(1)).await?;
        }
        Ok(())
    });
}

#[test]
fn a_child_that_outlives_its_loop_is_reaped_all_the_same() {
    let _guard = Guard::new();
    let (pid, process) = {
        let event_loop = asyncio_loop::new_event_loop().unwrap();
        let process = event_loop
            .run_until_complete(async { create_subprocess_exec("sleep", ["1000"]).await })
            .unwrap();
        event_loop.close().unwrap();
        (process.pid(), process)
    };
    assert_eq!((is_alive(pid), process.returncode()), (true, None));
    process.kill().unwrap();
    wait_until_gone(pid);
    while process.returncode().is_none() {
        std::thread::yield_now();
    }
    assert_eq!(process.returncode(), Some(-9));
}

#[test]
fn a_child_that_has_ended_when_its_loop_closes_is_reaped() {
    let _guard = Guard::new();
    let event_loop = asyncio_loop::new_event_loop().unwrap();
    let process =
        event_loop.run_until_complete(async { create_subprocess_exec("true", ()).await }).unwrap();
    wait_until_dead(process.pid());
    event_loop.close().unwrap();
    wait_until_gone(process.pid());
    while process.returncode().is_none() {
        std::thread::yield_now();
    }
    assert_eq!(process.returncode(), Some(0));
}

#[test]
fn a_signal_to_a_finished_process_is_an_error_and_goes_nowhere() {
    run(async {
        let process = create_subprocess_exec("true", ()).await?;
        // It has ended, and this is not known yet: as for a process that is about to end.
        wait_until_dead(process.pid());
        process.send_signal(SIGUSR1)?;
        process.kill()?;
        assert_eq!(process.wait().await?, 0);
        for outcome in [process.send_signal(SIGUSR1), process.terminate(), process.kill()] {
            let Err(Error::Io(error)) = outcome else { panic!("{outcome:?}") };
            assert_eq!(error.raw_os_error(), Some(3), "ESRCH");
        }
        Ok(())
    });
}

#[test]
fn a_signal_that_does_not_exist_is_a_value_error() {
    run(async {
        let process = create_subprocess_exec("sleep", ["1000"]).await?;
        for signal in [-1, 65, 1000] {
            let error = process.send_signal(signal).unwrap_err();
            assert!(matches!(error, Error::Value(_)), "{error:?}");
        }
        process.kill()?;
        assert_eq!(process.wait().await?, -9);
        Ok(())
    });
}

#[test]
fn a_child_reaped_by_others_has_code_255() {
    run(async {
        let process = create_subprocess_exec("true", ()).await?;
        let pid = nix::unistd::Pid::from_raw(process.pid() as i32);
        nix::sys::wait::waitpid(pid, None).unwrap();
        assert_eq!(process.wait().await?, 255);
        assert_eq!(kind(process.kill().unwrap_err()), io::Error::from_raw_os_error(3).kind());
        Ok(())
    });
}

#[test]
fn the_virtual_clock_stands_while_a_child_runs() {
    run_virtually(async {
        let event_loop = asyncio_loop::get_running_loop()?;
        let before = event_loop.time();
        let timer = create_task(sleep(Duration::from_secs(3600)));
        let process = create_subprocess_exec("sleep", ["0.01"]).stdout(DEVNULL).await?;
        assert_eq!(process.wait().await?, 0);
        assert_eq!((event_loop.time() - before, timer.done()), (Duration::ZERO, false));
        timer.await?;
        assert_eq!(event_loop.time() - before, Duration::from_secs(3600));
        Ok(())
    });
}

#[test]
fn without_a_loop_nothing_is_started() {
    let starting = create_subprocess_exec("true", ());
    let outcome = futures_lite::future::block_on(async { starting.await });
    assert!(matches!(outcome, Err(Error::Runtime(_))), "{outcome:?}");
}

#[test]
fn every_thread_may_have_a_loop_with_processes() {
    let threads: Vec<_> = (0..4)
        .map(|n: i32| {
            std::thread::spawn(move || {
                run(async move {
                    for _ in 0..5 {
                        let process = create_subprocess_shell(format!("exit {n}")).await?;
                        assert_eq!(process.wait().await?, n);
                    }
                    Ok(())
                });
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_signal_may_be_sent_from_another_thread() {
    run(async {
        let process = create_subprocess_exec("sleep", ["1000"]).await?;
        let waiting = process.wait();
        std::thread::spawn(move || process.kill().unwrap());
        assert_eq!(waiting.await?, -9);
        Ok(())
    });
}
