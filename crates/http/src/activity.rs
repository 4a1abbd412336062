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
use asyncio_core::raw::nanos;
use asyncio_streams::StreamFeeder;
use hyper::Version;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

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
///
/// Only the loop's thread changes it, with plain loads and stores. They are atomic because a connection that was
/// upgraded may be read on another thread.
#[derive(Debug)]
pub(crate) struct Activity {
    /// The requests whose responses have not been sent.
    requests: AtomicUsize,
    /// Whether a head has begun since the last request.
    has_begun: AtomicBool,
    /// The beginning of the phase, in nanoseconds of the loop's time; unless the phase is BUSY.
    since: AtomicU64,
    is_http2: AtomicBool,
    /// Whether the last request had a body.
    had_body: AtomicBool,
    alive: Alive,
    /// Knows whether the client has ended the connection.
    incoming: StreamFeeder,
}

impl Activity {
    pub(crate) fn new(alive: Alive, incoming: StreamFeeder) -> Arc<Activity> {
        Arc::new(Activity {
            requests: AtomicUsize::new(0),
            has_begun: AtomicBool::new(false),
            since: AtomicU64::new(nanos(now())),
            is_http2: AtomicBool::new(false),
            had_body: AtomicBool::new(false),
            alive,
            incoming,
        })
    }

    pub(crate) fn stop(&self) -> &Stop {
        self.alive.stop()
    }

    fn phase(&self) -> Phase {
        match self.requests.load(Relaxed) {
            0 if self.has_begun.load(Relaxed) => Phase::Head,
            0 => Phase::Idle,
            _ => Phase::Busy,
        }
    }

    /// Records that bytes have arrived.
    pub(crate) fn received(&self) {
        if self.phase() == Phase::Idle && !self.is_http2() {
            self.has_begun.store(true, Relaxed);
            self.since.store(nanos(lately()), Relaxed);
        }
    }

    /// Records that a request has arrived.
    pub(crate) fn begin(self: &Arc<Self>, version: Version, has_body: bool) -> InFlight {
        self.requests.store(self.requests.load(Relaxed) + 1, Relaxed);
        self.has_begun.store(false, Relaxed);
        self.is_http2.store(version == Version::HTTP_2, Relaxed);
        self.had_body.store(has_body, Relaxed);
        InFlight(self.clone())
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.is_http2.load(Relaxed)
    }

    /// Whether more of a request body may arrive, which no handler reads any more.
    pub(crate) fn may_receive_a_body(&self) -> bool {
        self.had_body.load(Relaxed) && !self.is_http2()
    }

    /// Returns the time until a limit may pass, after which this is to be called again; `Err` if
    /// one has passed.
    pub(crate) fn rest(&self, limits: &Limits) -> Result<Option<Duration>, Phase> {
        let phase = self.phase();
        // A phase that begins later may have the shorter limit.
        let shortest = limits.idle.into_iter().chain(limits.head).min();
        let limit = match phase {
            Phase::Idle => limits.idle,
            Phase::Head => limits.head,
            Phase::Busy => None,
        };
        let Some(limit) = limit else { return Ok(shortest) };
        let since = Duration::from_nanos(self.since.load(Relaxed));
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
        let rest = self.0.requests.load(Relaxed) - 1;
        self.0.requests.store(rest, Relaxed);
        if rest == 0 {
            self.0.since.store(nanos(now()), Relaxed);
        }
    }
}
