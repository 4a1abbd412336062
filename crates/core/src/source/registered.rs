//! [`Sources`]: the sources that are registered with a loop, and their descriptors.

use super::{At, Direction, Driver, IoQueue, ReadyHandler};
use crate::slots::{Key, Slots};
use std::{os::fd::RawFd, sync::Arc};

/// The sources of one loop.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(super) driver: Option<Arc<dyn Driver>>,
    /// Whether the driver reports hang-ups.
    pub(super) tells_hangups: bool,
    /// Whether a task that waits for a source is woken by a separate step.
    pub(super) wakes_in_step: bool,
    pub(super) entries: Slots<Registered>,
    /// The number of sources.
    len: usize,
    /// The source of each descriptor, by descriptor number. The system assigns the smallest free
    /// numbers.
    pub(super) by_descriptor: Vec<Option<Key>>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) descriptor: RawFd,
    pub(super) hangup: bool,
    pub(super) read: IoQueue,
    pub(super) write: IoQueue,
    pub(super) handler: Option<ReadyHandler>,
}

impl Registered {
    pub(super) fn queue(&mut self, direction: Direction) -> &mut IoQueue {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }
}

impl Sources {
    pub(crate) fn new() -> Sources {
        Sources {
            driver: None,
            tells_hangups: false,
            wakes_in_step: false,
            entries: Slots::new(),
            len: 0,
            by_descriptor: Vec::new(),
        }
    }

    /// Removes all sources.
    pub(crate) fn drain(&mut self) -> impl IntoIterator + use<> {
        self.entries.drain()
    }

    pub(super) fn queue(&mut self, at: At, direction: Direction) -> Option<&mut IoQueue> {
        Some(self.entries.get_mut(at.key)?.queue(direction))
    }

    pub(super) fn is_drained_by_less(&self, key: Key) -> bool {
        self.tells_hangups && self.entries.get(key).is_some_and(|entry| !entry.hangup)
    }

    /// The number of sources.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, entry: Registered) -> Key {
        self.len += 1;
        self.entries.insert(entry)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Registered> {
        let entry = self.entries.remove(key)?;
        self.len -= 1;
        let number = usize::try_from(entry.descriptor).ok();
        if let Some(owner) = number.and_then(|number| self.by_descriptor.get_mut(number)) {
            // Unless the number belongs to another source now.
            owner.take_if(|owner| *owner == key);
        }
        Some(entry)
    }

    pub(super) fn set_owner(&mut self, descriptor: RawFd, key: Key) {
        let Ok(number) = usize::try_from(descriptor) else { return };
        if self.by_descriptor.len() <= number {
            self.by_descriptor.resize(number + 1, None);
        }
        self.by_descriptor[number] = Some(key);
    }
}
