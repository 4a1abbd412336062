//! Callbacks of a loop: those that are ready, those that wait for a time, and those that wait for a
//! future. All are in one table, so that each can be cancelled by its key. Closures with their
//! contexts are in a second table: most entries are sleeps and deadlines, which have no closure.
//!
//! Timers are a four-ary heap ordered by (deadline, insertion). Cancelling a timer frees its place in
//! the table immediately. Its entry stays in the heap until it comes to the top, or until more than half
//! of the heap's entries are of cancelled timers and all of them are removed. So a cancellation takes
//! constant time on average, and no timer needs to know its place in the heap.

use crate::{
    context::Values,
    slots::{Key, Slots},
};
use std::{fmt, num::NonZeroU64, panic::Location};

/// The action of a callback.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Action {
    /// Makes the call with this key.
    Call(Key),
    /// Ends a sleep: wakes the first wait of a task of this loop. The sleeper resumes one iteration
    /// later.
    Resume { task: Key, number: u32 },
    /// Ends a deadline: cancels everything inside the scope with this key.
    Expire(Key),
}

/// An action as it is stored in the table: the tag of the key says which it is.
#[derive(Clone, Copy, Debug)]
// It has twelve bytes; with the table's own four, an entry has sixteen.
#[repr(C, packed(4))]
struct Packed {
    key: NonZeroU64,
    /// The number of the wait, if the action has one.
    number: u32,
}

impl Packed {
    const CALL: u64 = 0;
    const RESUME: u64 = 1;
    const EXPIRE: u64 = 2;
}

impl From<Action> for Packed {
    #[inline(always)]
    fn from(action: Action) -> Packed {
        let (key, tag, number) = match action {
            Action::Call(call) => (call, Packed::CALL, 0),
            Action::Resume { task, number } => (task, Packed::RESUME, number),
            Action::Expire(scope) => (scope, Packed::EXPIRE, 0),
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
            _ => Action::Expire(key),
        }
    }
}

/// The closure of a callback. Its error goes to the exception handler.
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

/// No timer has this number.
const NOT_A_TIMER: u32 = 0;

/// An entry of the heap: four to a cache line.
#[derive(Clone, Copy, Debug)]
struct Timer {
    when: u64,
    sequence: u32,
    /// The timer's place in the table.
    place: u32,
}

impl Timer {
    /// The order of timers as one number, which is compared without a branch.
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
    /// By place in the table, the number of the timer there that is not due yet.
    waiting: Vec<u32>,
    heap: Vec<Timer>,
    /// The number of heap entries of cancelled timers.
    cancelled: usize,
    /// The number of the newest timer.
    sequence: u32,
}

impl Callbacks {
    pub(crate) const fn new() -> Callbacks {
        Callbacks {
            slots: Slots::new(),
            calls: Slots::new(),
            waiting: Vec::new(),
            heap: Vec::new(),
            cancelled: 0,
            sequence: 0,
        }
    }

    /// Adds a callback that is due at `when`; without a time, something else will make it ready.
    #[inline(always)]
    pub(crate) fn park(&mut self, when: Option<u64>, action: Action) -> Key {
        let key = self.slots.insert(action.into());
        if key.place() == self.waiting.len() {
            self.waiting.push(NOT_A_TIMER);
        }
        if let Some(when) = when {
            self.push(when, key);
        }
        key
    }

    /// Adds the closure of a callback.
    pub(crate) fn call(
        &mut self,
        closure: Box<dyn FnOnce() -> crate::Result<()>>,
        context: Values,
        location: &'static Location<'static>,
    ) -> Key {
        // It is constructed in place: moving a struct that was just constructed costs more than
        // everything else here.
        let vacancy = self.calls.vacancy();
        vacancy.fill(Call { closure, context, location })
    }

    /// Adds a callback that calls a closure.
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

    /// Whether the callback has not run yet.
    pub(crate) fn contains(&self, key: Key) -> bool {
        self.slots.get(key).is_some()
    }

    /// Replaces the action of a callback that has not run.
    pub(crate) fn replace(&mut self, key: Key, action: Action) -> Option<Action> {
        Some(std::mem::replace(self.slots.get_mut(key)?, action.into()).into())
    }

    /// Removes the callback, to run it or to drop it; its closure is removed next. Returns `None`
    /// if it was removed already.
    #[inline]
    pub(crate) fn take(&mut self, key: Key) -> Option<Action> {
        let action = self.slots.remove(key)?;
        let number = std::mem::replace(&mut self.waiting[key.place()], NOT_A_TIMER);
        if number != NOT_A_TIMER {
            self.cancelled += 1;
            if self.cancelled * 2 > self.heap.len() {
                self.purge();
            }
        }
        Some(action.into())
    }

    /// Removes the closure of a callback, to call it or to drop it.
    pub(crate) fn take_call(&mut self, call: Key) -> Option<Call> {
        self.calls.remove(call)
    }

    /// The time at which the earliest timer is due.
    #[inline]
    pub(crate) fn next_deadline(&mut self) -> Option<u64> {
        while let Some(first) = self.heap.first() {
            if self.is_waiting(first) {
                return Some(first.when);
            }
            self.remove_first();
            self.cancelled -= 1;
        }
        None
    }

