//! From what a task waits for to the tasks in it: a `gather` is a future that has targets of its own.

use crate::memory::{Memory, Numbers, u64_at};
use std::collections::{HashSet, VecDeque};

/// No more words are looked at, for all tasks together.
pub(super) const WORDS_MAX: usize = 1 << 22;

/// No future has so many targets.
const TARGETS_MAX: u64 = 1 << 20;

/// Where to look.
pub(super) struct Targets<'a> {
    pub(super) memory: &'a dyn Memory,
    /// The first word of a header.
    pub(super) mark: u64,
    /// How large a target is.
    pub(super) size: u32,
    /// Where the header stands in the allocation of a future.
    pub(super) header: u32,
    /// The tasks that there are.
    pub(super) known: HashSet<u64>,
    /// How many words may still be looked at.
    pub(super) left: usize,
}

impl Targets<'_> {
    /// The tasks to which words of a target lead, in order.
    pub(super) fn tasks(&mut self, words: &[u64]) -> Vec<u64> {
        let mut tasks = Vec::new();
        let mut seen = HashSet::new();
        let mut rest = VecDeque::from(words.to_vec());
        while let Some(word) = rest.pop_front() {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            if !seen.insert(word) {
                continue;
            }
            if self.known.contains(&word) {
                tasks.push(word);
            } else {
                rest.extend(self.targets_of(word).unwrap_or_default());
            }
        }
        tasks
    }

    /// The words of the targets of a future, if that is what stands there.
    fn targets_of(&self, future: u64) -> Option<Vec<u64>> {
        // What stands beside the address in a target: nothing, or a small number.
        let header = future.checked_add(self.header.into()).filter(|address| *address > 1 << 12)?;
        let [mark, targets, length] = self.memory.words(header).ok()?;
        let is_header = mark == self.mark && length <= TARGETS_MAX.min(self.left as u64);
        if !is_header || length == 0 {
            return None;
        }
        let mut bytes = vec![0; length as usize * self.size as usize];
        self.memory.read(targets, &mut bytes).ok()?;
        Some(bytes.chunks_exact(8).map(|word| u64_at(word, 0)).collect())
    }
}
