//! [`Crowd`]: waiters for the same event, which wakes all of them.

use crate::state::After;
use asyncio_core::{
    Error,
    wait::{Resume, Wait, Waiter},
    wait_site::WaitSite,
};
use std::{collections::BTreeMap, task::Context};

/// The waiters, in the order of their arrival.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    waiting: BTreeMap<u64, Waiter>,
    /// How many came so far.
    came: u64,
}

/// A leaf future's place in a crowd. It must be left when the leaf is dropped.
#[derive(Debug, Default)]
pub(crate) struct Place {
    pub(crate) wait: Wait,
    /// Arrival number.
    pub(crate) number: u64,
}

/// How the leaf in a place stands when it is polled.
#[must_use]
pub(crate) enum Turn {
    Pending,
    /// It was woken, or polled by another task than before: it is in the crowd no more.
    Look,
    Cancelled(Error),
}

impl Crowd {
    /// How many came so far.
    pub(crate) fn came(&self) -> u64 {
        self.came
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Suspends the leaf that polls. It then returns `Pending`.
    pub(crate) fn join(&mut self, place: &mut Place, cx: &Context<'_>, site: WaitSite) {
        place.wait.arm(cx, site, None);
        self.came += 1;
        place.number = self.came;
        self.waiting.extend(place.wait.waiter().map(|waiter| (place.number, waiter)));
    }

    /// How the leaf stands.
    pub(crate) fn poll(
        &mut self,
        place: &mut Place,
        cx: &Context<'_>,
        site: WaitSite,
        after: &mut After,
    ) -> Turn {
        let mut moved = None;
        let resume = place.wait.poll(cx, site, || None, |waiter| moved = Some(waiter));
        let turn = match resume {
            Resume::Pending if moved.is_none() => return Turn::Pending,
            Resume::Pending | Resume::Woken => Turn::Look,
            Resume::Cancelled { error, .. } => Turn::Cancelled(error),
        };
        after.drop_later(moved);
        self.leave(place, after);
        turn
    }

    /// Takes the leaf out, if it waits.
    pub(crate) fn leave(&mut self, place: &mut Place, after: &mut After) {
        place.wait.disarm();
        after.drop_later(self.waiting.remove(&place.number));
    }

    /// Wakes all waiters, in order.
    pub(crate) fn wake_all(&mut self, after: &mut After) {
        for (_, waiter) in std::mem::take(&mut self.waiting) {
            after.wake(waiter);
        }
    }
}
