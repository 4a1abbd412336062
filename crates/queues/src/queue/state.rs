//! What a queue has under its mutex.

use crate::{error::PutError, order::Order};
use asyncio_core::{
    Error, QueueEmpty, QueueShutDown, Result,
    raw::{NamedQueue, QueuePlaces},
};
use asyncio_locks::waiters::{Deferred, WaitQueue};
use std::mem::ManuallyDrop;

pub(super) struct State<O> {
    pub(super) items: O,
    /// Items that were put, and not reported done.
    pub(super) unfinished: usize,
    pub(super) is_shut_down: bool,
    pub(super) getters: WaitQueue,
    pub(super) putters: WaitQueue,
    pub(super) joiners: WaitQueue,
    pub(super) named: Option<NamedQueue>,
}

impl<O> State<O> {
    pub(super) const fn new(items: O) -> State<O> {
        State {
            items,
            unfinished: 0,
            is_shut_down: false,
            getters: WaitQueue::new(),
            putters: WaitQueue::new(),
            joiners: WaitQueue::new(),
            named: None,
        }
    }
}

impl<O: Order> State<O> {
    /// Records the addresses of the counts if the queue has a name, because the queue may have been moved. This is called
    /// when a future has to wait, so operations that do not wait pay nothing.
    #[inline]
    pub(super) fn tell_places(&self) {
        #[cold]
        fn tell<O: Order>(state: &State<O>, named: &NamedQueue) {
            named.stands_at(QueuePlaces {
                named: (&raw const state.named).addr(),
                length: state.items.length_address(),
                unfinished: (&raw const state.unfinished).addr(),
                getters: state.getters.length_address(),
                putters: state.putters.length_address(),
                joiners: state.joiners.length_address(),
            });
        }
        if let Some(named) = &self.named {
            tell(self, named);
        }
    }

    pub(super) fn is_full(&self, maxsize: usize) -> bool {
        maxsize > 0 && self.items.len() >= maxsize
    }

    #[inline(always)]
    pub(super) fn put(
        &mut self,
        item: O::Item,
        maxsize: usize,
        after: &mut Deferred,
    ) -> Result<(), PutError<O::Item>> {
        if self.is_shut_down {
            return Err(PutError::ShutDown(item));
        }
        if self.is_full(maxsize) {
            return Err(PutError::Full(item));
        }
        let change = Change::begin(self, after);
        change.state.items.push(item);
        change.end();
        Ok(())
    }

    pub(super) fn get(&mut self, after: &mut Deferred) -> Result<O::Item> {
        match self.pop(after) {
            Some(item) => Ok(item),
            None if self.is_shut_down => Err(Error::QueueShutDown(QueueShutDown::default())),
            None => Err(Error::QueueEmpty(QueueEmpty::default())),
        }
    }

    #[inline]
    fn pop(&mut self, after: &mut Deferred) -> Option<O::Item> {
        let change = Change::begin(self, after);
        let item = change.state.items.pop();
        change.end();
        item
    }

    /// `n` items are done.
    pub(super) fn finish(&mut self, n: usize, after: &mut Deferred) {
        self.unfinished = self.unfinished.saturating_sub(n);
        if self.unfinished == 0 {
            self.joiners.wake_all(after);
        }
    }
}

/// An item that goes in or comes out. This calls code of the program, an [`Order`] or the `Ord` of the items, which may
/// panic. The counts stay correct even then.
struct Change<'a, O: Order> {
    state: &'a mut State<O>,
    after: &'a mut Deferred,
    /// How many items there were.
    before: usize,
}

impl<'a, O: Order> Change<'a, O> {
    #[inline]
    fn begin(state: &'a mut State<O>, after: &'a mut Deferred) -> Change<'a, O> {
        let before = state.items.len();
        Change { state, after, before }
    }

    /// Ends it, because the code of the program has returned.
    #[inline]
    fn end(self) {
        ManuallyDrop::new(self).count();
    }

    /// Counts what has changed, and wakes a waiter for it. Returns the number of items.
    #[inline]
    fn count(&mut self) -> usize {
        let now = self.state.items.len();
        if now > self.before {
            self.state.unfinished += 1;
            self.state.getters.wake_next(self.after);
        } else if now < self.before {
            self.state.putters.wake_next(self.after);
        }
        now
    }
}

/// The code of the program has panicked. The waiter that was woken for this has not used it; and an item that
/// came out is lost, which counts as done.
impl<O: Order> Drop for Change<'_, O> {
    #[cold]
    fn drop(&mut self) {
        let now = self.count();
        if now < self.before {
            self.state.finish(1, self.after);
        } else {
            self.state.putters.wake_next(self.after);
        }
        if now > 0 {
            self.state.getters.wake_next(self.after);
        }
    }
}
