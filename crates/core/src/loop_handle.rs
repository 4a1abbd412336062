//! [`LoopHandle`]: a handle to a loop for any thread.

use crate::{
    Error, Result,
    context::{current_values, with_values},
    handle::{CallbackOutput, ThreadsafeHandle},
    home::LoopRef,
};
use std::fmt;

/// A handle to a loop that can be sent, copied and kept, even longer than the loop lives.
///
/// ```
/// let event_loop = asyncio::new_event_loop()?;
/// let handle = event_loop.handle();
/// let stop = || asyncio::get_running_loop().map(|running| running.stop());
/// std::thread::spawn(move || handle.call_soon_threadsafe(stop));
/// event_loop.run_forever()?;
/// event_loop.close()?;
/// # Ok::<(), asyncio::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LoopHandle(LoopRef);

impl LoopHandle {
    /// Runs `callback` on the loop, as a separate step, in a copy of the caller's context
    /// (`loop.call_soon_threadsafe`). The loop is woken if it is waiting.
    ///
    /// # Errors
    /// `Runtime` if the loop is closed.
    pub fn call_soon_threadsafe<R: CallbackOutput>(
        &self,
        callback: impl FnOnce() -> R + Send + 'static,
    ) -> Result<ThreadsafeHandle> {
        let values = current_values();
        let callback = move || with_values(values, || callback().into_result());
        ThreadsafeHandle::send(self.0, callback)
            .ok_or_else(|| Error::runtime("Event loop is closed"))
    }
}

impl From<LoopRef> for LoopHandle {
    fn from(home: LoopRef) -> LoopHandle {
        LoopHandle(home)
    }
}

impl From<&LoopHandle> for LoopHandle {
    fn from(handle: &LoopHandle) -> LoopHandle {
        *handle
    }
}

impl From<LoopHandle> for LoopRef {
    fn from(handle: LoopHandle) -> LoopRef {
        handle.0
    }
}

impl fmt::Debug for LoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<LoopHandle of {:?}>", self.0)
    }
}
