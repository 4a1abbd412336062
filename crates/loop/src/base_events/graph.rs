//! What a loop says of its tasks: the call graphs of all of them, and which can never go on.

use super::{EventLoop, waits};
use asyncio_core::{
    DeadlockError,
    exception::{Level, log},
    raw::{Scheduler, TaskRef},
};
use asyncio_task::graph::{await_chain, format_call_graphs, stuck_tasks};
use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

/// So often at most a loop in debug mode looks for tasks that are stuck.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// What a loop in debug mode remembers of its looks for tasks that are stuck.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    last: Cell<Option<Instant>>,
    /// Those that were found last, by their place in the order of creation.
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
    /// other in a circle, and the tasks that await nothing else. If nothing is left that could wake a task
    /// (nothing is ready, there is no timer, no I/O is waited for, and no job runs), these are all tasks except
    /// the caller.
    ///
    /// A lock, queue or future may be used by other threads, and a signal may have a handler: a task that is
    /// suspended in one of those may then still be woken. A circle of tasks can be broken by `cancel` alone.
    /// In debug mode the loop looks for such tasks itself, and logs them.
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

    /// In debug mode, before the loop waits (under the virtual clock that ends the run): logs tasks that can never go on, each time that others are found.
    /// Gives the time for which the loop may wait, after which it looks.
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

/// What a task awaits, what that awaits, and so on, a line for each.
pub(crate) fn format_await_chain(task: &TaskRef) -> String {
    let chain = await_chain(task);
    let lines = chain.iter().map(|(depth, task)| {
        let indent = "  ".repeat((*depth).min(16));
        format!("\n    {indent}{}", waits(task))
    });
    lines.collect()
}
