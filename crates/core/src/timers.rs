//! Callbacks of a loop: those that are ready, those that wait for a time, and those that wait for a
//! future. All stand in one table, so that each can be cancelled by its key.
//!
//! Timers are a four-ary heap ordered by (deadline, insertion), whose entries know their place:
//! cancelling one is O(log n) and frees its place at once.

use crate::{
    context::Values,
    slots::{Key, Slots},
    wait::Waiter,
};
use std::{fmt, panic::Location};

/// What happens when a callback runs.
pub(crate) enum Action {
    /// A closure; its error goes to the exception handler.
    Call(Box<dyn FnOnce() -> crate::Result<()>>),
    /// The end of a sleep: the sleeper resumes one iteration later.
    Wake(Waiter),
    /// The same for the first wait of a task of this loop, which is named and not kept.
    Resume { task: Key, number: u32 },
    /// A deadline: it cancels the task of this key.
    Expire(Key),
    /// A deadline that has passed. It stays in the table until its scope takes it out.
    Expired,
}

/// A registered callback.
pub(crate) struct Callback {
    pub(crate) action: Action,
    pub(crate) context: Values,
    pub(crate) location: &'static Location<'static>,
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "callback made at {}", self.location)
    }
}

const NOT_A_TIMER: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Timer {
    when: u64,
    sequence: u64,
    key: Key,
}

impl Timer {
    fn before(&self, other: &Timer) -> bool {
        (self.when, self.sequence) < (other.when, other.sequence)
    }
}

/// The table of callbacks of one loop.
#[derive(Debug)]
pub(crate) struct Callbacks {
    slots: Slots<Callback>,
    /// By place in the table, the place in the heap of a timer that is not due yet. On its own, so
    /// that moving timers in a large heap touches little memory.
    places: Vec<u32>,
    heap: Vec<Timer>,
    sequence: u64,
}

impl Callbacks {
    pub(crate) const fn new() -> Callbacks {
        Callbacks { slots: Slots::new(), places: Vec::new(), heap: Vec::new(), sequence: 0 }
    }

    /// A callback that something else will make ready.
    pub(crate) fn park(
        &mut self,
        action: Action,
        context: Values,
        location: &'static Location<'static>,
    ) -> Key {
        let key = self.slots.insert(Callback { action, context, location });
        if key.place() == self.places.len() {
            self.places.push(NOT_A_TIMER);
        }
        key
    }

    /// A callback that is due at `when`.
    pub(crate) fn park_until(
        &mut self,
        when: u64,
        action: Action,
        context: Values,
        location: &'static Location<'static>,
    ) -> Key {
        let key = self.park(action, context, location);
        self.sequence += 1;
        self.heap.push(Timer { when, sequence: self.sequence, key });
        self.sift_up(self.heap.len() - 1);
        key
    }

    /// Whether the callback is still to run.
    pub(crate) fn contains(&self, key: Key) -> bool {
        self.slots.get(key).is_some()
    }

    /// What wakes the sleeper of a timer.
    pub(crate) fn wake_mut(&mut self, key: Key) -> Option<&mut Action> {
        match &mut self.slots.get_mut(key)?.action {
            action @ (Action::Wake(_) | Action::Resume { .. }) => Some(action),
            _ => None,
        }
    }

    /// Marks a deadline as passed, and gives the task that it cancels.
    pub(crate) fn expire(&mut self, key: Key) -> Option<Key> {
        let action = &mut self.slots.get_mut(key)?.action;
        if !matches!(action, Action::Expire(_)) {
            return None;
        }
        match std::mem::replace(action, Action::Expired) {
            Action::Expire(task) => Some(task),
            _ => None,
        }
    }

    /// Whether the deadline has passed.
    pub(crate) fn is_expired(&self, key: Key) -> bool {
        self.slots.get(key).is_some_and(|callback| matches!(callback.action, Action::Expired))
    }

    /// Takes the callback out, to run or to drop it. `None` if that happened already.
    pub(crate) fn take(&mut self, key: Key) -> Option<Callback> {
        let callback = self.slots.remove(key)?;
        let place = std::mem::replace(&mut self.places[key.place()], NOT_A_TIMER);
        if place != NOT_A_TIMER {
            self.remove_timer(place as usize);
        }
        Some(callback)
    }

    /// When the earliest timer is due.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.heap.first().map(|timer| timer.when)
    }

    /// The earliest timer that is due by `now`. It stays in the table, and is ready.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<Key> {
        let timer = *self.heap.first().filter(|timer| timer.when <= now)?;
        self.remove_timer(0);
        self.places[timer.key.place()] = NOT_A_TIMER;
        Some(timer.key)
    }

    /// How many timers wait.
    pub(crate) fn timers(&self) -> usize {
        self.heap.len()
    }

    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> Vec<Callback> {
        self.heap.clear();
        self.places.fill(NOT_A_TIMER);
        self.slots.drain()
    }

    fn remove_timer(&mut self, place: usize) {
        let last = self.heap.len() - 1;
        self.heap.swap_remove(place);
        if place < last {
            self.sift_down(place);
            self.sift_up(place);
        }
    }

    fn put(&mut self, place: usize, timer: Timer) {
        self.heap[place] = timer;
        self.places[timer.key.place()] = place as u32;
    }

    fn sift_up(&mut self, mut place: usize) {
        let timer = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / 4;
            if !timer.before(&self.heap[parent]) {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, timer);
    }

    fn sift_down(&mut self, mut place: usize) {
        let timer = self.heap[place];
        loop {
            let first = place * 4 + 1;
            let last = (first + 4).min(self.heap.len());
            let Some(child) =
                (first..last).reduce(|a, b| if self.heap[b].before(&self.heap[a]) { b } else { a })
            else {
                break;
            };
            if !self.heap[child].before(&timer) {
                break;
            }
            self.put(place, self.heap[child]);
            place = child;
        }
        self.put(place, timer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(callbacks: &mut Callbacks, when: u64) -> Key {
        let action = Action::Call(Box::new(|| Ok(())));
        callbacks.park_until(when, action, Values::default(), Location::caller())
    }

    #[test]
    fn timers_come_by_deadline_then_by_insertion() {
        let mut callbacks = Callbacks::new();
        let keys: Vec<_> =
            (0..1000).map(|n| (n * 7919 % 13, timer(&mut callbacks, n * 7919 % 13))).collect();
        let mut expected = keys.clone();
        expected.sort_by_key(|(when, _)| *when);
        assert_eq!(callbacks.next_deadline(), Some(0));
        let mut due = Vec::new();
        while let Some(key) = callbacks.pop_due(12) {
            due.push(key);
            assert!(callbacks.take(key).is_some());
        }
        assert_eq!(due, expected.iter().map(|(_, key)| *key).collect::<Vec<_>>());
    }

    #[test]
    fn a_cancelled_timer_leaves_its_place_at_once() {
        let mut callbacks = Callbacks::new();
        let keys: Vec<_> = (0..500).map(|n| timer(&mut callbacks, n * 31 % 101)).collect();
        for key in keys.iter().step_by(3) {
            assert!(callbacks.take(*key).is_some());
        }
        assert_eq!(callbacks.timers(), 500 - 167);
        let mut last = 0;
        let mut left = 0;
        while let Some(when) = callbacks.next_deadline() {
            assert!(when >= last);
            last = when;
            left += 1;
            let key = callbacks.pop_due(when).unwrap();
            assert!(callbacks.contains(key));
            callbacks.take(key);
        }
        assert_eq!(left, 500 - 167);
    }
}
