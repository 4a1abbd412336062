//! The layout of this process's loops and tasks in memory, for readers outside the process.
//!
//! `asyncio ps` reads the memory of a running program, or its core dump, without help from the program.
//! For that, every program has an ELF note, which linkers keep and which `strip` leaves:
//!
//! | section | owner | type | contents |
//! |---|---|---|---|
//! | `.note.asyncio` | `asyncio for Rust` | 1 | a [`Descriptor`]: version, size and address of the [`Layout`] |
//!
//! The address is zero until the first loop is opened. The layout contains the first of the [homes](crate::home) of
//! loops, each of which points to the next, the table of the queues that have a [name](crate::layout::named), and [`Offsets`]:
//! the positions of all fields in a home, in the table of its tasks and in the cell of a task. The reader therefore
//! does not depend on how the compiler lays out a structure, and [`VERSION`] changes only if the meaning of an entry
//! does.
//!
//! After the first loop was opened, only the list of homes and the table of queues are written, so the layout costs a
//! running program nothing. The values change while a reader reads them, so the reader validates all of them. It
//! accepts a cell as a task only if the cell names its home, its loop and its own place in the table.

pub(crate) mod mark;
pub(crate) mod named;
mod probe;

pub use self::mark::Listed;
use self::mark::MARKS;
pub use crate::wait::target::{Header, NONE, PARTS, TASK};
use crate::{
    cancel::scopes::Node,
    home::{Home, LoopRef},
    layout::named::{Entry, Table},
    metrics::counters::Counters,
    scheduler::Scheduler,
    slots::Slots,
    task::{
        cell::{Affine, Cold, Other, TaskCell},
        flags::{Flag, Phase},
    },
    wait::{other::OtherWait, state, target::Target},
    wait_site::{self, WaitSite},
};
use std::{
    collections::{BinaryHeap, VecDeque},
    mem::offset_of,
    sync::{
        Once,
        atomic::{AtomicPtr, Ordering},
    },
};

/// The version of the layout. A reader of another version finds nothing.
pub const VERSION: u32 = 2;

/// The owner of the note, with the zero at its end.
pub const OWNER: &[u8; 17] = b"asyncio for Rust\0";

/// The type of the note.
pub const TYPE: u32 = 1;

/// In place of an offset: the layout of the structure is not known.
pub const UNKNOWN: u32 = u32::MAX;

/// The contents of the note.
#[derive(Debug)]
#[repr(C)]
pub struct Descriptor {
    /// [`VERSION`].
    pub version: u32,
    /// The size of the [`Layout`].
    pub size: u32,
    /// Its address, null until the first loop is opened.
    pub layout: AtomicPtr<Layout>,
}

/// The note as a linker knows it.
#[repr(C)]
struct Note {
    owner_size: u32,
    descriptor_size: u32,
    kind: u32,
    /// Padded, so that the descriptor is aligned whether notes are aligned to four bytes or to eight.
    owner: [u8; 20],
    descriptor: Descriptor,
}

const _: () = assert!(offset_of!(Note, descriptor) == 32);

#[used]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".note.asyncio"))]
static NOTE: Note = Note {
    owner_size: OWNER.len() as u32,
    descriptor_size: size_of::<Descriptor>() as u32,
    kind: TYPE,
    owner: *b"asyncio for Rust\0\0\0\0",
    descriptor: Descriptor {
        version: VERSION,
        size: size_of::<Layout>() as u32,
        layout: AtomicPtr::new(std::ptr::null_mut()),
    },
};

/// The positions of all data.
#[derive(Debug)]
#[repr(C)]
pub struct Layout {
    /// The newest home.
    homes: AtomicPtr<Home>,
    /// The mark of a [`Header`], followed by the mark of a [`Listed`].
    marks: &'static [u8; 3],
    /// The table of the queues that have a name: a `Vec` of `Arc`s. The contents of each `Arc`, at the offset of the text
    /// in an `Arc<str>`, begin with the mark after that of a [`Listed`].
    queues: *const Table,
    /// A source file of this library, by which a reader recognises the others: see
    /// [`is_in_a_library`](crate::wait_site::is_in_a_library).
    source: &'static str,
    /// The offsets in the structures that these lead to.
    offsets: Offsets,
}

