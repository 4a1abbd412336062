//! The tasks of one loop: cells are read in bulk, and believed only if they say whose they are.

use super::{Location, State, TRIES, Task, WaitSite};
use crate::memory::{Memory, Numbers, Unreadable, u8_at, u32_at, u64_at};
use asyncio_core::raw::layout::{HAS_TARGET, Offsets, UNKNOWN, WAIT_STATE, WAITING, phase};
use std::{collections::HashMap, rc::Rc};

/// So many places are looked at together.
const PLACES: usize = 4096;

/// So many bytes of texts are kept: a program has no more.
const TEXTS_MAX: u64 = 1 << 26;

/// A cell that was read.
pub(super) struct Cell {
    address: u64,
    bytes: Vec<u8>,
}

/// Texts of the program, by where they stand: they do not change.
#[derive(Default)]
pub(super) struct Texts {
    sites: HashMap<u64, Option<Rc<str>>>,
    locations: HashMap<u64, Option<Location>>,
    files: HashMap<(u64, u64), Option<Rc<str>>>,
    /// How many bytes were read.
    size: u64,
}

/// Where to look.
pub(super) struct InLoop<'a> {
    pub(super) memory: &'a dyn Memory,
    pub(super) offsets: &'a Offsets,
    pub(super) home: u64,
    pub(super) id: u64,
}

impl InLoop<'_> {
    /// Address and length of the table of tasks, and what lives in the home.
    fn table(&self) -> Result<(u64, u64, u64), Unreadable> {
        let word = |offset: u32| self.memory.u64(self.home.wrapping_add(offset.into()));
        let offsets = self.offsets;
        Ok((word(offsets.home_tasks)?, word(offsets.home_tasks_len)?, word(offsets.home_id)?))
    }

    /// The cells of the tasks that are there, and how many could not be read.
    pub(super) fn cells(&self, room: &mut u64) -> Result<(Vec<Cell>, usize), Unreadable> {
        let (address, length, id) = self.table()?;
        if id != self.id || length > *room {
            return Err(Unreadable);
        }
        *room -= length;
        let mut bytes = vec![0; length as usize * 8];
        self.memory.read(address, &mut bytes)?;
        // A table that has grown meanwhile stands elsewhere.
        let (again, _, id) = self.table()?;
        if again != address || id != self.id {
            return Err(Unreadable);
        }
        let places: Vec<(usize, u64)> =
            (0..length as usize).map(|place| (place, u64_at(&bytes, place * 8))).collect();
        let mut cells = Vec::new();
        let some = places.chunks(PLACES);
        let unread = some.map(|some| self.try_cells(address, some.to_vec(), &mut cells)).sum();
        Ok((cells, unread))
    }

    /// The same, of some places of the table.
    fn try_cells(&self, table: u64, mut wanted: Vec<(usize, u64)>, cells: &mut Vec<Cell>) -> usize {
        for _ in 0..TRIES {
            wanted.retain(|(_, cell)| *cell != 0);
            if wanted.is_empty() {
                break;
            }
            wanted = self.read_cells(&wanted, cells);
            // Where a task has ended meanwhile, another one may have come.
            let places: Vec<u64> =
                wanted.iter().map(|(place, _)| table.wrapping_add(*place as u64 * 8)).collect();
            let entries = self.memory.read_each(&places, 8);
            for (index, (_, cell)) in wanted.iter_mut().enumerate() {
                *cell = entries.get(index).map_or(0, |entry| u64_at(entry, 0));
            }
        }
        wanted.len()
    }

    /// Reads cells, each twice: one that a step has changed between the two is torn. Gives what has to
    /// be looked at again.
    fn read_cells(&self, wanted: &[(usize, u64)], cells: &mut Vec<Cell>) -> Vec<(usize, u64)> {
        let twice: Vec<u64> = wanted.iter().flat_map(|(_, cell)| [*cell, *cell]).collect();
        let pieces = self.memory.read_each(&twice, self.offsets.cell_size as usize);
        let mut left = Vec::new();
        for (index, (place, address)) in wanted.iter().enumerate() {
            match (pieces.get(index * 2), pieces.get(index * 2 + 1)) {
                (Some(first), Some(second)) if first == second && self.is_cell(first, *place) => {
                    cells.push(Cell { address: *address, bytes: first.to_vec() });
                }
                _ => left.push((*place, *address)),
            }
        }
        left
    }

    /// Whether these are the bytes of the task that stands at this place of this loop.
    fn is_cell(&self, bytes: &[u8], place: usize) -> bool {
        let offsets = self.offsets;
        let key = u64_at(bytes, offsets.cell_key as usize);
        u64_at(bytes, offsets.cell_home as usize) == self.home
            && u64_at(bytes, offsets.cell_loop as usize) == self.id
            && (key as u32 >> 2) as usize == place
            && u8_at(bytes, offsets.cell_phase as usize) <= phase::ENDED
    }

    /// What the cells say. `sleeps`: the thread does.
    pub(super) fn tasks(&self, cells: Vec<Cell>, texts: &mut Texts, sleeps: bool) -> Vec<Task> {
        let cold = self.cold(&cells, texts);
        let task = |cell: &Cell| {
            let at = |offset: u32| u64_at(&cell.bytes, offset as usize);
            let offsets = self.offsets;
            let first = at(offsets.cell_first);
            let (name, others) = cold.get(&cell.address).cloned().unwrap_or_default();
            let waits_first = first & WAIT_STATE == WAITING;
            let state = match u8_at(&cell.bytes, offsets.cell_phase as usize) {
                phase::RUNNING | phase::WOKEN if sleeps => State::Blocked,
                phase::RUNNING | phase::WOKEN => State::Running,
                phase::READY => State::Ready,
                _ if waits_first || others > 0 => State::Waiting,
                _ => State::Suspended,
            };
            let is_site = state == State::Waiting && waits_first;
            let mut site = || {
                let what = texts.site(self, at(offsets.cell_site_what))?;
                let location = texts.location(self, at(offsets.cell_site_location))?;
                Some(WaitSite { what, location })
            };
            let wait_site = if is_site { site() } else { None };
            let has_target = u8_at(&cell.bytes, offsets.cell_flags as usize) & HAS_TARGET != 0;
            let awaits = match has_target && is_site {
                true => [0, 8].map(|word| at(offsets.cell_target + word)).to_vec(),
                false => Vec::new(),
            };
            let sequence = at(offsets.cell_sequence);
            Task {
                id: cell.address,
                sequence,
                name: name.unwrap_or_else(|| format!("Task-{sequence}").into()),
                state,
                wait_site,
                others,
                waits: (first >> 2) as u32,
                created_at: texts.location(self, at(offsets.cell_spawned_at)),
                awaits,
            }
        };
        cells.iter().map(task).collect()
    }

    /// Of the tasks that have them, name and number of waits.
    fn cold(&self, cells: &[Cell], texts: &mut Texts) -> HashMap<u64, (Option<Rc<str>>, u32)> {
        let offsets = self.offsets;
        let size = (offsets.cold_name + 16).max(offsets.cold_others + 4) as usize;
        let at = |cell: &Cell| u64_at(&cell.bytes, offsets.cell_cold as usize);
        let with: Vec<&Cell> = cells.iter().filter(|cell| at(cell) != 0).collect();
        let addresses: Vec<u64> = with.iter().map(|cell| at(cell)).collect();
        let pieces = self.memory.read_each(&addresses, size);
        let mut cold = HashMap::new();
        for (index, cell) in with.iter().enumerate() {
            let Some(bytes) = pieces.get(index) else { continue };
            let others = u32_at(bytes, offsets.cold_others as usize);
            cold.insert(cell.address, (self.name(bytes, texts), others));
        }
        cold
    }

    fn name(&self, cold: &[u8], texts: &mut Texts) -> Option<Rc<str>> {
        let offsets = self.offsets;
        let words = cold.get(offsets.cold_name as usize..)?;
        let (pointer, length) = pair(words, offsets.arc_pointer, offsets.arc_length)?;
        if pointer == 0 || offsets.arc_text > 64 {
            return None;
        }
        texts.read(self, pointer.wrapping_add(offsets.arc_text.into()), length)
    }
}

