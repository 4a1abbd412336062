//! [`Stop`]: how a server tells its connections to end, and learns that they have.

use asyncio_locks::Event;
use std::sync::Arc;

/// What a server and its connections share.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    /// From now on requests are answered, and then their connection is closed.
    pub(crate) begun: Event,
    /// From now on connections end as they are.
    pub(crate) forced: Event,
    /// Everything that was [alive](Alive) is over.
    pub(crate) over: Event,
}

/// Held by whatever a server has to wait for: its connections and requests. The last one that is
/// dropped says that all is over.
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
