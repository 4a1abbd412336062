//! Streams in real tasks; readers alone first, then over real sockets.

use super::*;
use asyncio_core::{Error, Result};
use asyncio_loop::EventLoop;
use asyncio_task::{sleep, wait_for};
use std::{future::Future, time::Duration};

mod reader;

/// A test takes longer only if it hangs.
const GUARD: Duration = Duration::from_secs(60);

/// Runs `main` in a loop of its own.
#[allow(dead_code)] // For the sockets to come.
fn run<F: Future<Output = Result<()>> + 'static>(main: F) {
    run_in(EventLoop::builder().build().unwrap(), main);
}

/// The same under the virtual clock.
fn run_virtual<F: Future<Output = Result<()>> + 'static>(main: F) {
    run_in(EventLoop::builder().virtual_time(true).build().unwrap(), main);
}

fn run_in<F: Future<Output = Result<()>> + 'static>(event_loop: EventLoop, main: F) {
    let outcome = event_loop.run_until_complete(async { wait_for(main, GUARD).await });
    event_loop.close().unwrap();
    outcome.unwrap();
}

/// Lets so many iterations pass.
async fn iterations(count: usize) -> Result<()> {
    for _ in 0..count {
        sleep(Duration::ZERO).await?;
    }
    Ok(())
}

fn is_cancelled<T>(result: Result<T>) -> bool {
    result.is_err_and(|error| error.is_cancelled())
}

fn text<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().to_string()
}
