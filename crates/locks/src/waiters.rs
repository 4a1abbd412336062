//! [`WaitQueue`]: the waiters of a primitive, in order; and [`QueuedWait`], a leaf future's place in it.
//!
//! Every lock and queue is a piece of plain state and one or two queues under one mutex. Each waiter
//! joins a queue, and is woken from it under that mutex. This module is public for primitives
//! outside this crate, such as the queues.
//!
//! A waiter *leaves* when its leaf runs again or is dropped, not when it is woken or cancelled.
//! Until then it stays in the queue as woken or cancelled, and does not count as waiting. A leaf
//! that leaves without using its wake-up passes it on.

use asyncio_core::{
    Error,
    wait::{Resume, Wait, Waiter, Wakers},
    wait_site::WaitSite,
};
use std::task::Context;

const NONE: u32 = u32::MAX;

/// The waiters of a primitive, first come first served.
///
/// Joining, leaving and waking take constant time: the queue is linked through the slots of a vector.
/// If waiters want different things, each joins with a `T` that says what it wants.
#[derive(Debug)]
pub struct WaitQueue<T = ()> {
    slots: Vec<Slot<T>>,
    /// The first of the vacant slots, which are linked by `next`.
    vacant: u32,
    first: u32,
    last: u32,
    /// The first waiter that may still wait: all before it are woken or cancelled.
    next_waiting: u32,
    len: usize,
}

#[derive(Debug)]
struct Slot<T> {
    waiter: Option<Waiter>,
    wants: T,
    previous: u32,
    next: u32,
}

/// Work that is left until the primitive's mutex is free again: calling the wakers of foreign
/// executors, and dropping waiters. Both can run any code, so **declare it before the guard**.
#[derive(Debug, Default)]
pub struct Deferred {
    wakers: Wakers,
    spent: [Option<Waiter>; 2],
}

impl Deferred {
    /// Creates an empty list, at no cost.
    pub const fn new() -> Deferred {
        Deferred { wakers: Wakers::new(), spent: [None, None] }
    }

    fn keep(&mut self, waiter: Option<Waiter>) {
        let [first, second] = &mut self.spent;
        *(if first.is_none() { first } else { second }) = waiter;
    }
}

/// A leaf future's place in a queue. A leaf that has joined must leave under the primitive's mutex:
/// see [`WaitQueue::leave`].
#[derive(Debug)]
pub struct QueuedWait {
    wait: Wait,
    slot: u32,
}

impl Default for QueuedWait {
    fn default() -> QueuedWait {
        QueuedWait::new()
    }
}

impl QueuedWait {
    /// Creates a place outside any queue.
    pub const fn new() -> QueuedWait {
        QueuedWait { wait: Wait::new(), slot: NONE }
    }

    /// Returns whether the leaf is in a queue.
    pub fn is_taken(&self) -> bool {
        self.slot != NONE
    }
}

/// The state of a leaf in a queue when it is polled.
#[derive(Debug)]
#[must_use]
pub enum Polled {
    /// It still waits.
    Pending,
    /// It still waits, in another task than before. It may have been skipped while it was cancelled
    /// in the other task: check whether another waiter can be woken.
    Moved,
    /// It was woken, and has left the queue.
    Woken,
    /// It was cancelled, and has left the queue.
    Cancelled {
        /// What the leaf returns.
        error: Error,
        /// Whether it was woken as well, and has to pass that on.
        woken: bool,
    },
}

impl<T> Default for WaitQueue<T> {
    fn default() -> WaitQueue<T> {
        WaitQueue::new()
    }
}

impl WaitQueue {
    /// Suspends the polling leaf at the end of the queue. The leaf then returns `Pending`.
    pub fn join(&mut self, place: &mut QueuedWait, cx: &Context<'_>, site: WaitSite) {
        self.join_for((), place, cx, site);
    }
}

impl<T> WaitQueue<T> {
    /// Creates an empty queue.
    pub const fn new() -> WaitQueue<T> {
        WaitQueue {
            slots: Vec::new(),
            vacant: NONE,
            first: NONE,
            last: NONE,
            next_waiting: NONE,
            len: 0,
        }
    }

    /// Returns whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the length of the queue, including woken and cancelled waiters.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the address of [`len`](WaitQueue::len), for readers outside the process.
    pub fn length_address(&self) -> usize {
        (&raw const self.len).addr()
    }

    /// Returns whether it has a waiter that is not cancelled.
    pub fn has_claims(&self) -> bool {
        let mut at = self.first;
        while let Some(slot) = self.slots.get(at as usize) {
            if slot.waiter.as_ref().is_some_and(|waiter| !waiter.is_cancelled()) {
                return true;
            }
            at = slot.next;
        }
        false
    }

    /// Returns whether it has a waiter that was neither woken nor cancelled.
    pub fn has_waiting(&mut self) -> bool {
        self.first_waiting().is_some()
    }

    /// The first waiter that was neither woken nor cancelled.
    fn first_waiting(&mut self) -> Option<&Slot<T>> {
        while let Some(slot) = self.slots.get(self.next_waiting as usize) {
            if slot.waiter.as_ref().is_some_and(Waiter::is_waiting) {
                break;
            }
            self.next_waiting = slot.next;
        }
        self.slots.get(self.next_waiting as usize)
    }

