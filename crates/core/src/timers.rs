//! Callbacks of a loop: those that are ready, those that wait for a time, and those that wait for a
//! future. All stand in one table, so that each can be cancelled by its key. What is called stands in
//! another: sleeps and deadlines are many, and none of them is a closure with its context.
//!
//! Timers are a four-ary heap ordered by (deadline, insertion). Cancelling one frees its place in the
//! table at once; its entry in the heap is left, and removed when it comes to the top, or with all
//! others of its kind once they are more than half of the heap. So a cancellation takes constant time on
//! average, and no timer needs to know its place in the heap.

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

/// No timer has this number.
const NOT_A_TIMER: u32 = 0;

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
    /// By place in the table, the number of the timer there that is not due yet.
    waiting: Vec<u32>,
    heap: Vec<Timer>,
    /// How many entries of the heap are of timers that were cancelled.
    cancelled: usize,
    /// Of the timer made last.
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

    /// A callback that is due at `when`; without a time, one that something else will make ready.
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

    /// Takes the callback out, to run it or not; what it calls is taken out next. `None` if that
    /// happened already.
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

    /// Takes out what a callback calls, to call it or to drop it.
    pub(crate) fn take_call(&mut self, call: Key) -> Option<Call> {
        self.calls.remove(call)
    }

    /// When the earliest timer is due.
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

    /// The earliest timer that is due by `now`, and since when. It stays in the table, and is ready.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<(u64, Key)> {
        let when = self.next_deadline().filter(|when| *when <= now)?;
        let Timer { place, .. } = self.remove_first();
        self.waiting[place as usize] = NOT_A_TIMER;
        Some((when, self.slots.key_at(place)?))
    }

    /// How many timers wait.
    pub(crate) fn timers(&self) -> usize {
        self.heap.len() - self.cancelled
    }

    /// Takes everything out; what was to be called is given to be dropped.
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

    /// Removes what is left of the timers that were cancelled.
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

    /// Numbers the timers from one on, in their order; what is sorted is a heap.
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

    /// Takes the top out of the heap, which is not empty.
    fn remove_first(&mut self) -> Timer {
        let first = self.heap.swap_remove(0);
        if !self.heap.is_empty() {
            self.sift_down(0);
        }
        first
    }

    /// `timer` is put in at `place`, or above. (It is not loaded from there: what was stored in parts
    /// just before causes a store-forwarding stall.)
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
