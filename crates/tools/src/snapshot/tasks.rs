//! The tasks of one loop: cells are read in bulk, and are valid only if they name their loop and
//! place.

use super::{State, TRIES, Task, Wait, scopes::Scopes, texts::Texts};
use crate::memory::{Memory, Numbers, Unreadable, u8_at, u32_at, u64_at};
use asyncio_core::raw::layout::{HAS_TARGET, Offsets, WAIT_STATE, WAITING, is_foreign, phase};
use std::{collections::HashMap, rc::Rc};

/// The number of places that are read at once.
const PLACES: usize = 4096;

/// The largest plausible number of waits of one task.
const OTHERS_MAX: u64 = 1 << 16;

/// A cell as it was read.
pub(super) struct Cell {
    address: u64,
    bytes: Vec<u8>,
}

/// The addresses to read.
pub(super) struct InLoop<'a> {
    pub(super) memory: &'a dyn Memory,
    pub(super) offsets: &'a Offsets,
    pub(super) home: u64,
    pub(super) id: u64,
}

impl InLoop<'_> {
    /// Address and length of the table of tasks, and the loop in the home.
    fn table(&self) -> Result<(u64, u64, u64), Unreadable> {
        let word = |offset: u32| self.memory.u64(self.home.wrapping_add(offset.into()));
        let offsets = self.offsets;
        Ok((word(offsets.home_tasks)?, word(offsets.home_tasks_len)?, word(offsets.home_id)?))
    }

    /// Returns the cells of the tasks, and the number of tasks that could not be read.
    pub(super) fn cells(&self, room: &mut u64) -> Result<(Vec<Cell>, usize), Unreadable> {
        let (address, length, id) = self.table()?;
        if id != self.id || length > *room {
            return Err(Unreadable);
        }
        *room -= length;
        let mut bytes = vec![0; length as usize * 8];
        self.memory.read(address, &mut bytes)?;
        // A table that has grown meanwhile is at another address.
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

    /// Does the same for some places of the table.
    fn try_cells(&self, table: u64, mut wanted: Vec<(usize, u64)>, cells: &mut Vec<Cell>) -> usize {
        for _ in 0..TRIES {
            wanted.retain(|(_, cell)| *cell != 0);
            if wanted.is_empty() {
                break;
            }
            wanted = self.read_cells(&wanted, cells);
            // The place of a task that has ended meanwhile may have been reused.
            let places: Vec<u64> =
                wanted.iter().map(|(place, _)| table.wrapping_add(*place as u64 * 8)).collect();
            let entries = self.memory.read_each(&places, 8);
            for (index, (_, cell)) in wanted.iter_mut().enumerate() {
                *cell = entries.get(index).map_or(0, |entry| u64_at(entry, 0));
            }
        }
        wanted.len()
    }

    /// Reads cells, each twice: one that a step has changed between the two is torn. Returns the cells
    /// that must be read again.
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

    /// Whether these are the bytes of the task at this place of this loop.
    fn is_cell(&self, bytes: &[u8], place: usize) -> bool {
        let offsets = self.offsets;
        let key = u64_at(bytes, offsets.cell_key as usize);
        u64_at(bytes, offsets.cell_home as usize) == self.home
            && u64_at(bytes, offsets.cell_loop as usize) == self.id
            && (key as u32 >> 2) as usize == place
            && u8_at(bytes, offsets.cell_phase as usize) <= phase::ENDED
    }

    /// The contents of the cells, and for each wait of a task the words of its target. `sleeps`: whether
    /// the thread sleeps.
    pub(super) fn tasks(
        &self,
        cells: Vec<Cell>,
        texts: &mut Texts<'_>,
        sleeps: bool,
    ) -> Vec<(Task, Vec<[u64; 2]>)> {
        let mut cold = self.cold(&cells, texts);
        let scopes = Scopes::read(self.memory, self.offsets, self.home);
        let task = |cell: &Cell| {
            let at = |offset: u32| u64_at(&cell.bytes, offset as usize);
            let offsets = self.offsets;
            let first = at(offsets.cell_first);
            let Known { name, others, waits: other_waits } =
                cold.remove(&cell.address).unwrap_or_default();
            let waits_first = first & WAIT_STATE == WAITING;
            let state = match u8_at(&cell.bytes, offsets.cell_phase as usize) {
                phase::RUNNING | phase::WOKEN if sleeps => State::Blocked,
                phase::RUNNING | phase::WOKEN => State::Running,
                phase::READY => State::Ready,
                _ if waits_first || others > 0 => State::Waiting,
                _ => State::Suspended,
            };
            let has_target = u8_at(&cell.bytes, offsets.cell_flags as usize) & HAS_TARGET != 0;
            let target = |word: u32| if has_target { at(offsets.cell_target + word) } else { 0 };
            let armed = Armed {
                what: at(offsets.cell_site_what),
                location: at(offsets.cell_site_location),
                within: u32_at(&cell.bytes, offsets.cell_within as usize),
                target: [target(0), target(8)],
            };
            let armed = waits_first.then_some(armed).into_iter().chain(other_waits);
            let armed = armed.filter(|_| state == State::Waiting);
            let key = at(offsets.cell_key);
            let waits = armed.filter_map(|armed| {
                let site = texts.site(armed.what, armed.location)?;
                let scopes = scopes.around(armed.within, key, texts);
                let is_foreign = is_foreign(armed.within);
                Some((Wait { site, scopes, is_foreign }, armed.target))
            });
            let (waits, targets) = waits.unzip();
            let has_waited = state != State::Waiting && first >> 2 != 0;
            let waited_at = match has_waited {
                true => texts.site(at(offsets.cell_site_what), at(offsets.cell_site_location)),
                false => None,
            };
            let waited_at = waited_at.filter(|site| !texts.is_in_a_library(&site.location));
            let sequence = at(offsets.cell_sequence);
            let task = Task {
                id: cell.address,
                sequence,
                name: name.unwrap_or_else(|| format!("Task-{sequence}").into()),
                state,
                waits,
                others,
                lasts: None,
                waited_at,
                waited: (first >> 2) as u32,
                created_at: texts.location(at(offsets.cell_spawned_at)),
                awaits: Vec::new(),
            };
            (task, targets)
        };
        cells.iter().map(task).collect()
    }

    /// Returns the data that few tasks have, for the tasks that have it.
    fn cold(&self, cells: &[Cell], texts: &mut Texts<'_>) -> HashMap<u64, Known> {
        let offsets = self.offsets;
        let ends =
            [offsets.cold_name + 16, offsets.cold_others + 4, offsets.cold_other_places + 24];
        let size = ends.into_iter().max().unwrap_or_default() as usize;
        let at = |cell: &Cell| u64_at(&cell.bytes, offsets.cell_cold as usize);
        let with: Vec<&Cell> = cells.iter().filter(|cell| at(cell) != 0).collect();
        let addresses: Vec<u64> = with.iter().map(|cell| at(cell)).collect();
        let pieces = self.memory.read_each(&addresses, size);
        let mut known = HashMap::new();
        for (index, cell) in with.iter().enumerate() {
            let Some(bytes) = pieces.get(index) else { continue };
            let others = u32_at(bytes, offsets.cold_others as usize);
            let name = bytes.get(offsets.cold_name as usize..).and_then(|words| texts.arc(words));
            let waits = match others {
                0 => Vec::new(),
                _ => self.other_waits(cell, bytes).unwrap_or_default(),
            };
            known.insert(cell.address, Known { name, others, waits });
        }
        known
    }

    /// The waits of a task beside the first, in the order in which they were armed. A wait is valid if it
    /// names the task.
    fn other_waits(&self, cell: &Cell, cold: &[u8]) -> Option<Vec<Armed>> {
        let offsets = self.offsets;
        let places = cold.get(offsets.cold_other_places as usize..)?;
        let length = u64_at(places, offsets.vec_length as usize);
        if length > OTHERS_MAX {
            return None;
        }
        let size = offsets.other_size as usize;
        let mut table = vec![0; length as usize * size];
        self.memory.read(u64_at(places, offsets.vec_pointer as usize), &mut table).ok()?;
        let in_wait = |place: &[u8]| {
            u64_at(place, offsets.other_wait as usize).wrapping_add(offsets.arc_text.into())
        };
        let addresses: Vec<u64> = table.chunks_exact(size).map(in_wait).collect();
        let waits = self.memory.read_each(&addresses, offsets.wait_size as usize);
        let key = u64_at(&cell.bytes, offsets.cell_key as usize);
        let mut found = Vec::new();
        for (index, place) in table.chunks_exact(size).enumerate() {
            let Some(wait) = waits.get(index) else { continue };
            let word = |offset: u32| u64_at(wait, offset as usize);
            let armed = [word(offsets.wait_armed), word(offsets.wait_armed + 8)];
            if !armed.contains(&key) || word(offsets.wait_state) != WAITING {
                continue;
            }
            let number = u32_at(place, offsets.other_number as usize);
            let has_target = u64_at(place, offsets.other_has_target as usize)
                == u64::from(offsets.other_has_target_if);
            let target = |at: usize| match has_target {
                true => u64_at(place, offsets.other_target as usize + at),
                false => 0,
            };
            let armed = Armed {
                what: word(offsets.wait_site_what),
                location: word(offsets.wait_site_location),
                within: u32_at(place, offsets.other_within as usize),
                target: [target(0), target(8)],
            };
            found.push((number, armed));
        }
        found.sort_by_key(|(number, _)| *number);
        Some(found.into_iter().map(|(_, armed)| armed).collect())
    }
}

/// Data that few tasks have.
#[derive(Default)]
struct Known {
    name: Option<Rc<str>>,
    others: u32,
    waits: Vec<Armed>,
}

/// A wait as it was read.
struct Armed {
    what: u64,
    location: u64,
    within: u32,
    /// The words of its target, or zeros.
    target: [u64; 2],
}
