//! [`Snapshot`]: the loops and tasks of a program at one time, read from its memory.

mod queues;
mod scopes;
mod targets;
mod tasks;
mod texts;

use crate::{
    Failure,
    memory::{Memory, Numbers, Thread, Unreadable},
    note::find_layout,
};
use asyncio_core::raw::{
    layout::{Layout, Offsets, UNKNOWN},
    metrics::Counts,
};
pub use queues::NamedQueue;
use queues::Queues;
use std::{
    collections::{HashMap, HashSet},
    fmt,
    rc::Rc,
};
use targets::{Targets, WORDS_MAX};
use tasks::InLoop;
use texts::Texts;

/// The largest plausible number of loops.
const LOOPS_MAX: usize = 4096;

/// The largest number of task places that are read, in all loops together.
const PLACES_MAX: u64 = 1_000_000;

/// How often data that changed meanwhile is read again.
const TRIES: usize = 5;

/// A position in the source.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// The path of the file, as it was passed to the compiler.
    pub file: Rc<str>,
    /// The line, beginning with one.
    pub line: u32,
    /// The column, beginning with one.
    pub column: u32,
}

/// `src/main.rs:3:14`
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// The operation that a task waits for, and its line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WaitSite {
    /// The operation: `sleep`, `Lock.acquire`.
    pub what: Rc<str>,
    /// The line that called it.
    pub location: Location,
}

/// `sleep src/main.rs:3:14`, as asyncio writes a frame.
impl fmt::Display for WaitSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.location)
    }
}

/// One of the waits of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The operation, and its line.
    pub site: WaitSite,
    /// The scopes around it, the innermost first: `timeout`, `TaskGroup`, `with`.
    pub scopes: Vec<WaitSite>,
    /// Whether there is a future of another library between the task and the wait.
    pub is_foreign: bool,
}

/// The name of a future about which nothing else is known.
const FOREIGN: &str = "another library's future";

/// Returns the innermost frame.
impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A scope arms a wait for a foreign future inside it; that wait has the name of the scope.
        match self.is_foreign && self.scopes.first() == Some(&self.site) {
            true => f.write_str(FOREIGN),
            false => self.site.fmt(f),
        }
    }
}

/// The state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// It runs, but its thread sleeps in a system call: nothing else in its loop can run.
    Blocked,
    /// It runs.
    Running,
    /// It is in the ready queue.
    Ready,
    /// It waits for an operation of asyncio.
    Waiting,
    /// It waits for a future of another library, or has not begun.
    Suspended,
}

impl State {
    /// All of them.
    pub const ALL: [State; 5] =
        [State::Blocked, State::Running, State::Ready, State::Waiting, State::Suspended];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            State::Blocked => "blocked",
            State::Running => "running",
            State::Ready => "ready",
            State::Waiting => "waiting",
            State::Suspended => "suspended",
        })
    }
}

/// A task that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its address, which is unique among the tasks that exist at the same time.
    pub id: u64,
    /// Its place in the order of creation.
    pub sequence: u64,
    /// Its name, by default `Task-N`.
    pub name: Rc<str>,
    /// Its state.
    pub state: State,
    /// Its waits; there may be several inside `join!` and `select!`.
    pub waits: Vec<Wait>,
    /// The number of waits beside the first.
    pub others: u32,
    /// The minimum time for which it has waited, in nanoseconds. One snapshot only shows how long its loop has
    /// waited.
    pub lasts: Option<u64>,
    /// Its last wait, if it is not waiting.
    pub waited_at: Option<WaitSite>,
    /// How often it has waited, modulo 2³².
    pub waited: u32,
    /// The line that created it.
    pub created_at: Option<Location>,
    /// The tasks that it awaits.
    pub awaits: Vec<u64>,
}

