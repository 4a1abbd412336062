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

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    content: Content<T>,
}

#[derive(Debug)]
enum Content<T> {
    Full(T),
    /// The next vacant place.
    Vacant(u32),
}

const NONE: u32 = u32::MAX;

/// A list of places that are reused, with keys that outlive what they named.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    slots: Vec<Slot<T>>,
    vacant: u32,
    len: usize,
}

impl<T> Slots<T> {
    pub(crate) const fn new() -> Slots<T> {
        Slots { slots: Vec::new(), vacant: NONE, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.len += 1;
        if self.vacant == NONE {
            let place = u32::try_from(self.slots.len()).expect("fewer than 2^32 places");
            self.slots.push(Slot { generation: 1, content: Content::Full(value) });
            return Key::new(place, 1);
        }
        let place = self.vacant;
        let slot = &mut self.slots[place as usize];
        if let Content::Vacant(next) = slot.content {
            self.vacant = next;
        }
        slot.content = Content::Full(value);
        Key::new(place, slot.generation)
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        match self.slots.get(key.place()) {
            Some(Slot { generation, content: Content::Full(value) })
                if *generation == key.generation() =>
            {
                Some(value)
            }
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.slots.get_mut(key.place()) {
            Some(Slot { generation, content: Content::Full(value) })
                if *generation == key.generation() =>
            {
                Some(value)
            }
            _ => None,
        }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        let slot = &mut self.slots[key.place()];
        slot.generation = slot.generation.checked_add(1).unwrap_or(1);
        let content = std::mem::replace(&mut slot.content, Content::Vacant(self.vacant));
        self.vacant = key.place() as u32;
        self.len -= 1;
        match content {
            Content::Full(value) => Some(value),
            Content::Vacant(_) => None,
        }
    }

    /// Every value, in the order of their places.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| match &slot.content {
            Content::Full(value) => Some(value),
            Content::Vacant(_) => None,
        })
    }

    /// Takes everything out; keys given before stay invalid.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        let keys: Vec<Key> = (self.slots.iter().enumerate())
            .filter(|(_, slot)| matches!(slot.content, Content::Full(_)))
            .map(|(place, slot)| Key::new(place as u32, slot.generation))
            .collect();
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
        assert_eq!(slots.len(), 2);
        assert_eq!(slots.drain(), ['c', 'b']);
        assert_eq!((slots.len(), slots.get(c)), (0, None));
    }
}
