//! [`Slots`]: values behind keys that are never mistaken for one another, even when a place is reused.

use std::num::NonZeroU64;

/// Names a value in a table of the loop: its place, and how often that place was used before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key(NonZeroU64);

impl Key {
    fn new(place: u32, generation: u32) -> Key {
        // A generation is never zero.
        let key = u64::from(generation) << 32 | u64::from(place);
        Key(NonZeroU64::new(key).unwrap_or(NonZeroU64::MIN))
    }

    /// The first key of a place.
    pub(crate) fn first(place: usize) -> Key {
        Key::new(u32::try_from(place).expect("fewer than 2^32 places"), 1)
    }

    /// The key of the place when it is used again; `None` if it had the last one.
    #[inline]
    pub(crate) fn next(self) -> Option<Key> {
        self.0.checked_add(1 << 32).map(Key)
    }

    #[inline]
    pub(crate) fn place(self) -> usize {
        self.0.get() as u32 as usize
    }

    fn generation(self) -> u32 {
        (self.0.get() >> 32) as u32
    }

    /// The key as a number, for an operating system to keep: the place in the lower half.
    pub fn to_bits(self) -> u64 {
        self.0.get()
    }

    /// The key that [`to_bits`](Key::to_bits) made a number; of another number, one that names
    /// nothing.
    pub fn from_bits(bits: u64) -> Key {
        Key(NonZeroU64::new(bits).unwrap_or(NonZeroU64::MIN))
    }
}

/// One place. The two numbers fill a word, so that a value with a niche takes one word more.
#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    /// The next vacant place, if this one is vacant.
    next: u32,
    value: Option<T>,
}

const NONE: u32 = u32::MAX;

/// A list of places that are reused, with keys that outlive what they named.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    slots: Vec<Slot<T>>,
    vacant: u32,
}

/// A place that was vacant, and is filled at once.
#[must_use]
pub(crate) struct Vacancy<'a, T> {
    slot: &'a mut Slot<T>,
    key: Key,
}

impl<T> Vacancy<'_, T> {
    #[inline(always)]
    pub(crate) fn fill(self, value: T) -> Key {
        // There is nothing to drop.
        std::mem::forget(self.slot.value.replace(value));
        self.key
    }
}

impl<T> Slots<T> {
    pub(crate) const fn new() -> Slots<T> {
        Slots { slots: Vec::new(), vacant: NONE }
    }

    #[inline(always)]
    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.vacancy().fill(value)
    }

    /// A vacant place. What is made only now to fill it is made there.
    #[inline(always)]
    pub(crate) fn vacancy(&mut self) -> Vacancy<'_, T> {
        if self.vacant == NONE {
            self.grow();
        }
        let place = self.vacant;
        let slot = &mut self.slots[place as usize];
        self.vacant = slot.next;
        let key = Key::new(place, slot.generation);
        Vacancy { slot, key }
    }

    /// Makes a vacant place.
    #[cold]
    fn grow(&mut self) {
        self.vacant = u32::try_from(self.slots.len()).expect("fewer than 2^32 places");
        self.slots.push(Slot { generation: 1, next: NONE, value: None });
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let slot = self.slots.get(key.place())?;
        slot.value.as_ref().filter(|_| slot.generation == key.generation())
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.place())?;
        slot.value.as_mut().filter(|_| slot.generation == key.generation())
    }

    /// The key of what stands in a place.
    pub(crate) fn key_at(&self, place: u32) -> Option<Key> {
        let slot = self.slots.get(place as usize)?;
        slot.value.as_ref().map(|_| Key::new(place, slot.generation))
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.place())?;
        if slot.generation != key.generation() {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.checked_add(1).unwrap_or(1);
        slot.next = self.vacant;
        self.vacant = key.place() as u32;
        Some(value)
    }

    /// Every value, in the order of their places.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.value.as_ref())
    }

    /// Takes everything out; keys given before stay invalid.
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
}
