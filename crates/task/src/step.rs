//! One step of a task: asyncio's `__step` and `__wakeup`.

use crate::state::Data;
use async_task::Runnable;
use asyncio_core::{
    CancelledError, Error, Result, cancel::Step, home::Mail, task_ref::TaskRunnable,
};
use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

pin_project_lite::pin_project! {
    /// What async-task polls: the coroutine, with what asyncio does around each of its steps.
    pub(crate) struct Body<'a, F: Future<Output = Result<T>>, T> {
        data: &'a Data<T>,
        // Gone as soon as the task has ended.
        #[pin]
        coroutine: Option<F>,
    }

    impl<'a, F: Future<Output = Result<T>>, T> PinnedDrop for Body<'a, F, T> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if this.coroutine.is_some() {
                let error = CancelledError::new("the event loop was closed");
                end(this.data, this.coroutine, Err(Error::Cancelled(error)));
            }
        }
    }
}

impl<'a, F: Future<Output = Result<T>>, T> Body<'a, F, T> {
    pub(crate) fn new(data: &'a Data<T>, coroutine: F) -> Body<'a, F, T> {
        Body { data, coroutine: Some(coroutine) }
    }
}

impl<F: Future<Output = Result<T>>, T> Future for Body<'_, F, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(step) = Step::begin(this.data.cell()) else { return Poll::Pending };
        let outcome = match (step.throw(), this.coroutine.as_mut().as_pin_mut()) {
            (Some(error), _) => Err(Error::Cancelled(error)),
            (None, None) => return Poll::Pending,
            (None, Some(coroutine)) => {
                match catch_unwind(AssertUnwindSafe(|| coroutine.poll(cx))) {
                    Ok(Poll::Pending) => {
                        step.suspend();
                        return Poll::Pending;
                    }
                    Ok(Poll::Ready(result)) => result,
                    Err(panic) => Err(Error::from_panic(panic)),
                }
            }
        };
        finish(this.data, this.coroutine, outcome);
        drop(step);
        Poll::Ready(())
    }
}

/// Drops the coroutine, in the task's own context, and then tells everyone.
fn finish<F, T>(data: &Data<T>, mut coroutine: Pin<&mut Option<F>>, outcome: Result<T>) {
    let dropped = catch_unwind(AssertUnwindSafe(|| coroutine.set(None)));
    data.end(match dropped {
        Ok(()) => outcome,
        Err(panic) => Err(Error::from_panic(panic)),
    });
}

/// [`finish`] outside of a step, for a task whose loop is closing.
fn end<F, T>(data: &Data<T>, coroutine: Pin<&mut Option<F>>, outcome: Result<T>) {
    let step = Step::begin(data.cell());
    finish(data, coroutine, outcome);
    drop(step);
}

/// What async-task calls when a task was woken.
pub(crate) fn schedule<T>(runnable: Runnable<Data<T>>) {
    let home = runnable.metadata().cell().home();
    let task = TaskRunnable::new(runnable);
    match home.local() {
        Some(scheduler) => scheduler.push_task(task),
        // If the loop is closed its task is leaked, which is better than to drop it here.
        None => drop(home.send(Mail::Task(task))),
    }
}