impl Layout {
    /// The offset of the address of the first home.
    pub const HOMES: usize = offset_of!(Layout, homes);
    /// The offset of the mark of a header.
    pub const MARKS: usize = offset_of!(Layout, marks);
    /// The offset of the address of the table of queues.
    pub const QUEUES: usize = offset_of!(Layout, queues);
    /// The offset of the `&str` with the name of a source file.
    pub const SOURCE: usize = offset_of!(Layout, source);
    /// The offset of the [`Offsets`].
    pub const OFFSETS: usize = offset_of!(Layout, offsets);
}

macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Offsets in bytes, in the order of this list. An offset is [`UNKNOWN`] if the compiler chooses the layout of a
        /// structure, and probing did not find it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(C)]
        pub struct Offsets {
            $($(#[$doc])* pub $name: u32,)*
        }

        impl Offsets {
            /// The number of offsets.
            pub const COUNT: usize = [$(stringify!($name)),*].len();

            /// Makes the offsets from the words that a reader has read, one for each.
            pub fn from_words(words: [u32; Offsets::COUNT]) -> Offsets {
                let [$($name),*] = words;
                Offsets { $($name),* }
            }
        }
    };
}

offsets! {
    /// In a home: the home that was created before it, or null.
    home_next,
    /// In a home: the number of the loop in it, or zero if there is none.
    home_id,
    /// In a home: the [`Counters`] of the loop.
    home_counters,
    /// In a home: the cell of the running task, or null.
    home_current,
    /// In a home: the address of the table of tasks. Each entry is a pointer to a cell, or null.
    home_tasks,
    /// In a home: the number of entries in that table.
    home_tasks_len,
    /// In a home: the `Vec` of the entries of scopes.
    home_scope_places,
    /// The size of the entry of a scope.
    scope_size,
    /// In the entry of a scope: the address of the `&str` that names the scope.
    scope_site_what,
    /// In the entry of a scope: the `Location` where it was entered.
    scope_site_location,
    /// In the entry of a scope: the key of the scope around it, or zero. The lower half of a key is the index of the entry,
    /// times four.
    scope_parent,
    /// In the entry of a scope: the key of its task, or zero.
    scope_task,
    /// The size of a task's cell.
    cell_size,
    /// In a cell: its home.
    cell_home,
    /// In a cell: the number of its loop.
    cell_loop,
    /// In a cell: its number in the order of creation.
    cell_sequence,
    /// In a cell: the `Location` where the task was created.
    cell_spawned_at,
    /// In a cell: the state of its first wait in the two lowest bits, and the number of the wait above them.
    cell_first,
    /// In a cell: the address of the `&str` that names the operation in which it waits.
    cell_site_what,
    /// In a cell: the `Location` where it waits.
    cell_site_location,
    /// In a cell: its key. The lower half is its index in the table, times four.
    cell_key,
    /// In a cell, one byte: its [phase](phase).
    cell_phase,
    /// In a cell, one byte: its flags. See [`HAS_TARGET`].
    cell_flags,
    /// In a cell: two words, one of which points to what it waits for. This is the cell of a task, or the `Arc` of a
    /// future, whose contents begin with a [`Header`] at the offset of the text in an `Arc<str>`. The contents of any
    /// other operation begin with a [`Listed`], or with a mutex around one.
    cell_target,
    /// In a cell, four bytes: the innermost scope around its first wait. See [`scope_place`].
    cell_within,
    /// The size of a target in a list, which consists of words like those in a cell.
    target_size,
    /// In a header: the [`Operation`](crate::wait::target::Operation).
    header_operation,
    /// In a header: the address of the `&str` that names the operation.
    header_site_what,
    /// In a header: the `Location` where the operation was called.
    header_site_location,
    /// In a [`Listed`]: the `Vec`.
    list_items,
    /// In the `Arc` of a queue that has a name: the name, an `Arc<str>`.
    queue_name,
    /// In that `Arc`, one word: how many items the queue can hold, or zero.
    queue_maxsize,
    /// In that `Arc`: the addresses of the queue's [counts](crate::layout::named::QueuePlaces), one word each. The word at the
    /// first address is the address of the `Arc`; if it is not, the queue has been moved.
    queue_places,
    /// In a `Vec`: the address of its items.
    vec_pointer,
    /// In a `Vec`: the number of its items.
    vec_length,
    /// In a cell: the address of the data that few tasks have, or null.
    cell_cold,
    /// In the data that few tasks have: the name, an `Arc<str>`, or nulls.
    cold_name,
    /// In the data that few tasks have, four bytes: the number of waits other than the first.
    cold_others,
    /// In the data that few tasks have: the `Vec` of the entries of these waits.
    cold_other_places,
    /// The size of the entry of a wait.
    other_size,
    /// In the entry of a wait: the `Arc` of the wait, whose contents begin at the offset of the text in an `Arc<str>`.
    other_wait,
    /// In the entry of a wait: the two words of its target, if it has one.
    other_target,
    /// In the entry of a wait: the word that tells whether it has a target.
    other_has_target,
    /// The value of that word if there is a target.
    other_has_target_if,
    /// In the entry of a wait, four bytes: the innermost scope around the wait.
    other_within,
    /// In the entry of a wait, four bytes: its number in the order of arming.
    other_number,
    /// The size of a wait.
    wait_size,
    /// In a wait: two words, one of which is the key of its task.
    wait_armed,
    /// In a wait: its state.
    wait_state,
    /// In a wait: the address of the `&str` that names the operation.
    wait_site_what,
    /// In a wait: the `Location` where it waits.
    wait_site_location,
    /// In a `&str`: the address of its text.
    str_pointer,
    /// In a `&str`: its length.
    str_length,
    /// In an `Arc<str>`: the address of its allocation.
    arc_pointer,
    /// In an `Arc<str>`: its length.
    arc_length,
    /// In the allocation of an `Arc<str>`: the text.
    arc_text,
    /// In a `Location`: the address of the name of the file.
    location_file,
    /// In a `Location`: the length of that name.
    location_length,
    /// In a `Location`, four bytes: the line.
    location_line,
    /// In a `Location`, four bytes: the column.
    location_column,
}

