//! [`ReadyQueue`]: the ready queue of a loop, in which each step takes a word.

use crate::{slots::Key, task::cell::TaskCell};
use std::{cell::RefCell, collections::VecDeque, ptr::NonNull};

/// A step that is ready to run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ReadyStep {
    /// A task that is not done, so the registry keeps it. It is in the queue at most once, and runs
    /// only from here.
    Task(NonNull<TaskCell>),
    Callback(Key),
    /// Readiness for the handler of a source.
    Source(Key),
}

/// The steps, in the order in which they run.
#[derive(Debug)]
pub(crate) struct ReadyQueue(RefCell<VecDeque<Word>>);

impl ReadyQueue {
    pub(crate) const fn new() -> ReadyQueue {
        ReadyQueue(RefCell::new(VecDeque::new()))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    #[inline]
    pub(crate) fn push(&self, step: ReadyStep) {
        self.0.borrow_mut().push_back(step.into());
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<ReadyStep> {
        self.0.borrow_mut().pop_front().map(ReadyStep::from)
    }

    /// Removes a task that has ended without a step.
    pub(crate) fn remove_task(&self, task: NonNull<TaskCell>) {
        self.0.borrow_mut().retain(|word| ReadyStep::from(*word) != ReadyStep::Task(task));
    }

    pub(crate) fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

#[cfg(target_pointer_width = "64")]
use word::Word;

/// A key does not fit into a pointer.
#[cfg(not(target_pointer_width = "64"))]
type Word = ReadyStep;

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

    impl From<ReadyStep> for Word {
        #[inline]
        fn from(entry: ReadyStep) -> Word {
            match entry {
                ReadyStep::Task(task) => Word(task.cast()),
                ReadyStep::Callback(key) => Word::of_key(key, CALLBACK),
                ReadyStep::Source(key) => Word::of_key(key, SOURCE),
            }
        }
    }

    impl From<Word> for ReadyStep {
        #[inline]
        fn from(Word(word): Word) -> ReadyStep {
            let bits = word.addr().get() as u64;
            match bits & Key::TAG {
                CALLBACK => ReadyStep::Callback(Key::from_bits(bits)),
                SOURCE => ReadyStep::Source(Key::from_bits(bits)),
                _ => ReadyStep::Task(word.cast()),
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
        let ready = ReadyQueue::new();
        let mut entries = vec![ReadyStep::Task(NonNull::dangling())];
        for key in [Key::first(0), Key::first(1), Key::from_bits(u64::MAX)] {
            entries.extend([ReadyStep::Callback(key), ReadyStep::Source(key)]);
        }
        entries.iter().for_each(|entry| ready.push(*entry));
        assert_eq!(ready.len(), entries.len());
        let left: Vec<_> = std::iter::from_fn(|| ready.pop()).collect();
        assert_eq!(left, entries);
        assert!(ready.is_empty());
    }
}