impl Task {
    /// Returns the task's state in words: the innermost frame of its stack.
    pub fn doing(&self) -> String {
        if !self.waits.is_empty() {
            let waits: Vec<String> = self.waits.iter().map(Wait::to_string).collect();
            return waits.join(" | ");
        }
        let mut created = match &self.created_at {
            Some(location) => format!("created {location}"),
            None => "created anywhere".to_owned(),
        };
        if let Some(site) = &self.waited_at {
            created = format!("after {site}, {created}");
        }
        match self.state {
            State::Waiting => format!("{} waits, {created}", self.others.max(1)),
            State::Suspended => format!("{FOREIGN}, {created}"),
            State::Blocked | State::Running | State::Ready => format!("({created})"),
        }
    }

    /// Returns its stack, the innermost frame first: its operation, and the scopes around it. If there are
    /// several waits, only their common scopes are included.
    pub fn frames(&self) -> Vec<String> {
        let mut shared = self.waits.first().map_or(&[][..], |wait| &wait.scopes);
        for wait in &self.waits {
            let outer = wait.scopes.iter().rev().zip(shared.iter().rev());
            let count = outer.take_while(|(a, b)| a == b).count();
            shared = &shared[shared.len() - count..];
        }
        let scopes = shared.iter().map(ToString::to_string);
        [self.doing()].into_iter().chain(scopes).collect()
    }
}

/// A loop that is open.
#[derive(Clone, Debug)]
pub struct Loop {
    /// Its number, which is unique in the program.
    pub id: u64,
    /// The system's number of its thread, or zero.
    pub thread: u64,
    /// The system's description of the thread.
    pub thread_info: Option<Thread>,
    /// Its counters.
    pub counts: Counts,
    /// Its tasks, in the order of creation.
    pub tasks: Vec<Task>,
    /// The number of tasks that changed during every read.
    pub unread: usize,
}

/// The loops of a program, and its queues.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The open loops, in the order of their creation.
    pub loops: Vec<Loop>,
    /// The queues that have a name, by name. They belong to no loop.
    pub queues: Vec<NamedQueue>,
}

/// Reads the tasks of one program, any number of times.
pub struct Reader<'a> {
    memory: &'a dyn Memory,
    layout: u64,
    offsets: Offsets,
    /// The mark of a header.
    mark: u64,
    texts: Texts<'a>,
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader of {}", self.memory.name())
    }
}

