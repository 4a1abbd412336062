//! The functions of the module: which loop runs, which one is current.

use crate::EventLoop;
use asyncio_core::{
    Error, LoopHandle, Result,
    raw::{LoopRef, no_loop_here},
};
use std::{
    cell::{Cell, RefCell},
    thread,
};

thread_local! {
    /// The loop that runs in this thread. Only its name is kept, which needs no destructor: a loop may
    /// run even in the destructors of other thread-locals.
    static RUNNING: Cell<Option<LoopRef>> = const { Cell::new(None) };
    /// The loop that `set_event_loop` has set for this thread. It is destroyed before other
    /// thread-locals that were used earlier.
    static CURRENT: RefCell<Option<EventLoop>> = const { RefCell::new(None) };
}

/// Creates a loop (`asyncio.new_event_loop`) with the real clock. It does not become the current
/// loop. [`EventLoop::builder`] has more options.
///
/// # Errors
/// The system's error, if it has no descriptor left for the poller.
/// ```
/// let event_loop = asyncio::new_event_loop()?;
/// assert_eq!(event_loop.run_until_complete(async { Ok(42) })?, 42);
/// event_loop.close()?;
/// # Ok::<(), asyncio::Error>(())
/// ```
#[doc(alias = "asyncio.new_event_loop")]
pub fn new_event_loop() -> Result<EventLoop> {
    EventLoop::builder().build()
}

/// Returns the loop that runs in this thread (`asyncio.get_running_loop`).
///
/// # Errors
/// `Runtime` (`no running event loop`) if there is none.
///
/// ```
/// assert!(asyncio::get_running_loop().is_err());
/// let event_loop = asyncio::new_event_loop()?;
/// event_loop.call_soon(|| asyncio::get_running_loop().map(|running| running.stop()))?;
/// event_loop.run_forever()?;
/// event_loop.close()?;
/// # Ok::<(), asyncio::Error>(())
/// ```
#[doc(alias = "asyncio.get_running_loop")]
pub fn get_running_loop() -> Result<EventLoop> {
    let running = RUNNING.get().and_then(EventLoop::find);
    running.ok_or_else(|| Error::runtime(no_loop_here()))
}

/// Returns the loop that runs in this thread, or else the one that [`set_event_loop`] has set
/// (`asyncio.get_event_loop`). It never creates a loop.
///
/// # Errors
/// `Runtime` if there is neither.
#[doc(alias = "asyncio.get_event_loop")]
pub fn get_event_loop() -> Result<EventLoop> {
    let current = || CURRENT.try_with(|current| current.borrow().clone()).ok().flatten();
    get_running_loop().ok().or_else(current).ok_or_else(|| {
        let thread = thread::current();
        let name = thread.name().unwrap_or("unnamed");
        Error::runtime(format!("There is no current event loop in thread '{name}'."))
    })
}

/// Sets the loop that [`get_event_loop`] finds in this thread (`asyncio.set_event_loop`); `None` resets
/// it. The thread then keeps the loop open. While the thread ends and its thread-locals are gone, the loop
/// can no longer be set.
/// ```
/// assert!(asyncio::get_event_loop().is_err());
/// asyncio::set_event_loop(asyncio::new_event_loop()?);
/// asyncio::get_event_loop()?.run_until_complete(asyncio::sleep(std::time::Duration::ZERO))?;
/// asyncio::set_event_loop(None);
/// # Ok::<(), asyncio::Error>(())
/// ```
#[doc(alias = "asyncio.set_event_loop")]
pub fn set_event_loop(event_loop: impl Into<Option<EventLoop>>) {
    let event_loop = event_loop.into();
    // The old one is dropped outside, because its drop may ask for the current loop.
    drop(CURRENT.try_with(|current| current.replace(event_loop)));
}

pub(crate) fn is_any_running() -> bool {
    RUNNING.get().is_some()
}

pub(crate) fn set_running(event_loop: Option<LoopRef>) {
    RUNNING.set(event_loop);
}

impl From<EventLoop> for LoopHandle {
    fn from(event_loop: EventLoop) -> LoopHandle {
        event_loop.handle()
    }
}

impl From<&EventLoop> for LoopHandle {
    fn from(event_loop: &EventLoop) -> LoopHandle {
        event_loop.handle()
    }
}
