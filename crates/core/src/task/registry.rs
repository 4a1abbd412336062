//! [`Registry`]: the unfinished tasks of a loop, one word each.
//!
//! The table needs no generation number beside each task: the key of a task is stored in its cell,
//! and the next key of a vacant place in the list of vacant places.

use crate::{
    slots::Key,
    task::{cell::TaskCell, reference::TaskRef},
};

/// The tasks, used only on the loop's thread. Each task has its key in its cell while it is in the
/// registry.
#[derive(Debug)]
pub(crate) struct Registry {
    tasks: Vec<Option<TaskRef>>,
    /// The next key of each vacant place; the most recently vacated place is reused first.
    vacant: Vec<Key>,
}

impl Registry {
    pub(crate) const fn new() -> Registry {
        Registry { tasks: Vec::new(), vacant: Vec::new() }
    }

    /// Adds a task of this loop that has no key, and assigns one.
    #[inline(always)]
    pub(crate) fn insert(&mut self, task: TaskRef) {
        let key = self.vacant.pop().unwrap_or_else(|| self.grow());
        task.affine.key.set(Some(key));
        // There is nothing to drop.
        std::mem::forget(self.tasks[key.place()].replace(task));
    }

    /// Adds a vacant place.
    #[cold]
    fn grow(&mut self) -> Key {
        let key = Key::first(self.tasks.len());
        self.tasks.push(None);
        key
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&TaskRef> {
        let task = self.tasks.get(key.place())?.as_ref();
        task.filter(|task| task.affine.key.get() == Some(key))
    }

    /// Removes a task of this loop, if it is here, and clears its key.
    #[inline]
    pub(crate) fn remove(&mut self, task: &TaskCell) -> Option<TaskRef> {
        let key = task.affine.key.take()?;
        // A place that has used every key stays empty.
        self.vacant.extend(key.next());
        self.tasks.get_mut(key.place())?.take()
    }

    /// The number of tasks.
    pub(crate) fn len(&self) -> usize {
        self.tasks.len() - self.vacant.len()
    }

    /// The address of the table, for readers outside the process.
    pub(crate) fn table(&self) -> *const Vec<Option<TaskRef>> {
        &raw const self.tasks
    }

    /// All tasks, in the order of their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &TaskRef> {
        self.tasks.iter().flatten()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{
        context::Values,
        home::LoopRef,
        task::cell::{TaskContext, TaskVTable},
    };
    use std::{any::TypeId, panic::Location, ptr::NonNull};

    static NO_STEPS: TaskVTable = TaskVTable {
        step: |_| {},
        discard: |_| {},
        // SAFETY: `insert` made it from a box, and this is called once.
        free: |cell| drop(unsafe { Box::from_raw(cell.as_ptr()) }),
        last_handle: |_| {},
        exception: |_| Ok(None),
        cancelled: |_| false,
        output: TypeId::of::<()>,
    };

    /// A new task that was inserted, and its key.
    fn insert(registry: &mut Registry) -> (TaskRef, Key) {
        let (home, context) = (LoopRef::nowhere(), TaskContext::Own(Values::default()));
        // SAFETY: it is put into its box immediately.
        let cell = unsafe { TaskCell::new(home, 0, context, Location::caller(), &NO_STEPS) };
        let cell = NonNull::from(Box::leak(Box::new(cell)));
        // SAFETY: these are the three references that a cell begins with.
        let [task, registered, of_first_wait] =
            [(); 3].map(|()| unsafe { TaskRef::from_raw(cell) });
        drop(of_first_wait);
        registry.insert(registered);
        let key = task.key().unwrap();
        (task, key)
    }

    #[test]
    fn a_task_takes_a_word() {
        assert_eq!(size_of::<Option<TaskRef>>(), size_of::<usize>());
    }

    #[test]
    fn a_key_does_not_name_the_next_task_in_its_place() {
        let mut registry = Registry::new();
        let ((a, key_a), (b, key_b)) = (insert(&mut registry), insert(&mut registry));
        assert!(registry.remove(&a).unwrap().is(&a));
        assert!(registry.get(key_a).is_none());
        let (c, key_c) = insert(&mut registry);
        assert_eq!(key_c.place(), key_a.place());
        assert!(registry.get(key_a).is_none());
        assert!(registry.get(key_b).unwrap().is(&b));
        assert!(registry.get(key_c).unwrap().is(&c));
        assert_eq!(registry.iter().count(), 2);
    }

    #[test]
    fn a_task_leaves_once() {
        let mut registry = Registry::new();
        let (task, key) = insert(&mut registry);
        assert!(registry.remove(&task).is_some());
        assert_eq!(task.key(), None);
        assert!(registry.remove(&task).is_none());
        assert_ne!(insert(&mut registry).1, key);
        assert_ne!(insert(&mut registry).1.place(), key.place());
    }

    #[test]
    fn places_are_taken_again_the_last_one_first() {
        let mut registry = Registry::new();
        let tasks: Vec<_> = (0..3).map(|_| insert(&mut registry)).collect();
        for (task, _) in &tasks {
            registry.remove(task);
        }
        let places: Vec<_> = (0..4).map(|_| insert(&mut registry).1.place()).collect();
        assert_eq!(places, [2, 1, 0, 3]);
    }

    #[test]
    fn a_place_that_had_every_key_is_left() {
        let mut registry = Registry::new();
        let (task, first) = insert(&mut registry);
        registry.remove(&task);
        registry.vacant = vec![Key::from_bits(first.to_bits() | u64::from(u32::MAX) << 32)];
        let (task, last) = insert(&mut registry);
        assert_eq!(last.place(), first.place());
        registry.remove(&task);
        assert_ne!(insert(&mut registry).1.place(), first.place());
        assert!(registry.get(first).is_none() && registry.get(last).is_none());
    }
}
