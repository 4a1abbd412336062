//! The end of a run: the tasks that are left are cancelled, and awaited for as long as the runner
//! allows.

use crate::{EventLoop, base_events};
use asyncio_core::{
    Result,
    exception::ExceptionContext,
    log::{Level, log},
    raw::Scheduler,
};
use asyncio_future::Future;
use asyncio_task::{AnyTask, FutureLike, sleep};
use std::{cell::Cell, rc::Rc, time::Duration};

/// The time after which a warning names the tasks for which the end of a run still waits.
const WARN_AFTER: Duration = Duration::from_secs(5);

/// The largest number of iterations for tasks that are cancelled for the last time: enough to clean up,
/// but not to wait.
const LAST_ITERATIONS: u32 = 1000;

/// Cancels the tasks that are left, waits for them as `gather(return_exceptions=True)` does, and
/// reports their errors. Tasks that remain after `limit` are cancelled once more, and then dropped.
pub(super) fn cancel_all_tasks(event_loop: &EventLoop, limit: Option<Duration>) -> Result<()> {
    let tasks = event_loop.all_tasks();
    if tasks.is_empty() {
        return Ok(());
    }
    tasks.iter().for_each(|task| task.task_ref().ask_for_failure());
    event_loop.with(|scheduler| scheduler.cancel_all(tasks.iter().map(AnyTask::task_ref)))?;
    let ended = when_all_end(event_loop, &tasks)?;
    let warning = {
        let (watched, ended, tasks) = (event_loop.clone(), ended.clone(), tasks.clone());
        event_loop.call_later(WARN_AFTER, move || warn(&watched, &tasks, &ended))?
    };
    let expiry = match limit {
        Some(limit) => {
            let ended = ended.clone();
            // It may be done already.
            Some(event_loop.call_later(limit, move || drop(ended.set_result(())))?)
        }
        None => None,
    };
    let outcome = event_loop.run_until_complete(ended);
    warning.cancel();
    expiry.iter().for_each(|expiry| expiry.cancel());
    outcome?;
    drop_what_is_left(event_loop, &tasks)?;
    for task in tasks {
        if let Some(error) = task.task_ref().take_failure() {
            let report = ExceptionContext::new("unhandled exception during asyncio.run() shutdown");
            let report = report.with_exception(error).with_task(task.task_ref().clone());
            event_loop.call_exception_handler(&report);
        }
    }
    Ok(())
}

/// Returns a future that is done when every task is.
fn when_all_end(event_loop: &EventLoop, tasks: &[AnyTask]) -> Result<Future<()>> {
    let ended = event_loop.create_future();
    let left = Rc::new(Cell::new(tasks.len()));
    for task in tasks {
        let (ended, left) = (ended.clone(), left.clone());
        let one_ended = move || {
            left.set(left.get() - 1);
            if left.get() == 0 {
                // The time may be up already.
                let _ = ended.set_result(());
            }
        };
        task.on_done(one_ended)?;
    }
    Ok(ended)
}

/// Names the tasks that remain. Under the virtual clock, this timer may be all that is left: then nothing
/// can ever wake a task.
fn warn(event_loop: &EventLoop, tasks: &[AnyTask], ended: &Future<()>) -> Result<()> {
    let is_last = event_loop.with(|scheduler| {
        let is_last = scheduler.timers.is_virtual()
            && !scheduler.has_ready()
            && !scheduler.run.is_outstanding()
            && scheduler.timers.next_deadline().is_none();
        if is_last && !event_loop.may_be_called(scheduler) {
            let _ = ended.set_exception(base_events::deadlock(scheduler));
        }
        is_last
    })?;
    if is_last {
        return Ok(());
    }
    let left = tasks.iter().filter(|task| !task.done());
    let names: Vec<String> = left.map(|task| base_events::waits(task.task_ref())).collect();
    let message = format!(
        "the run has ended, but {} cancelled task(s) have not after {} s; \
         Runner::shutdown_timeout limits the wait:\n    {}",
        names.len(),
        WARN_AFTER.as_secs(),
        names.join("\n    ")
    );
    log(Level::Warning, &message);
    Ok(())
}

/// Cancels the remaining tasks once more, so that they can at least clean up without waiting. Tasks
/// that still remain are reported, and dropped.
fn drop_what_is_left(event_loop: &EventLoop, tasks: &[AnyTask]) -> Result<()> {
    let left = || tasks.iter().filter(|task| !task.done());
    if left().next().is_none() {
        return Ok(());
    }
    event_loop.with(|scheduler| scheduler.cancel_all(left().map(AnyTask::task_ref)))?;
    for _ in 0..LAST_ITERATIONS {
        if left().next().is_none() || !event_loop.with(Scheduler::has_ready)? {
            break;
        }
        event_loop.run_until_complete(sleep(Duration::ZERO))?;
    }
    for task in left() {
        event_loop.with(|scheduler| scheduler.destroy(task.task_ref()))??;
    }
    Ok(())
}
