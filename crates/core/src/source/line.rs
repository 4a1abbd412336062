//! [`Line`]: the waiters for one direction of a source, and whether it is ready. Its law is told in
//! the module above.

use crate::wait::{Waiter, Wakers};
use std::collections::VecDeque;

/// A waiter.
#[derive(Debug)]
struct Standing {
    number: u64,
    waiter: Waiter,
    /// Whether it was woken, and has neither left nor gone back to waiting.
    has_turn: bool,
}

/// The line of one direction. No borrow of it is held while a waiter is dropped: what is
/// taken out is returned.
///
/// Small until the first waiter: a source with a handler never has a line.
#[derive(Debug)]
pub(super) struct Line {
    ready: bool,
    standing: Option<Box<People>>,
}

#[derive(Debug, Default)]
struct People {
    /// The number of the next one.
    next: u64,
    /// Nearly every line has one. Empty only if `rest` is.
    first: Option<Standing>,
    rest: VecDeque<Standing>,
}

impl Line {
    /// An empty line. Its direction counts as ready until an operation finds otherwise.
    pub(super) const fn new() -> Line {
        Line { ready: true, standing: None }
    }

    /// The direction became ready, if this is so: then the turn is to be [passed on](Line::pass_on).
    #[inline]
    pub(super) fn become_ready(&mut self, ready: bool) {
        self.ready |= ready;
    }

    /// Whether it is empty.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.standing.as_ref().is_none_or(|people| people.first.is_none())
    }

    /// An operation found, or would find, that it blocks.
    pub(super) fn become_unready(&mut self) {
        self.ready = false;
    }

    /// Whether a new waiter has to wait.
    pub(super) fn must_wait(&self) -> bool {
        !self.ready || self.is_waited_for()
    }

    /// Whether there is a waiter. A cancelled one does not count, from the moment of the cancellation.
    pub(super) fn is_waited_for(&self) -> bool {
        self.everyone().any(|standing| standing.has_turn || standing.waiter.is_waiting())
    }

    /// Adds one at the end, and tells its number.
    pub(super) fn push(&mut self, waiter: Waiter) -> u64 {
        let people = self.standing.get_or_insert_default();
        let number = people.next;
        people.next += 1;
        let standing = Standing { number, waiter, has_turn: false };
        match people.first {
            None => people.first = Some(standing),
            Some(_) => people.rest.push_back(standing),
        }
        number
    }

    /// Puts `waiter` in the place of one that goes on waiting there. Returns the one that stood there.
    pub(super) fn replace(&mut self, number: u64, waiter: Waiter) -> Option<Waiter> {
        let people = self.standing.as_mut()?;
        let standing = match &mut people.first {
            Some(first) if first.number == number => first,
            _ => {
                let place = people.find(number)?;
                people.rest.get_mut(place)?
            }
        };
        standing.has_turn = false;
        Some(std::mem::replace(&mut standing.waiter, waiter))
    }

    /// Takes one out, wherever it stands.
    pub(super) fn remove(&mut self, number: u64) -> Option<Waiter> {
        let people = self.standing.as_mut()?;
        let gone = if people.first.as_ref().is_some_and(|first| first.number == number) {
            std::mem::replace(&mut people.first, people.rest.pop_front())
        } else {
            let place = people.find(number)?;
            people.rest.remove(place)
        };
        gone.map(|standing| standing.waiter)
    }

    /// Gives the turn to the first that still waits, if the direction is ready and the turn is free.
    pub(super) fn pass_on(&mut self, wakers: &mut Wakers) {
        if !self.ready || self.everyone().any(|standing| standing.has_turn) {
            return;
        }
        let Some(people) = &mut self.standing else { return };
        for standing in people.first.iter_mut().chain(&mut people.rest) {
            if standing.waiter.wake(wakers) {
                standing.has_turn = true;
                return;
            }
        }
    }

    /// Wakes all waiters: the source is gone.
    pub(super) fn wake_all(&mut self, wakers: &mut Wakers) {
        for standing in self.everyone() {
            standing.waiter.wake(wakers);
        }
    }

    fn everyone(&self) -> impl Iterator<Item = &Standing> {
        self.standing.iter().flat_map(|people| people.first.iter().chain(&people.rest))
    }
}

impl People {
    fn find(&self, number: u64) -> Option<usize> {
        self.rest.binary_search_by_key(&number, |standing| standing.number).ok()
    }
}
