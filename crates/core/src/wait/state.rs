//! The states of a wait, in the two lowest bits of a word; that of a first wait has its number above them.
//! The module [`wait`](crate::wait) says how a wait goes from one to the next.

pub(crate) const IDLE: u64 = 0;
pub(crate) const WAITING: u64 = 1;
pub(crate) const WOKEN: u64 = 2;
pub(crate) const CANCELLED: u64 = 3;
pub(crate) const STATE: u64 = 3;
