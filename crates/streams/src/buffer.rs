//! [`Buffer`]: data that was received and not read yet.
//!
//! The result of a read shares the memory in which it was received, unless that is much larger. Then it
//! is copied, so that a program which keeps a line does not keep the whole block around it. A read
//! keeps at most [`WORTH_KEEPING`] times its own size alive.

use asyncio_transports::pinned_by;
use bytes::{Buf, Bytes, BytesMut};

/// Contiguous bytes: the single piece that came from the transport, or one growing block as soon as
/// there is more. An empty buffer holds no memory.
///
/// Each variant has an upper bound of the memory that it pins.
#[derive(Debug)]
pub(crate) enum Buffer {
    Piece(Bytes, usize),
    Joined(BytesMut, usize),
}

/// Data is copied if the memory that it pins is more than this many times larger.
pub(crate) const WORTH_KEEPING: usize = 16;

/// Whether `length` bytes may pin `pinned` bytes of memory.
#[inline]
fn is_worth(length: usize, pinned: usize) -> bool {
    length >= pinned / WORTH_KEEPING && length.saturating_mul(WORTH_KEEPING) >= pinned
}

impl Default for Buffer {
    fn default() -> Buffer {
        Buffer::Piece(Bytes::new(), 0)
    }
}

impl Buffer {
    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Buffer::Piece(piece, _) => piece,
            Buffer::Joined(block, _) => block,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.as_slice().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds `data` at the end.
    #[inline]
    pub(crate) fn push(&mut self, data: Bytes) {
        if !self.is_empty() {
            return self.join(&data);
        }
        let pinned = pinned_by(data.len());
        *self = Buffer::Piece(data, pinned);
    }

    #[cold]
    fn join(&mut self, data: &[u8]) {
        if !self.has_room(data.len()) {
            let mut block = BytesMut::with_capacity(2 * self.len() + data.len());
            block.extend_from_slice(self.as_slice());
            let pinned = block.capacity();
            *self = Buffer::Joined(block, pinned);
        }
        if let Buffer::Joined(block, _) = self {
            block.extend_from_slice(data);
        }
    }

    /// Makes room for `size` more bytes. Returns false if that takes another block.
    fn has_room(&mut self, size: usize) -> bool {
        let Buffer::Joined(block, pinned) = self else { return false };
        if block.capacity() == *pinned {
            // Nothing has been taken from the front, so the block can grow in place.
            block.reserve(size);
            *pinned = block.capacity();
            return true;
        }
        // The space at the front can be reused if nothing shares the block.
        block.capacity() - block.len() >= size || block.try_reclaim(size)
    }

    /// Puts `data`, which pins at most `pinned` bytes of memory, back in front.
    pub(crate) fn put_back(&mut self, data: Bytes, pinned: usize) {
        let rest = std::mem::replace(self, Buffer::Piece(data, pinned));
        if !rest.is_empty() {
            self.join(rest.as_slice());
        }
    }

    /// Takes the first `n` bytes, or all if there are fewer.
    #[inline]
    pub(crate) fn take(&mut self, n: usize) -> Bytes {
        match self {
            // In place: moving a value that was just written in parts causes a store-forwarding stall.
            Buffer::Piece(piece, pinned) if n >= piece.len() && is_worth(piece.len(), *pinned) => {
                std::mem::take(piece)
            }
            _ => self.split(n),
        }
    }

    fn split(&mut self, n: usize) -> Bytes {
        if n >= self.len() {
            return std::mem::take(self).take_all();
        }
        let taken = match self {
            Buffer::Piece(piece, pinned) if is_worth(n, *pinned) => piece.split_to(n),
            Buffer::Joined(block, pinned) if is_worth(n, *pinned) => block.split_to(n).freeze(),
            _ => {
                let taken = Bytes::copy_from_slice(&self.as_slice()[..n]);
                self.advance(n);
                taken
            }
        };
        self.let_go();
        taken
    }

    fn advance(&mut self, n: usize) {
        match self {
            Buffer::Piece(piece, _) => piece.advance(n),
            Buffer::Joined(block, _) => block.advance(n),
        }
    }

    /// Copies the rest if it is too small for the memory that it pins.
    fn let_go(&mut self) {
        let (Buffer::Piece(_, pinned) | Buffer::Joined(_, pinned)) = &*self;
        if !is_worth(self.len(), *pinned) {
            let rest = Bytes::copy_from_slice(self.as_slice());
            let pinned = rest.len();
            *self = Buffer::Piece(rest, pinned);
        }
    }

