//! The common parts of the fuzz targets: the bytes of an input as choices, and a loop on virtual time.
//!
//! `cargo xtask fuzz` builds and runs the targets, and so does `cargo fuzz`. Each target is a file in `fuzz_targets/`.
//! Its docs say how it interprets the bytes, and what must hold for every input.

use asyncio::{EventLoop, Result};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

/// The bytes of an input, read as choices. When they are used up, every choice is zero.
#[derive(Debug)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// Choices from these bytes.
    pub fn new(data: &'a [u8]) -> Input<'a> {
        Input(data)
    }

    /// Returns whether the bytes are used up.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns a number below `bound`, which is at most 256.
    pub fn below(&mut self, bound: usize) -> usize {
        self.take(1).first().map_or(0, |byte| usize::from(*byte) % bound)
    }

    /// Returns a number made of two bytes.
    pub fn number(&mut self) -> usize {
        self.take(2).iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
    }

    /// Returns true or false.
    pub fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    /// Returns the next `count` bytes, or as many as are left.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Runs a program on virtual time. Every error is a failure, including a deadlock.
pub fn run(main: impl Future<Output = Result<()>> + 'static) {
    let event_loop = EventLoop::builder().virtual_time(true).build().expect("a loop");
    event_loop.set_exception_handler(|_, context| {
        panic!("reported: {}: {:?}", context.message(), context.exception());
    });
    event_loop.run_until_complete(main).expect("the program ends");
    event_loop.close().expect("the loop is not running");
}

/// Waits for so many iterations of the loop.
pub async fn iterations(count: usize) -> Result<()> {
    for _ in 0..count {
        asyncio::sleep(Duration::ZERO).await?;
    }
    Ok(())
}

/// Polls a future outside any task, with a waker that does nothing.
pub fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Polls a future once, in the running task.
pub async fn poll_here<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Returns the number of open descriptors.
pub fn open_files() -> usize {
    std::fs::read_dir("/dev/fd").expect("a list of descriptors").count()
}