/// The two words of a text.
fn pair(bytes: &[u8], pointer: u32, length: u32) -> Option<(u64, u64)> {
    let is_known = pointer != UNKNOWN && length != UNKNOWN;
    is_known.then(|| (u64_at(bytes, pointer as usize), u64_at(bytes, length as usize)))
}

impl Texts {
    /// A text, unless there are too many.
    fn read(&mut self, from: &InLoop<'_>, address: u64, length: u64) -> Option<Rc<str>> {
        let text = from.memory.text(address, length).ok()?;
        self.size += length;
        (self.size <= TEXTS_MAX).then(|| text.into())
    }

    /// What stands behind a pointer to a `&str`.
    fn site(&mut self, from: &InLoop<'_>, address: u64) -> Option<Rc<str>> {
        if let Some(known) = self.sites.get(&address) {
            return known.clone();
        }
        let site = self.read_site(from, address);
        self.sites.insert(address, site.clone());
        site
    }

    fn read_site(&mut self, from: &InLoop<'_>, address: u64) -> Option<Rc<str>> {
        let bytes: [u8; 16] = from.memory.bytes(address).ok()?;
        let offsets = from.offsets;
        let (text, length) = pair(&bytes, offsets.str_pointer, offsets.str_length)?;
        self.read(from, text, length)
    }

    fn location(&mut self, from: &InLoop<'_>, address: u64) -> Option<Location> {
        if let Some(known) = self.locations.get(&address) {
            return known.clone();
        }
        let location = self.read_location(from, address);
        self.locations.insert(address, location.clone());
        location
    }

    fn read_location(&mut self, from: &InLoop<'_>, address: u64) -> Option<Location> {
        let offsets = from.offsets;
        let bytes: [u8; 24] = from.memory.bytes(address).ok()?;
        let at = pair(&bytes, offsets.location_file, offsets.location_length)?;
        let file = match self.files.get(&at) {
            Some(known) => known.clone(),
            None => self.read(from, at.0, at.1),
        };
        self.files.insert(at, file.clone());
        let file = file?;
        let [line, column] = [offsets.location_line, offsets.location_column]
            .map(|offset| u32_at(&bytes, offset as usize));
        Some(Location { file, line, column })
    }
}
