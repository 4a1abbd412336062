//! A tokio runtime around a [`Runner`], with its reactor on its own thread.

use asyncio_core::{Error, Result, raw::explain_missing_loop};
use asyncio_loop::{Entered, Runner, Surroundings, THREAD_JOIN_TIMEOUT};
use std::thread::{self, JoinHandle};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// The name of the threads.
const NAME: &str = "asyncio-tokio";

const NO_LOOP: &str = ": this thread belongs to the tokio runtime of asyncio-tokio, where `tokio::spawn`, \
                       `asyncio_tokio::spawn` and `axum::serve` run their futures; call it in a task of asyncio \
                       (a router of axum is served there by `asyncio_http::serve`)";

/// Methods that this crate adds to [`Runner`].
pub trait RunnerExt {
    /// Sets whether the runs, and their jobs in other threads, are inside a tokio runtime. The runtime begins
    /// and ends with the loop: at the end, its tasks are dropped, and its threads are joined.
    ///
    /// A run returns the system's error if it cannot create the thread or a descriptor.
    ///
    /// ```
    /// use asyncio_tokio::RunnerExt;
    /// use std::time::Duration;
    ///
    /// asyncio::Runner::new().tokio(true).with(|runner| {
    ///     runner.run(async {
    ///         tokio::time::sleep(Duration::from_millis(1)).await;
    ///         Ok(())
    ///     })
    /// })?;
    /// # Ok::<(), asyncio::Error>(())
    /// ```
    #[must_use]
    fn tokio(self, on: bool) -> Self;
}

impl RunnerExt for Runner {
    fn tokio(self, on: bool) -> Runner {
        match on {
            true => self.surroundings(Reactor::start),
            false => self,
        }
    }
}

/// A runtime whose reactor and tasks are on a separate thread.
struct Reactor {
    handle: Handle,
    /// Dropping it ends the runtime.
    running: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Reactor {
    fn start() -> Result<Reactor> {
        let mut builder = Builder::new_current_thread();
        builder.enable_all().thread_name(NAME).on_thread_start(|| explain_missing_loop(NO_LOOP));
        let runtime = builder.build().map_err(described)?;
        let handle = runtime.handle().clone();
        let (running, ended) = oneshot::channel::<()>();
        let work = move || {
            explain_missing_loop(NO_LOOP);
            // Nothing is sent: it ends when the other half is dropped.
            let _ = runtime.block_on(ended);
            runtime.shutdown_timeout(THREAD_JOIN_TIMEOUT);
        };
        let thread = thread::Builder::new().name(NAME.to_owned()).spawn(work).map_err(described)?;
        Ok(Reactor { handle, running: Some(running), thread: Some(thread) })
    }
}

fn described(error: std::io::Error) -> Error {
    Error::from(error).add_note("Runner::tokio: starting the runtime")
}

impl Surroundings for Reactor {
    fn enter(&self) -> Entered<'_> {
        Entered::new(self.handle.enter())
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(thread) = self.thread.take() {
            // A panic on it belongs to one of its tasks, and was reported there.
            let _ = thread.join();
        }
    }
}
