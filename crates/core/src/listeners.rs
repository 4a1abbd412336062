//! [`Listeners`]: who is told when a future or task is done. Waiters and callbacks share one list,
//! and are told in the order in which they came.

use crate::{
    home::{Mail, Place, entered},
    slots::Key,
    wait::{Waiter, Wakers},
};
use std::{cell::Cell, fmt, mem, panic::Location};

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
    /// Its name in the table of its loop, for who knows that loop: see
    /// [`Wait::parked`](crate::wait::Wait::parked).
    #[inline]
    pub fn key(self) -> Key {
        self.key
    }

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
#[derive(Default)]
pub struct Listeners {
    next: Cell<u32>,
    /// Of the entry, if it is one.
    number: Cell<u32>,
    entries: Cell<Entries>,
}

/// Nearly all lists have one entry; it needs no allocation.
#[derive(Debug, Default)]
enum Entries {
    #[default]
    None,
    One(Listener),
    Many(Box<Many>),
}

#[derive(Debug, Default)]
struct Many {
    entries: Vec<(u32, Option<Listener>)>,
    gone: usize,
}

impl Many {
    fn find(&mut self, number: u32) -> Option<usize> {
        self.entries.binary_search_by_key(&number, |(number, _)| *number).ok()
    }

    fn remove(&mut self, number: u32) -> Option<Listener> {
        let place = self.find(number)?;
        let listener = self.entries[place].1.take()?;
        self.gone += 1;
        if self.gone * 2 > self.entries.len() {
            self.entries.retain(|(_, listener)| listener.is_some());
            self.gone = 0;
        }
        Some(listener)
    }
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries.take();
        let result = f.debug_tuple("Listeners").field(&entries).finish();
        self.entries.set(entries);
        result
    }
}

impl Listeners {
    /// An empty list.
    pub const fn new() -> Listeners {
        let (next, number) = (Cell::new(0), Cell::new(0));
        Listeners { next, number, entries: Cell::new(Entries::None) }
    }

    /// Adds one at the end.
    pub fn push(&self, listener: Listener) -> u32 {
        let number = self.next.get();
        self.next.set(number + 1);
        match self.entries.replace(Entries::One(listener)) {
            Entries::None => self.number.set(number),
            before => self.push_behind(before, number),
        }
        number
    }

    /// Puts what was there before in front of the one entry, which is number `number`.
    #[cold]
    fn push_behind(&self, before: Entries, number: u32) {
        let mut many = match before {
            Entries::None => Box::default(),
            Entries::One(first) => {
                Box::new(Many { entries: vec![(self.number.get(), Some(first))], gone: 0 })
            }
            Entries::Many(many) => many,
        };
        if let Entries::One(last) = self.entries.take() {
            many.entries.push((number, Some(last)));
        }
        self.entries.set(Entries::Many(many));
    }

    /// Puts `waiter` in the place of entry `number`, which is handed out, to be dropped without the
    /// list's lock.
    pub fn replace(&self, number: u32, waiter: Waiter) -> Option<Listener> {
        let (mut entries, waiter) = (self.entries.take(), Listener::Waiter(waiter));
        let replaced = match &mut entries {
            Entries::One(one) if self.number.get() == number => Some(mem::replace(one, waiter)),
            Entries::Many(many) => {
                many.find(number).and_then(|place| many.entries[place].1.replace(waiter))
            }
            _ => None,
        };
        self.entries.set(entries);
        replaced
    }

    /// Takes entry `number` out.
    pub fn remove(&self, number: u32) -> Option<Listener> {
        match self.entries.take() {
            Entries::One(one) if self.number.get() == number => Some(one),
            Entries::Many(mut many) => {
                let removed = many.remove(number);
                if !many.entries.is_empty() {
                    self.entries.set(Entries::Many(many));
                }
                removed
            }
            entries => {
                self.entries.set(entries);
                None
            }
        }
    }

    /// Tells everyone, in order, and empties the list.
    pub fn notify(&self, wakers: &mut Wakers) {
        loop {
            match self.entries.take() {
                Entries::None => return,
                Entries::One(one) => one.tell(wakers),
                Entries::Many(many) => {
                    many.entries.into_iter().filter_map(|(_, l)| l).for_each(|l| l.tell(wakers));
                }
            }
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
