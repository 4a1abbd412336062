//! [`Memory`]: what is read from, a running process or a core dump.

use crate::Failure;

/// There is nothing at an address, or not that much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// A thread, as the system tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thread {
    /// Its name.
    pub name: Option<String>,
    /// Whether it sleeps in the system: a read, a wait for a lock.
    pub sleeps: bool,
}

/// The memory of a program. Nothing that is read from it is believed.
pub trait Memory {
    /// Fills `buffer` from `address` on.
    ///
    /// # Errors
    /// [`Unreadable`] if some of it is not there.
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable>;

    /// What stands at each of the addresses, `size` bytes each.
    fn read_each(&self, addresses: &[u64], size: usize) -> Pieces {
        let mut pieces = Pieces::new(addresses.len(), size);
        for (place, address) in addresses.iter().enumerate() {
            pieces.is_read[place] = self.read(*address, pieces.piece_mut(place)).is_ok();
        }
        pieces
    }

    /// Where files may stand that begin with an ELF header: the program first, then its libraries.
    ///
    /// # Errors
    /// Why that cannot be told.
    fn images(&self) -> Result<Vec<u64>, Failure>;

    /// What the system says of a thread, if it can.
    fn thread(&self, number: u64) -> Option<Thread>;

    /// What the clock says by which loops count, in nanoseconds; `None` if that is not known any more.
    fn now(&self) -> Option<u64> {
        None
    }

    /// What is read, for messages: `process 17`.
    fn name(&self) -> String;
}

/// What [`Memory::read_each`] has read.
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

    /// Says that pieces were read.
    pub(crate) fn set_read(&mut self, places: std::ops::Range<usize>) {
        self.is_read[places].fill(true);
    }
}

/// What is read, as the numbers that it is.
pub(crate) trait Numbers: Memory {
    fn bytes<const SIZE: usize>(&self, address: u64) -> Result<[u8; SIZE], Unreadable> {
        let mut bytes = [0; SIZE];
        self.read(address, &mut bytes)?;
        Ok(bytes)
    }

    fn u64(&self, address: u64) -> Result<u64, Unreadable> {
        self.bytes(address).map(u64::from_ne_bytes)
    }

    /// Numbers that stand one behind the other.
    fn words<const COUNT: usize>(&self, address: u64) -> Result<[u64; COUNT], Unreadable> {
        let mut bytes = vec![0; COUNT * 8];
        self.read(address, &mut bytes)?;
        Ok(std::array::from_fn(|place| u64_at(&bytes, place * 8)))
    }

    /// A text of so many bytes, which is shown and therefore must not move the cursor.
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

/// Longer texts are none.
const TEXT_MAX: u64 = 4096;

/// A text without control characters.
pub(crate) fn shown(text: &str) -> String {
    let replaced = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().map(replaced).collect()
}

/// The number at an offset, which is inside of `bytes`; else zero.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_ne_bytes(array_at(bytes, offset))
}

/// The number at an offset, which is inside of `bytes`; else zero.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_ne_bytes(array_at(bytes, offset))
}

/// The number at an offset, which is inside of `bytes`; else zero.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_ne_bytes(array_at(bytes, offset))
}

/// The byte at an offset, which is inside of `bytes`; else zero.
pub(crate) fn u8_at(bytes: &[u8], offset: usize) -> u8 {
    bytes.get(offset).copied().unwrap_or_default()
}

fn array_at<const SIZE: usize>(bytes: &[u8], offset: usize) -> [u8; SIZE] {
    let found = bytes.get(offset..).and_then(|rest| rest.first_chunk());
    found.copied().unwrap_or([0; SIZE])
}
