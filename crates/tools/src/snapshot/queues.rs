//! The queues that have a name.

use super::{TRIES, texts::Texts};
use crate::memory::{Memory, Numbers, u64_at};
use asyncio_core::raw::{
    QueuePlaces,
    layout::{Layout, Offsets},
};
use std::{fmt, rc::Rc};

/// The largest plausible number of queues with a name.
const QUEUES_MAX: u64 = 1 << 16;

/// The number of queues that are read at once.
const TOGETHER: usize = 64;

/// A queue to which the program has given a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedQueue {
    /// Its name.
    pub name: Rc<str>,
    /// The number of items that it can hold; zero means no limit.
    pub maxsize: u64,
    /// The number of items in it, if that is known.
    pub length: Option<u64>,
    /// The number of items that were put and are not done.
    pub unfinished: u64,
    /// The number of futures that wait for an item.
    pub getters: u64,
    /// The number of futures that wait for a free place.
    pub putters: u64,
    /// The number of futures that wait until every item is done.
    pub joiners: u64,
}

/// `"jobs" 17/100, 3 getters waiting`
impl fmt::Display for NamedQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NamedQueue { name, length, unfinished, getters, putters, joiners, .. } = self;
        write!(f, "\"{name}\" ")?;
        match length {
            Some(length) => write!(f, "{length}")?,
            None => f.write_str("?")?,
        }
        if self.maxsize > 0 {
            write!(f, "/{}", self.maxsize)?;
        }
        // A program that never calls `join` need not call `task_done`.
        if *joiners > 0 {
            write!(f, ", {unfinished} unfinished")?;
        }
        for (count, what) in [(getters, "getter"), (putters, "putter"), (joiners, "joiner")] {
            match count {
                0 => {}
                1 => write!(f, ", 1 {what} waiting")?,
                _ => write!(f, ", {count} {what}s waiting")?,
            }
        }
        Ok(())
    }
}

/// The memory to search.
pub(super) struct Queues<'a> {
    pub(super) memory: &'a dyn Memory,
    pub(super) offsets: Offsets,
    pub(super) layout: u64,
    /// The mark of a queue that has a name.
    pub(super) mark: u64,
}

impl Queues<'_> {
    /// Returns the queues, sorted by name; none if they are created and dropped too fast.
    pub(super) fn read(&self, texts: &mut Texts<'_>) -> Vec<NamedQueue> {
        let items = (0..TRIES).find_map(|_| self.items()).unwrap_or_default();
        let mut queues = Vec::new();
        for some in items.chunks(TOGETHER) {
            let entries = self.entries(some);
            if entries.is_empty() {
                // This is not the table of queues.
                break;
            }
            queues.extend(
                entries.iter().filter_map(|(entry, bytes)| self.queue(*entry, bytes, texts)),
            );
        }
        queues.sort_by(|a, b| a.name.cmp(&b.name));
        queues
    }

    /// Returns the entries of the table, unless it changes meanwhile.
    fn items(&self) -> Option<Vec<u64>> {
        let table = self.memory.u64(self.layout.wrapping_add(Layout::QUEUES as u64)).ok()?;
        let word = |offset: u32| self.memory.u64(table.wrapping_add(offset.into())).ok();
        let ends = || Some((word(self.offsets.vec_pointer)?, word(self.offsets.vec_length)?));
        let (items, length) = ends()?;
        if length > QUEUES_MAX {
            return None;
        }
        let mut bytes = vec![0; length as usize * 8];
        self.memory.read(items, &mut bytes).ok()?;
        let words = || bytes.chunks_exact(8).map(|word| u64_at(word, 0)).collect();
        (ends()? == (items, length)).then(words)
    }

    /// Returns the entries at these addresses that begin with the mark, with their bytes.
    fn entries(&self, items: &[u64]) -> Vec<(u64, Vec<u8>)> {
        // They are in `Arc`s.
        let start = |item: &u64| item.wrapping_add(self.offsets.arc_text.into());
        let starts: Vec<u64> = items.iter().map(start).collect();
        let size = self.offsets.queue_places as usize + QueuePlaces::COUNT * 8;
        let pieces = self.memory.read_each(&starts, size);
        let marked = |place| pieces.get(place).filter(|bytes| u64_at(bytes, 0) == self.mark);
        let entries = items.iter().enumerate();
        entries.filter_map(|(place, item)| Some((*item, marked(place)?.to_vec()))).collect()
    }

    /// Returns the queue of an entry with these bytes. The queue is valid if it names the entry.
    fn queue(&self, entry: u64, bytes: &[u8], texts: &mut Texts<'_>) -> Option<NamedQueue> {
        let at = |offset: u32, place: usize| u64_at(bytes, offset as usize + place * 8);
        let places: Vec<u64> =
            (0..QueuePlaces::COUNT).map(|place| at(self.offsets.queue_places, place)).collect();
        let words = self.memory.read_each(&places, 8);
        let word = |place| words.get(place).map(|word| u64_at(word, 0));
        if word(0)? != entry {
            return None;
        }
        Some(NamedQueue {
            name: texts.arc(bytes.get(self.offsets.queue_name as usize..)?)?,
            maxsize: at(self.offsets.queue_maxsize, 0),
            length: word(1),
            unfinished: word(2)?,
            getters: word(3)?,
            putters: word(4)?,
            joiners: word(5)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_shown_with_what_waits_for_it() {
        let shown = |maxsize, length, [getters, putters, joiners]: [u64; 3]| {
            let (name, unfinished) = ("jobs".into(), 9);
            let length = Some(length).filter(|length| *length < 1000);
            NamedQueue { name, maxsize, length, unfinished, getters, putters, joiners }.to_string()
        };
        assert_eq!(shown(100, 1000, [0, 0, 0]), "\"jobs\" ?/100");
        assert_eq!(shown(100, 17, [3, 0, 0]), "\"jobs\" 17/100, 3 getters waiting");
        assert_eq!(shown(1, 1, [0, 1, 0]), "\"jobs\" 1/1, 1 putter waiting");
        assert_eq!(shown(0, 0, [0, 0, 2]), "\"jobs\" 0, 9 unfinished, 2 joiners waiting");
        assert_eq!(shown(0, 5, [0, 0, 0]), "\"jobs\" 5");
    }
}
