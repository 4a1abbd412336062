//! The futures of a queue.

use super::OrderedQueue;
use crate::{error::PutError, order::Order};
use asyncio_core::{Error, Result, raw::sync::keep, wait_site::WaitSite};
use asyncio_locks::waiters::{Deferred, Polled, QueuedWait};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Waits for an item: see [`OrderedQueue::get`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Get<'a, O: Order> {
    queue: &'a OrderedQueue<O>,
    place: QueuedWait,
    site: WaitSite,
}

impl<'a, O: Order> Get<'a, O> {
    pub(super) fn new(queue: &'a OrderedQueue<O>, site: WaitSite) -> Get<'a, O> {
        Get { queue, place: QueuedWait::new(), site }
    }
}

impl<O: Order> Future for Get<'_, O> {
    type Output = Result<O::Item>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<O::Item>> {
        let Get { queue, place, site } = &mut *self;
        let mut after = Deferred::new();
        let mut guard = queue.state.lock();
        let state = &mut *guard;
        if place.is_taken() {
            match state.getters.poll(place, cx, *site, &mut after) {
                Polled::Pending => return Poll::Pending,
                Polled::Moved => {
                    if !state.items.is_empty() || state.is_shut_down {
                        state.getters.wake_next(&mut after);
                    }
                    return Poll::Pending;
                }
                Polled::Woken => {}
                Polled::Cancelled { error, woken } => {
                    if woken && !state.items.is_empty() {
                        state.getters.wake_next(&mut after);
                    }
                    return Poll::Ready(Err(error));
                }
            }
        }
        match state.get(&mut after) {
            Err(Error::QueueEmpty(_)) => {
                guard = keep("queue_get_joined_late", &queue.state, guard);
                guard.getters.join(place, cx, *site);
                guard.tell_places();
                Poll::Pending
            }
            outcome => Poll::Ready(outcome),
        }
    }
}

impl<O: Order> asyncio_core::wait::Leaf for Get<'_, O> {}

impl<O: Order> Drop for Get<'_, O> {
    fn drop(&mut self) {
        if self.place.is_taken() {
            let mut after = Deferred::new();
            let mut state = self.queue.state.lock();
            let woken = state.getters.is_woken(&self.place);
            state = keep("queue_getter_left_unseen", &self.queue.state, state);
            state.getters.leave(&mut self.place, &mut after);
            if woken && !state.items.is_empty() {
                state.getters.wake_next(&mut after);
            }
        }
    }
}

/// Waits for an item, or for the end: see [`OrderedQueue::next`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Next<'a, O: Order>(pub(super) Get<'a, O>);

impl<O: Order> Future for Next<'_, O> {
    type Output = Option<Result<O::Item>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|item| match item {
            Err(Error::QueueShutDown(_)) => None,
            item => Some(item),
        })
    }
}

impl<O: Order> fmt::Debug for Next<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Next").field(&self.0).finish()
    }
}

/// Waits for a free place, and puts an item there: see [`OrderedQueue::put`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Put<'a, O: Order> {
    queue: &'a OrderedQueue<O>,
    /// `Some` until the future is done.
    item: Option<O::Item>,
    place: QueuedWait,
    site: WaitSite,
}

// The item is never pinned.
impl<O: Order> Unpin for Put<'_, O> {}

