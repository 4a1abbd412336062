//! Callbacks of a loop: those that are ready, those that wait for a time, and those that wait for a
//! future. All stand in one table, so that each can be cancelled by its key. What is called stands in
//! another: sleeps and deadlines are many, and none of them is a closure with its context.
//!
//! Timers are a four-ary heap ordered by (deadline, insertion), whose entries know their place:
//! cancelling one is O(log n) and frees its place at once.

use crate::{
    context::Values,
    slots::{Key, Slots},
};
use std::{fmt, num::NonZeroU64, panic::Location};

/// What happens when a callback runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Action {
    /// The call of this key is made.
    Call(Key),
    /// The end of a sleep: the first wait of a task of this loop is woken, and the sleeper resumes
    /// one iteration later.
    Resume { task: Key, number: u32 },
    /// A deadline: it cancels what is inside of the scope of this key.
    Expire(Key),
    /// A deadline that has passed. It stays in the table until its scope takes it out.
    Expired(Key),
}

/// An action as it stands in the table: which it is says the tag of the key.
#[derive(Clone, Copy, Debug)]
// Twelve bytes, which fill sixteen with the table's own four.
#[repr(C, packed(4))]
struct Packed {
    key: NonZeroU64,
    /// That of the wait, if the action has one.
    number: u32,
}

impl Packed {
    const CALL: u64 = 0;
    const RESUME: u64 = 1;
    const EXPIRE: u64 = 2;
    const EXPIRED: u64 = 3;
}

impl From<Action> for Packed {
    #[inline(always)]
    fn from(action: Action) -> Packed {
        let (key, tag, number) = match action {
            Action::Call(call) => (call, Packed::CALL, 0),
            Action::Resume { task, number } => (task, Packed::RESUME, number),
            Action::Expire(scope) => (scope, Packed::EXPIRE, 0),
            Action::Expired(scope) => (scope, Packed::EXPIRED, 0),
        };
        Packed { key: key.tagged(tag), number }
    }
}

impl From<Packed> for Action {
    #[inline(always)]
    fn from(Packed { key, number }: Packed) -> Action {
        let (key, tag) = (Key::from_bits(key.get()), key.get() & Key::TAG);
        match tag {
            Packed::CALL => Action::Call(key),
            Packed::RESUME => Action::Resume { task: key, number },
            Packed::EXPIRE => Action::Expire(key),
            _ => Action::Expired(key),
        }
    }
}

/// What a callback calls. Its error goes to the exception handler.
pub(crate) struct Call {
    pub(crate) closure: Box<dyn FnOnce() -> crate::Result<()>>,
    pub(crate) context: Values,
    pub(crate) location: &'static Location<'static>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "callback made at {}", self.location)
    }
}

const NOT_A_TIMER: u32 = u32::MAX;

/// An entry of the heap: four to a cache line.
#[derive(Clone, Copy, Debug)]
struct Timer {
    when: u64,
    sequence: u32,
    /// In the table.
    place: u32,
}

impl Timer {
    /// As one number, which is compared without a branch.
    fn order(&self) -> u128 {
        u128::from(self.when) << 32 | u128::from(self.sequence)
    }

    fn before(&self, other: &Timer) -> bool {
        self.order() < other.order()
    }
}

/// The table of callbacks of one loop.
#[derive(Debug)]
pub(crate) struct Callbacks {
    slots: Slots<Packed>,
    calls: Slots<Call>,
    /// By place in the table, the place in the heap of a timer that is not due yet. On its own, so
    /// that moving timers in a large heap touches little memory.
    places: Vec<u32>,
    heap: Vec<Timer>,
    /// Of the timer made last.
    sequence: u32,
}

impl Callbacks {
    pub(crate) const fn new() -> Callbacks {
        Callbacks {
            slots: Slots::new(),
            calls: Slots::new(),
            places: Vec::new(),
            heap: Vec::new(),
            sequence: 0,
        }
    }

    /// A callback that is due at `when`; without a time, one that something else will make ready.
    #[inline(always)]
    pub(crate) fn park(&mut self, when: Option<u64>, action: Action) -> Key {
        let key = self.slots.insert(action.into());
        if key.place() == self.places.len() {
            self.places.push(NOT_A_TIMER);
        }
        if let Some(when) = when {
            self.push(when, key);
        }
        key
    }

    /// What a callback is to call.
    pub(crate) fn call(
        &mut self,
        closure: Box<dyn FnOnce() -> crate::Result<()>>,
        context: Values,
        location: &'static Location<'static>,
    ) -> Key {
        // In its place: a struct that is moved when it was just made costs more than all the rest.
        let vacancy = self.calls.vacancy();
        vacancy.fill(Call { closure, context, location })
    }

    /// A callback that calls a closure.
    pub(crate) fn park_call(
        &mut self,
        when: Option<u64>,
        closure: Box<dyn FnOnce() -> crate::Result<()>>,
        context: Values,
        location: &'static Location<'static>,
    ) -> Key {
        let call = self.call(closure, context, location);
        self.park(when, Action::Call(call))
    }

