//! [`Memory`]: the memory of a running process or a core dump.

use crate::Failure;

/// Not all of the requested memory exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// A thread, as the system describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thread {
    /// Its name.
    pub name: Option<String>,
    /// Whether it sleeps in the system: a read, a wait for a lock.
    pub sleeps: bool,
}

/// The memory of a program. Everything that is read from it is validated.
pub trait Memory {
    /// Fills `buffer` with the memory that begins at `address`.
    ///
    /// # Errors
    /// [`Unreadable`] if some of it does not exist.
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable>;

    /// Reads `size` bytes at each of the addresses.
    fn read_each(&self, addresses: &[u64], size: usize) -> Pieces {
        let mut pieces = Pieces::new(addresses.len(), size);
        for (place, address) in addresses.iter().enumerate() {
            pieces.is_read[place] = self.read(*address, pieces.piece_mut(place)).is_ok();
        }
        pieces
    }

    /// Returns the addresses of possible files with an ELF header: the program first, then its
    /// libraries.
    ///
    /// # Errors
    /// The reason for which they are not known.
    fn images(&self) -> Result<Vec<u64>, Failure>;

    /// Returns the system's description of a thread, if there is one.
    fn thread(&self, number: u64) -> Option<Thread>;

    /// Returns the time of the loops' clock, in nanoseconds; `None` if it is no longer known.
    fn now(&self) -> Option<u64> {
        None
    }

    /// Returns the name of this memory for messages, such as `process 17`.
    fn name(&self) -> String;
}

/// The result of [`Memory::read_each`].
#[derive(Debug)]
pub struct Pieces {
    bytes: Vec<u8>,
    size: usize,
    is_read: Vec<bool>,
}

impl Pieces {
    /// Room for so many pieces of that size, of which none is read.
    pub fn new(count: usize, size: usize) -> Pieces {
        Pieces { bytes: vec![0; count * size], size, is_read: vec![false; count] }
    }

    /// The piece that was read for the address at `place`.
    pub fn get(&self, place: usize) -> Option<&[u8]> {
        let is_read = self.is_read.get(place).is_some_and(|is_read| *is_read);
        is_read.then(|| &self.bytes[place * self.size..][..self.size])
    }

    fn piece_mut(&mut self, place: usize) -> &mut [u8] {
        &mut self.bytes[place * self.size..][..self.size]
    }

    /// Room for pieces from `place` on, `count` of them, one behind the other.
    pub(crate) fn room(&mut self, place: usize, count: usize) -> &mut [u8] {
        &mut self.bytes[place * self.size..][..count * self.size]
    }

    /// Marks pieces as read.
    pub(crate) fn set_read(&mut self, places: std::ops::Range<usize>) {
        self.is_read[places].fill(true);
    }
}

/// The memory as numbers.
pub(crate) trait Numbers: Memory {
    fn bytes<const SIZE: usize>(&self, address: u64) -> Result<[u8; SIZE], Unreadable> {
        let mut bytes = [0; SIZE];
        self.read(address, &mut bytes)?;
        Ok(bytes)
    }

    fn u64(&self, address: u64) -> Result<u64, Unreadable> {
        self.bytes(address).map(u64::from_ne_bytes)
    }

    /// Consecutive numbers.
    fn words<const COUNT: usize>(&self, address: u64) -> Result<[u64; COUNT], Unreadable> {
        let mut bytes = vec![0; COUNT * 8];
        self.read(address, &mut bytes)?;
        Ok(std::array::from_fn(|place| u64_at(&bytes, place * 8)))
    }

    /// A text of this number of bytes. It is displayed, and therefore must not move the cursor.
    fn text(&self, address: u64, length: u64) -> Result<String, Unreadable> {
        if length > TEXT_MAX {
            return Err(Unreadable);
        }
        let mut bytes = vec![0; length as usize];
        self.read(address, &mut bytes)?;
        Ok(shown(&String::from_utf8_lossy(&bytes)))
    }
}

impl<M: Memory + ?Sized> Numbers for M {}

/// Longer texts are rejected.
const TEXT_MAX: u64 = 4096;

/// A text without control characters.
pub(crate) fn shown(text: &str) -> String {
    let replaced = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().map(replaced).collect()
}

/// The number at an offset in `bytes`; zero if the offset is outside.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_ne_bytes(array_at(bytes, offset))
}

/// The number at an offset in `bytes`; zero if the offset is outside.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_ne_bytes(array_at(bytes, offset))
}

/// The number at an offset in `bytes`; zero if the offset is outside.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_ne_bytes(array_at(bytes, offset))
}

/// The byte at an offset in `bytes`; zero if the offset is outside.
pub(crate) fn u8_at(bytes: &[u8], offset: usize) -> u8 {
    bytes.get(offset).copied().unwrap_or_default()
}

fn array_at<const SIZE: usize>(bytes: &[u8], offset: usize) -> [u8; SIZE] {
    let found = bytes.get(offset..).and_then(|rest| rest.first_chunk());
    found.copied().unwrap_or([0; SIZE])
}
