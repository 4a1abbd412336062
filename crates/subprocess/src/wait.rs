//! [`ProcessWait`] and [`KillTree`]: wait for the end of a process, and end it.

use crate::{child::Child, session};
use asyncio_core::{
    Error, Result,
    event_loop::running_event_loop,
    raw::Listener,
    wait::{Resume, Wait},
    wait_site::WaitSite,
};
use asyncio_future::Future;
use std::{
    fmt,
    future::Future as StdFuture,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// The future of [`Process::wait`](crate::Process::wait).
///
/// It can be moved to another task, and outlive the `Process`.
///
/// # Cancellation
/// Nothing happens to the process, and other waiters continue. This task can wait again.
#[must_use = "futures do nothing unless they are awaited"]
pub struct ProcessWait {
    child: Arc<Child>,
    site: WaitSite,
    wait: Wait,
    /// Its entry in the list of listeners.
    number: u32,
}

impl ProcessWait {
    pub(crate) fn new(child: Arc<Child>, site: WaitSite) -> ProcessWait {
        ProcessWait { child, site, wait: Wait::new(), number: 0 }
    }
}

impl StdFuture for ProcessWait {
    type Output = Result<i32>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<i32>> {
        let ProcessWait { child, site, wait, number } = &mut *self;
        // Dropped when the lock is free, because the drop may run any code.
        let mut gone = None;
        let outcome = child.listen(|listeners| {
            if let Err(error) = child.check_awaited_here(site.what()) {
                return Some(error);
            }
            if !wait.is_armed() {
                wait.arm(cx, *site, None);
                if let Some(waiter) = wait.waiter() {
                    *number = listeners.push(Listener::Waiter(waiter));
                }
                return None;
            }
            match wait.poll(cx, *site, || None, |new| gone = listeners.replace(*number, new)) {
                Resume::Pending | Resume::Woken => None,
                Resume::Cancelled { error, .. } => {
                    gone = listeners.remove(*number);
                    Some(error)
                }
            }
        });
        match outcome {
            Ok(None) => Poll::Pending,
            Ok(Some(error)) => Poll::Ready(Err(error)),
            Err(code) => Poll::Ready(wait.finish().map_or(Ok(code), Err)),
        }
    }
}

impl Drop for ProcessWait {
    fn drop(&mut self) {
        if self.wait.is_armed() {
            let gone = self.child.listen(|listeners| listeners.remove(self.number));
            drop(gone);
        }
    }
}

impl fmt::Debug for ProcessWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<ProcessWait {:?}>", self.child)
    }
}

/// The future of [`Process::kill_tree`](crate::Process::kill_tree).
///
/// # Cancellation
/// Before the first poll, nothing has happened. After it, the work continues: the session is still
/// ended, in a thread of the default executor.
#[must_use = "futures do nothing unless they are awaited"]
pub struct KillTree {
    /// `Some` until the first poll.
    grace: Option<Duration>,
    killed: Future<()>,
    wait: ProcessWait,
}

impl KillTree {
    pub(crate) fn new(child: Arc<Child>, grace: Duration, site: WaitSite) -> KillTree {
        let killed = Future::of_operation(site, None);
        KillTree { grace: Some(grace), killed, wait: ProcessWait::new(child, site) }
    }

    /// Runs it on a thread, because it checks other processes, whose end is not reported to us.
    fn begin(&self, grace: Duration) -> Result<()> {
        let child = self.wait.child.clone();
        if !child.leads() {
            return Err(Error::runtime(
                "Process.kill_tree: the process was started without start_new_session(true) or \
                 process_group(0)",
            ));
        }
        let event_loop = running_event_loop("Process.kill_tree")?;
        let killed = self.killed.clone();
        event_loop.submit(Box::new(move || {
            let outcome = session::end(&child, grace).map_err(Error::from);
            // Refused if there is no waiter any more.
            let _ = killed.set(outcome);
        }))
    }
}

impl StdFuture for KillTree {
    type Output = Result<i32>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<i32>> {
        if let Some(grace) = self.grace.take() {
            if let Err(error) = self.begin(grace) {
                return Poll::Ready(Err(error));
            }
        }
        if !self.wait.wait.is_armed() {
            match Pin::new(&mut self.killed).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {}
            }
        }
        Pin::new(&mut self.wait).poll(cx)
    }
}

impl Drop for KillTree {
    fn drop(&mut self) {
        // Its error would be reported as never retrieved.
        self.killed.cancel();
    }
}

impl fmt::Debug for KillTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<KillTree {:?}>", self.wait.child)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spawn::Program;

    #[test]
    fn a_wait_that_is_dropped_is_forgotten() {
        let started = Program::exec("test", "sleep".as_ref(), vec!["1000".into()]).start().unwrap();
        let child = Arc::new(Child::new(started.pid, started.leads));
        let waiting = || child.listen(|listeners| format!("{listeners:?}").contains("Waiter"));
        let mut wait = ProcessWait::new(child.clone(), WaitSite::here(&"test"));
        futures_lite::future::block_on(async {
            assert!(futures_lite::future::poll_once(&mut wait).await.is_none());
        });
        assert_eq!(waiting(), Ok(true));
        drop(wait);
        assert_eq!(waiting(), Ok(false));
        child.send_signal("test", 9).unwrap();
        child.block();
        assert!(child.look());
        assert_eq!((waiting(), child.returncode()), (Err(-9), Some(-9)));
    }
}
