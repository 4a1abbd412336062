//! [`Lookup`]: runs a blocking question on a thread of the default executor. [`Answer`]: the slot for
//! the thread's result.

use asyncio_core::{
    Error, Result,
    raw::{Scheduler, caught, no_loop_here, sync::Mutex, with_entered},
    wait::{Leaf, Resume, Wait, Waiter, Wakers},
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
/// A question that still waits for a thread is not asked. A thread that has started finishes, and
/// its answer is dropped.
#[doc(hidden)] // For the crate of files.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Lookup<T> {
    /// Taken when it is given to a thread.
    ask: Option<Ask<T>>,
    answer: Arc<Answer<Result<T>>>,
    wait: Wait,
    site: WaitSite,
}

type Ask<T> = Box<dyn FnOnce() -> Result<T> + Send>;

/// Runs `job` on a thread of the loop that runs here.
///
/// # Errors
/// `Runtime` without a running loop, or after its executor was shut down. In both cases, the job is
/// dropped.
#[doc(hidden)] // For the crate of files.
pub fn on_thread(job: impl FnOnce() + Send + 'static) -> Result<()> {
    let event_loop = with_entered(Scheduler::event_loop).flatten();
    let event_loop = event_loop.ok_or_else(|| Error::runtime(no_loop_here()))?;
    event_loop.submit(Box::new(job))
}

impl<T: Send + 'static> Lookup<T> {
    /// Creates a look-up that runs on a thread when it is first polled.
    pub fn new(site: WaitSite, ask: impl FnOnce() -> Result<T> + Send + 'static) -> Lookup<T> {
        let answer = Arc::new(Answer::new());
        Lookup { ask: Some(Box::new(ask)), answer, wait: Wait::new(), site }
    }

    fn start(&mut self) -> Result<()> {
        let Some(ask) = self.ask.take() else { return Ok(()) };
        let answer = Arc::downgrade(&self.answer);
        on_thread(move || {
            if answer.strong_count() == 0 {
                return;
            }
            let found = caught(ask);
            if let Some(answer) = answer.upgrade() {
                answer.give(found.unwrap_or_else(Err));
            }
        })
    }
}

impl<T: Send + 'static> Future for Lookup<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.get_mut();
        // Waits even if the thread is quick, so that a pending cancellation arrives here.
        let polled = this.answer.poll(&mut this.wait, cx, this.site).map(|answer| answer?);
        if polled.is_pending() {
            this.start()?;
        }
        polled
    }
}

impl<T: Send + 'static> Leaf for Lookup<T> {}

impl<T> fmt::Debug for Lookup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = if self.ask.is_some() { "not asked" } else { "asked" };
        write!(f, "<Lookup {stage}>")
    }
}

/// A slot in which a thread leaves a value for one waiting task.
#[doc(hidden)] // For the crate of files.
#[derive(Debug)]
pub struct Answer<T>(Mutex<Slot<T>>);

#[derive(Debug)]
struct Slot<T> {
    found: Option<T>,
    waiter: Option<Waiter>,
}

impl<T> Answer<T> {
    #[allow(clippy::new_without_default, reason = "internal to this project")]
    pub fn new() -> Answer<T> {
        Answer(Mutex::new(Slot { found: None, waiter: None }))
    }

    /// Stores the value, and wakes the waiter.
    pub fn give(&self, found: T) {
        let mut wakers = Wakers::new();
        let mut slot = self.0.lock();
        slot.found = Some(found);
        if let Some(waiter) = slot.waiter.take() {
            waiter.wake(&mut wakers);
        }
    }

    /// Takes the value, or waits for it.
    ///
    /// # Errors
    /// The cancellation of this wait. The value stays.
    pub fn poll(&self, wait: &mut Wait, cx: &Context<'_>, site: WaitSite) -> Poll<Result<T>> {
        let mut slot = self.0.lock();
        if wait.is_armed() {
            let mut moved = false;
            let replace = |waiter| {
                moved = true;
                slot.waiter = Some(waiter);
            };
            match wait.poll(cx, site, || None, replace) {
                Resume::Pending if !moved => return Poll::Pending,
                // The answer may have arrived while the previous wait was cancelled.
                Resume::Pending => _ = wait.disarm(),
                Resume::Woken => {}
                Resume::Cancelled { error, .. } => return Poll::Ready(Err(error)),
            }
        }
        match slot.found.take() {
            Some(found) => Poll::Ready(Ok(found)),
            None => {
                wait.arm(cx, site, None);
                slot.waiter = wait.waiter();
                Poll::Pending
            }
        }
    }
}
