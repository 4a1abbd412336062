//! Finds the tasks that a task waits for. It may wait for the future of an operation, which has targets of
//! its own.

use super::texts::Texts;
use crate::memory::{Memory, Numbers, u64_at};
use asyncio_core::raw::layout::{NONE, Offsets, PARTS, TASK};
use std::collections::{HashMap, HashSet, VecDeque};

/// The largest number of words that are examined, for all tasks together.
pub(super) const WORDS_MAX: u64 = 1 << 22;

/// The number of words that may lead nowhere before their share counts. A target has at most one word beside the
/// address to which it leads.
const MISSES_MAX: u64 = 1 << 10;

/// The number of words of a header.
const HEADER: usize = 8;

/// The number of words in which a list may begin: a mutex may precede it.
const LIST_STARTS: usize = 3;

/// The memory to search.
pub(super) struct Targets<'a> {
    pub(super) memory: &'a dyn Memory,
    pub(super) offsets: Offsets,
    /// The mark of a header; that of a list is the next number.
    pub(super) mark: u64,
    /// All tasks, with the line that created each.
    pub(super) known: HashMap<u64, Option<super::Location>>,
    /// The number of words that may still be examined.
    pub(super) left: u64,
    /// The number of words that led to something, and of those that led nowhere.
    pub(super) hits: u64,
    pub(super) misses: u64,
}

/// The result of following a target.
#[derive(Default)]
pub(super) struct Found {
    /// The tasks, in order.
    pub(super) tasks: Vec<u64>,
    /// The line that created the first target.
    pub(super) made_at: Option<super::Location>,
}

impl Targets<'_> {
    /// Returns the tasks to which the words of a target lead, in order.
    pub(super) fn follow(&mut self, words: &[u64], texts: &mut Texts<'_>) -> Found {
        let mut found = Found::default();
        let mut seen = HashSet::new();
        let mut rest = VecDeque::from(words.to_vec());
        while let Some(word) = rest.pop_front() {
            // Beside the address, a target has zero or a small number.
            if word <= 1 << 12 || !seen.insert(word) {
                continue;
            }
            if self.misses > MISSES_MAX + 2 * self.hits {
                // These words are not targets.
                break;
            }
            if let Some(made_at) = self.known.get(&word) {
                found.tasks.push(word);
                found.made_at = found.made_at.or_else(|| made_at.clone());
                self.hits += 1;
                continue;
            }
            let start = word.wrapping_add(self.offsets.arc_text.into());
            let words = self.memory.words::<HEADER>(start).unwrap_or([0; HEADER]);
            let starts = &words[..LIST_STARTS];
            if words[0] == self.mark {
                let site = words[self.offsets.header_site_location as usize / 8];
                found.made_at = found.made_at.or_else(|| texts.location(site));
                rest.extend(self.of_operation(&words));
                self.hits += 1;
            } else if let Some(at) = starts.iter().position(|w| *w == self.mark.wrapping_add(1)) {
                let list = &words[at + self.offsets.list_items as usize / 8..];
                rest.extend(self.of_vec(list).unwrap_or_default());
                self.hits += 1;
            } else {
                self.misses += 1;
            }
        }
        found
    }

    /// Counts words before they are examined; `None` if there are too many.
    fn charge(&mut self, words: u64) -> Option<()> {
        self.left = self.left.checked_sub(words)?;
        Some(())
    }

    /// The words of the targets of an operation.
    fn of_operation(&mut self, header: &[u64; HEADER]) -> Vec<u64> {
        let operation = &header[self.offsets.header_operation as usize / 8..];
        match operation[0] {
            NONE => None,
            TASK => self.charge(1).map(|()| operation[1..2].to_vec()),
            PARTS => self.of_vec(&operation[1..]),
            _ => self.charge(2).map(|()| operation[1..3].to_vec()),
        }
        .unwrap_or_default()
    }

    /// The words of the targets in a `Vec`.
    fn of_vec(&mut self, vec: &[u64]) -> Option<Vec<u64>> {
        let word = |offset: u32| vec.get(offset as usize / 8).copied();
        let (items, length) = (word(self.offsets.vec_pointer)?, word(self.offsets.vec_length)?);
        let size = length.checked_mul(self.offsets.target_size.into())?;
        self.charge(size / 8)?;
        let mut bytes = vec![0; size as usize];
        self.memory.read(items, &mut bytes).ok()?;
        Some(bytes.chunks_exact(8).map(|word| u64_at(word, 0)).collect())
    }
}
