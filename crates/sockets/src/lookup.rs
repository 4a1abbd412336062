//! [`Lookup`]: what blocks is asked on a thread of the default executor.

use asyncio_core::{
    Error, Result,
    raw::{Scheduler, caught, no_loop_here, sync::Mutex, with_entered},
    wait::{Resume, Wait, Waiter, Wakers},
    wait_site::WaitSite,
};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// A leaf future: the answer to a question that blocks.
///
/// # Cancellation
/// A question that waits for a thread is not asked any more. A thread that asks finishes in its own
/// time, and its answer is dropped.
pub(crate) struct Lookup<T> {
    /// Taken when it is given to a thread.
    ask: Option<Ask<T>>,
    answer: Arc<Mutex<Answer<T>>>,
    wait: Wait,
    site: WaitSite,
}

type Ask<T> = Box<dyn FnOnce() -> Result<T> + Send>;

struct Answer<T> {
    found: Option<Result<T>>,
    waiter: Option<Waiter>,
}

impl<T: Send + 'static> Lookup<T> {
    pub(crate) fn new(
        site: WaitSite,
        ask: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Lookup<T> {
        let answer = Arc::new(Mutex::new(Answer { found: None, waiter: None }));
        Lookup { ask: Some(Box::new(ask)), answer, wait: Wait::new(), site }
    }

    fn start(&mut self) -> Result<()> {
        let Some(ask) = self.ask.take() else { return Ok(()) };
        let event_loop = with_entered(Scheduler::event_loop).flatten();
        let event_loop = event_loop.ok_or_else(|| Error::runtime(no_loop_here()))?;
        let answer = Arc::downgrade(&self.answer);
        event_loop.submit(Box::new(move || {
            if answer.strong_count() == 0 {
                return;
            }
            let found = caught(ask);
            let Some(answer) = answer.upgrade() else { return };
            let mut wakers = Wakers::new();
            let mut answer = answer.lock();
            answer.found = Some(found.unwrap_or_else(Err));
            if let Some(waiter) = answer.waiter.take() {
                waiter.wake(&mut wakers);
            }
        }))
    }
}

impl<T: Send + 'static> Future for Lookup<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.get_mut();
        if let Err(error) = this.start() {
            return Poll::Ready(Err(error));
        }
        let mut answer = this.answer.lock();
        if this.wait.is_armed() {
            let mut moved = false;
            let replace = |waiter| {
                moved = true;
                answer.waiter = Some(waiter);
            };
            match this.wait.poll(cx, this.site, || None, replace) {
                Resume::Pending if !moved => return Poll::Pending,
                // The answer may have come while the former wait was cancelled.
                Resume::Pending => _ = this.wait.disarm(),
                Resume::Woken => {}
                Resume::Cancelled { error, .. } => return Poll::Ready(Err(error)),
            }
        }
        match answer.found.take() {
            Some(found) => Poll::Ready(found),
            None => {
                this.wait.arm(cx, this.site, None);
                answer.waiter = this.wait.waiter();
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for Lookup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = if self.ask.is_some() { "not asked" } else { "asked" };
        write!(f, "<Lookup {stage}>")
    }
}
