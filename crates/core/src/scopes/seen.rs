//! The address of the scopes, for readers outside the process.

use super::{Node, Scopes};
use crate::slots::Slots;

impl Scopes {
    /// The `Vec` of their places.
    pub(crate) fn places(&self) -> *const () {
        self.nodes.as_ptr().wrapping_byte_add(Slots::<Node>::PLACES).cast_const().cast()
    }
}
