//! [`Listeners`]: who is told when a future or task is done. Waiters and callbacks share one list,
//! and are told in the order in which they came.

use crate::{
    home::{Mail, Place, entered},
    slots::Key,
    wait::{Waiter, Wakers},
};
use std::panic::Location;

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
    pub(crate) place: Place,
    pub(crate) key: Key,
}

impl Parked {
    /// Makes it ready, from any thread. Nothing happens if it ran, or its loop is closed.
    pub fn fire(self) {
        match self.place.local() {
            Some(scheduler) => scheduler.fire(self.key),
            None => drop(self.place.send(Mail::Fire(self.key))),
        }
    }

    /// Drops it without running it; false if it ran, or on another thread than its loop's.
    pub fn cancel(self) -> bool {
        self.place.local().is_some_and(|scheduler| scheduler.cancel(self.key))
    }

    /// Puts another sleeper in the place of the one that this timer wakes; if it has fired, that one
    /// is woken at once. False if another loop runs here than the timer's.
    pub fn replace_waiter(self, waiter: Waiter, location: &'static Location<'static>) -> bool {
        let Some(scheduler) = entered() else { return false };
        let is_ours = scheduler.home().is_some_and(|home| home.place() == self.place);
        if is_ours {
            scheduler.replace_waiter(self.key, waiter, location);
        }
        is_ours
    }
}

/// The list. Each entry is named by a number, which is never given twice.
#[derive(Debug, Default)]
pub struct Listeners {
    next: u32,
    number: u32,
    /// Entry `number`. Nearly all lists have one entry; it needs no allocation.
    first: Option<Listener>,
    rest: Option<Box<Rest>>,
}

#[derive(Debug, Default)]
struct Rest {
    entries: Vec<(u32, Option<Listener>)>,
    gone: usize,
}

impl Rest {
    fn find(&mut self, number: u32) -> Option<usize> {
        self.entries.binary_search_by_key(&number, |(number, _)| *number).ok()
    }
}

impl Listeners {
    /// An empty list.
    pub const fn new() -> Listeners {
        Listeners { next: 0, number: 0, first: None, rest: None }
    }

    /// Adds one at the end.
    pub fn push(&mut self, listener: Listener) -> u32 {
        let number = self.next;
        self.next += 1;
        if self.first.is_none() && self.rest.is_none() {
            self.number = number;
            self.first = Some(listener);
        } else {
            self.rest.get_or_insert_default().entries.push((number, Some(listener)));
        }
        number
    }

    /// Puts `waiter` in the place of entry `number`, which is handed out, to be dropped without the
    /// list's lock.
    pub fn replace(&mut self, number: u32, waiter: Waiter) -> Option<Listener> {
        let place = match (&mut self.first, &mut self.rest) {
            (first @ Some(_), _) if self.number == number => Some(first),
            (_, Some(rest)) => rest.find(number).map(|place| &mut rest.entries[place].1),
            _ => None,
        };
        place?.replace(Listener::Waiter(waiter))
    }

    /// Takes entry `number` out.
    pub fn remove(&mut self, number: u32) -> Option<Listener> {
        if self.number == number && self.first.is_some() {
            return self.first.take();
        }
        let rest = self.rest.as_mut()?;
        let place = rest.find(number)?;
        let listener = rest.entries[place].1.take()?;
        rest.gone += 1;
        if rest.gone * 2 > rest.entries.len() {
            rest.entries.retain(|(_, listener)| listener.is_some());
            rest.gone = 0;
        }
        if rest.entries.is_empty() {
            self.rest = None;
        }
        Some(listener)
    }

    /// Tells everyone, in order, and empties the list.
    pub fn notify(&mut self, wakers: &mut Wakers) {
        if let Some(first) = self.first.take() {
            first.tell(wakers);
        }
        if let Some(rest) = self.rest.take() {
            rest.entries.into_iter().filter_map(|(_, l)| l).for_each(|l| l.tell(wakers));
        }
    }
}

impl Listener {
    fn tell(self, wakers: &mut Wakers) {
        match self {
            Listener::Waiter(waiter) => _ = waiter.wake(wakers),
            Listener::Callback(callback) => callback.fire(),
        }
    }
}
