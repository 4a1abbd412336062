//! The watchdog, and the sample of a thread. The example `wedged` shows its reports.

use super::{
    Watchdog,
    sample::{Sample, Thread},
};
use crate::new_event_loop;
use asyncio_task::{Task, sleep};
use nix::libc;
use std::{thread, time::Duration};

/// Samples this thread while it blocks.
fn asked() -> Sample {
    let here = Thread::current();
    thread::spawn(move || here.sample()).join().unwrap()
}

fn disposition() -> libc::sighandler_t {
    // SAFETY: only asks; all zeros is a valid `sigaction`.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(libc::SIGURG, std::ptr::null(), &mut action), 0);
        action.sa_sigaction
    }
}

#[test]
fn a_thread_says_which_task_runs() {
    let event_loop = new_event_loop().unwrap();
    let long = "ä".repeat(40);
    for (name, expected) in [("worker", "worker"), (&*long, &"ä".repeat(32))] {
        let task = event_loop.create_task_with(Task::builder().name(name), async {
            let first = asked();
            sleep(Duration::ZERO).await?;
            Ok((first, asked()))
        });
        let created = task.spawned_at();
        let (first, second) = event_loop.run_until_complete(task).unwrap();
        let (first_task, second_task) = (first.task().unwrap(), second.task().unwrap());
        assert_eq!((&*first_task.name(), first_task.spawned_at()), (expected, created));
        assert!(first_task.last_wait().is_none());
        assert_eq!(second_task.last_wait().map(|site| site.what()), Some("sleep"));
        assert!(first.is_same_step(&second));
        #[cfg(all(feature = "backtrace", target_os = "linux", target_env = "gnu"))]
        assert!(second.backtrace().contains("asked"), "{}", second.backtrace());
    }
    event_loop.close().unwrap();
}

#[test]
fn outside_of_a_step_there_is_no_task() {
    let sample = asked();
    assert!(sample.has_answered() && sample.task().is_none());
    let event_loop = new_event_loop().unwrap();
    let stop = event_loop.clone();
    event_loop
        .call_soon(move || {
            let sample = asked();
            assert!(sample.has_answered() && sample.task().is_none());
            stop.stop();
        })
        .unwrap();
    event_loop.run_forever().unwrap();
    event_loop.close().unwrap();
}

#[test]
fn what_the_process_did_about_the_signal_comes_back() {
    // Another test of this process may have a watchdog now.
    let before = libc::SIG_DFL;
    let event_loop = new_event_loop().unwrap();
    let one = Watchdog::begin(&event_loop, Duration::from_secs(60)).unwrap();
    let other = Watchdog::begin(&event_loop, Duration::from_secs(60)).unwrap();
    assert_ne!(disposition(), before);
    drop(one);
    assert_ne!(disposition(), before);
    drop(other);
    let is_back = (0..10_000).any(|_| {
        thread::sleep(Duration::from_millis(1));
        disposition() == before
    });
    assert!(is_back);
    event_loop.close().unwrap();
}
