//! [`Scratch`]: memory that all TLS connections of a thread use in turn.

use std::{cell::Cell, thread::LocalKey};

/// The memory into which records are received, and in which they are decrypted.
pub(super) const RECEIVED: Scratch = Scratch(&RECEIVED_HERE);

/// The memory into which records are encrypted.
pub(super) const SENT: Scratch = Scratch(&SENT_HERE);

thread_local! {
    static RECEIVED_HERE: Cell<Vec<Vec<u8>>> = const { Cell::new(Vec::new()) };
    static SENT_HERE: Cell<Vec<Vec<u8>>> = const { Cell::new(Vec::new()) };
}

/// Blocks of bytes whose content does not matter. There are as many as were in use at once: one, and one more
/// if TLS runs over TLS.
pub(super) struct Scratch(&'static LocalKey<Cell<Vec<Vec<u8>>>>);

impl Scratch {
    /// Takes a block that is not in use.
    pub(super) fn take(&self) -> Vec<u8> {
        let take = |place: &Cell<Vec<Vec<u8>>>| {
            let mut blocks = place.take();
            let block = blocks.pop();
            place.set(blocks);
            block
        };
        // A thread that ends has none.
        self.0.try_with(take).ok().flatten().unwrap_or_default()
    }

    /// Returns a block after its use.
    pub(super) fn put_back(&self, block: Vec<u8>) {
        let _ = self.0.try_with(|place| {
            let mut blocks = place.take();
            blocks.push(block);
            place.set(blocks);
        });
    }
}