    #[inline]
    pub(crate) fn take_all(self) -> Bytes {
        match self {
            Buffer::Piece(piece, pinned) if is_worth(piece.len(), pinned) => piece,
            Buffer::Joined(block, pinned) if is_worth(block.len(), pinned) => block.freeze(),
            small => Bytes::copy_from_slice(small.as_slice()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_that_is_all_there_is_is_not_copied() {
        let data = Bytes::from(vec![1; 100]);
        let place = data.as_ptr();
        let mut buffer = Buffer::default();
        buffer.push(data);
        assert_eq!(buffer.take(60).as_ptr(), place);
        assert_eq!(buffer.take(60).as_ptr(), place.wrapping_add(60));
        assert!(buffer.is_empty());
    }

    #[test]
    fn pieces_are_joined_in_order_and_can_be_put_back() {
        let mut buffer = Buffer::default();
        for piece in ["abc", "de", "f"] {
            buffer.push(piece.into());
        }
        assert_eq!(buffer.take(2), "ab");
        buffer.put_back("AB".into(), 2);
        assert_eq!(buffer.take(4), "ABcd");
        buffer.push("gh".into());
        assert_eq!(buffer.take(9), "efgh");
        buffer.push("i".into());
        assert_eq!(buffer.as_slice(), b"i");
    }

    const BLOCK: usize = 256 * 1024;

    fn range(bytes: &[u8]) -> std::ops::Range<usize> {
        let start = bytes.as_ptr() as usize;
        start..start + bytes.len()
    }

    fn is_inside(part: &[u8], whole: &std::ops::Range<usize>) -> bool {
        whole.contains(&(part.as_ptr() as usize))
    }

    #[test]
    fn a_small_rest_does_not_keep_a_large_piece() {
        let data = Bytes::from(vec![7; 64 * 1024]);
        let inside = range(&data);
        let mut buffer = Buffer::default();
        buffer.push(data);
        buffer.take(64 * 1024 - 10);
        assert!(!is_inside(buffer.as_slice(), &inside));
        assert_eq!(buffer.as_slice(), [7; 10]);
    }

    #[test]
    fn a_small_part_does_not_keep_a_large_piece_and_a_large_one_is_not_copied() {
        for (size, is_kept) in
            [(1, false), (100, false), (BLOCK / 16 - 1, false), (BLOCK / 16, true)]
        {
            let data = Bytes::from(vec![7; BLOCK]);
            let inside = range(&data);
            let mut buffer = Buffer::default();
            buffer.push(data);
            let taken = buffer.take(size);
            assert_eq!((taken.len(), is_inside(&taken, &inside)), (size, is_kept), "{size}");
            assert_eq!(buffer.len(), BLOCK - size);
        }
    }

    #[test]
    fn a_small_part_does_not_keep_a_large_block() {
        let mut buffer = Buffer::default();
        for _ in 0..100 {
            buffer.push(Bytes::from(vec![7; 10_000]));
        }
        let Buffer::Joined(_, pinned) = &buffer else { panic!("it is one piece") };
        let (pinned, inside) = (*pinned, range(buffer.as_slice()));
        assert!(pinned >= 1_000_000);
        assert!(!is_inside(&buffer.take(pinned / 16 - 1), &inside));
        assert!(is_inside(&buffer.take(pinned / 16 + 1), &inside));
        // A small rest does not keep the block either.
        buffer.take(buffer.len() - 1000);
        assert!(!is_inside(buffer.as_slice(), &inside));
    }

    #[test]
    fn what_is_read_while_more_arrives_is_in_order_and_the_memory_is_used_again() {
        let mut buffer = Buffer::default();
        let (mut next_in, mut next_out) = (0_u64, 0);
        let mut largest = 0;
        for round in 0..10_000 {
            for _ in 0..1 + round % 3 {
                buffer.push(Bytes::copy_from_slice(&next_in.to_ne_bytes()));
                next_in += 1;
            }
            while buffer.len() > 8 * (round % 5) {
                assert_eq!(&buffer.take(8)[..], next_out_bytes(&mut next_out));
            }
            let (Buffer::Piece(_, pinned) | Buffer::Joined(_, pinned)) = &buffer;
            largest = largest.max(*pinned);
        }
        assert!(largest < 1000, "{largest}");
    }

    fn next_out_bytes(next: &mut u64) -> [u8; 8] {
        let bytes = next.to_ne_bytes();
        *next += 1;
        bytes
    }

    #[test]
    fn what_was_put_back_pins_what_it_pinned() {
        let data = Bytes::from(vec![7; BLOCK]);
        let inside = range(&data);
        let mut buffer = Buffer::default();
        buffer.put_back(data.slice(..20_000), BLOCK);
        drop(data);
        assert!(!is_inside(&buffer.take(10_000), &inside));
        assert!(!is_inside(buffer.as_slice(), &inside), "nor does the rest");
    }
}
