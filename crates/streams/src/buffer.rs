//! [`Buffer`]: what was received and not read yet.

use bytes::{Bytes, BytesMut};

/// Bytes in a row: the piece in which they came from the transport as long as that is all there is,
/// and one growing block as soon as there is more. Empty, it holds no memory.
#[derive(Debug)]
pub(crate) enum Buffer {
    /// One piece, or what is left of one that had so many bytes.
    Piece(Bytes, usize),
    Joined(BytesMut),
}

/// Less than this part of a piece is copied out of it, so that little does not keep much in memory.
const WORTH_KEEPING: usize = 16;

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
            Buffer::Joined(block) => block,
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
        let size = data.len();
        *self = Buffer::Piece(data, size);
    }

    #[cold]
    fn join(&mut self, data: &[u8]) {
        if let Buffer::Piece(piece, _) = self {
            *self = Buffer::Joined(BytesMut::from(std::mem::take(piece)));
        }
        if let Buffer::Joined(block) = self {
            block.extend_from_slice(data);
        }
    }

    /// Puts `data` back, in front of what is there.
    pub(crate) fn put_back(&mut self, data: Bytes) {
        let rest = std::mem::take(self).take_all();
        self.push(data);
        self.push(rest);
    }

    /// Takes the first `n` bytes, or all if there are fewer.
    #[inline]
    pub(crate) fn take(&mut self, n: usize) -> Bytes {
        match self {
            // In place: what was just written piece by piece and is moved on makes the processor wait.
            Buffer::Piece(piece, _) if n >= piece.len() => std::mem::take(piece),
            _ => self.split(n),
        }
    }

    fn split(&mut self, n: usize) -> Bytes {
        if n >= self.len() {
            return std::mem::take(self).take_all();
        }
        match self {
            Buffer::Piece(piece, size) => {
                let taken = piece.split_to(n);
                if piece.len() < *size / WORTH_KEEPING {
                    *piece = Bytes::copy_from_slice(piece);
                    *size = piece.len();
                }
                taken
            }
            Buffer::Joined(block) => block.split_to(n).freeze(),
        }
    }

    #[inline]
    pub(crate) fn take_all(self) -> Bytes {
        match self {
            Buffer::Piece(piece, _) => piece,
            Buffer::Joined(block) => block.freeze(),
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
        buffer.put_back("AB".into());
        assert_eq!(buffer.take(4), "ABcd");
        buffer.push("gh".into());
        assert_eq!(buffer.take(9), "efgh");
        buffer.push("i".into());
        assert_eq!(buffer.as_slice(), b"i");
    }

    #[test]
    fn a_small_rest_does_not_keep_a_large_piece() {
        let data = Bytes::from(vec![7; 64 * 1024]);
        let inside = data.as_ptr() as usize..data.as_ptr() as usize + data.len();
        let mut buffer = Buffer::default();
        buffer.push(data);
        buffer.take(64 * 1024 - 10);
        assert!(!inside.contains(&(buffer.as_slice().as_ptr() as usize)));
        assert_eq!(buffer.as_slice(), [7; 10]);
    }
}
