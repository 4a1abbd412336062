//! How a task was resumed after its last suspension, which decides what a bare `raise` does in CPython.
//!
//! `reraise` was recorded as Python's bare `raise`, which raises the error that is being handled. There is an
//! exception: if an error is thrown into a coroutine that is suspended inside an `except` block, and is handled there,
//! CPython does not find the outer error again until the task is resumed without an error. Until then a bare `raise`
//! is a `RuntimeError`.

use super::{program::Awaited, world::World};
use asyncio_core::{Error, Result};
use asyncio_task::current_task;
use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::pin,
};

/// How often a task was resumed, and whether the last resumption threw an error into it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Resumes {
    count: u64,
    thrown: bool,
}

/// An error that is being handled.
#[derive(Clone, Copy)]
pub(crate) struct Handling<'a> {
    pub(crate) error: &'a Error,
    since: u64,
}

impl World {
    /// The current task begins to handle `error`.
    pub(crate) fn handling<'a>(&self, error: &'a Error) -> Handling<'a> {
        Handling { error, since: self.resumes().count }
    }

    /// The error that a bare `raise` raises.
    pub(crate) fn reraised(&self, handling: Option<Handling<'_>>) -> Error {
        let resumes = self.resumes();
        let known = |handling: &Handling<'_>| !resumes.thrown || resumes.count == handling.since;
        match handling.filter(known) {
            Some(handling) => handling.error.clone(),
            None => Error::runtime("No active exception to reraise"),
        }
    }

    fn resumes(&self) -> Resumes {
        let task = current_task().map(|task| task.task_ref().sequence());
        task.and_then(|task| self.resumes.borrow().get(&task).copied()).unwrap_or_default()
    }

    pub(crate) fn resumed(&self, thrown: bool) {
        if let Some(task) = current_task() {
            let mut all = self.resumes.borrow_mut();
            let resumes = all.entry(task.task_ref().sequence()).or_default();
            *resumes = Resumes { count: resumes.count + 1, thrown };
        }
    }

    /// Awaits a future of which only the outcome is known. `thrown` says whether the outcome was an error thrown into the
    /// task.
    pub(crate) async fn watched<T>(
        &self,
        future: impl Future<Output = Result<T>>,
        thrown: impl FnOnce(&Result<T>) -> bool,
    ) -> Result<T> {
        let suspended = Cell::new(false);
        let outcome = noting(future, || suspended.set(true)).await;
        if suspended.get() {
            self.resumed(thrown(&outcome));
        }
        outcome
    }
}

/// Calls `suspended` whenever the future suspends.
pub(crate) async fn noting<T>(future: impl Future<Output = T>, suspended: impl Fn()) -> T {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let polled = future.as_mut().poll(cx);
        if polled.is_pending() {
            suspended();
        }
        polled
    })
    .await
}

/// For awaitables that wait through their own futures, and raise errors themselves.
pub(crate) fn if_cancelled<T>(outcome: &Result<T>) -> bool {
    outcome.as_ref().is_err_and(Error::is_cancelled)
}

impl Awaited {
    /// Whether statements of the scenario run inside it, in the task that awaits it.
    pub(crate) fn runs_inline(&self) -> bool {
        match self {
            Awaited::Coroutine(_) => true,
            Awaited::WaitFor { inner, timeout } => {
                timeout.is_none_or(|timeout| timeout > 0) && inner.runs_inline()
            }
            _ => false,
        }
    }

    /// Whether its errors come from an awaited future, which throws them into the task.
    pub(crate) fn is_thrown<T>(&self, outcome: &Result<T>) -> bool {
        match (self, outcome) {
            (_, Ok(_)) => false,
            (Awaited::Primitive(_), outcome) => if_cancelled(outcome),
            (Awaited::WaitFor { timeout: Some(timeout), .. }, outcome) if *timeout <= 0 => {
                if_cancelled(outcome)
            }
            (Awaited::WaitFor { inner, .. }, Err(error)) => {
                error.is_timeout() || inner.is_thrown(outcome)
            }
            _ => true,
        }
    }
}
