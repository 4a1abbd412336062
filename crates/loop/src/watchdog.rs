//! The watchdog of a run: a thread that reports a step while it blocks the loop.
//!
//! It costs the loop no store in a step. The thread sends a message into the inbox, and checks whether the loop
//! has received it; a loop that reads its inbox in time gets no signal. If the message is unread after half of
//! the limit, and again at the limit, the loop's thread is interrupted to report what it is running
//! (`watchdog/sample.rs`). A task takes at most one step in an iteration. So if it is the same task both times,
//! and the message is still unread, it is the same step.

mod sample;
#[cfg(test)]
mod tests;

use crate::EventLoop;
use asyncio_core::{
    Error, Result,
    log::{Level, log},
    raw::{LoopRef, Message},
};
use sample::{Sample, Thread};
use std::{
    fmt,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

/// The limit in debug mode, if none is set.
pub(crate) const IN_DEBUG_MODE: Duration = Duration::from_secs(1);

/// The shortest limit; shorter ones are rounded up to it.
const SHORTEST: Duration = Duration::from_millis(2);

/// Watches the loop of this thread, until it is dropped.
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<Watchdog>")
    }
}

#[derive(Default)]
struct Shared {
    /// The number of the last message that the loop has received.
    opened: AtomicU64,
    has_ended: Mutex<bool>,
    end: Condvar,
}

impl Shared {
    /// Waits; returns true if the run has ended meanwhile.
    fn wait(&self, time: Duration) -> bool {
        let has_ended = self.has_ended.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let outcome = self.end.wait_timeout_while(has_ended, time, |has_ended| !*has_ended);
        *outcome.unwrap_or_else(|poisoned| poisoned.into_inner()).0
    }

    fn has_opened(&self, note: u64) -> bool {
        self.opened.load(Ordering::Acquire) >= note
    }
}

impl Watchdog {
    /// Reports steps of this loop that take longer than `limit`.
    ///
    /// # Errors
    /// The system's error, if it cannot start a thread.
    pub(crate) fn begin(event_loop: &EventLoop, limit: Duration) -> Result<Watchdog> {
        let (home, shared) = (event_loop.home(), Arc::<Shared>::default());
        let (watched, thread, limit) = (shared.clone(), Thread::current(), limit.max(SHORTEST));
        let name = "asyncio watchdog".to_owned();
        let thread = Builder::new()
            .name(name)
            .spawn(move || watch(home, &watched, &thread, limit))
            .map_err(|error| Error::runtime(format!("Runner.watchdog: no thread: {error}")))?;
        Ok(Watchdog { shared, thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        *self.shared.has_ended.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = true;
        self.shared.end.notify_one();
        // It has reported its own panic.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn watch(home: LoopRef, shared: &Arc<Shared>, thread: &Thread, limit: Duration) {
    for note in 1.. {
        let (sent, opened) = (Instant::now(), shared.clone());
        let open = move || opened.opened.store(note, Ordering::Release);
        if home.send(Message::Quiet(Box::new(open))).is_err() || shared.wait(limit / 2) {
            return;
        }
        if shared.has_opened(note) {
            continue;
        }
        let before = thread.sample();
        if shared.wait(limit - limit / 2) {
            return;
        }
        if shared.has_opened(note) {
            continue;
        }
        let now = thread.sample();
        if !shared.has_opened(note) && before.is_same_step(&now) {
            log(Level::Warning, &report(&now, sent.elapsed()));
        }
        while !shared.has_opened(note) {
            if shared.wait(limit / 2) {
                return;
            }
        }
    }
}

fn report(sample: &Sample, time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let mut text = match sample.task() {
        Some(task) => {
            let (name, created) = (task.name(), task.spawned_at());
            let wait = task.last_wait();
            let wait = wait.map_or(String::new(), |site| format!(", last waited for {site}"));
            format!(
                "a step of {name} has not come back for {seconds:.3} s: the task was created at \
                 {created}{wait}"
            )
        }
        None if sample.has_answered() => format!("a callback has not come back for {seconds:.3} s"),
        None => format!("a step or callback has not come back for {seconds:.3} s"),
    };
    text += &sample.backtrace();
    text
}
