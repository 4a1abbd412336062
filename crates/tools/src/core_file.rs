//! [`CoreFile`]: the memory of a program that has ended, from its core dump.

use crate::{
    Failure,
    memory::{Memory, Thread, Unreadable, u16_at, u32_at, u64_at},
};
use std::{
    cell::RefCell,
    collections::HashMap,
    fs::{self, File},
    io,
    os::unix::{ffi::OsStrExt, fs::FileExt},
    path::{Path, PathBuf},
};

const HEADER: usize = 64;
const SEGMENT: usize = 56;
const TYPE_CORE: u16 = 4;
const LOAD: u32 = 1;
const NOTE: u32 = 4;
/// The type of the note that lists the files of which the program was made (`NT_FILE`).
const FILES: u32 = 0x4649_4c45;
const NOTES_MAX: u64 = 1 << 26;

/// A core dump. Contents that the system omits, because they are in the program's own files, are read
/// from those files.
#[derive(Debug)]
pub struct CoreFile {
    path: PathBuf,
    file: File,
    /// The contents of the dump.
    segments: Vec<Part>,
    /// The contents of the program's files, and the files themselves.
    mappings: Vec<(Part, PathBuf)>,
    opened: RefCell<HashMap<PathBuf, Option<File>>>,
}

/// Memory that is stored in a file.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Part {
    address: u64,
    size: u64,
    offset: u64,
}

impl Part {
    /// The position of an address in the file, and the number of bytes that follow it.
    fn find(&self, address: u64) -> Option<(u64, u64)> {
        let behind = address.checked_sub(self.address).filter(|behind| *behind < self.size)?;
        Some((self.offset.checked_add(behind)?, self.size - behind))
    }
}

impl CoreFile {
    /// Opens the dump in a file.
    ///
    /// # Errors
    /// Fails if the file cannot be read, or is not a core dump of a 64-bit ELF program.
    pub fn open(path: &Path) -> Result<CoreFile, Failure> {
        let named = path.display();
        let unreadable = |why: io::Error| Failure::new(format!("{named} cannot be read: {why}"));
        let other = || {
            let what = "is no core dump of a 64-bit program; `ulimit -c unlimited` permits one, and \
                        `gcore PID` makes one of a process that runs";
            Failure::new(format!("{named} {what}"))
        };
        let file = File::open(path).map_err(unreadable)?;
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0).map_err(|_| other())?;
        let is_core = header.starts_with(b"\x7fELF\x02\x01") && u16_at(&header, 16) == TYPE_CORE;
        if !is_core || usize::from(u16_at(&header, 54)) != SEGMENT {
            return Err(other());
        }
        let mut table = vec![0; usize::from(u16_at(&header, 56)) * SEGMENT];
        file.read_exact_at(&mut table, u64_at(&header, 32)).map_err(|_| other())?;
        let of_kind = |kind| {
            let segments = table.chunks_exact(SEGMENT);
            segments.filter(move |segment| u32_at(segment, 0) == kind).map(|segment| Part {
                address: u64_at(segment, 16),
                size: u64_at(segment, 32),
                offset: u64_at(segment, 8),
            })
        };
        let mut mappings = Vec::new();
        for notes in of_kind(NOTE).filter(|notes| notes.size <= NOTES_MAX) {
            let mut bytes = vec![0; notes.size as usize];
            if file.read_exact_at(&mut bytes, notes.offset).is_ok() {
                mappings.extend(files(&bytes).unwrap_or_default());
            }
        }
        let segments = of_kind(LOAD).collect();
        let (path, opened) = (path.to_owned(), RefCell::default());
        Ok(CoreFile { path, file, segments, mappings, opened })
    }

    /// Reads as much as is in one piece, and returns its size.
    fn read_some(&self, address: u64, buffer: &mut [u8]) -> Option<usize> {
        let in_dump = self.segments.iter().find_map(|part| part.find(address));
        if let Some((offset, size)) = in_dump {
            return read_part(&self.file, buffer, offset, size);
        }
        let in_file =
            self.mappings.iter().find_map(|(part, path)| Some((part.find(address)?, path)));
        let ((offset, size), path) = in_file?;
        let mut opened = self.opened.borrow_mut();
        let file = opened.entry(path.clone()).or_insert_with(|| {
            // A dump may name anything, and some files never end, or wait when they are opened.
            let is_file = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
            is_file.then(|| File::open(path).ok())?
        });
        read_part(file.as_ref()?, buffer, offset, size)
    }
}

