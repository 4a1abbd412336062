//! [`Listeners`]: the waiters and callbacks that are notified when a future or task is done. They share
//! one list, and are notified in order.

use crate::{
    home::{HomeRef, Message, entered},
    slots::Key,
    task::reference::Lent,
    wait::{Kind, OtherWait, Waiter, Wakers},
};
use std::{cell::Cell, fmt, panic::Location, sync::Arc};

/// A listener.
#[derive(Debug)]
pub enum Listener {
    /// A task or foreign future that awaits.
    Waiter(Waiter),
    /// A callback that is parked in its loop.
    Callback(CallbackRef),
}

/// A callback in the table of a loop, until something makes it ready.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallbackRef {
    pub(crate) place: HomeRef,
    pub(crate) key: Key,
}

impl CallbackRef {
    /// Returns its key in the table of its loop, for callers that know that loop: see
    /// [`Wait::parked`](crate::wait::Wait::parked).
    #[inline]
    pub fn key(self) -> Key {
        self.key
    }

    /// Makes it ready, from any thread. Nothing happens if it already ran, or its loop is closed.
    pub fn fire(self) {
        match self.place.local() {
            Some(scheduler) => scheduler.fire(self.key),
            None => drop(self.place.send(Message::Fire(self.key))),
        }
    }

    /// Drops it without running it; returns false if it already ran, or on another thread than its
    /// loop's.
    pub fn cancel(self) -> bool {
        self.place.local().is_some_and(|scheduler| scheduler.cancel(self.key))
    }

    /// Replaces the waiter that this timer wakes; if the timer has fired, the new one is woken
    /// immediately. Returns false if another loop runs here than the timer's.
    pub fn replace_waiter(self, waiter: Waiter, location: &'static Location<'static>) -> bool {
        let Some(scheduler) = entered() else { return false };
        let is_ours = scheduler.home().is_some_and(|home| home.place() == self.place);
        if is_ours {
            scheduler.replace_waiter(self.key, waiter, location);
        }
        is_ours
    }
}

/// The list. Each entry has a number, which is never reused.
#[derive(Debug, Default)]
pub struct Listeners {
    /// The loop in which the first callback was parked: callbacks of this loop need no box.
    place: Cell<Option<HomeRef>>,
    list: List,
}

impl Listeners {
    /// Creates an empty list.
    pub const fn new() -> Listeners {
        Listeners { place: Cell::new(None), list: List::new() }
    }

    /// Adds a listener at the end.
    pub fn push(&self, listener: Listener) -> u32 {
        if let (Listener::Callback(callback), None) = (&listener, self.place.get()) {
            self.place.set(Some(callback.place));
        }
        self.list.push(listener, self.place.get())
    }

    /// Replaces entry `number` by `waiter`, and returns the old entry, to be dropped without the
    /// list's lock.
    pub fn replace(&self, number: u32, waiter: Waiter) -> Option<Listener> {
        self.list.replace(number, waiter, self.place.get())
    }

    /// Takes entry `number` out.
    pub fn remove(&self, number: u32) -> Option<Listener> {
        self.list.remove(number, self.place.get())
    }

    /// Notifies all listeners, in order, and empties the list.
    pub fn notify(&self, wakers: &mut Wakers) {
        self.list.notify(self.place.get(), wakers);
    }
}

/// The list in two words, for an owner that knows where its callbacks are parked: `place` never
/// changes once it is set. A callback that is parked elsewhere needs a box.
#[derive(Default)]
pub(crate) struct List(Cell<Entries>);

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<List>() == 16);

/// Nearly all lists have one entry, which needs no allocation. A single entry has a small number;
/// when those are used up, the list keeps its box.
#[derive(Debug)]
enum Entries {
    None { next: u16 },
    Waiter { number: u16, wait: u32, task: Lent },
    OtherWaiter { number: u16, wait: Arc<OtherWait> },
    Callback { number: u16, key: Key },
    Many(Box<Many>),
}

impl Default for Entries {
    #[inline]
    fn default() -> Entries {
        Entries::None { next: 0 }
    }
}

