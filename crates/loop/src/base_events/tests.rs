//! Tests of a loop, named by situation.

use crate::{EventLoop, get_event_loop, get_running_loop, new_event_loop, set_event_loop};
use asyncio_core::{
    Error, KeyboardInterrupt, Result,
    context::{Context, ContextVar},
};
use std::{cell::RefCell, rc::Rc, time::Duration};

const MS: Duration = Duration::from_millis(1);

/// A loop with a virtual clock.
fn virtual_loop() -> EventLoop {
    EventLoop::builder().virtual_time(true).build().unwrap()
}

/// A list in which callbacks record that they ran.
#[derive(Clone, Default)]
struct Trace(Rc<RefCell<Vec<String>>>);

impl Trace {
    fn note(&self, what: &str) -> impl FnOnce() + use<> {
        let (trace, what) = (self.clone(), what.to_owned());
        move || trace.say(&what)
    }

    fn say(&self, what: &str) {
        self.0.borrow_mut().push(what.to_owned());
    }

    fn take(&self) -> String {
        self.0.take().join(" ")
    }
}

fn message<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => "no error".to_owned(),
        Err(error) => format!("{}: {error}", error.kind()),
    }
}

mod life;
mod metrics;
mod order;
mod threads;
