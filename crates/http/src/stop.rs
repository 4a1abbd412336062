//! [`Stop`]: how a server tells its connections to end, and learns that they have.

use asyncio_locks::Event;
use std::sync::Arc;

/// Data that a server and its connections share.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    /// Set when connections are to be closed after their current request.
    pub(crate) begun: Event,
    /// Set when connections are to end immediately.
    pub(crate) forced: Event,
    /// Set when everything that was [alive](Alive) has ended.
    pub(crate) over: Event,
}

/// Held by everything that a server has to wait for: its connections and requests. Dropping the
/// last one reports that all have ended.
#[derive(Clone, Debug)]
pub(crate) struct Alive(Arc<Last>);

#[derive(Debug)]
struct Last(Arc<Stop>);

impl Alive {
    pub(crate) fn new(stop: Arc<Stop>) -> Alive {
        Alive(Arc::new(Last(stop)))
    }

    pub(crate) fn stop(&self) -> &Stop {
        &self.0.0
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        self.0.over.set();
    }
}
