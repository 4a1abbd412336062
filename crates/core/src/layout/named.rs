//! [`NamedQueue`]: what readers outside the process find of a queue that has a name.
//!
//! A queue belongs to no loop, so there is one table for the whole process. A queue without a name is not in it. An
//! entry has the addresses of the counts of its queue, so a queue need not copy them anywhere. A reader notices that a
//! queue has been moved, because its [`NamedQueue`], which is the address of the entry, has moved with it.

use super::mark::Mark;
use std::{
    mem::offset_of,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The queues that have a name.
pub(crate) type Table = Vec<Arc<Entry>>;

static TABLE: Mutex<Table> = Mutex::new(Vec::new());

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Returns the address of the table, for readers outside the process.
pub(crate) fn table_address() -> *const Table {
    &raw const *table()
}

/// The entry of a queue that has a name.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Entry {
    mark: Mark,
    name: Arc<str>,
    maxsize: u64,
    /// The [`QueuePlaces`].
    places: [AtomicUsize; QueuePlaces::COUNT],
    /// Its own index in the table, which changes only while the table is locked.
    at: AtomicUsize,
}

impl Entry {
    pub(crate) const NAME: usize = offset_of!(Entry, name);
    pub(crate) const MAXSIZE: usize = offset_of!(Entry, maxsize);
    pub(crate) const PLACES: usize = offset_of!(Entry, places);
}

/// The addresses of the counts of a queue. This process never dereferences them, because the queue may have been moved
/// since they were recorded.
#[derive(Clone, Copy, Debug)]
pub struct QueuePlaces {
    /// Its [`NamedQueue`], which identifies it.
    pub named: usize,
    /// The number of items in it, or zero if the address is not known.
    pub length: usize,
    /// The number of items that were put and are not done.
    pub unfinished: usize,
    /// The number of futures that wait for an item.
    pub getters: usize,
    /// The number of futures that wait for a free place.
    pub putters: usize,
    /// The number of futures that wait until every item is done.
    pub joiners: usize,
}

impl QueuePlaces {
    /// The number of addresses, which are stored in the order of the fields.
    pub const COUNT: usize = 6;
}

/// The name of a queue, kept in the queue: one word. Dropping it takes the queue out of the table.
#[derive(Debug)]
#[repr(transparent)]
pub struct NamedQueue(Arc<Entry>);

impl NamedQueue {
    /// Puts a queue into the table, which holds at most `maxsize` items, or any number if that is zero.
    pub fn new(name: Arc<str>, maxsize: usize) -> NamedQueue {
        let mut table = table();
        let maxsize = maxsize as u64;
        let (places, at) = (Default::default(), AtomicUsize::new(table.len()));
        let entry = Arc::new(Entry { mark: Mark::QUEUE, name, maxsize, places, at });
        table.push(entry.clone());
        NamedQueue(entry)
    }

    /// The name.
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// Records where the queue is now.
    pub fn stands_at(&self, places: QueuePlaces) {
        let QueuePlaces { named, length, unfinished, getters, putters, joiners } = places;
        let words = [named, length, unfinished, getters, putters, joiners];
        for (cell, address) in self.0.places.iter().zip(words) {
            cell.store(address, Ordering::Relaxed);
        }
    }
}

impl Drop for NamedQueue {
    fn drop(&mut self) {
        let mut table = table();
        let at = self.0.at.load(Ordering::Relaxed);
        table.swap_remove(at);
        if let Some(moved) = table.get(at) {
            moved.at.store(at, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Those of this test, for others may run beside it.
    fn names() -> Vec<String> {
        let mut names: Vec<String> = table().iter().map(|entry| entry.name.to_string()).collect();
        names.retain(|name| name.starts_with("of this test: "));
        names.sort();
        names
    }

    #[test]
    fn each_leaves_the_table_whatever_its_place() {
        let [a, b, c] =
            ["a", "b", "c"].map(|name| NamedQueue::new(format!("of this test: {name}").into(), 7));
        assert_eq!(names(), ["of this test: a", "of this test: b", "of this test: c"]);
        drop(a);
        assert_eq!(names(), ["of this test: b", "of this test: c"]);
        drop(c);
        assert_eq!(names(), ["of this test: b"]);
        assert_eq!(&**b.name(), "of this test: b");
        drop(b);
        assert_eq!(names(), [""; 0]);
    }
}
