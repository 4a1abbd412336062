//! Helpers of the tests: a loop with a guard against hanging, and readers of `/proc`.
#![allow(dead_code)] // No test file needs all of it.

use asyncio_core::Result;
use asyncio_loop::{EventLoop, new_event_loop};
use std::{future::Future, sync::mpsc, thread, time::Duration};

/// Longer than anything here takes.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(60);

/// Runs `main` in its own loop. If it hangs, the test process is aborted.
pub(crate) fn run<F: Future<Output = Result<()>> + 'static>(main: F) {
    run_in(new_event_loop().unwrap(), main);
}

pub(crate) fn run_virtually<F: Future<Output = Result<()>> + 'static>(main: F) {
    run_in(EventLoop::builder().virtual_time(true).build().unwrap(), main);
}

fn run_in<F: Future<Output = Result<()>> + 'static>(event_loop: EventLoop, main: F) {
    let _guard = Guard::new();
    let outcome = event_loop.run_until_complete(main);
    event_loop.close().unwrap();
    outcome.unwrap();
}

/// Aborts the process unless it is dropped in time.
pub(crate) struct Guard {
    _over: mpsc::Sender<()>,
}

impl Guard {
    pub(crate) fn new() -> Guard {
        let (over, is_over) = mpsc::channel::<()>();
        thread::spawn(move || {
            if is_over.recv_timeout(FOR_EVER) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("the test hangs");
                std::process::abort();
            }
        });
        Guard { _over: over }
    }
}

/// Returns the state of a process as the system shows it: `R`, `S`, `Z`, …; `None` if there is no
/// such process.
pub(crate) fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat[stat.rfind(')')? + 1..].trim_start().chars().next()
}

pub(crate) fn is_alive(pid: u32) -> bool {
    !matches!(state(pid), None | Some('Z'))
}

/// Waits in real time until a process is gone, or is the zombie of another parent.
pub(crate) fn wait_until_dead(pid: u32) {
    while is_alive(pid) {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until a process leaves no trace.
pub(crate) fn wait_until_gone(pid: u32) {
    while state(pid).is_some() {
        thread::sleep(Duration::from_millis(1));
    }
}

/// The names of this process's threads.
pub(crate) fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect()
}

/// Returns the number of descriptors that this process has open.
pub(crate) fn descriptors() -> usize {
    // Without the descriptor that reads this.
    std::fs::read_dir("/proc/self/fd").unwrap().count() - 1
}

/// Returns the number of children of this process that have ended, and whose status was not taken yet.
pub(crate) fn zombies() -> usize {
    let parent = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok());
    let stats = processes.filter_map(|e| std::fs::read_to_string(e.path().join("stat")).ok());
    stats
        .filter(|stat| {
            let rest = &stat[stat.rfind(')').map_or(0, |end| end + 1)..];
            let mut fields = rest.split_ascii_whitespace();
            fields.next() == Some("Z") && fields.next() == Some(&*parent)
        })
        .count()
}

/// The processes that this one has started, and those that have ended among them too.
pub(crate) fn children() -> Vec<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|pids| pids.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}
