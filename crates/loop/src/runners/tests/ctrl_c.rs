//! Ctrl-C, really sent, each time to a process of its own; and what else needs one.
//!
//! A scene has to run on the main thread, which libtest uses itself. So the test program runs
//! itself again for one test alone, and that test forks: in the new process, its thread is the main
//! one, and there was no other thread that could hold a lock.

use super::*;
use crate::signals::SIGINT;
use nix::{
    libc,
    sys::{
        signal::{SigHandler, Signal, kill, raise, signal},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, fork},
};
use std::{
    panic::catch_unwind,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

const SCENE: &str = "ASYNCIO_TEST_SCENE";

/// How a scene ends.
#[derive(Debug, PartialEq)]
enum End {
    Well,
    BySignal,
}

fn play(scene: &str) -> End {
    let test = "runners::tests::ctrl_c::a_scene_of_its_own_process";
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args(["--exact", test, "--test-threads=1", "--nocapture"])
        .env(SCENE, scene)
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{out}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(out.contains("1 passed"), "scene `{scene}` failed");
    if out.contains("ended by SIGINT") { End::BySignal } else { End::Well }
}

/// The other process; in the first one it does nothing.
#[test]
fn a_scene_of_its_own_process() {
    let Ok(scene) = std::env::var(SCENE) else { return };
    // SAFETY: no other thread of this process is doing anything: libtest's waits for this one.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let ended = catch_unwind(|| perform(&scene));
            // SAFETY: it ends the process, and nothing of libtest's copy in it is to run.
            unsafe { libc::_exit(i32::from(ended.is_err())) }
        }
        ForkResult::Parent { child } => match waitpid(child, None).unwrap() {
            WaitStatus::Exited(_, 0) => {}
            WaitStatus::Signaled(_, Signal::SIGINT, _) => println!("ended by SIGINT"),
            other => panic!("{scene}: {other:?}"),
        },
    }
}

fn perform(scene: &str) {
    // A shell that runs the tests in the background may ignore the signal, which is inherited.
    // SAFETY: the default action is not a handler that could do anything wrong.
    unsafe { signal(Signal::SIGINT, SigHandler::SigDfl) }.unwrap();
    match scene {
        "wait" => wait(),
        "busy" => busy(),
        "swallow" => swallow(),
        "also cancelled" => also_cancelled(),
        "twice" => twice(),
        #[cfg(target_os = "linux")]
        "first process" => as_first_process(twice),
        #[cfg(target_os = "linux")]
        "first process, at the end" => as_first_process(while_the_rest_ends),
        "own handler" => own_handler(),
        #[cfg(target_os = "linux")]
        "no thread" => no_thread(),
        "ignored" => ignored(),
        "at the end" => at_the_end(),
        other => panic!("no scene {other}"),
    }
}

/// Sends Ctrl-C from another thread, after a while.
fn soon() {
    thread::spawn(|| {
        thread::sleep(30 * MS);
        kill(nix::unistd::getpid(), Signal::SIGINT).unwrap();
    });
}

fn assert_interrupted<T: std::fmt::Debug>(outcome: Result<T>) {
    let Err(error @ Error::KeyboardInterrupt(_)) = outcome else { panic!("{outcome:?}") };
    assert!(error.context().unwrap().is_cancelled());
    // SAFETY: only the default action is set.
    let after = unsafe { signal(Signal::SIGINT, SigHandler::SigDfl) }.unwrap();
    assert!(matches!(after, SigHandler::SigDfl), "the disposition was not put back");
}

#[test]
fn the_first_ctrl_c_cancels_what_main_waits_for() {
    assert_eq!(play("wait"), End::Well);
}

fn wait() {
    let never = asyncio_future::Future::<()>::new();
    let (inside, trace) = (never.clone(), Trace::default());
    let seen = trace.clone();
    let outcome = run(async move {
        soon();
        let outcome = inside.await;
        sleep(MS).await?;
        seen.say("cleaned up");
        outcome
    });
    assert_interrupted(outcome);
    assert!(never.cancelled());
    assert_eq!(trace.take(), "cleaned up");
    // And again, in a process that goes on.
    assert_interrupted(run(async {
        soon();
        sleep(3600 * 1000 * MS).await
    }));
}

#[test]
fn ctrl_c_reaches_a_main_that_never_waits() {
    assert_eq!(play("busy"), End::Well);
}

fn busy() {
    assert_interrupted::<()>(run(async {
        soon();
        loop {
            sleep(Duration::ZERO).await?;
        }
    }));
}

#[test]
fn a_main_that_handles_its_cancellation_returns_what_it_likes() {
    assert_eq!(play("swallow"), End::Well);
}

fn swallow() {
    let outcome = run(async {
        soon();
        Ok(sleep(3600 * 1000 * MS).await.is_err())
    });
    assert!(outcome.unwrap());
    let outcome = run(async {
        soon();
        sleep(3600 * 1000 * MS).await.map_err(|_| Error::msg("interrupted"))
    });
    assert_eq!(message(outcome), "Error: interrupted");
}

#[test]
fn a_main_cancelled_from_elsewhere_too_ends_cancelled() {
    assert_eq!(play("also cancelled"), End::Well);
}

