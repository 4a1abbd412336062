//! [`Slots`]: a table of values whose keys are never confused, even when a place is reused.

use std::{mem::offset_of, num::NonZeroU64};

/// Names a value in a table of the loop: its place, and how often that place was used before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Key(NonZeroU64);

impl Key {
    /// Bits that are zero in every key. The holder of a key may use them to mark what the key
    /// names.
    pub(crate) const TAG: u64 = 0b11;
    /// No generation is zero.
    const NOTHING: NonZeroU64 = NonZeroU64::new(Key::TAG + 1).unwrap();

    /// The first key of a place.
    pub(crate) fn first(place: usize) -> Key {
        assert!(place < 1 << 30, "a table has 2^30 places at most");
        Key::new(place as u32, 1)
    }

    fn new(place: u32, generation: u32) -> Key {
        Key::from_bits(u64::from(generation) << 32 | u64::from(place) << 2)
    }

    /// The key of the place when it is reused; `None` if this was its last key.
    #[inline]
    pub(crate) fn next(self) -> Option<Key> {
        self.0.checked_add(1 << 32).map(Key)
    }

    #[inline]
    pub(crate) fn place(self) -> usize {
        (self.0.get() as u32 >> 2) as usize
    }

    fn generation(self) -> u32 {
        (self.0.get() >> 32) as u32
    }

    /// The key with a tag in those bits.
    pub(crate) fn tagged(self, tag: u64) -> NonZeroU64 {
        self.0 | tag & Key::TAG
    }

    /// Returns the key as a number that the operating system can keep: the place is in the lower
    /// half, above two bits that are zero.
    pub fn to_bits(self) -> u64 {
        self.0.get()
    }

    /// Returns the key of a number from [`to_bits`](Key::to_bits), whatever its two lowest bits are
    /// now. Any other number gives a key that names nothing.
    #[inline]
    pub fn from_bits(bits: u64) -> Key {
        Key(NonZeroU64::new(bits & !Key::TAG).unwrap_or(Key::NOTHING))
    }
}

/// One place.
#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    state: State<T>,
}

/// The discriminant takes no room beside a value with a niche.
#[derive(Debug)]
enum State<T> {
    Vacant {
        /// The next vacant place.
        next: u32,
    },
    Taken(T),
}

impl<T> State<T> {
    fn value(&self) -> Option<&T> {
        match self {
            State::Taken(value) => Some(value),
            State::Vacant { .. } => None,
        }
    }
}

const NONE: u32 = u32::MAX;

/// A list of reusable places, with keys that outlive their values.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    slots: Vec<Slot<T>>,
    vacant: u32,
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots::new()
    }
}

/// A vacant place that is filled immediately.
#[must_use]
pub(crate) struct Vacancy<'a, T> {
    slot: &'a mut Slot<T>,
    key: Key,
}

impl<T> Vacancy<'_, T> {
    /// The key that the value is going to have.
    pub(crate) fn key(&self) -> Key {
        self.key
    }

    #[inline(always)]
    pub(crate) fn fill(self, value: T) -> Key {
        // There is nothing to drop.
        std::mem::forget(std::mem::replace(&mut self.slot.state, State::Taken(value)));
        self.key
    }
}

impl<T> Slots<T> {
    /// The size of a place in memory.
    pub(crate) const PLACE: usize = size_of::<Slot<T>>();

    /// The offset of the `Vec` of places.
    pub(crate) const PLACES: usize = offset_of!(Slots<T>, slots);

    /// The offset of the value in a place.
    pub(crate) fn place_of(value: T) -> usize {
        let slot = Slot { generation: 1, state: State::Taken(value) };
        let value = slot
            .state
            .value()
            .map_or(&raw const slot.state as usize, |value| (&raw const *value) as usize);
        value - (&raw const slot) as usize
    }

    pub(crate) const fn new() -> Slots<T> {
        Slots { slots: Vec::new(), vacant: NONE }
    }