/// Returns the index of the scope that the four bytes of a wait name, among the entries of its loop, or `None` at the
/// root of the task.
pub fn scope_place(within: u32) -> Option<u32> {
    (within >> 1).checked_sub(1)
}

/// Returns whether a future of another library lies between the task and the wait with these four bytes.
pub fn is_foreign(within: u32) -> bool {
    within & 1 != 0
}

/// The phases of a task in the loop.
pub mod phase {
    use super::Phase;

    /// It waits, or has not started.
    pub const IDLE: u8 = Phase::Idle as u8;
    /// It is in the ready queue.
    pub const READY: u8 = Phase::Ready as u8;
    /// It runs a step.
    pub const RUNNING: u8 = Phase::Running as u8;
    /// It runs a step, and is already ready again.
    pub const WOKEN: u8 = Phase::Woken as u8;
    /// It has ended.
    pub const ENDED: u8 = Phase::Ended as u8;
}

/// The flag of a task whose first wait has a target.
pub const HAS_TARGET: u8 = Flag::Target as u8;

/// The bits of a first wait that hold its state.
pub const WAIT_STATE: u64 = state::STATE;

/// The state of a first wait that has not ended.
pub const WAITING: u64 = state::WAITING;

impl Offsets {
    fn of(home: &Home) -> Offsets {
        let (tasks, vec) = (probe::tasks(home), probe::vec());
        let (other, node) = (Slots::place_of(probe::other()), Slots::place_of(probe::node()));
        let in_place = |offset| (other + offset) as u32;
        let in_scope = |offset| (node + offset) as u32;
        let in_home = |place: *const ()| (place.addr() - (&raw const *home).addr()) as u32;
        let in_header = |offset| (offset_of!(Header, site) + offset) as u32;
        let in_wait = |offset| (offset_of!(OtherWait, site) + offset) as u32;
        let (text, arc, location) = (probe::text(), probe::arc(), probe::location());
        let target = probe::target();
        Offsets {
            home_next: offset_of!(Home, next) as u32,
            home_id: offset_of!(Home, id) as u32,
            home_counters: offset_of!(Home, counters) as u32,
            home_current: (offset_of!(Home, scheduler) + Scheduler::CURRENT) as u32,
            home_tasks: tasks.pointer,
            home_tasks_len: tasks.length,
            home_scope_places: in_home(home.scheduler.scopes.places()),
            scope_size: Slots::<Node>::PLACE as u32,
            scope_site_what: in_scope(offset_of!(Node, site) + offset_of!(WaitSite, what)),
            scope_site_location: in_scope(offset_of!(Node, site) + offset_of!(WaitSite, location)),
            scope_parent: in_scope(offset_of!(Node, parent)),
            scope_task: in_scope(offset_of!(Node, task)),
            cell_size: size_of::<TaskCell>() as u32,
            cell_home: (offset_of!(TaskCell, home) + offset_of!(LoopRef, home)) as u32,
            cell_loop: (offset_of!(TaskCell, home) + offset_of!(LoopRef, id)) as u32,
            cell_sequence: offset_of!(TaskCell, sequence) as u32,
            cell_spawned_at: offset_of!(TaskCell, spawned_at) as u32,
            cell_first: offset_of!(TaskCell, first) as u32,
            cell_site_what: in_affine(offset_of!(Affine, site_what)),
            cell_site_location: in_affine(offset_of!(Affine, site_location)),
            cell_key: in_affine(offset_of!(Affine, key)),
            cell_phase: in_affine(offset_of!(Affine, phase)),
            cell_flags: in_affine(offset_of!(Affine, flags)),
            cell_target: in_affine(offset_of!(Affine, aim)),
            cell_within: in_affine(offset_of!(Affine, within)),
            target_size: size_of::<Target>() as u32,
            header_operation: offset_of!(Header, operation) as u32,
            header_site_what: in_header(offset_of!(WaitSite, what)),
            header_site_location: in_header(offset_of!(WaitSite, location)),
            list_items: offset_of!(Listed<Target>, items) as u32,
            queue_name: Entry::NAME as u32,
            queue_maxsize: Entry::MAXSIZE as u32,
            queue_places: Entry::PLACES as u32,
            vec_pointer: vec.pointer,
            vec_length: vec.length,
            cell_cold: in_affine(offset_of!(Affine, cold)),
            cold_name: offset_of!(Cold, name) as u32,
            cold_others: offset_of!(Cold, others_len) as u32,
            cold_other_places: (offset_of!(Cold, others) + Slots::<Other>::PLACES) as u32,
            other_size: Slots::<Other>::PLACE as u32,
            other_wait: in_place(offset_of!(Other, wait)),
            other_target: in_place(offset_of!(Other, target)) + target.words,
            other_has_target: in_place(offset_of!(Other, target)) + target.tag,
            other_has_target_if: target.some,
            other_within: in_place(offset_of!(Other, within)),
            other_number: in_place(offset_of!(Other, number)),
            wait_size: size_of::<OtherWait>() as u32,
            wait_armed: offset_of!(OtherWait, armed) as u32,
            wait_state: offset_of!(OtherWait, state) as u32,
            wait_site_what: in_wait(offset_of!(WaitSite, what)),
            wait_site_location: in_wait(offset_of!(WaitSite, location)),
            str_pointer: text.pointer,
            str_length: text.length,
            arc_pointer: arc.words.pointer,
            arc_length: arc.words.length,
            arc_text: arc.text,
            location_file: location.file.pointer,
            location_length: location.file.length,
            location_line: location.line,
            location_column: location.column,
        }
    }
}