impl Entries {
    #[inline]
    fn of_waiter(number: u16, waiter: Waiter) -> Entries {
        match waiter.0 {
            Kind::First { task, number: wait } => Entries::Waiter { number, wait, task },
            Kind::Other(wait) => Entries::OtherWaiter { number, wait },
        }
    }

    /// The number of the one entry.
    #[inline]
    fn number(&self) -> Option<u16> {
        match *self {
            Entries::None { .. } | Entries::Many(_) => None,
            Entries::Waiter { number, .. }
            | Entries::OtherWaiter { number, .. }
            | Entries::Callback { number, .. } => Some(number),
        }
    }

    fn is(&self, number: u32) -> bool {
        self.number().is_some_and(|one| u32::from(one) == number)
    }

    /// The one entry.
    #[inline]
    fn one(self, place: Option<HomeRef>) -> Option<Listener> {
        Some(match self {
            Entries::None { .. } | Entries::Many(_) => return None,
            Entries::Waiter { wait: number, task, .. } => {
                Listener::Waiter(Waiter(Kind::First { task, number }))
            }
            Entries::OtherWaiter { wait, .. } => Listener::Waiter(Waiter(Kind::Other(wait))),
            Entries::Callback { key, .. } => Listener::Callback(CallbackRef { place: place?, key }),
        })
    }

    #[cold]
    fn into_many(self, place: Option<HomeRef>) -> Box<Many> {
        match self {
            Entries::Many(many) => many,
            Entries::None { next } => Box::new(Many { next: next.into(), ..Many::default() }),
            one => {
                let number = one.number().map_or(0, u32::from);
                let entries = vec![(number, one.one(place))];
                Box::new(Many { next: number + 1, entries, gone: 0 })
            }
        }
    }
}

#[derive(Debug, Default)]
struct Many {
    next: u32,
    entries: Vec<(u32, Option<Listener>)>,
    gone: usize,
}

impl Many {
    fn push(&mut self, listener: Listener) -> u32 {
        let number = self.next;
        self.next += 1;
        self.entries.push((number, Some(listener)));
        number
    }

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

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.0.take();
        let result = entries.fmt(f);
        self.0.set(entries);
        result
    }
}

impl List {
    pub(crate) const fn new() -> List {
        List(Cell::new(Entries::None { next: 0 }))
    }

    #[inline]
    pub(crate) fn push(&self, listener: Listener, place: Option<HomeRef>) -> u32 {
        let (number, entries) = match (self.0.take(), listener) {
            (Entries::None { next: number }, Listener::Waiter(waiter)) if number < u16::MAX => {
                (number, Entries::of_waiter(number, waiter))
            }
            (
                Entries::None { next: number },
                Listener::Callback(CallbackRef { place: parked, key }),
            ) if number < u16::MAX && place == Some(parked) => {
                (number, Entries::Callback { number, key })
            }
            (before, listener) => return self.push_behind(before, listener, place),
        };
        self.0.set(entries);
        number.into()
    }

    #[cold]
    fn push_behind(&self, before: Entries, listener: Listener, place: Option<HomeRef>) -> u32 {
        let mut many = before.into_many(place);
        let number = many.push(listener);
        self.0.set(Entries::Many(many));
        number
    }

    pub(crate) fn replace(
        &self,
        number: u32,
        waiter: Waiter,
        place: Option<HomeRef>,
    ) -> Option<Listener> {
        let (entries, replaced) = match self.0.take() {
            Entries::Many(mut many) => {
                let found = many.find(number);
                let replaced = found.and_then(|found| many.entries[found].1.replace(waiter.into()));
                (Entries::Many(many), replaced)
            }
            one if one.is(number) => {
                let waiting = one.number().map(|number| Entries::of_waiter(number, waiter));
                (waiting.unwrap_or_default(), one.one(place))
            }
            others => (others, None),
        };
        self.0.set(entries);
        replaced
    }