    /// Suspends the polling leaf at the end of the queue, and notes what it wants. The leaf then
    /// returns `Pending`.
    pub fn join_for(&mut self, wants: T, place: &mut QueuedWait, cx: &Context<'_>, site: WaitSite) {
        debug_assert!(!place.is_taken(), "a leaf waits in one queue at a time");
        place.wait.arm(cx, site, None);
        let slot = Slot { waiter: place.wait.waiter(), wants, previous: self.last, next: NONE };
        let at = self.vacant;
        let at = if let Some(vacant) = self.slots.get_mut(at as usize) {
            self.vacant = vacant.next;
            *vacant = slot;
            at
        } else {
            let at = u32::try_from(self.slots.len()).unwrap_or(NONE);
            assert!(at != NONE, "too many waiters");
            self.slots.push(slot);
            at
        };
        match self.slots.get_mut(self.last as usize) {
            Some(last) => last.next = at,
            None => self.first = at,
        }
        self.last = at;
        if self.next_waiting == NONE {
            self.next_waiting = at;
        }
        self.len += 1;
        place.slot = at;
    }

    /// Returns the state of the leaf in `place`.
    pub fn poll(
        &mut self,
        place: &mut QueuedWait,
        cx: &Context<'_>,
        site: WaitSite,
        after: &mut Deferred,
    ) -> Polled {
        let slot = &mut self.slots[place.slot as usize];
        // The leaf's own end does not know it if the leaf was moved away from its task.
        let was_woken = slot.waiter.as_ref().is_some_and(Waiter::is_woken);
        let mut moved = None;
        match place.wait.poll(cx, site, || None, |waiter| moved = Some(waiter)) {
            Resume::Pending => match moved {
                None => Polled::Pending,
                Some(waiter) => {
                    after.keep(slot.waiter.replace(waiter));
                    if was_woken {
                        self.leave(place, after);
                        return Polled::Woken;
                    }
                    self.next_waiting = self.first;
                    Polled::Moved
                }
            },
            Resume::Woken => {
                self.leave(place, after);
                Polled::Woken
            }
            Resume::Cancelled { error, woken } => {
                self.leave(place, after);
                Polled::Cancelled { error, woken: woken || was_woken }
            }
        }
    }

    /// Returns whether the leaf was woken and has not run since.
    pub fn is_woken(&self, place: &QueuedWait) -> bool {
        let waiter = self.slots.get(place.slot as usize).and_then(|slot| slot.waiter.as_ref());
        waiter.is_some_and(Waiter::is_woken)
    }

    /// Takes the leaf out of the queue, if it is there. Returns whether it was woken and has not run
    /// since: then the wake-up must be passed on.
    pub fn leave(&mut self, place: &mut QueuedWait, after: &mut Deferred) -> bool {
        let at = std::mem::replace(&mut place.slot, NONE);
        let Some(slot) = self.slots.get_mut(at as usize) else { return false };
        let waiter = slot.waiter.take();
        let (previous, next) = (slot.previous, slot.next);
        slot.next = self.vacant;
        self.vacant = at;
        match self.slots.get_mut(previous as usize) {
            Some(slot) => slot.next = next,
            None => self.first = next,
        }
        match self.slots.get_mut(next as usize) {
            Some(slot) => slot.previous = previous,
            None => self.last = previous,
        }
        if self.next_waiting == at {
            self.next_waiting = next;
        }
        self.len -= 1;
        let woken = waiter.as_ref().is_some_and(Waiter::is_woken);
        after.keep(waiter);
        place.wait.disarm();
        woken
    }

    /// Wakes the first in the queue, if it is waiting, and no other.
    pub fn wake_first(&mut self, after: &mut Deferred) -> bool {
        let first = self.slots.get(self.first as usize).and_then(|slot| slot.waiter.as_ref());
        first.is_some_and(|waiter| waiter.wake(&mut after.wakers))
    }

    /// Wakes the first waiter.
    pub fn wake_next(&mut self, after: &mut Deferred) -> bool {
        while let Some(slot) = self.slots.get(self.next_waiting as usize) {
            self.next_waiting = slot.next;
            if slot.waiter.as_ref().is_some_and(|waiter| waiter.wake(&mut after.wakers)) {
                return true;
            }
        }
        false
    }

    /// Wakes the first waiter if `can_have` accepts what it wants, and returns that.
    pub fn wake_next_if(
        &mut self,
        can_have: impl Fn(&T) -> bool,
        after: &mut Deferred,
    ) -> Option<&T> {
        loop {
            if !can_have(&self.first_waiting()?.wants) {
                return None;
            }
            // A cancellation from another thread may come first; then the next waiter is tried.
            let first = self.next_waiting as usize;
            let waiter = self.slots[first].waiter.as_ref();
            if waiter.is_some_and(|waiter| waiter.wake(&mut after.wakers)) {
                return Some(&self.slots[first].wants);
            }
        }
    }

    /// Wakes all waiters, in order.
    pub fn wake_all(&mut self, after: &mut Deferred) {
        while self.wake_next(after) {}
    }
}

#[cfg(test)]
mod tests;
