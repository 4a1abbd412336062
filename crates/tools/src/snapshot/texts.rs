//! Texts of the program: those in its binary, which do not change and are known by their addresses, and names.

use super::{Location, WaitSite};
use crate::memory::{Memory, Numbers, u32_at, u64_at};
use asyncio_core::raw::layout::{Layout, Offsets, UNKNOWN};
use std::{collections::HashMap, rc::Rc};

/// The largest plausible size of all texts, for those that are kept and for those of one snapshot.
const TEXTS_MAX: u64 = 1 << 26;

/// Reads them, each once.
pub(super) struct Texts<'a> {
    memory: &'a dyn Memory,
    offsets: Offsets,
    names: HashMap<u64, Option<Rc<str>>>,
    locations: HashMap<u64, Option<Location>>,
    files: HashMap<(u64, u64), Option<Rc<str>>>,
    /// A source file of the program's asyncio, by which its other files are recognised.
    source: Option<Rc<str>>,
    /// The number of bytes that are kept.
    kept: u64,
    /// The number of bytes that were read for this snapshot and are not kept.
    passing: u64,
}

/// The two words of a text.
fn pair(bytes: &[u8], pointer: u32, length: u32) -> Option<(u64, u64)> {
    let is_known = pointer != UNKNOWN && length != UNKNOWN;
    is_known.then(|| (u64_at(bytes, pointer as usize), u64_at(bytes, length as usize)))
}

impl<'a> Texts<'a> {
    pub(super) fn new(memory: &'a dyn Memory, offsets: Offsets, layout: u64) -> Texts<'a> {
        let mut texts = Texts {
            memory,
            offsets,
            names: HashMap::new(),
            locations: HashMap::new(),
            files: HashMap::new(),
            source: None,
            kept: 0,
            passing: 0,
        };
        texts.source = texts.read_str(layout.wrapping_add(Layout::SOURCE as u64));
        texts
    }

    /// Begins a new snapshot.
    pub(super) fn begin_anew(&mut self) {
        self.passing = 0;
    }

    /// A text that is kept, unless there are too many.
    fn read(&mut self, address: u64, length: u64) -> Option<Rc<str>> {
        let text = self.memory.text(address, length).ok()?;
        self.kept += length;
        (self.kept <= TEXTS_MAX).then(|| text.into())
    }

    fn read_str(&mut self, address: u64) -> Option<Rc<str>> {
        let bytes: [u8; 16] = self.memory.bytes(address).ok()?;
        let (text, length) = pair(&bytes, self.offsets.str_pointer, self.offsets.str_length)?;
        self.read(text, length)
    }

    /// Returns the text of an `Arc<str>` with these words; `None` if the pointer is null.
    pub(super) fn arc(&mut self, words: &[u8]) -> Option<Rc<str>> {
        let offsets = self.offsets;
        let (pointer, length) = pair(words, offsets.arc_pointer, offsets.arc_length)?;
        if pointer == 0 || offsets.arc_text > 64 {
            return None;
        }
        let text = self.memory.text(pointer.wrapping_add(offsets.arc_text.into()), length).ok()?;
        self.passing += length;
        (self.passing <= TEXTS_MAX).then(|| text.into())
    }

    /// Returns a site from its two words: the addresses of a `&str` and of a `Location`.
    pub(super) fn site(&mut self, what: u64, location: u64) -> Option<WaitSite> {
        let known = self.names.get(&what).cloned();
        let name = known.unwrap_or_else(|| {
            let name = self.read_str(what);
            self.names.insert(what, name.clone());
            name
        });
        Some(WaitSite { what: name?, location: self.location(location)? })
    }

    pub(super) fn location(&mut self, address: u64) -> Option<Location> {
        if let Some(known) = self.locations.get(&address) {
            return known.clone();
        }
        let location = self.read_location(address);
        self.locations.insert(address, location.clone());
        location
    }

    fn read_location(&mut self, address: u64) -> Option<Location> {
        let offsets = self.offsets;
        let bytes: [u8; 24] = self.memory.bytes(address).ok()?;
        let at = pair(&bytes, offsets.location_file, offsets.location_length)?;
        let file = match self.files.get(&at) {
            Some(known) => known.clone(),
            None => self.read(at.0, at.1),
        };
        self.files.insert(at, file.clone());
        let file = file?;
        let [line, column] = [offsets.location_line, offsets.location_column]
            .map(|offset| u32_at(&bytes, offset as usize));
        Some(Location { file, line, column })
    }

    /// Returns whether a location is in a library, and not in the program.
    pub(super) fn is_in_a_library(&self, location: &Location) -> bool {
        let source = self.source.as_deref().unwrap_or_default();
        asyncio_core::wait_site::is_in_a_library(&location.file, source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Failure,
        memory::{Thread, Unreadable},
    };

    /// The same letter at each address.
    struct Letters;

    impl Memory for Letters {
        fn read(&self, _address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
            buffer.fill(b'a');
            Ok(())
        }

        fn images(&self) -> Result<Vec<u64>, Failure> {
            Ok(Vec::new())
        }

        fn thread(&self, _number: u64) -> Option<Thread> {
            None
        }

        fn name(&self) -> String {
            "letters".to_owned()
        }
    }

    #[test]
    fn names_are_read_in_each_look_however_many_there_were_before() {
        let mut offsets = Offsets::from_words([0; Offsets::COUNT]);
        offsets.arc_length = 8;
        let mut texts = Texts::new(&Letters, offsets, 0);
        let words = [1_u64, 4096].map(u64::to_ne_bytes).concat();
        let in_one_look = TEXTS_MAX / 4096;
        for _ in 0..3 {
            texts.begin_anew();
            assert!((0..in_one_look).all(|_| texts.arc(&words).is_some()));
            assert_eq!(texts.arc(&words), None);
        }
    }
}