impl<'a, O: Order> Put<'a, O> {
    pub(super) fn new(queue: &'a OrderedQueue<O>, item: O::Item, site: WaitSite) -> Put<'a, O> {
        Put { queue, item: Some(item), place: QueuedWait::new(), site }
    }

    /// Returns the item, if it was not put.
    ///
    /// ```
    /// use asyncio::Queue;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let queue = Queue::new(1);
    ///     queue.shutdown(false);
    ///     let mut put = queue.put("job");
    ///     assert!((&mut put).await.is_err());
    ///     assert_eq!(put.into_item(), Some("job"));
    ///     Ok(())
    /// }
    /// ```
    pub fn into_item(mut self) -> Option<O::Item> {
        self.item.take()
    }
}

impl<O: Order> Future for Put<'_, O> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Put { queue, item: slot, place, site } = &mut *self;
        let item = slot.take().expect("a future is not polled after its end");
        let mut after = Deferred::new();
        let mut guard = queue.state.lock();
        let state = &mut *guard;
        if place.is_taken() {
            match state.putters.poll(place, cx, *site, &mut after) {
                Polled::Pending => {
                    *slot = Some(item);
                    return Poll::Pending;
                }
                Polled::Moved => {
                    if !state.is_full(queue.maxsize) || state.is_shut_down {
                        state.putters.wake_next(&mut after);
                    }
                    *slot = Some(item);
                    return Poll::Pending;
                }
                Polled::Woken => {}
                Polled::Cancelled { error, woken } => {
                    if woken && !state.is_full(queue.maxsize) {
                        state.putters.wake_next(&mut after);
                    }
                    *slot = Some(item);
                    return Poll::Ready(Err(error));
                }
            }
        }
        match state.put(item, queue.maxsize, &mut after) {
            Err(PutError::Full(item)) => {
                guard = keep("queue_put_joined_late", &queue.state, guard);
                guard.putters.join(place, cx, *site);
                guard.tell_places();
                *slot = Some(item);
                Poll::Pending
            }
            Err(error) => {
                let outcome = Poll::Ready(Err(error.to_error()));
                *slot = Some(error.into_inner());
                outcome
            }
            Ok(()) => Poll::Ready(Ok(())),
        }
    }
}

impl<O: Order> Drop for Put<'_, O> {
    fn drop(&mut self) {
        if self.place.is_taken() {
            let mut after = Deferred::new();
            let mut state = self.queue.state.lock();
            let woken = state.putters.is_woken(&self.place);
            state = keep("queue_putter_left_unseen", &self.queue.state, state);
            state.putters.leave(&mut self.place, &mut after);
            if woken && !state.is_full(self.queue.maxsize) {
                state.putters.wake_next(&mut after);
            }
        }
    }
}

/// Waits until all items are done: see [`OrderedQueue::join`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Join<'a, O: Order> {
    queue: &'a OrderedQueue<O>,
    place: QueuedWait,
    site: WaitSite,
}

impl<'a, O: Order> Join<'a, O> {
    pub(super) fn new(queue: &'a OrderedQueue<O>, site: WaitSite) -> Join<'a, O> {
        Join { queue, place: QueuedWait::new(), site }
    }
}

impl<O: Order> asyncio_core::wait::Leaf for Join<'_, O> {}

impl<O: Order> Future for Join<'_, O> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Join { queue, place, site } = &mut *self;
        let mut after = Deferred::new();
        let mut guard = queue.state.lock();
        let state = &mut *guard;
        if !place.is_taken() {
            if state.unfinished == 0 {
                return Poll::Ready(Ok(()));
            }
            guard = keep("queue_join_joined_late", &queue.state, guard);
            guard.joiners.join(place, cx, *site);
            guard.tell_places();
            return Poll::Pending;
        }
        match state.joiners.poll(place, cx, *site, &mut after) {
            Polled::Pending => Poll::Pending,
            Polled::Moved => {
                state.finish(0, &mut after);
                Poll::Pending
            }
            Polled::Woken => Poll::Ready(Ok(())),
            Polled::Cancelled { error, .. } => Poll::Ready(Err(error)),
        }
    }
}

impl<O: Order> Drop for Join<'_, O> {
    fn drop(&mut self) {
        if self.place.is_taken() {
            let mut after = Deferred::new();
            self.queue.state.lock().joiners.leave(&mut self.place, &mut after);
        }
    }
}

macro_rules! debug {
    ($($name:ident)*) => {$(
        impl<O: Order> fmt::Debug for $name<'_, O> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("queue", self.queue)
                    .field("waits", &self.place.is_taken())
                    .finish()
            }
        }
    )*};
}

debug!(Get Put Join);