fn also_cancelled() {
    let outcome = run(async {
        let main = asyncio_task::current_task().unwrap();
        get_running_loop()?.call_soon(move || -> Result<()> {
            main.cancel();
            raise(Signal::SIGINT)?;
            Ok(())
        })?;
        let outcome = sleep(3600 * 1000 * MS).await;
        // Until the signal has been looked at.
        let _ = sleep(MS).await;
        outcome
    });
    assert!(outcome.unwrap_err().is_cancelled());
}

#[test]
fn the_second_ctrl_c_ends_the_process() {
    assert_eq!(play("twice"), End::BySignal);
}

fn twice() {
    let _ = run(async {
        soon();
        let outcome = sleep(3600 * 1000 * MS).await;
        // Its clean-up never ends, and does not even wait.
        raise(Signal::SIGINT).unwrap();
        thread::sleep(60 * 1000 * MS);
        outcome
    });
}

#[cfg(target_os = "linux")]
#[test]
fn the_second_ctrl_c_ends_even_the_first_process_of_a_container() {
    assert_eq!(play("first process"), End::Well);
    assert_eq!(play("first process, at the end"), End::Well);
}

/// Runs a scene as the first process of a container. The system ignores signals with a default action
/// for that process.
#[cfg(target_os = "linux")]
fn as_first_process(scene: fn()) {
    let mut namespaces = [libc::CLONE_NEWPID, libc::CLONE_NEWPID | libc::CLONE_NEWUSER].into_iter();
    // SAFETY: takes a number; this process has one thread.
    if !namespaces.any(|namespaces| unsafe { libc::unshare(namespaces) } == 0) {
        println!("not played: the system lets no test make a container");
        return;
    }
    // SAFETY: as where a scene begins.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            assert_eq!(nix::unistd::getpid().as_raw(), 1);
            scene();
            // SAFETY: as where a scene begins.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            assert!(matches!(waitpid(child, None).unwrap(), WaitStatus::Exited(_, 130)));
        }
    }
}

#[cfg(target_os = "linux")]
fn while_the_rest_ends() {
    let _ = run(async {
        drop(create_task(async {
            let outcome = sleep(3600 * 1000 * MS).await;
            raise(Signal::SIGINT).unwrap();
            thread::sleep(60 * 1000 * MS);
            outcome
        }));
        sleep(MS).await
    });
}

#[test]
fn a_handler_of_one_s_own_takes_the_place_of_ctrl_c() {
    assert_eq!(play("own handler"), End::Well);
}

fn own_handler() {
    let count = Rc::new(Cell::new(0));
    let seen = count.clone();
    assert_interrupted::<()>(run(async move {
        let this = get_running_loop()?;
        let counter = seen.clone();
        this.add_signal_handler(SIGINT, move || counter.set(counter.get() + 1))?;
        for n in 1..=3 {
            raise(Signal::SIGINT)?;
            while seen.get() < n {
                sleep(Duration::ZERO).await?;
            }
        }
        assert!(this.remove_signal_handler(SIGINT)?);
        raise(Signal::SIGINT)?;
        sleep(3600 * 1000 * MS).await
    }));
    assert_eq!(count.get(), 3);
}

#[test]
fn a_program_that_ignores_ctrl_c_goes_on_ignoring_it() {
    assert_eq!(play("ignored"), End::Well);
}

fn ignored() {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn count(_: i32) {
        COUNT.fetch_add(1, SeqCst);
    }
    for handler in [SigHandler::SigIgn, SigHandler::Handler(count)] {
        // SAFETY: the handler uses an atomic alone.
        unsafe { signal(Signal::SIGINT, handler) }.unwrap();
        let outcome = run(async {
            raise(Signal::SIGINT)?;
            sleep(MS).await?;
            Ok(5)
        });
        assert_eq!(outcome.unwrap(), 5);
    }
    assert_eq!(COUNT.load(SeqCst), 1);
}

#[test]
fn a_ctrl_c_that_comes_at_the_very_end_is_not_lost() {
    assert_eq!(play("at the end"), End::Well);
}

fn at_the_end() {
    // Main is done before the loop looks for signals again.
    let outcome = run(async {
        raise(Signal::SIGINT)?;
        Ok(5)
    });
    assert!(matches!(outcome, Err(Error::KeyboardInterrupt(_))), "{outcome:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_end_needs_no_thread_of_its_own() {
    assert_eq!(play("no thread"), End::Well);
}

/// Leaves the process no room for the stack of another thread.
#[cfg(target_os = "linux")]
fn no_thread() {
    let outcome = run(async {
        asyncio_task::to_thread(|| ()).await?;
        let status = std::fs::read_to_string("/proc/self/statm")?;
        let pages: u64 = status.split(' ').next().unwrap().parse().unwrap();
        // SAFETY: these calls take numbers, and a place that is valid.
        unsafe {
            let bytes = pages * libc::sysconf(libc::_SC_PAGESIZE) as u64 + (1 << 20);
            let bytes = bytes as libc::rlim_t;
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
            assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &limit), 0);
        }
        assert!(thread::Builder::new().spawn(|| ()).is_err());
        Ok(5)
    });
    assert_eq!(outcome.unwrap(), 5);
}
