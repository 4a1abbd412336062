//! [`Outstanding`]: work that will come back to a loop from outside, until it is dropped.

use crate::home::{LoopRef, Message};

/// Work that will come back to a loop from outside. Dropping it, on any thread, ends what
/// [`Run::add_outstanding`](crate::scheduler::Run::add_outstanding) began.
#[derive(Debug)]
#[must_use]
pub struct Outstanding(LoopRef);

impl Outstanding {
    /// Counts it, on the thread of the loop.
    pub fn begin(home: LoopRef) -> Outstanding {
        home.with(|scheduler| scheduler.run.add_outstanding());
        Outstanding(home)
    }

    /// Returns the loop to which it comes back.
    pub fn home(&self) -> LoopRef {
        self.0
    }
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        let home = self.0;
        let end = move || _ = home.with(|scheduler| scheduler.run.sub_outstanding());
        // By a message, behind the result. A closed loop counts nothing.
        let _ = home.send(Message::Quiet(Box::new(end)));
    }
}