const fn in_affine(offset: usize) -> u32 {
    (offset_of!(TaskCell, affine) + offset) as u32
}

/// Returns the address of the length of a `VecDeque`, or zero if it is not known.
pub fn length_of_deque<T>(deque: &VecDeque<T>) -> usize {
    behind((&raw const *deque).addr(), probe::deque())
}

/// Returns the address of the length of a `Vec`, or zero if it is not known.
pub fn length_of_vec<T>(vec: &Vec<T>) -> usize {
    behind((&raw const *vec).addr(), probe::vec().length)
}

/// Returns the address of the length of a `BinaryHeap`, or zero if it is not known.
pub fn length_of_heap<T>(heap: &BinaryHeap<T>) -> usize {
    behind((&raw const *heap).addr(), probe::heap())
}

fn behind(address: usize, offset: u32) -> usize {
    if offset == UNKNOWN { 0 } else { address + offset as usize }
}

/// Makes a home visible to readers outside the process. It is never freed.
#[cold]
pub(crate) fn publish(home: &'static Home) {
    if cfg!(loom) {
        // The homes of a model do not outlive it.
        return;
    }
    static FIRST: Once = Once::new();
    FIRST.call_once(|| {
        let (homes, offsets) = (AtomicPtr::default(), Offsets::of(home));
        let (marks, queues, source) = (&MARKS, named::table_address(), wait_site::SOURCE);
        let layout = Box::leak(Box::new(Layout { homes, marks, queues, source, offsets }));
        NOTE.descriptor.layout.store(layout, Ordering::Release);
    });
    // SAFETY: it was leaked above.
    let layout = unsafe { &*NOTE.descriptor.layout.load(Ordering::Acquire) };
    let this = (&raw const *home).cast_mut();
    let mut previous = layout.homes.load(Ordering::Relaxed);
    loop {
        home.next.store(previous, Ordering::Relaxed);
        let (success, failure) = (Ordering::Release, Ordering::Relaxed);
        match layout.homes.compare_exchange_weak(previous, this, success, failure) {
            Ok(_) => return,
            Err(other) => previous = other,
        }
    }
}

