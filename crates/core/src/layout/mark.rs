//! The marks by which readers outside the process recognise what they read.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

/// The size of a target.
pub(crate) const TARGET: usize = size_of::<[usize; 2]>();

/// A list of what an operation waits for, which readers outside the process find at the beginning of an `Arc`, or of a
/// mutex in one. An item has the size of a [`Target`](crate::wait::target::Target), and contains the words of one.
#[derive(Debug)]
#[repr(C)]
pub struct Listed<T> {
    mark: Mark,
    pub(crate) items: Vec<T>,
}

impl<T> Listed<T> {
    /// A list of `items`.
    pub const fn new(items: Vec<T>) -> Listed<T> {
        // Readers outside the process do not support 32-bit programs.
        const { assert!(size_of::<usize>() != 8 || size_of::<T>() == TARGET) }
        Listed { mark: Mark::LIST, items }
    }
}

impl<T> Deref for Listed<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.items
    }
}

impl<T> DerefMut for Listed<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.items
    }
}

/// A word that identifies a [`Header`](crate::wait::target::Header), a [`Listed`] or a queue with a name: an address that nothing else has.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Mark(&'static u8);

/// The addresses that the marks are, in the order in which the layout names them.
pub(crate) static MARKS: [u8; 3] = [0, 1, 2];

impl Mark {
    pub(crate) const HEADER: Mark = Mark(&MARKS[0]);
    const LIST: Mark = Mark(&MARKS[1]);
    pub(crate) const QUEUE: Mark = Mark(&MARKS[2]);
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("mark")
    }
}
