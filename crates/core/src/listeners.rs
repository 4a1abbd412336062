//! [`Listeners`]: who is told when a future or task is done. Waiters and callbacks share one list,
//! and are told in the order in which they came.

use crate::{
    home::{LoopRef, Mail},
    slots::Key,
    wait::{Waiter, Wakers},
};

/// One who is told.
#[derive(Debug)]
pub enum Listener {
    /// A task or foreign future that awaits.
    Waiter(Waiter),
    /// A callback that is parked in its loop.
    Callback(Parked),
}

/// A callback that stands in the table of a loop until something makes it ready.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parked {
    pub(crate) home: LoopRef,
    pub(crate) key: Key,
}

impl Parked {
    /// Makes it ready, from any thread. Nothing happens if it ran, or its loop is closed.
    pub fn fire(self) {
        match self.home.local() {
            Some(scheduler) => scheduler.fire(self.key),
            None => drop(self.home.send(Mail::Fire(self.key))),
        }
    }

    /// Drops it without running it; false if it ran, or on another thread than its loop's.
    pub fn cancel(self) -> bool {
        self.home.local().is_some_and(|scheduler| scheduler.cancel(self.key))
    }
}

/// The list. Each entry is named by a number, which is never given twice.
#[derive(Debug, Default)]
pub struct Listeners {
    next: u32,
    /// Nearly all lists have one entry; it needs no allocation.
    first: Option<(u32, Listener)>,
    rest: Vec<(u32, Option<Listener>)>,
    gone: usize,
}

impl Listeners {
    /// An empty list.
    pub const fn new() -> Listeners {
        Listeners { next: 0, first: None, rest: Vec::new(), gone: 0 }
    }

    /// Adds one at the end.
    pub fn push(&mut self, listener: Listener) -> u32 {
        let number = self.next;
        self.next += 1;
        if self.first.is_none() && self.rest.is_empty() {
            self.first = Some((number, listener));
        } else {
            self.rest.push((number, Some(listener)));
        }
        number
    }

    fn find(&mut self, number: u32) -> Option<usize> {
        self.rest.binary_search_by_key(&number, |(number, _)| *number).ok()
    }

    /// Puts `waiter` in the place of entry `number`.
    pub fn replace(&mut self, number: u32, waiter: Waiter) {
        match &mut self.first {
            Some((first, listener)) if *first == number => *listener = Listener::Waiter(waiter),
            _ => {
                if let Some(place) = self.find(number) {
                    self.rest[place].1 = Some(Listener::Waiter(waiter));
                }
            }
        }
    }

    /// Takes entry `number` out.
    pub fn remove(&mut self, number: u32) -> Option<Listener> {
        if self.first.as_ref().is_some_and(|(first, _)| *first == number) {
            return self.first.take().map(|(_, listener)| listener);
        }
        let place = self.find(number)?;
        let listener = self.rest[place].1.take()?;
        self.gone += 1;
        if self.gone * 2 > self.rest.len() {
            self.rest.retain(|(_, listener)| listener.is_some());
            self.gone = 0;
        }
        Some(listener)
    }

    /// Tells everyone, in order, and empties the list.
    pub fn notify(&mut self, wakers: &mut Wakers) {
        self.gone = 0;
        let first = self.first.take().map(|(_, listener)| listener);
        let rest = std::mem::take(&mut self.rest);
        for listener in first.into_iter().chain(rest.into_iter().filter_map(|(_, l)| l)) {
            match listener {
                Listener::Waiter(waiter) => drop(waiter.wake(wakers)),
                Listener::Callback(callback) => callback.fire(),
            }
        }
    }
}
