//! How the compiler has laid out what it may lay out as it likes: a known value is looked for.

use super::UNKNOWN;
use crate::{
    CancelledError,
    cancel::IDLE,
    cell::Other,
    home::{Home, LoopRef},
    other_wait::OtherWait,
    scopes::{Node, Within},
    target::{Cancel, Target},
    task_ref::TaskRef,
    wait_site::WaitSite,
};
use std::{
    collections::{BinaryHeap, VecDeque},
    panic::Location,
    sync::Arc,
    task::Waker,
};

/// Where the two words of a slice, or of a pointer to one, stand.
#[derive(Clone, Copy)]
pub(super) struct Words {
    pub(super) pointer: u32,
    pub(super) length: u32,
}

impl Words {
    const NOWHERE: Words = Words { pointer: UNKNOWN, length: UNKNOWN };

    /// Where those of `value` stand, which has `SIZE` words and nothing else.
    fn of<T, const SIZE: usize>(value: &T, pointer: *const u8, length: usize) -> Words {
        if size_of::<T>() != SIZE * size_of::<usize>() || align_of::<T>() % align_of::<usize>() != 0
        {
            return Words::NOWHERE;
        }
        // SAFETY: it has that size and alignment, and the caller says that it is all words.
        let words = unsafe { *(&raw const *value).cast::<[usize; SIZE]>() };
        Words { pointer: place(&words, pointer.addr()), length: place(&words, length) }
    }

    /// The same, in something in which `value` stands at `offset`.
    fn behind(self, offset: usize) -> Words {
        let behind = |word: u32| match word {
            UNKNOWN => UNKNOWN,
            word => word + offset as u32,
        };
        Words { pointer: behind(self.pointer), length: behind(self.length) }
    }
}

/// Where `value` stands among values of which each is another.
fn place<T: PartialEq>(values: &[T], value: T) -> u32 {
    let place = values.iter().position(|other| *other == value);
    place.map_or(UNKNOWN, |place| (place * size_of::<T>()) as u32)
}

/// Where the table of tasks stands in a home.
pub(super) fn tasks(home: &Home) -> Words {
    let known: [Option<TaskRef>; 2] = [None, None];
    in_vec(known).behind(home.scheduler.tasks.table().addr() - (&raw const *home).addr())
}

/// A `Vec`, whatever is in it.
pub(super) fn vec() -> Words {
    in_vec([[1_usize, 2], [3, 4]])
}

/// An `Option<Target>`: where the words of the target stand, where that there is one, and what says so.
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
    // SAFETY: it has that size, and is all words: two of the address, and one that says what it is.
    let words = unsafe { *(&raw const known).cast::<[usize; 3]>() };
    // The number is the only one that is no address.
    let tag = words.iter().position(|word| *word < 0x1000).unwrap_or_default();
    let words_at = usize::from(tag == 0) * WORD;
    InTarget { words: words_at as u32, tag: (tag * WORD) as u32, some: words[tag] as u32 }
}

/// A future that is none.
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

/// A `VecDeque`, whatever is in it: where its length stands.
pub(super) fn deque() -> u32 {
    // Where it begins, its length and its capacity are three numbers.
    let mut known = VecDeque::with_capacity(7);
    known.extend([0_usize; 4]);
    known.pop_front();
    Words::of::<_, 4>(&known, known.as_slices().0.as_ptr().cast(), known.len()).length
}

/// A `BinaryHeap`, whatever is in it: where its length stands.
pub(super) fn heap() -> u32 {
    let mut known = BinaryHeap::with_capacity(7);
    known.extend([0_usize; 3]);
    Words::of::<_, 3>(&known, known.as_slice().as_ptr().cast(), known.len()).length
}

fn in_vec<T>(items: [T; 2]) -> Words {
    // The length of this is not its capacity.
    let mut known = Vec::with_capacity(7);
    known.extend(items);
    Words::of::<_, 3>(&known, known.as_ptr().cast(), known.len())
}

/// A wait beside the first of a task.
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

/// A `&str`.
pub(super) fn text() -> Words {
    let known = "known";
    Words::of::<&str, 2>(&known, known.as_ptr(), known.len())
}

/// An `Arc<str>`, or an `Option` of one.
pub(super) struct InArc {
    pub(super) words: Words,
    pub(super) text: u32,
}

pub(super) fn arc() -> InArc {
    const COUNTS: usize = 2 * size_of::<usize>();
    let known: Option<Arc<str>> = Some("known".into());
    let text = known.as_deref().unwrap_or_default();
    // Two counts stand before the text; if not so, no such word is found.
    let allocation = text.as_ptr().wrapping_sub(COUNTS);
    let words = Words::of::<_, 2>(&known, allocation, text.len());
    InArc { words, text: COUNTS as u32 }
}

/// A `Location`.
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
    // SAFETY: it has that size, and nothing in it is padding: a name, and two numbers.
    let halves = unsafe { *(&raw const *known).cast::<[u32; HALVES]>() };
    InLocation { file, line: place(&halves, known.line()), column: place(&halves, known.column()) }
}

/// One in which no two numbers are the same.
#[rustfmt::skip]
fn known_location() -> &'static Location<'static> {
    #[track_caller]
    fn here() -> &'static Location<'static> {
        Location::caller()
    }
                                                                                      here()
}
