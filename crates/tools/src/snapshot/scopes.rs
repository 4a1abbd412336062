//! The scopes of one loop, inside which its tasks wait.

use super::{WaitSite, texts::Texts};
use crate::memory::{Memory, Numbers, u64_at};
use asyncio_core::raw::layout::{Offsets, scope_place};

/// The limits of the bytes that are read, and of the scopes around one wait.
const BYTES_MAX: u64 = 1 << 26;
const DEPTH_MAX: usize = 100;

/// The scopes, as their table was read.
pub(super) struct Scopes {
    bytes: Vec<u8>,
    offsets: Offsets,
}

impl Scopes {
    /// The scopes of the loop in a home; none if they change too fast.
    pub(super) fn read(memory: &dyn Memory, offsets: &Offsets, home: u64) -> Scopes {
        let table = || {
            let vec = home.wrapping_add(offsets.home_scope_places.into());
            let word = |offset: u32| memory.u64(vec.wrapping_add(offset.into())).ok();
            Some((word(offsets.vec_pointer)?, word(offsets.vec_length)?))
        };
        let read = || {
            let (places, length) = table()?;
            let size = length.checked_mul(offsets.scope_size.into());
            let mut bytes = vec![0; size.filter(|size| *size <= BYTES_MAX)? as usize];
            memory.read(places, &mut bytes).ok()?;
            // A table that has grown meanwhile is at another address.
            (table()?.0 == places).then_some(bytes)
        };
        let bytes = (0..super::TRIES).find_map(|_| read()).unwrap_or_default();
        Scopes { bytes, offsets: *offsets }
    }

    /// The scopes around a wait of a task, the innermost first. A scope is valid if it names the task.
    pub(super) fn around(&self, within: u32, task: u64, texts: &mut Texts<'_>) -> Vec<WaitSite> {
        let offsets = &self.offsets;
        let mut sites = Vec::new();
        let mut place = scope_place(within);
        while let Some(at) = place.filter(|_| sites.len() < DEPTH_MAX) {
            let start = at as usize * offsets.scope_size as usize;
            let Some(scope) = self.bytes.get(start..start + offsets.scope_size as usize) else {
                break;
            };
            let word = |offset: u32| u64_at(scope, offset as usize);
            if word(offsets.scope_task) != task {
                break;
            }
            let site = texts.site(word(offsets.scope_site_what), word(offsets.scope_site_location));
            sites.extend(site);
            let parent = word(offsets.scope_parent);
            place = (parent != 0).then_some(parent as u32 >> 2);
        }
        // A `with` may consist of two scopes; the program sees one.
        sites.dedup();
        sites
    }
}