impl<'a> Reader<'a> {
    /// Creates a reader of `memory`.
    ///
    /// # Errors
    /// Fails if there is nothing to read, and names the remedy: see [`Failure`].
    pub fn new(memory: &'a dyn Memory) -> Result<Reader<'a>, Failure> {
        let layout = find_layout(memory)?;
        let broken = || {
            let name = memory.name();
            Failure::new(format!("{name} has a layout that makes no sense: its memory is damaged"))
        };
        let address = layout.wrapping_add(Layout::OFFSETS as u64);
        let mut bytes = [0; Offsets::COUNT * size_of::<u32>()];
        memory.read(address, &mut bytes).map_err(|Unreadable| broken())?;
        let words = std::array::from_fn(|place| crate::memory::u32_at(&bytes, place * 4));
        let offsets = Offsets::from_words(words);
        if !make_sense(&offsets) {
            return Err(broken());
        }
        let mark = memory.u64(layout.wrapping_add(Layout::MARKS as u64));
        let mark = mark.map_err(|Unreadable| broken())?;
        Ok(Reader { memory, layout, offsets, mark, texts: Texts::new(memory, offsets, layout) })
    }

    /// Returns a snapshot of the current state.
    ///
    /// # Errors
    /// Fails if the program has ended.
    pub fn snapshot(&mut self) -> Result<Snapshot, Failure> {
        self.texts.begin_anew();
        let first = self.memory.u64(self.layout.wrapping_add(Layout::HOMES as u64));
        let mut home = first.map_err(|Unreadable| {
            Failure::new(format!("{} has ended while it was looked into", self.memory.name()))
        })?;
        let (mut loops, mut awaited) = (Vec::new(), HashMap::new());
        let (mut seen, mut room) = (HashSet::new(), PLACES_MAX);
        // A list that leads back to an earlier home ends there.
        while home != 0 && seen.len() < LOOPS_MAX && seen.insert(home) {
            let read = |_| self.read_loop(home, &mut room, &mut awaited).ok();
            loops.extend((0..TRIES).find_map(read).flatten());
            let next = home.wrapping_add(self.offsets.home_next.into());
            home = self.memory.u64(next).unwrap_or_default();
        }
        loops.sort_by_key(|l: &Loop| l.id);
        self.find_targets(&mut loops, &awaited);
        // The marks are consecutive numbers.
        let (memory, offsets, mark) = (self.memory, self.offsets, self.mark.wrapping_add(2));
        let queues = Queues { memory, offsets, layout: self.layout, mark }.read(&mut self.texts);
        Ok(Snapshot { loops, queues })
    }

    /// Finds the awaited tasks, which may belong to other loops, by the words of their targets.
    fn find_targets(&mut self, loops: &mut [Loop], awaited: &HashMap<u64, Vec<[u64; 2]>>) {
        let tasks = loops.iter().flat_map(|l| &l.tasks);
        let known = tasks.map(|task| (task.id, task.created_at.clone())).collect();
        let (memory, offsets, mark) = (self.memory, self.offsets, self.mark);
        let (left, hits, misses) = (WORDS_MAX, 0, 0);
        let mut targets = Targets { memory, offsets, mark, known, left, hits, misses };
        for task in loops.iter_mut().flat_map(|l| &mut l.tasks) {
            let words = awaited.get(&task.id).map(Vec::as_slice).unwrap_or_default();
            for (wait, words) in task.waits.iter_mut().zip(words) {
                let found = targets.follow(words, &mut self.texts);
                let is_in_a_library = || self.texts.is_in_a_library(&wait.site.location);
                if let Some(made_at) = found.made_at.filter(|_| is_in_a_library()) {
                    wait.site.location = made_at;
                }
                let new = found.tasks.into_iter().filter(|id| !task.awaits.contains(id));
                let new: Vec<u64> = new.collect();
                task.awaits.extend(new);
            }
        }
    }

    /// Returns the loop in a home, if there is one. The targets of its tasks' waits go to `awaited`.
    fn read_loop(
        &mut self,
        home: u64,
        room: &mut u64,
        awaited: &mut HashMap<u64, Vec<[u64; 2]>>,
    ) -> Result<Option<Loop>, Unreadable> {
        let id = self.memory.u64(home.wrapping_add(self.offsets.home_id.into()))?;
        if id == 0 {
            return Ok(None);
        }
        let counts = self.memory.words(home.wrapping_add(self.offsets.home_counters.into()))?;
        let counts = Counts::from_words(counts);
        // The loop waits, and so do those of its tasks that wait.
        let waits =
            self.memory.now().filter(|_| counts.waiting_since > 0).map(|now| {
                now.saturating_sub(counts.clock_zero).saturating_sub(counts.waiting_since)
            });
        let in_loop = InLoop { memory: self.memory, offsets: &self.offsets, home, id };
        let (cells, unread) = in_loop.cells(room)?;
        // Read after the cells: a thread that slept may have woken in between, but the reverse is unlikely.
        let thread_info = self.memory.thread(counts.thread);
        let sleeps = thread_info.as_ref().is_some_and(|thread| thread.sleeps);
        let mut tasks = Vec::new();
        for (mut task, targets) in in_loop.tasks(cells, &mut self.texts, sleeps) {
            if targets.iter().any(|words| *words != [0; 2]) {
                awaited.insert(task.id, targets);
            }
            task.lasts = waits.filter(|_| task.state == State::Waiting);
            tasks.push(task);
        }
        tasks.sort_by_key(|task| (task.sequence, task.id));
        Ok(Some(Loop { id, thread: counts.thread, thread_info, counts, tasks, unread }))
    }
}

/// Whether every value at these offsets is inside the memory that is read.
fn make_sense(offsets: &Offsets) -> bool {
    /// A size that neither a home nor any other structure reaches.
    const HOME: u32 = 1 << 16;
    const SIZE: u32 = 1 << 9;
    let is_inside = |size: u32, words: &[u32]| {
        size <= SIZE && words.iter().all(|offset| offset.saturating_add(8) <= size)
    };
    let in_home = [
        offsets.home_next,
        offsets.home_id,
        offsets.home_counters,
        offsets.home_current,
        offsets.home_tasks,
        offsets.home_tasks_len,
        offsets.home_scope_places,
        offsets.cold_name,
        offsets.cold_others,
        offsets.cold_other_places,
    ];
    let in_cell = [
        offsets.cell_home,
        offsets.cell_loop,
        offsets.cell_sequence,
        offsets.cell_spawned_at,
        offsets.cell_first,
        offsets.cell_site_what,
        offsets.cell_site_location,
        offsets.cell_key,
        offsets.cell_target.saturating_add(8),
        offsets.cell_cold,
    ];
    let in_scope = [
        offsets.scope_site_what,
        offsets.scope_site_location,
        offsets.scope_parent,
        offsets.scope_task,
    ];
    let in_place =
        [offsets.other_wait, offsets.other_target.saturating_add(8), offsets.other_has_target];
    let in_wait = [
        offsets.wait_armed.saturating_add(8),
        offsets.wait_state,
        offsets.wait_site_what,
        offsets.wait_site_location,
    ];
    let bytes = [offsets.cell_phase, offsets.cell_flags];
    let halves = [
        (offsets.cell_size, offsets.cell_within),
        (offsets.other_size, offsets.other_within),
        (offsets.other_size, offsets.other_number),
    ];
    let in_pair =
        [offsets.str_pointer, offsets.str_length, offsets.arc_pointer, offsets.arc_length];
    let in_location = [
        offsets.location_file,
        offsets.location_length,
        offsets.location_line,
        offsets.location_column,
    ];
    // Data whose layout is not known is not shown.
    let is_known = |offset: &&u32| **offset != UNKNOWN;
    in_home.iter().all(|offset| *offset < HOME)
        && is_inside(offsets.cell_size, &in_cell)
        && is_inside(offsets.scope_size, &in_scope)
        && is_inside(offsets.other_size, &in_place)
        && is_inside(offsets.wait_size, &in_wait)
        && offsets.target_size <= 64
        && (offsets.arc_text <= 64 || offsets.arc_text == UNKNOWN)
        && bytes.iter().all(|offset| *offset < offsets.cell_size)
        && halves.iter().all(|(size, offset)| offset.saturating_add(4) <= *size)
        && (offsets.scope_size > 0 && offsets.other_size > 0)
        && make_sense_in_header(offsets)
        && in_pair.iter().filter(is_known).all(|offset| *offset <= 8)
        && in_location.iter().filter(is_known).all(|offset| *offset <= 20)
}

/// Checks the same for a header and a list, of which eight words are read, and for a queue.
fn make_sense_in_header(offsets: &Offsets) -> bool {
    let in_vec = [offsets.vec_pointer, offsets.vec_length];
    let is_known = |offset: &&u32| **offset != UNKNOWN;
    offsets.header_operation <= 16
        && [offsets.header_site_what, offsets.header_site_location].iter().all(|site| *site <= 56)
        && offsets.list_items <= 16
        && [offsets.queue_name, offsets.queue_maxsize, offsets.queue_places]
            .iter()
            .all(|at| *at <= 48)
        && in_vec.iter().filter(is_known).all(|offset| *offset <= 16)
}

/// Returns the tasks of all loops by their addresses.
pub(crate) fn tasks_by_id(snapshot: &Snapshot) -> HashMap<u64, &Task> {
    snapshot.loops.iter().flat_map(|l| &l.tasks).map(|task| (task.id, task)).collect()
}
