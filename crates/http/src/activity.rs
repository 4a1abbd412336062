//! [`Activity`]: the phase of a connection, for its limits.
//!
//! ```text
//!           bytes come in              the head is complete
//!   IDLE ──────────────────► HEAD ─────────────────────────────► BUSY
//!    ▲ ▲                                                          │ ▲
//!    │ └───────────── the last response has been sent ────────────┘ │
//!    └──────────────────── the head is complete ────────────────────┘
//! ```
//!
//! With HTTP/2, bytes may arrive that begin no request, so there is no HEAD after the first
//! request.

use crate::{
    runtime::{lately, now},
    stop::{Alive, Stop},
};
use asyncio_core::raw::sync::Mutex;
use asyncio_streams::StreamFeeder;
use hyper::Version;
use std::{sync::Arc, time::Duration};

/// How long a connection may be in a phase. `None`: forever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) idle: Option<Duration>,
    pub(crate) head: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Phase {
    Idle,
    Head,
    Busy,
}

/// A connection as its server sees it, which waits until this is dropped.
#[derive(Debug)]
pub(crate) struct Activity {
    state: Mutex<State>,
    alive: Alive,
    /// Knows whether the client has ended the connection.
    incoming: StreamFeeder,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// The beginning of the phase, in the loop's time.
    since: Duration,
    /// The requests whose responses have not been sent.
    requests: usize,
    is_http2: bool,
    /// Whether the last request had a body.
    had_body: bool,
}

impl State {
    fn enter(&mut self, phase: Phase, now: Duration) {
        self.phase = phase;
        self.since = now;
    }
}

impl Activity {
    pub(crate) fn new(alive: Alive, incoming: StreamFeeder) -> Arc<Activity> {
        let (phase, since) = (Phase::Idle, now());
        let state = State { phase, since, requests: 0, is_http2: false, had_body: false };
        Arc::new(Activity { state: Mutex::new(state), alive, incoming })
    }

    pub(crate) fn stop(&self) -> &Stop {
        self.alive.stop()
    }

    /// Records that bytes have arrived.
    pub(crate) fn received(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Idle && !state.is_http2 {
            state.enter(Phase::Head, lately());
        }
    }

    /// Records that a request has arrived.
    pub(crate) fn begin(self: &Arc<Self>, version: Version, has_body: bool) -> InFlight {
        let mut state = self.state.lock();
        state.requests += 1;
        state.phase = Phase::Busy;
        state.is_http2 = version == Version::HTTP_2;
        state.had_body = has_body;
        InFlight(self.clone())
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.state.lock().is_http2
    }

    /// Whether more of a request body may arrive, which no handler reads any more.
    pub(crate) fn may_receive_a_body(&self) -> bool {
        let state = self.state.lock();
        state.had_body && !state.is_http2
    }

    /// Returns the time until a limit may pass, after which this is to be called again; `Err` if
    /// one has passed.
    pub(crate) fn rest(&self, limits: &Limits) -> Result<Option<Duration>, Phase> {
        let State { phase, since, .. } = *self.state.lock();
        // A phase that begins later may have the shorter limit.
        let shortest = limits.idle.into_iter().chain(limits.head).min();
        let limit = match phase {
            Phase::Idle => limits.idle,
            Phase::Head => limits.head,
            Phase::Busy => None,
        };
        let Some(limit) = limit else { return Ok(shortest) };
        match since.saturating_add(limit).saturating_sub(now()) {
            Duration::ZERO => Err(phase),
            rest => Ok(shortest.map(|shortest| shortest.min(rest))),
        }
    }
}

/// A request until its response has been sent.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Activity>);

impl InFlight {
    pub(crate) fn stop(&self) -> &Stop {
        self.0.stop()
    }

    /// Whether the client has disconnected, or at least sends nothing more.
    pub(crate) fn has_lost_its_client(&self) -> bool {
        self.0.incoming.has_ended()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.requests -= 1;
        if state.requests == 0 {
            state.enter(Phase::Idle, now());
        }
    }
}
