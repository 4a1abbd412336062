//! [`Scratch`]: memory that all TLS connections of a thread use in turn.

use std::{cell::RefCell, thread::LocalKey};

/// The memory into which records are received, and in which they are decrypted.
pub(super) const RECEIVED: Scratch = Scratch(&RECEIVED_HERE);

/// The memory into which records are encrypted.
pub(super) const SENT: Scratch = Scratch(&SENT_HERE);

thread_local! {
    static RECEIVED_HERE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static SENT_HERE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Blocks of bytes whose content does not matter. There are as many as have been in use at the same time: one,
/// and another one if TLS runs over TLS.
pub(super) struct Scratch(&'static LocalKey<RefCell<Vec<Vec<u8>>>>);

impl Scratch {
    /// Takes a block that is not in use.
    pub(super) fn take(&self) -> Vec<u8> {
        // A thread that is ending no longer has any.
        let block = self.0.try_with(|blocks| blocks.borrow_mut().pop());
        block.ok().flatten().unwrap_or_default()
    }

    /// Returns a block after its use.
    pub(super) fn put_back(&self, block: Vec<u8>) {
        let _ = self.0.try_with(|blocks| blocks.borrow_mut().push(block));
    }
}