    #[inline(always)]
    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.vacancy().fill(value)
    }

    /// Returns a vacant place, in which the new value is constructed directly.
    #[inline(always)]
    pub(crate) fn vacancy(&mut self) -> Vacancy<'_, T> {
        if self.vacant == NONE {
            self.grow();
        }
        let place = self.vacant;
        let slot = &mut self.slots[place as usize];
        // Occupied places are not in the list.
        self.vacant = if let State::Vacant { next } = slot.state { next } else { NONE };
        let key = Key::new(place, slot.generation);
        Vacancy { slot, key }
    }

    /// Adds a vacant place.
    #[cold]
    fn grow(&mut self) {
        let first = Key::first(self.slots.len());
        self.vacant = first.place() as u32;
        let state = State::Vacant { next: NONE };
        self.slots.push(Slot { generation: first.generation(), state });
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let slot = self.slots.get(key.place())?;
        slot.state.value().filter(|_| slot.generation == key.generation())
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.slots.get_mut(key.place())? {
            Slot { generation, state: State::Taken(value) } if *generation == key.generation() => {
                Some(value)
            }
            _ => None,
        }
    }

    /// The value in a place, whatever its key.
    #[inline]
    pub(crate) fn get_mut_at(&mut self, place: u32) -> Option<&mut T> {
        match &mut self.slots.get_mut(place as usize)?.state {
            State::Taken(value) => Some(value),
            State::Vacant { .. } => None,
        }
    }

    /// The key of the value in a place.
    pub(crate) fn key_at(&self, place: u32) -> Option<Key> {
        let slot = self.slots.get(place as usize)?;
        slot.state.value().map(|_| Key::new(place, slot.generation))
    }

    #[inline]
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        match self.free(key)? {
            State::Taken(value) => Some(value),
            State::Vacant { .. } => None,
        }
    }

    /// Drops a value in place.
    #[inline]
    pub(crate) fn vacate(&mut self, key: Key) {
        drop(self.free(key));
    }

    #[inline(always)]
    fn free(&mut self, key: Key) -> Option<State<T>> {
        let slot = self.slots.get_mut(key.place())?;
        if slot.generation != key.generation() || slot.state.value().is_none() {
            return None;
        }
        let state = std::mem::replace(&mut slot.state, State::Vacant { next: self.vacant });
        // A place that has used every key is left alone.
        if let Some(next) = key.next() {
            slot.generation = next.generation();
            self.vacant = key.place() as u32;
        }
        Some(state)
    }

    /// Every value, in the order of their places.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.state.value())
    }

    /// Every value with its key, in the order of their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        let places = self.slots.iter().enumerate();
        places.filter_map(|(place, slot)| {
            Some((Key::new(place as u32, slot.generation), slot.state.value()?))
        })
    }

    /// Removes all values; earlier keys stay invalid.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        let places = 0..self.slots.len() as u32;
        let keys: Vec<Key> = places.filter_map(|place| self.key_at(place)).collect();
        keys.into_iter().filter_map(|key| self.remove(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_name_the_next_value_in_its_place() {
        let mut slots = Slots::new();
        let a = slots.insert('a');
        let b = slots.insert('b');
        assert_eq!(slots.remove(a), Some('a'));
        let c = slots.insert('c');
        assert_eq!(c.place(), a.place());
        assert_eq!((slots.get(a), slots.get(b), slots.get(c)), (None, Some(&'b'), Some(&'c')));
        assert_eq!(slots.remove(a), None);
        assert_eq!(slots.values().count(), 2);
        assert_eq!(slots.drain(), ['c', 'b']);
        assert_eq!((slots.values().count(), slots.get(c)), (0, None));
    }

    #[test]
    fn a_place_that_had_every_key_is_left() {
        let mut slots = Slots::new();
        let first = slots.insert('a');
        slots.remove(first);
        slots.slots[first.place()].generation = u32::MAX;
        let last = slots.insert('b');
        assert_eq!((last.place(), last.next()), (first.place(), None));
        assert_eq!(slots.remove(last), Some('b'));
        assert_ne!(slots.insert('c').place(), first.place());
        assert_eq!((slots.get(first), slots.get(last)), (None, None));
        assert_eq!(slots.remove(last), None);
        assert_eq!(slots.drain(), ['c']);
        assert_ne!(slots.insert('d').place(), first.place());
    }

    #[test]
    fn a_key_has_room_for_a_tag() {
        let last = Key::new((1 << 30) - 1, u32::MAX);
        for key in [Key::first(0), Key::first(1), last] {
            for tag in 0..=Key::TAG {
                let tagged = key.tagged(tag).get();
                assert_eq!((Key::from_bits(tagged), tagged & Key::TAG), (key, tag));
            }
        }
        assert_eq!((last.place(), last.generation()), ((1 << 30) - 1, u32::MAX));
    }

    #[test]
    fn a_number_that_is_no_key_names_nothing() {
        let mut slots = Slots::new();
        let keys = [slots.insert('a'), slots.insert('b')];
        for bits in 0..16 {
            assert_eq!(slots.get(Key::from_bits(bits)), None);
        }
        assert_eq!(keys.map(|key| slots.remove(key)), [Some('a'), Some('b')]);
    }
}
