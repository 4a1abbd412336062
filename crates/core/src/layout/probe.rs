//! The layout of types whose layout the compiler chooses, found by searching known values for their parts.

use super::UNKNOWN;
use crate::{
    CancelledError,
    cancel::scopes::{Node, Within},
    home::{Home, LoopRef},
    task::{cell::Other, reference::TaskRef},
    wait::{
        other::OtherWait,
        state::IDLE,
        target::{Cancel, Target},
    },
    wait_site::WaitSite,
};
use std::{
    collections::{BinaryHeap, VecDeque},
    panic::Location,
    sync::Arc,
    task::Waker,
};

/// The offsets of the two words of a slice, or of a pointer to one.
#[derive(Clone, Copy)]
pub(super) struct Words {
    pub(super) pointer: u32,
    pub(super) length: u32,
}

impl Words {
    const NOWHERE: Words = Words { pointer: UNKNOWN, length: UNKNOWN };

    /// The offsets of `pointer` and `length` in `value`, which must consist of `SIZE` words.
    fn of<T, const SIZE: usize>(value: &T, pointer: *const u8, length: usize) -> Words {
        if size_of::<T>() != SIZE * size_of::<usize>() || align_of::<T>() % align_of::<usize>() != 0
        {
            return Words::NOWHERE;
        }
        // SAFETY: it has that size and alignment, and the caller promises that it consists of words.
        let words = unsafe { *(&raw const *value).cast::<[usize; SIZE]>() };
        Words { pointer: place(&words, pointer.addr()), length: place(&words, length) }
    }

    /// The same offsets in a structure that has `value` at `offset`.
    fn behind(self, offset: usize) -> Words {
        let behind = |word: u32| match word {
            UNKNOWN => UNKNOWN,
            word => word + offset as u32,
        };
        Words { pointer: behind(self.pointer), length: behind(self.length) }
    }
}

/// The offset of `value` among distinct values.
fn place<T: PartialEq>(values: &[T], value: T) -> u32 {
    let place = values.iter().position(|other| *other == value);
    place.map_or(UNKNOWN, |place| (place * size_of::<T>()) as u32)
}

/// The offset of the table of tasks in a home.
pub(super) fn tasks(home: &Home) -> Words {
    let known: [Option<TaskRef>; 2] = [None, None];
    in_vec(known).behind(home.scheduler.tasks.table().addr() - (&raw const *home).addr())
}

/// The layout of a `Vec`, which does not depend on the type of its items.
pub(super) fn vec() -> Words {
    in_vec([[1_usize, 2], [3, 4]])
}

/// The layout of an `Option<Target>`: the offset of the target's words, the offset of the word that tells whether there
/// is a target, and the value of that word if there is one.
pub(super) struct InTarget {
    pub(super) words: u32,
    pub(super) tag: u32,
    pub(super) some: u32,
}

pub(super) fn target() -> InTarget {
    const WORD: usize = size_of::<usize>();
    const _: () = assert!(size_of::<Option<Target>>() == 3 * WORD);
    let future: Arc<dyn Cancel> = Arc::new(Nothing);
    let known = Some(Target::Future(future));
    // SAFETY: it has that size, and consists of words: two for the address, and one for the variant.
    let words = unsafe { *(&raw const known).cast::<[usize; 3]>() };
    // The variant is the only word that is not an address.
    let tag = words.iter().position(|word| *word < 0x1000).unwrap_or_default();
    let words_at = usize::from(tag == 0) * WORD;
    InTarget { words: words_at as u32, tag: (tag * WORD) as u32, some: words[tag] as u32 }
}

/// A placeholder for a future.
#[derive(Debug)]
struct Nothing;

impl Cancel for Nothing {
    fn cancel(&self, _: CancelledError) -> bool {
        false
    }

    fn made_at(&self) -> &'static Location<'static> {
        Location::caller()
    }

    fn home(&self) -> Option<LoopRef> {
        None
    }

    fn awaits(&self) -> Option<Vec<Target>> {
        None
    }
}

/// A scope.
pub(super) fn node() -> Node {
    Node::new(WaitSite::here(&""), None, None, 0)
}

/// The offset of the length of a `VecDeque`, which does not depend on the type of its items.
pub(super) fn deque() -> u32 {
    // Its head, its length and its capacity are three different numbers here.
    let mut known = VecDeque::with_capacity(7);
    known.extend([0_usize; 4]);
    known.pop_front();
    Words::of::<_, 4>(&known, known.as_slices().0.as_ptr().cast(), known.len()).length
}

/// The offset of the length of a `BinaryHeap`, which does not depend on the type of its items.
pub(super) fn heap() -> u32 {
    let mut known = BinaryHeap::with_capacity(7);
    known.extend([0_usize; 3]);
    Words::of::<_, 3>(&known, known.as_slice().as_ptr().cast(), known.len()).length
}

fn in_vec<T>(items: [T; 2]) -> Words {
    // Its length differs from its capacity.
    let mut known = Vec::with_capacity(7);
    known.extend(items);
    Words::of::<_, 3>(&known, known.as_ptr().cast(), known.len())
}

/// A wait of a task other than its first one.
pub(super) fn other() -> Other {
    Other {
        wait: OtherWait::outside(Waker::noop().clone(), WaitSite::here(&""), IDLE),
        number: 0,
        within: Within::ROOT,
        target: None,
        message: CancelledError::default(),
        revoked: false,
    }
}

/// The layout of a `&str`.
pub(super) fn text() -> Words {
    let known = "known";
    Words::of::<&str, 2>(&known, known.as_ptr(), known.len())
}

/// The layout of an `Arc<str>`, and of an `Option` of one.
pub(super) struct InArc {
    pub(super) words: Words,
    pub(super) text: u32,
}

pub(super) fn arc() -> InArc {
    const COUNTS: usize = 2 * size_of::<usize>();
    let known: Option<Arc<str>> = Some("known".into());
    let text = known.as_deref().unwrap_or_default();
    // Two counts precede the text. If that is wrong, no such word is found.
    let allocation = text.as_ptr().wrapping_sub(COUNTS);
    let words = Words::of::<_, 2>(&known, allocation, text.len());
    InArc { words, text: COUNTS as u32 }
}

/// The layout of a `Location`.
pub(super) struct InLocation {
    pub(super) file: Words,
    pub(super) line: u32,
    pub(super) column: u32,
}

pub(super) fn location() -> InLocation {
    const WORDS: usize = 2 + 2 * size_of::<u32>() / size_of::<usize>();
    const HALVES: usize = WORDS * size_of::<usize>() / size_of::<u32>();
    let known = known_location();
    let file = Words::of::<_, WORDS>(known, known.file().as_ptr(), known.file().len());
    if size_of_val(known) != HALVES * size_of::<u32>() {
        return InLocation { file: Words::NOWHERE, line: UNKNOWN, column: UNKNOWN };
    }
    // SAFETY: it has that size and no padding: it consists of a name and two numbers.
    let halves = unsafe { *(&raw const *known).cast::<[u32; HALVES]>() };
    InLocation { file, line: place(&halves, known.line()), column: place(&halves, known.column()) }
}

/// A location whose numbers are all different.
#[rustfmt::skip]
fn known_location() -> &'static Location<'static> {
    #[track_caller]
    fn here() -> &'static Location<'static> {
        Location::caller()
    }
                                                                                      here()
}