/// Returns the starting point of a reader that reads the memory of its own process, in tests of readers.
pub fn note() -> &'static Descriptor {
    &NOTE.descriptor
}

const _: () = assert!(size_of::<Counters>() % size_of::<u64>() == 0);

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn everything_that_a_reader_needs_is_known() {
        let home = LoopRef::nowhere();
        // SAFETY: it was created together with the home.
        let layout = unsafe { &*note().layout.load(Ordering::Acquire) };
        let offsets = format!("{:?}", layout.offsets);
        assert!(!offsets.contains(&UNKNOWN.to_string()), "{offsets}");
        let mut homes = layout.homes.load(Ordering::Acquire).cast_const();
        // SAFETY: each is a home, or null.
        while let Some(other) = unsafe { homes.as_ref() } {
            if std::ptr::eq(other, home.home) {
                return;
            }
            homes = other.next.load(Ordering::Relaxed);
        }
        panic!("the home is not in the list");
    }

    #[test]
    fn lengths_stand_where_they_are_said_to() {
        /// The word of `value` at this address.
        fn word<T>(value: &T, address: usize) -> usize {
            let offset = address - (&raw const *value).addr();
            assert!(offset + size_of::<usize>() <= size_of::<T>());
            // SAFETY: it is inside the value, which consists of words.
            unsafe { (&raw const *value).byte_add(offset).cast::<usize>().read() }
        }
        let (deque, vec) = (VecDeque::from([1; 5]), vec![(); 6]);
        let heap = BinaryHeap::from(["x"; 7]);
        assert_eq!(word(&deque, length_of_deque(&deque)), 5);
        assert_eq!(word(&vec, length_of_vec(&vec)), 6);
        assert_eq!(word(&heap, length_of_heap(&heap)), 7);
    }

    #[test]
    fn offsets_are_read_in_the_order_of_their_list() {
        let words = std::array::from_fn(|place| place as u32);
        let offsets = Offsets::from_words(words);
        assert_eq!((offsets.home_next, offsets.home_id), (0, 1));
        assert_eq!(offsets.location_column as usize, Offsets::COUNT - 1);
        assert_eq!(size_of::<Offsets>(), Offsets::COUNT * size_of::<u32>());
    }
}
