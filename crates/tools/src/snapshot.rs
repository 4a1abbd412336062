//! [`Snapshot`]: the loops and tasks of a program at one time, as they were found in its memory.

mod targets;
mod tasks;

use crate::{
    Failure,
    memory::{Memory, Numbers, Thread, Unreadable},
    note::find_layout,
};
use asyncio_core::raw::{
    layout::{Layout, Offsets, UNKNOWN},
    metrics::Counts,
};
use std::{
    collections::{HashMap, HashSet},
    fmt,
    rc::Rc,
};
use targets::{Targets, WORDS_MAX};
use tasks::{InLoop, Texts};

/// No program has so many loops.
const LOOPS_MAX: usize = 4096;

/// No more places of tasks are looked at, in all loops together.
const PLACES_MAX: u64 = 1_000_000;

/// How often what has changed meanwhile is looked at again.
const TRIES: usize = 5;

/// Where something stands in the source.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// The file, as the compiler was told of it.
    pub file: Rc<str>,
    /// The line, from one on.
    pub line: u32,
    /// The column, from one on.
    pub column: u32,
}

/// `src/main.rs:3:14`
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// On what a task waits, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// It runs, and its thread sleeps in the system meanwhile: nothing else of its loop can run.
    Blocked,
    /// It runs.
    Running,
    /// It stands in the ready queue.
    Ready,
    /// It waits for something of asyncio.
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
    /// Where it stands: no other task that is there at the same time has this number.
    pub id: u64,
    /// Its place in the order of creation.
    pub sequence: u64,
    /// Its name, `Task-N` if it was given none.
    pub name: Rc<str>,
    /// What it does.
    pub state: State,
    /// On what it waits; `None` unless it waits, or if it waits at several places at once.
    pub wait_site: Option<WaitSite>,
    /// How many waits it has beside the first: branches of `join!` and `select!`.
    pub others: u32,
    /// How often it has waited, modulo 2³².
    pub waits: u32,
    /// Where it was made.
    pub created_at: Option<Location>,
    /// The tasks that it waits for.
    pub awaits: Vec<u64>,
}

/// `sleep src/main.rs:3:14`; what is known of a task that waits for nothing of asyncio.
impl Task {
    /// What the task does, in words, where it is known: a frame of its stack.
    pub fn doing(&self) -> String {
        if let Some(site) = &self.wait_site {
            return site.to_string();
        }
        let created = match &self.created_at {
            Some(location) => format!("created {location}"),
            None => "created anywhere".to_owned(),
        };
        match self.state {
            State::Waiting => format!("{} waits, {created}", self.others),
            State::Suspended => format!("another library's future, {created}"),
            State::Blocked | State::Running | State::Ready => format!("({created})"),
        }
    }
}

/// A loop that is open.
#[derive(Clone, Debug)]
pub struct Loop {
    /// Its number: no other loop of the program has it.
    pub id: u64,
    /// The system's number of its thread, or zero.
    pub thread: u64,
    /// What the system says of that.
    pub thread_info: Option<Thread>,
    /// What it counts.
    pub counts: Counts,
    /// Its tasks, in the order of creation.
    pub tasks: Vec<Task>,
    /// How many tasks changed whenever they were looked at.
    pub unread: usize,
}

/// The loops of a program.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Those that are open, in the order in which they were made.
    pub loops: Vec<Loop>,
}

/// What finds the tasks of one program, again and again.
pub struct Reader<'a> {
    memory: &'a dyn Memory,
    layout: u64,
    offsets: Offsets,
    texts: Texts,
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader of {}", self.memory.name())
    }
}

