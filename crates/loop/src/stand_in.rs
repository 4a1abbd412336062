//! A selector that knows no I/O, until the real one is here.

use asyncio_core::{Result, scheduler::Scheduler};
use std::{
    sync::Arc,
    thread::{self, Thread},
    time::Duration,
};

#[derive(Debug)]
pub(crate) struct Selector(Arc<Notifier>);

#[derive(Debug)]
pub(crate) struct Notifier(Thread);

impl Notifier {
    pub(crate) fn notify(&self) {
        self.0.unpark();
    }
}

impl Selector {
    pub(crate) fn new() -> Result<Selector> {
        Ok(Selector(Arc::new(Notifier(thread::current()))))
    }

    pub(crate) fn poll(&self, timeout: Option<Duration>, _: &Scheduler) -> Result<usize> {
        match timeout {
            None => thread::park(),
            Some(Duration::ZERO) => {}
            Some(timeout) => thread::park_timeout(timeout),
        }
        Ok(0)
    }

    pub(crate) fn notifier(&self) -> Arc<Notifier> {
        self.0.clone()
    }
}
