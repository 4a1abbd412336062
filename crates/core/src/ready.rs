//! [`Ready`]: the ready queue of a loop, in which each step takes a word.

use crate::{cell::TaskCell, slots::Key};
use std::{collections::VecDeque, ptr::NonNull};

/// A step that is ready to run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Entry {
    /// It is not done, so the registry keeps it; it is here once, and runs only from here.
    Task(NonNull<TaskCell>),
    Callback(Key),
    /// Readiness for the handler of a source.
    Source(Key),
}

/// The steps, in the order in which they run.
#[derive(Debug)]
pub(crate) struct Ready(VecDeque<Word>);

impl Ready {
    pub(crate) const fn new() -> Ready {
        Ready(VecDeque::new())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub(crate) fn push_back(&mut self, entry: Entry) {
        self.0.push_back(entry.into());
    }

    #[inline]
    pub(crate) fn pop_front(&mut self) -> Option<Entry> {
        self.0.pop_front().map(Entry::from)
    }

    /// Takes a task out that has ended without a step.
    pub(crate) fn remove_task(&mut self, task: NonNull<TaskCell>) {
        self.0.retain(|word| Entry::from(*word) != Entry::Task(task));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(target_pointer_width = "64")]
use word::Word;

/// A key does not fit into a pointer.
#[cfg(not(target_pointer_width = "64"))]
type Word = Entry;

#[cfg(target_pointer_width = "64")]
mod word {
    use super::*;

    /// An entry: the pointer to a task's cell, whose two lowest bits are zero; or a key with a tag there.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Word(NonNull<()>);

    const CALLBACK: u64 = 1;
    const SOURCE: u64 = 2;
    const _: () = assert!(align_of::<TaskCell>() as u64 > Key::TAG);

    impl Word {
        fn of_key(key: Key, tag: u64) -> Word {
            let bits = key.tagged(tag).get();
            // It is not zero.
            let word = NonNull::new(std::ptr::without_provenance_mut(bits as usize));
            Word(word.unwrap_or(NonNull::dangling()))
        }
    }

    impl From<Entry> for Word {
        #[inline]
        fn from(entry: Entry) -> Word {
            match entry {
                Entry::Task(task) => Word(task.cast()),
                Entry::Callback(key) => Word::of_key(key, CALLBACK),
                Entry::Source(key) => Word::of_key(key, SOURCE),
            }
        }
    }

    impl From<Word> for Entry {
        #[inline]
        fn from(Word(word): Word) -> Entry {
            let bits = word.addr().get() as u64;
            match bits & Key::TAG {
                CALLBACK => Entry::Callback(Key::from_bits(bits)),
                SOURCE => Entry::Source(Key::from_bits(bits)),
                _ => Entry::Task(word.cast()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_step_takes_a_word() {
        assert_eq!(size_of::<Word>(), size_of::<usize>());
    }

    #[test]
    fn what_comes_first_leaves_first_as_what_it_was() {
        let mut ready = Ready::new();
        let mut entries = vec![Entry::Task(NonNull::dangling())];
        for key in [Key::first(0), Key::first(1), Key::from_bits(u64::MAX)] {
            entries.extend([Entry::Callback(key), Entry::Source(key)]);
        }
        entries.iter().for_each(|entry| ready.push_back(*entry));
        assert_eq!(ready.len(), entries.len());
        let left: Vec<_> = std::iter::from_fn(|| ready.pop_front()).collect();
        assert_eq!(left, entries);
        assert!(ready.is_empty());
    }
}
