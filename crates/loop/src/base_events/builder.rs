//! The builder of a loop.

use super::EventLoop;
use asyncio_core::Result;

/// Builds an [`EventLoop`] with custom settings.
///
/// ```
/// let event_loop = asyncio::EventLoop::builder().virtual_time(true).build()?;
/// assert!(event_loop.time().is_zero());
/// event_loop.close()?;
/// # Ok::<(), asyncio::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct EventLoopBuilder {
    is_virtual: bool,
    debug: Option<bool>,
    poll_every_iteration: bool,
    task_spans: bool,
}

impl Default for EventLoopBuilder {
    fn default() -> EventLoopBuilder {
        EventLoopBuilder {
            is_virtual: false,
            debug: None,
            poll_every_iteration: false,
            task_spans: true,
        }
    }
}

impl EventLoopBuilder {
    /// Sets whether time is virtual. Virtual time starts at zero. When nothing is ready, it jumps to
    /// the next timer, unless a job in another thread or a child process is still running. A job that
    /// blocks on a coroutine of the loop (`ConcurrentFuture::result`) does not hold up the clock. If
    /// nothing is left that could wake a task, the run ends with `Error::Deadlock`.
    pub fn virtual_time(mut self, on: bool) -> Self {
        self.is_virtual = on;
        self
    }

    /// Sets whether debug mode is on. Without this call, it is on if the environment variable
    /// `PYTHONASYNCIODEBUG` is set and not empty.
    pub fn debug(mut self, on: bool) -> Self {
        self.debug = Some(on);
        self
    }

    /// Sets whether steps with I/O run in CPython's order. With `true`, the loop polls for I/O in
    /// every iteration, and a task that waits in a `sock_*` operation resumes one iteration after the
    /// event.
    ///
    /// By default, while callbacks or tasks are always ready, the loop polls only every 50 µs, because a
    /// poll costs as much as fifteen steps of a task; and the task resumes in the iteration of the
    /// event.
    pub fn poll_every_iteration(mut self, on: bool) -> Self {
        self.poll_every_iteration = on;
        self
    }

    /// Sets whether a task carries the span of `tracing` in which it is created. Its steps, the tasks and the
    /// [`to_thread`](asyncio_task::to_thread) jobs that it starts, and reports about it are then inside that
    /// span. The span stays open until the task is gone. The default is `true`; a program without a subscriber
    /// pays nothing for it.
    pub fn task_spans(mut self, on: bool) -> Self {
        self.task_spans = on;
        self
    }

    /// Creates the loop.
    ///
    /// # Errors
    /// The system's error, if it has no descriptor left for the poller.
    pub fn build(self) -> Result<EventLoop> {
        let by_environment =
            || std::env::var_os("PYTHONASYNCIODEBUG").is_some_and(|value| !value.is_empty());
        let debug = self.debug.unwrap_or_else(by_environment);
        EventLoop::open(self.is_virtual, debug, self.poll_every_iteration, self.task_spans)
    }
}