fn read_part(file: &File, buffer: &mut [u8], offset: u64, size: u64) -> Option<usize> {
    let count = usize::try_from(size).unwrap_or(usize::MAX).min(buffer.len());
    file.read_exact_at(&mut buffer[..count], offset).ok()?;
    Some(count)
}

/// Reads the note that lists the program's files. It has their number, the size of a page, for each file its
/// beginning and end in memory and its first page, and then their names.
fn files(mut notes: &[u8]) -> Option<Vec<(Part, PathBuf)>> {
    while notes.len() >= 12 {
        let sizes = [0, 4].map(|offset| u32_at(notes, offset) as usize);
        let begin = 12 + sizes[0].next_multiple_of(4);
        let descriptor = notes.get(begin..)?.get(..sizes[1])?;
        if u32_at(notes, 8) == FILES {
            let (count, page) = (u64_at(descriptor, 0), u64_at(descriptor, 8));
            let count = usize::try_from(count).ok().filter(|count| *count <= sizes[1] / 24)?;
            let entries = descriptor.get(16..16 + count * 24)?.chunks_exact(24);
            let names = descriptor[16 + count * 24..].split(|byte| *byte == 0);
            let part = |entry: &[u8]| {
                let (address, end) = (u64_at(entry, 0), u64_at(entry, 8));
                let offset = u64_at(entry, 16).saturating_mul(page);
                Part { address, size: end.saturating_sub(address), offset }
            };
            let path = |name| PathBuf::from(std::ffi::OsStr::from_bytes(name));
            return Some(entries.map(part).zip(names.map(path)).collect());
        }
        notes = notes.get(begin + sizes[1].next_multiple_of(4)..)?;
    }
    None
}

impl Memory for CoreFile {
    fn read(&self, mut address: u64, mut buffer: &mut [u8]) -> Result<(), Unreadable> {
        while !buffer.is_empty() {
            let count = self.read_some(address, buffer).ok_or(Unreadable)?;
            buffer = &mut buffer[count..];
            address = address.wrapping_add(count as u64);
        }
        Ok(())
    }

    fn images(&self) -> Result<Vec<u64>, Failure> {
        let mapped = self.mappings.iter().map(|(part, _)| *part).filter(|part| part.offset == 0);
        let mut images: Vec<u64> = mapped.map(|part| part.address).collect();
        // A dump without the list of files.
        images.extend(self.segments.iter().map(|part| part.address));
        Ok(images)
    }

    fn thread(&self, _number: u64) -> Option<Thread> {
        None
    }

    fn name(&self) -> String {
        format!("the program of {}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_files_is_read_and_may_be_cut_off_anywhere() {
        let mut descriptor = Vec::new();
        for number in [2, 4096, 0x1000, 0x3000, 0, 0x3000, 0x4000, 2] {
            descriptor.extend(u64::to_ne_bytes(number));
        }
        descriptor.extend(b"/bin/a\0/lib/b\0");
        let mut notes = Vec::new();
        for number in [5, descriptor.len() as u32, FILES] {
            notes.extend(number.to_ne_bytes());
        }
        notes.extend(b"CORE\0\0\0\0");
        notes.extend(descriptor);
        let part = |address, size, offset| Part { address, size, offset };
        let expected = vec![
            (part(0x1000, 0x2000, 0), PathBuf::from("/bin/a")),
            (part(0x3000, 0x1000, 0x2000), PathBuf::from("/lib/b")),
        ];
        assert_eq!(files(&notes), Some(expected));
        for length in 0..notes.len() {
            assert_eq!(files(&notes[..length]), None);
        }
    }

    #[test]
    fn what_is_no_dump_says_so() {
        let error = CoreFile::open(Path::new("Cargo.toml")).unwrap_err().to_string();
        assert!(error.starts_with("Cargo.toml is no core dump"), "{error}");
        let error = CoreFile::open(Path::new("none")).unwrap_err().to_string();
        assert!(error.starts_with("none cannot be read: No such file"), "{error}");
    }
}
