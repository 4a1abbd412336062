//! asyncio's event loop for Unix: poller, executor, signals, sockets, Runner and run.

mod base_events;
mod events;
mod executor;
mod inbox;
mod log;
mod selector;
pub mod signals;
#[cfg(test)]
mod test_loop;
mod watchers;

pub use base_events::{
    Calls, EventLoop, EventLoopBuilder, ExceptionHandler, ShutdownDefaultExecutor, TaskFactory, eager_task_factory,
};
pub use executor::{ThreadPoolExecutor, ThreadPoolExecutorBuilder};
pub use events::{LoopHandle, get_event_loop, get_running_loop, new_event_loop, set_event_loop};
