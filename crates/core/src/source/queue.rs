//! [`IoQueue`]: the waiters for one direction of a source, and whether it is ready. See its rules in
//! the parent module.

use crate::wait::{Waiter, Wakers};
use std::collections::VecDeque;

/// A waiter.
#[derive(Debug)]
struct Queued {
    number: u64,
    waiter: Waiter,
    /// Whether it was woken, and has neither left the queue nor gone back to waiting.
    is_woken: bool,
}

/// The queue of one direction. It is not borrowed while a waiter is dropped: removed waiters are
/// returned.
///
/// Small until the first waiter: a source with a handler never has a waiter.
#[derive(Debug)]
pub(super) struct IoQueue {
    ready: bool,
    waiters: Option<Box<Waiters>>,
}

#[derive(Debug, Default)]
struct Waiters {
    /// The number of the next waiter.
    next: u64,
    /// Nearly every queue has at most one waiter. Empty only if `rest` is.
    first: Option<Queued>,
    rest: VecDeque<Queued>,
}

impl IoQueue {
    /// An empty queue. Its direction counts as ready until an operation finds otherwise.
    pub(super) const fn new() -> IoQueue {
        IoQueue { ready: true, waiters: None }
    }

    /// Marks the direction as ready if `ready`; a waiter must then be [woken](IoQueue::wake_next).
    #[inline]
    pub(super) fn become_ready(&mut self, ready: bool) {
        self.ready |= ready;
    }

    /// Whether it is empty.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.waiters.as_ref().is_none_or(|waiters| waiters.first.is_none())
    }

    /// Marks the direction as unready: an operation blocked, or would block.
    pub(super) fn become_unready(&mut self) {
        self.ready = false;
    }

    /// Whether a new waiter has to wait.
    pub(super) fn must_wait(&self) -> bool {
        !self.ready || self.is_waited_for()
    }

    /// Whether there is a waiter. A cancelled one does not count, from the moment of the cancellation.
    pub(super) fn is_waited_for(&self) -> bool {
        self.all().any(|queued| queued.is_woken || queued.waiter.is_waiting())
    }

    /// Adds one at the end, and returns its number.
    pub(super) fn push(&mut self, waiter: Waiter) -> u64 {
        let waiters = self.waiters.get_or_insert_default();
        let number = waiters.next;
        waiters.next += 1;
        let queued = Queued { number, waiter, is_woken: false };
        match waiters.first {
            None => waiters.first = Some(queued),
            Some(_) => waiters.rest.push_back(queued),
        }
        number
    }

    /// Replaces a waiter that keeps its place by `waiter`, and returns the old one.
    pub(super) fn replace(&mut self, number: u64, waiter: Waiter) -> Option<Waiter> {
        let waiters = self.waiters.as_mut()?;
        let queued = match &mut waiters.first {
            Some(first) if first.number == number => first,
            _ => {
                let place = waiters.find(number)?;
                waiters.rest.get_mut(place)?
            }
        };
        queued.is_woken = false;
        Some(std::mem::replace(&mut queued.waiter, waiter))
    }

    /// Removes a waiter from any place.
    pub(super) fn remove(&mut self, number: u64) -> Option<Waiter> {
        let waiters = self.waiters.as_mut()?;
        let gone = if waiters.first.as_ref().is_some_and(|first| first.number == number) {
            std::mem::replace(&mut waiters.first, waiters.rest.pop_front())
        } else {
            let place = waiters.find(number)?;
            waiters.rest.remove(place)
        };
        gone.map(|queued| queued.waiter)
    }

    /// Wakes the first that still waits, if the direction is ready and no other has been woken.
    pub(super) fn wake_next(&mut self, wakers: &mut Wakers) {
        if !self.ready || self.all().any(|queued| queued.is_woken) {
            return;
        }
        let Some(waiters) = &mut self.waiters else { return };
        for queued in waiters.first.iter_mut().chain(&mut waiters.rest) {
            if queued.waiter.wake(wakers) {
                queued.is_woken = true;
                return;
            }
        }
    }

    /// Wakes all waiters, because the source is gone.
    pub(super) fn wake_all(&mut self, wakers: &mut Wakers) {
        for queued in self.all() {
            queued.waiter.wake(wakers);
        }
    }

    fn all(&self) -> impl Iterator<Item = &Queued> {
        self.waiters.iter().flat_map(|waiters| waiters.first.iter().chain(&waiters.rest))
    }
}

impl Waiters {
    fn find(&self, number: u64) -> Option<usize> {
        self.rest.binary_search_by_key(&number, |queued| queued.number).ok()
    }
}