    /// Removes the earliest timer that is due by `now` from the heap, and returns it with its
    /// deadline. It stays in the table, and is ready.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<(u64, Key)> {
        let when = self.next_deadline().filter(|when| *when <= now)?;
        let Timer { place, .. } = self.remove_first();
        self.waiting[place as usize] = NOT_A_TIMER;
        Some((when, self.slots.key_at(place)?))
    }

    /// The number of waiting timers.
    pub(crate) fn timers(&self) -> usize {
        self.heap.len() - self.cancelled
    }

    /// Removes all callbacks, and returns their closures, to be dropped by the caller.
    pub(crate) fn drain(&mut self) -> Vec<Call> {
        self.heap.clear();
        self.cancelled = 0;
        self.waiting.fill(NOT_A_TIMER);
        self.slots.drain();
        self.calls.drain()
    }

    fn push(&mut self, when: u64, key: Key) {
        if self.sequence == u32::MAX {
            self.renumber();
        }
        self.sequence += 1;
        self.waiting[key.place()] = self.sequence;
        let timer = Timer { when, sequence: self.sequence, place: key.place() as u32 };
        self.heap.push(timer);
        self.sift_up(self.heap.len() - 1, timer);
    }

    #[inline]
    fn is_waiting(&self, timer: &Timer) -> bool {
        self.waiting[timer.place as usize] == timer.sequence
    }

    /// Removes the heap entries of cancelled timers.
    #[inline]
    fn purge(&mut self) {
        if self.cancelled == self.heap.len() {
            self.heap.clear();
        } else {
            self.remove_cancelled();
        }
        self.cancelled = 0;
    }

    #[cold]
    fn remove_cancelled(&mut self) {
        let waiting = &self.waiting;
        self.heap.retain(|timer| waiting[timer.place as usize] == timer.sequence);
        let parents = self.heap.len().saturating_sub(1).div_ceil(4);
        (0..parents).rev().for_each(|place| self.sift_down(place));
    }

    /// Renumbers the timers from one, in their order; a sorted list is a heap.
    #[cold]
    fn renumber(&mut self) {
        self.purge();
        self.heap.sort_unstable_by_key(Timer::order);
        for (number, timer) in (1..).zip(&mut self.heap) {
            timer.sequence = number;
            self.waiting[timer.place as usize] = number;
        }
        self.sequence = self.heap.len() as u32;
    }

    /// Removes the top of the heap, which is not empty.
    fn remove_first(&mut self) -> Timer {
        let first = self.heap.swap_remove(0);
        if !self.heap.is_empty() {
            self.sift_down(0);
        }
        first
    }

    /// Inserts `timer` at `place`, or above. (It is not loaded from there: it was just stored in
    /// parts, which would cause a store-forwarding stall.)
    fn sift_up(&mut self, mut place: usize, timer: Timer) {
        while place > 0 {
            let parent = (place - 1) / 4;
            if !timer.before(&self.heap[parent]) {
                break;
            }
            self.heap[place] = self.heap[parent];
            place = parent;
        }
        self.heap[place] = timer;
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
            self.heap[place] = self.heap[child];
            place = child;
        }
        self.heap[place] = timer;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(callbacks: &mut Callbacks, when: u64) -> Key {
        callbacks.park(Some(when), Action::Expire(Key::first(0)))
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
        while let Some((_, key)) = callbacks.pop_due(12) {
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
        let due: Vec<_> = std::iter::from_fn(|| Some(callbacks.pop_due(6)?.1)).collect();
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
            let (due, key) = callbacks.pop_due(when).unwrap();
            assert_eq!(due, when);
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
        let others = [Action::Call(key), Action::Expire(key)];
        for action in others.into_iter().chain([0, 1, u32::MAX].map(resume)) {
            assert_eq!(Action::from(Packed::from(action)), action);
        }
    }

    #[test]
    fn what_is_left_of_cancelled_timers_takes_no_more_room_than_those_that_wait() {
        let mut callbacks = Callbacks::new();
        let keep = timer(&mut callbacks, 5);
        for n in 0..1000 {
            let key = timer(&mut callbacks, n % 10);
            assert!(callbacks.take(key).is_some());
            assert!(callbacks.heap.len() <= 2 && callbacks.timers() == 1);
        }
        assert_eq!((callbacks.next_deadline(), callbacks.pop_due(5)), (Some(5), Some((5, keep))));
        assert_eq!((callbacks.timers(), callbacks.next_deadline()), (0, None));
    }

    #[test]
    fn any_mix_of_timers_comes_in_order() {
        let mut callbacks = Callbacks::new();
        let mut expected: Vec<(u64, Key)> = Vec::new();
        let mut random = 1_u64;
        for step in 0..20_000 {
            random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
            let n = (random >> 33) as usize;
            match n % 8 {
                0..4 => {
                    let when = (n >> 3) as u64 % 64 + step / 100;
                    let key = timer(&mut callbacks, when);
                    let at = expected.partition_point(|(other, _)| *other <= when);
                    expected.insert(at, (when, key));
                }
                4..7 if !expected.is_empty() => {
                    let (_, key) = expected.remove((n >> 3) % expected.len());
                    assert!(callbacks.take(key).is_some() && callbacks.take(key).is_none());
                }
                _ if !expected.is_empty() => {
                    let (when, key) = expected.remove(0);
                    assert_eq!(callbacks.pop_due(when), Some((when, key)));
                    assert!(callbacks.take(key).is_some());
                }
                _ => assert_eq!(callbacks.next_deadline(), None),
            }
            assert_eq!(callbacks.timers(), expected.len());
        }
    }
}