    /// Whether the callback is still to run.
    pub(crate) fn contains(&self, key: Key) -> bool {
        self.slots.get(key).is_some()
    }

    /// Puts another action in the place of one that is still to come.
    pub(crate) fn replace(&mut self, key: Key, action: Action) -> Option<Action> {
        Some(std::mem::replace(self.slots.get_mut(key)?, action.into()).into())
    }

    /// Marks a deadline as passed, and gives the scope that it cancels.
    pub(crate) fn expire(&mut self, key: Key) -> Option<Key> {
        let place = self.slots.get_mut(key)?;
        let Action::Expire(scope) = (*place).into() else { return None };
        *place = Action::Expired(scope).into();
        Some(scope)
    }

    /// Whether the deadline has passed.
    pub(crate) fn is_expired(&self, key: Key) -> bool {
        let action = self.slots.get(key).map(|packed| Action::from(*packed));
        matches!(action, Some(Action::Expired(_)))
    }

    /// Takes the callback out, to run it or not; what it calls is taken out next. `None` if that
    /// happened already.
    #[inline]
    pub(crate) fn take(&mut self, key: Key) -> Option<Action> {
        let action = self.slots.remove(key)?;
        let place = std::mem::replace(&mut self.places[key.place()], NOT_A_TIMER);
        if place != NOT_A_TIMER {
            self.remove_timer(place as usize);
        }
        Some(action.into())
    }

    /// Takes out what a callback calls, to call it or to drop it.
    pub(crate) fn take_call(&mut self, call: Key) -> Option<Call> {
        self.calls.remove(call)
    }

    /// When the earliest timer is due.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.heap.first().map(|timer| timer.when)
    }

    /// The earliest timer that is due by `now`. It stays in the table, and is ready.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<Key> {
        let timer = *self.heap.first().filter(|timer| timer.when <= now)?;
        self.remove_timer(0);
        self.places[timer.place as usize] = NOT_A_TIMER;
        self.slots.key_at(timer.place)
    }

    /// How many timers wait.
    pub(crate) fn timers(&self) -> usize {
        self.heap.len()
    }

    /// Takes everything out; what was to be called is given to be dropped.
    pub(crate) fn drain(&mut self) -> Vec<Call> {
        self.heap.clear();
        self.places.fill(NOT_A_TIMER);
        self.slots.drain();
        self.calls.drain()
    }

    fn push(&mut self, when: u64, key: Key) {
        if self.sequence == u32::MAX {
            self.renumber();
        }
        self.sequence += 1;
        self.heap.push(Timer { when, sequence: self.sequence, place: key.place() as u32 });
        self.sift_up(self.heap.len() - 1);
    }

    /// Numbers the timers from one on, in their order; what is sorted is a heap.
    #[cold]
    fn renumber(&mut self) {
        self.heap.sort_unstable_by_key(Timer::order);
        for (place, timer) in self.heap.iter_mut().enumerate() {
            timer.sequence = place as u32 + 1;
            self.places[timer.place as usize] = place as u32;
        }
        self.sequence = self.heap.len() as u32;
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
        self.places[timer.place as usize] = place as u32;
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
        callbacks.park(Some(when), Action::Expired(Key::first(0)))
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
    fn timers_keep_their_order_when_they_are_numbered_anew() {
        let mut callbacks = Callbacks::new();
        callbacks.sequence = u32::MAX - 50;
        let mut expected: Vec<_> =
            (0..100).map(|n| (n * 31 % 7, timer(&mut callbacks, n * 31 % 7))).collect();
        assert_eq!(callbacks.sequence, 100);
        expected.sort_by_key(|(when, _)| *when);
        assert!(callbacks.take(expected.remove(60).1).is_some());
        let due: Vec<_> = std::iter::from_fn(|| callbacks.pop_due(6)).collect();
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

    #[test]
    fn a_timer_takes_sixteen_bytes_in_the_table_and_in_the_heap() {
        assert_eq!((Slots::<Packed>::PLACE, size_of::<Timer>()), (16, 16));
    }

    #[test]
    fn an_action_is_the_same_when_it_was_packed() {
        let key = Key::from_bits(u64::MAX);
        let resume = |number| Action::Resume { task: key, number };
        let others = [Action::Call(key), Action::Expire(key), Action::Expired(key)];
        for action in others.into_iter().chain([0, 1, u32::MAX].map(resume)) {
            assert_eq!(Action::from(Packed::from(action)), action);
        }
    }

    #[test]
    fn a_deadline_passes_once_and_stays_until_it_is_taken() {
        let mut callbacks = Callbacks::new();
        let task = Key::first(7);
        let key = callbacks.park(Some(1), Action::Expire(task));
        assert!(!callbacks.is_expired(key));
        assert_eq!((callbacks.expire(key), callbacks.expire(key)), (Some(task), None));
        assert!(callbacks.is_expired(key));
        assert_eq!(callbacks.take(key), Some(Action::Expired(task)));
        assert!(!callbacks.is_expired(key) && callbacks.take(key).is_none());
    }
}