impl<'a> Reader<'a> {
    /// A reader of `memory`.
    ///
    /// # Errors
    /// That there is nothing to read, and what to do: see [`Failure`].
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
        Ok(Reader { memory, layout, offsets, texts: Texts::default() })
    }

    /// What is there now.
    ///
    /// # Errors
    /// That the program has ended.
    pub fn snapshot(&mut self) -> Result<Snapshot, Failure> {
        let first = self.memory.u64(self.layout.wrapping_add(Layout::HOMES as u64));
        let mut home = first.map_err(|Unreadable| {
            Failure::new(format!("{} has ended while it was looked into", self.memory.name()))
        })?;
        let mut snapshot = Snapshot::default();
        let (mut seen, mut room) = (HashSet::new(), PLACES_MAX);
        // A list that leads back to where it came from has come to its end.
        while home != 0 && seen.len() < LOOPS_MAX && seen.insert(home) {
            let found = (0..TRIES).find_map(|_| self.read_loop(home, &mut room).ok()).flatten();
            snapshot.loops.extend(found);
            let next = home.wrapping_add(self.offsets.home_next.into());
            home = self.memory.u64(next).unwrap_or_default();
        }
        snapshot.loops.sort_by_key(|l| l.id);
        // What a task waits for may be of another loop.
        let tasks = || snapshot.loops.iter().flat_map(|l| &l.tasks);
        let known: HashSet<u64> = tasks().map(|task| task.id).collect();
        let (memory, size) = (self.memory, self.offsets.target_size);
        let mut targets = Targets {
            memory,
            mark: self.layout,
            size,
            header: self.offsets.arc_text,
            known,
            left: WORDS_MAX,
        };
        for task in snapshot.loops.iter_mut().flat_map(|l| &mut l.tasks) {
            task.awaits = targets.tasks(&task.awaits);
        }
        Ok(snapshot)
    }

    /// The loop in a home, if one lives there.
    fn read_loop(&mut self, home: u64, room: &mut u64) -> Result<Option<Loop>, Unreadable> {
        let id = self.memory.u64(home.wrapping_add(self.offsets.home_id.into()))?;
        if id == 0 {
            return Ok(None);
        }
        let counts = self.memory.words(home.wrapping_add(self.offsets.home_counters.into()))?;
        let counts = Counts::from_words(counts);
        let in_loop = InLoop { memory: self.memory, offsets: &self.offsets, home, id };
        let (cells, unread) = in_loop.cells(room)?;
        // After the cells: a thread that slept then may have woken meanwhile, but hardly the reverse.
        let thread_info = self.memory.thread(counts.thread);
        let sleeps = thread_info.as_ref().is_some_and(|thread| thread.sleeps);
        let mut tasks = in_loop.tasks(cells, &mut self.texts, sleeps);
        tasks.sort_by_key(|task| (task.sequence, task.id));
        Ok(Some(Loop { id, thread: counts.thread, thread_info, counts, tasks, unread }))
    }
}

/// Whether what is read by these offsets is inside of what is read.
fn make_sense(offsets: &Offsets) -> bool {
    /// Neither a home nor a cell is so large.
    const HOME: u32 = 1 << 16;
    const CELL: u32 = 1 << 9;
    let Offsets { cell_size, .. } = *offsets;
    let in_home = [
        offsets.home_next,
        offsets.home_id,
        offsets.home_counters,
        offsets.home_current,
        offsets.home_tasks,
        offsets.home_tasks_len,
        offsets.cold_name,
        offsets.cold_others,
    ];
    let words = [
        offsets.cell_home,
        offsets.cell_loop,
        offsets.cell_sequence,
        offsets.cell_spawned_at,
        offsets.cell_first,
        offsets.cell_site_what,
        offsets.cell_site_location,
        offsets.cell_key,
        offsets.cell_target,
        offsets.cell_cold,
    ];
    let in_pair =
        [offsets.str_pointer, offsets.str_length, offsets.arc_pointer, offsets.arc_length];
    let in_location = [
        offsets.location_file,
        offsets.location_length,
        offsets.location_line,
        offsets.location_column,
    ];
    // What the compiler has laid out in an unknown way is not shown.
    let is_known = |offset: &&u32| **offset != UNKNOWN;
    cell_size <= CELL
        && in_home.iter().all(|offset| *offset < HOME)
        && words.iter().all(|offset| offset.saturating_add(8) <= cell_size)
        && offsets.cell_target.saturating_add(16) <= cell_size
        && offsets.target_size <= 64
        && (offsets.arc_text <= 64 || offsets.arc_text == UNKNOWN)
        && [offsets.cell_phase, offsets.cell_flags].iter().all(|offset| *offset < cell_size)
        && in_pair.iter().filter(is_known).all(|offset| *offset <= 8)
        && in_location.iter().filter(is_known).all(|offset| *offset <= 20)
}

/// The places of tasks in a list of loops.
pub(crate) fn tasks_by_id(snapshot: &Snapshot) -> HashMap<u64, &Task> {
    snapshot.loops.iter().flat_map(|l| &l.tasks).map(|task| (task.id, task)).collect()
}