    pub(crate) fn remove(&self, number: u32, place: Option<HomeRef>) -> Option<Listener> {
        let (entries, removed) = match self.0.take() {
            Entries::Many(mut many) => {
                let removed = many.remove(number);
                match u16::try_from(many.next) {
                    Ok(next) if many.entries.is_empty() => (Entries::None { next }, removed),
                    _ => (Entries::Many(many), removed),
                }
            }
            one if one.is(number) => {
                let next = one.number().map_or(0, |number| number + 1);
                (Entries::None { next }, one.one(place))
            }
            others => (others, None),
        };
        self.0.set(entries);
        removed
    }

    /// Notifies all listeners, in order, and empties the list, whose owner is done.
    pub(crate) fn notify(&self, place: Option<HomeRef>, wakers: &mut Wakers) {
        loop {
            match self.0.take() {
                Entries::None { .. } => return,
                Entries::Many(many) => {
                    many.entries.into_iter().filter_map(|(_, l)| l).for_each(|l| l.tell(wakers));
                }
                one => _ = one.one(place).map(|one| one.tell(wakers)),
            }
        }
    }
}

impl From<Waiter> for Listener {
    fn from(waiter: Waiter) -> Listener {
        Listener::Waiter(waiter)
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{
        home::{LoopRef, test_remote::TestRemote},
        wait::Wait,
        wait_site::WaitSite,
    };
    use std::task::{Context, Waker};

    fn parked(place: HomeRef, key: u64) -> CallbackRef {
        CallbackRef { place, key: Key::from_bits(key) }
    }

    /// A loop's place, and one of another loop.
    fn places() -> (HomeRef, HomeRef) {
        let open = LoopRef::open(true, || Box::new(TestRemote));
        let places = (open.place(), LoopRef::nowhere().place());
        open.local().unwrap().close().unwrap();
        places
    }

    fn waiting() -> (Wait, Waiter) {
        let mut wait = Wait::new();
        wait.arm(&Context::from_waker(Waker::noop()), WaitSite::here(&"test"), None);
        let waiter = wait.waiter().unwrap();
        (wait, waiter)
    }

    #[test]
    fn what_comes_out_is_what_was_put_in_wherever_it_is_parked() {
        let (here, there) = places();
        for list in [Some(here), None] {
            for callback in [parked(here, 7), parked(there, 7)] {
                let listeners = List::new();
                let number = listeners.push(Listener::Callback(callback), list);
                assert!(listeners.remove(number + 1, list).is_none());
                let out = listeners.remove(number, list);
                assert!(matches!(out, Some(Listener::Callback(same)) if same == callback));
                assert!(listeners.remove(number, list).is_none());
            }
        }
    }

    #[test]
    fn a_number_is_not_given_twice_however_many_there_were() {
        let (here, _) = places();
        let listeners = Listeners::new();
        for expected in 0..=u32::from(u16::MAX) + 2 {
            let number = listeners.push(Listener::Callback(parked(here, 7)));
            assert_eq!(number, expected);
            if expected > 0 {
                assert!(listeners.remove(expected - 1).is_none());
            }
            assert!(listeners.remove(number).is_some());
        }
        let listeners = Listeners::new();
        let all: Vec<u32> =
            (7..10).map(|key| listeners.push(Listener::Callback(parked(here, key)))).collect();
        assert!(all.iter().all(|number| listeners.remove(*number).is_some()));
        assert_eq!((all, listeners.push(waiting().1.into())), (vec![0, 1, 2], 3));
    }

    #[test]
    fn a_waiter_takes_the_place_of_another_and_is_told_instead() {
        for others in 0..2 {
            let listeners = Listeners::new();
            let others: Vec<_> = (0..others).map(|_| waiting()).collect();
            let ((_old, first), (new, second)) = (waiting(), waiting());
            let number = listeners.push(first.into());
            others.iter().for_each(|(wait, _)| _ = listeners.push(wait.waiter().unwrap().into()));
            assert!(listeners.replace(number + 7, waiting().1).is_none());
            let replaced = listeners.replace(number, second);
            listeners.notify(&mut Wakers::new());
            assert!(matches!(replaced, Some(Listener::Waiter(first)) if first.is_waiting()));
            assert!(new.waiter().unwrap().is_woken());
            assert!(others.iter().all(|(_, waiter)| waiter.is_woken()));
            assert!(listeners.remove(number).is_none());
        }
    }
}
