//! [`Life`]: the state of a server, and the waiters for its end. Any thread may ask.

use asyncio_core::{Error, Result, raw::sync::Mutex, wait_site::WaitSite};
use asyncio_future::Future;
use std::fmt;

/// See the picture at the top of [`server`](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has its sockets, and accepts nothing yet.
    Bound,
    /// Accepts.
    Serving,
    /// It no longer has sockets, but still has clients.
    Closed,
    /// It has neither.
    Over,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Bound => "bound",
            Stage::Serving => "serving",
            Stage::Closed | Stage::Over => "closed",
        })
    }
}

pub(super) struct Life(Mutex<State>);

struct State {
    stage: Stage,
    /// The task in `serve_forever`.
    forever: Option<Future<()>>,
    /// The waiters for its end.
    waiters: Vec<Future<()>>,
}

impl Life {
    pub(super) fn new() -> Life {
        Life(Mutex::new(State { stage: Stage::Bound, forever: None, waiters: Vec::new() }))
    }

    #[cfg(test)]
    pub(super) fn waiters(&self) -> usize {
        self.0.lock().waiters.len()
    }

    pub(super) fn stage(&self) -> Stage {
        self.0.lock().stage
    }

    pub(super) fn is_serving(&self) -> bool {
        self.stage() == Stage::Serving
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.stage(), Stage::Closed | Stage::Over)
    }

    /// Moves from bound to serving.
    pub(super) fn serve(&self) {
        let mut state = self.0.lock();
        if state.stage == Stage::Bound {
            state.stage = Stage::Serving;
        }
    }

    /// Moves to closed, which ends `serve_forever`.
    pub(super) fn close(&self) {
        let mut state = self.0.lock();
        if matches!(state.stage, Stage::Bound | Stage::Serving) {
            state.stage = Stage::Closed;
        }
        let forever = state.forever.take();
        drop(state);
        if let Some(forever) = forever {
            forever.cancel();
        }
    }

    /// Moves from closed to over, which ends every wait.
    pub(super) fn end(&self) {
        let mut state = self.0.lock();
        if state.stage != Stage::Closed {
            return;
        }
        state.stage = Stage::Over;
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        for waiter in waiters {
            // It may have been cancelled.
            let _ = waiter.set_result(());
        }
    }

    /// Returns a future that ends when the server is closed, for the one task that may serve
    /// forever.
    pub(super) fn begin_forever(&self, site: WaitSite) -> Result<Future<()>> {
        let mut state = self.0.lock();
        if matches!(state.stage, Stage::Closed | Stage::Over) {
            return Err(Error::runtime("the server is closed"));
        }
        if state.forever.is_some() {
            let text = "the server is already being awaited on serve_forever()";
            return Err(Error::runtime(text));
        }
        Ok(state.forever.insert(Future::of_operation(site, None)).clone())
    }

    /// Allows another task to serve forever.
    pub(super) fn end_forever(&self, forever: &Future<()>) {
        let mut state = self.0.lock();
        let ended = state.forever.take_if(|other| other.id() == forever.id());
        drop(state);
        drop(ended);
    }

    /// Returns a future that ends when the server is over; `None` if it already is.
    pub(super) fn wait(&self, site: WaitSite) -> Option<Future<()>> {
        let mut state = self.0.lock();
        if state.stage == Stage::Over {
            return None;
        }
        // Cancelled waiters left theirs behind.
        let (left, waiters) = state.waiters.drain(..).partition(Future::done);
        state.waiters = waiters;
        let waiter = Future::of_operation(site, None);
        state.waiters.push(waiter.clone());
        drop(state);
        drop::<Vec<_>>(left);
        Some(waiter)
    }
}
