//! Reports about the tasks of a loop: their call graphs, and the tasks that can never continue.

use super::{EventLoop, waits};
use asyncio_core::{
    DeadlockError,
    log::{Level, log},
    raw::{Scheduler, TaskRef},
};
use asyncio_task::graph::{await_chain, format_call_graphs, stuck_tasks};
use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

/// The shortest time between two searches for stuck tasks in debug mode.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// The state of a loop's searches for stuck tasks in debug mode.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    last: Cell<Option<Instant>>,
    /// The tasks that were found last, by their number in the order of creation.
    found: RefCell<Vec<u64>>,
}

impl EventLoop {
    /// Returns the call graphs of all unfinished tasks of this loop as text, for a program that hangs. Each
    /// task appears once: first the tasks that await no other task, with the tasks that await them.
    /// [`Runner::dump_on`](crate::Runner::dump_on) logs this text when a signal arrives.
    ///
    /// ```
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let text = asyncio::get_running_loop()?.format_call_graphs();
    ///     assert!(text.contains("running at"));
    ///     Ok(())
    /// }
    /// ```
    #[track_caller]
    pub fn format_call_graphs(&self) -> String {
        format_call_graphs(self.home())
    }

    /// Returns the tasks that can never continue; `None` if there are none. These are the tasks that await each
    /// other in a cycle, and the tasks that await nothing else. If nothing is left that could wake a task
    /// (nothing is ready, there is no timer, no I/O is waited for, and no job runs), these are all tasks except
    /// the caller.
    ///
    /// Another thread may use a lock, queue or future, and a signal may have a handler: a task that waits
    /// for one of those may then still be woken. Only `cancel` can break a cycle of tasks. In debug mode,
    /// the loop searches for such tasks itself, and logs them.
    ///
    /// ```
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let stuck = asyncio::create_task(asyncio::Future::<()>::new());
    ///     asyncio::sleep(std::time::Duration::ZERO).await?;
    ///     let deadlock = asyncio::get_running_loop()?.find_deadlock().expect("its result is never set");
    ///     assert!(deadlock.tasks()[0].starts_with("Task-2: Future at "));
    ///     stuck.cancel();
    ///     Ok(())
    /// }
    /// ```
    pub fn find_deadlock(&self) -> Option<DeadlockError> {
        let stuck = self.with(|scheduler| self.stuck(scheduler)).ok()?;
        report(&stuck)
    }

    fn stuck(&self, scheduler: &Scheduler) -> Vec<TaskRef> {
        if self.may_go_on(scheduler) {
            return stuck_tasks(self.home());
        }
        let mut tasks = scheduler.tasks.all();
        tasks.retain(|task| !task.is_current());
        tasks
    }

    /// Called in debug mode before the loop waits (under the virtual clock, that ends the run). Logs tasks that can
    /// never continue, whenever new ones are found. Returns the time for which the loop may wait before the next
    /// search.
    #[cold]
    pub(super) fn look_for_deadlock(
        &self,
        scheduler: &Scheduler,
        timeout: Option<Duration>,
    ) -> Option<Duration> {
        if scheduler.timers.is_virtual() {
            return timeout;
        }
        let Looks { last, found } = &self.0.looks;
        let now = Instant::now();
        let next = last.get().map(|last| last + BETWEEN_LOOKS).filter(|next| *next > now);
        if let Some(next) = next {
            return Some(timeout.map_or(next - now, |timeout| timeout.min(next - now)));
        }
        last.set(Some(now));
        let stuck = self.stuck(scheduler);
        let sequences = stuck.iter().map(|task| task.sequence()).collect();
        if found.replace(sequences) != *found.borrow() {
            if let Some(deadlock) = report(&stuck) {
                log(Level::Warning, &format!("tasks are stuck: {deadlock}"));
            }
        }
        timeout
    }
}

fn report(stuck: &[TaskRef]) -> Option<DeadlockError> {
    (!stuck.is_empty()).then(|| DeadlockError::new(stuck.iter().map(waits).collect()))
}

/// Formats what a task awaits, what that awaits, and so on, with a line for each.
pub(crate) fn format_await_chain(task: &TaskRef) -> String {
    let chain = await_chain(task);
    let lines = chain.iter().map(|(depth, task)| {
        let indent = "  ".repeat((*depth).min(16));
        format!("\n    {indent}{}", waits(task))
    });
    lines.collect()
}
