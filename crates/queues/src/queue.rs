//! [`Queue`], [`PriorityQueue`] and [`LifoQueue`]: one queue, in three orders.

use crate::{
    error::PutError,
    order::{Fifo, Lifo, Order, Priority},
};
use asyncio_core::{
    Error, QueueEmpty, QueueShutDown, Result,
    raw::sync::{Mutex, keep},
    wait_site::WaitSite,
};
#[cfg(not(loom))]
use asyncio_locks::blocking::block_on;
use asyncio_locks::waiters::{Deferred, WaitQueue};
use std::fmt;

mod waits;
pub use waits::{Get, Join, Next, Put};

/// First in, first out (`asyncio.Queue`).
#[doc(alias = "asyncio.Queue")]
pub type Queue<T> = OrderedQueue<Fifo<T>>;

/// The lowest item first (`asyncio.PriorityQueue`).
///
/// The items are compared while the queue is locked: their `Ord` must not use the queue. If a
/// comparison panics, the `put` or `get` that made it panics. An item may then come out of turn, and
/// an item that was being taken is lost and counts as done.
///
/// ```
/// use asyncio::PriorityQueue;
/// let queue = PriorityQueue::new(0);
/// for job in [(3, "tidy"), (1, "run"), (2, "test")] { queue.put_nowait(job)?; }
/// assert_eq!(queue.get_nowait()?, (1, "run"));
/// # Ok::<_, asyncio::Error>(())
/// ```
#[doc(alias = "asyncio.PriorityQueue")]
pub type PriorityQueue<T> = OrderedQueue<Priority<T>>;

/// Last in, first out (`asyncio.LifoQueue`).
///
/// ```
/// use asyncio::LifoQueue;
/// let queue = LifoQueue::new(0);
/// for n in 1..=3 { queue.put_nowait(n)?; }
/// assert_eq!(queue.get_nowait()?, 3);
/// # Ok::<_, asyncio::Error>(())
/// ```
#[doc(alias = "asyncio.LifoQueue")]
pub type LifoQueue<T> = OrderedQueue<Lifo<T>>;

/// A queue between tasks: [`Queue`], [`PriorityQueue`], [`LifoQueue`], or one with a custom order.
///
/// Tasks that wait in `get` or `put` are woken in the order of their arrival. A task that is woken
/// checks again; if another task was faster, it waits at the end of the queue.
///
/// ```
/// use asyncio::Queue;
/// static JOBS: Queue<u32> = Queue::new(10);
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     JOBS.put(1).await?;
///     assert_eq!(JOBS.get().await?, 1);
///     JOBS.task_done()?;
///     JOBS.join().await
/// }
/// ```
pub struct OrderedQueue<O: Order> {
    maxsize: usize,
    state: Mutex<State<O>>,
}

struct State<O> {
    items: O,
    /// Items that were put, and not reported done.
    unfinished: usize,
    is_shut_down: bool,
    getters: WaitQueue,
    putters: WaitQueue,
    joiners: WaitQueue,
}

impl<O: Order> State<O> {
    fn is_full(&self, maxsize: usize) -> bool {
        maxsize > 0 && self.items.len() >= maxsize
    }

    fn put(
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
        let mut change = Change::begin(self, after);
        change.state.items.push(item);
        change.has_returned = true;
        Ok(())
    }

    fn get(&mut self, after: &mut Deferred) -> Result<O::Item> {
        match self.pop(after) {
            Some(item) => Ok(item),
            None if self.is_shut_down => Err(Error::QueueShutDown(QueueShutDown::default())),
            None => Err(Error::QueueEmpty(QueueEmpty::default())),
        }
    }

    fn pop(&mut self, after: &mut Deferred) -> Option<O::Item> {
        let mut change = Change::begin(self, after);
        let item = change.state.items.pop();
        change.has_returned = true;
        item
    }

    /// `n` items are done.
    fn finish(&mut self, n: usize, after: &mut Deferred) {
        self.unfinished = self.unfinished.saturating_sub(n);
        if self.unfinished == 0 {
            self.joiners.wake_all(after);
        }
    }
}

/// An item that goes in or comes out. What that takes is the program's: an [`Order`], or the `Ord` of
/// the items, which may panic. The books are kept all the same.
struct Change<'a, O: Order> {
    state: &'a mut State<O>,
    after: &'a mut Deferred,
    /// How many items there were.
    before: usize,
    has_returned: bool,
}

impl<'a, O: Order> Change<'a, O> {
    #[inline]
    fn begin(state: &'a mut State<O>, after: &'a mut Deferred) -> Change<'a, O> {
        let before = state.items.len();
        Change { state, after, before, has_returned: false }
    }

    /// The waiter that was woken for this has not used it; and an item that came out is lost, which counts as
    /// done.
    #[cold]
    fn was_left_by_a_panic(&mut self, now: usize) {
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

impl<O: Order> Drop for Change<'_, O> {
    #[inline]
    fn drop(&mut self) {
        let now = self.state.items.len();
        if now > self.before {
            self.state.unfinished += 1;
            self.state.getters.wake_next(self.after);
        } else if now < self.before {
            self.state.putters.wake_next(self.after);
        }
        if !self.has_returned {
            self.was_left_by_a_panic(now);
        }
    }
}

impl<T> Queue<T> {
    const_fn! {
        /// Creates an empty queue that holds at most `maxsize` items; with zero, any number.
        ///
        /// ```
        /// use asyncio::Queue;
        /// assert!(Queue::<()>::new(2).empty());
        /// ```
        pub fn new(maxsize: usize) -> Queue<T> {
            OrderedQueue::with_order(maxsize, Fifo::new())
        }
    }
}

impl<T> LifoQueue<T> {
    const_fn! {
        /// Creates an empty queue that holds at most `maxsize` items; with zero, any number.
        ///
        /// ```
        /// use asyncio::LifoQueue;
        /// assert_eq!(LifoQueue::<()>::new(2).maxsize(), 2);
        /// ```
        pub fn new(maxsize: usize) -> LifoQueue<T> {
            OrderedQueue::with_order(maxsize, Lifo::new())
        }
    }
}

impl<T: Ord> PriorityQueue<T> {
    const_fn! {
        /// Creates an empty queue that holds at most `maxsize` items; with zero, any number.
        ///
        /// ```
        /// use asyncio::PriorityQueue;
        /// assert_eq!(PriorityQueue::<u32>::new(2).maxsize(), 2);
        /// ```
        pub fn new(maxsize: usize) -> PriorityQueue<T> {
            OrderedQueue::with_order(maxsize, Priority::new())
        }
    }
}

impl<O: Order> OrderedQueue<O> {
    const_fn! {
        /// Creates a queue with a custom order: see [`Order`]. Items that `order` already holds come
        /// first, and need no [`task_done`](OrderedQueue::task_done).
        ///
        /// ```
        /// use asyncio::{Fifo, OrderedQueue};
        /// let queue = OrderedQueue::with_order(3, Fifo::<u32>::new());
        /// assert!(queue.empty());
        /// ```
        pub fn with_order(maxsize: usize, order: O) -> OrderedQueue<O> {
            let state = State {
                items: order,
                unfinished: 0,
                is_shut_down: false,
                getters: WaitQueue::new(),
                putters: WaitQueue::new(),
                joiners: WaitQueue::new(),
            };
            OrderedQueue { maxsize, state: Mutex::new(state) }
        }
    }

    /// Adds an item, and waits while the queue is full (`Queue.put`). Does not suspend if there is room.
    ///
    /// # Errors
    /// `QueueShutDown` if the queue is shut down before or during the wait; `Cancelled`. In both cases, the item was
    /// not added: await the future by `&mut`, and [`into_item`](Put::into_item) returns the item.
    ///
    /// # Cancellation
    /// The item was not added, and is still in the future. If the task had been woken for a free place, the next
    /// waiter gets the place. Dropping the future does the same, and drops the item.
    ///
    /// ```
    /// use asyncio::Queue;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let queue = Queue::new(1);
    ///     queue.put("a").await?;
    ///     assert!(queue.full());
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "asyncio.Queue.put")]
    #[track_caller]
    pub fn put(&self, item: O::Item) -> Put<'_, O> {
        Put::new(self, item, WaitSite::here(&"Queue.put"))
    }

    /// Takes the next item, and waits while the queue is empty (`Queue.get`). It does not suspend if there is an
    /// item.
    ///
    /// # Errors
    /// `QueueShutDown` if the queue is shut down before or during the wait, and is empty;
    /// `Cancelled`.
    ///
    /// # Cancellation
    /// No item was taken. If the task had been woken for an item, the next waiter gets the item. Dropping the future
    /// does the same.
    ///
    /// A future that was woken for an item and is never polled again holds up everything behind it in the
    /// queue. In a task that awaits several things, drop such a future, or keep polling it.
    ///
    /// ```
    /// use asyncio::Queue;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let queue = Queue::new(0);
    ///     queue.put_nowait("a")?;
    ///     assert_eq!(queue.get().await?, "a");
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "asyncio.Queue.get")]
    #[track_caller]
    pub fn get(&self) -> Get<'_, O> {
        self.get_at(WaitSite::here(&"Queue.get"))
    }

    /// Does what [`get`](OrderedQueue::get) does, as a part of another operation.
    #[doc(hidden)]
    pub fn get_at(&self, site: WaitSite) -> Get<'_, O> {
        Get::new(self, site)
    }

    /// Returns the next item; `None` once the queue is shut down and empty. This is what `async for` over a
    /// queue would be, which asyncio does not have.
    ///
    /// # Errors
    /// Only `Cancelled`, as an item.
    ///
    /// # Cancellation
    /// As for [`get`](OrderedQueue::get): no item was taken. Dropping the future does the same.
    ///
    /// ```
    /// use asyncio::Queue;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let queue = Queue::new(0);
    ///     for job in ["a", "b"] { queue.put_nowait(job)?; }
    ///     queue.shutdown(false);
    ///     let mut done = Vec::new();
    ///     while let Some(job) = queue.next().await {
    ///         done.push(job?);
    ///     }
    ///     assert_eq!(done, ["a", "b"]);
    ///     Ok(())
    /// }
    /// ```
    #[track_caller]
    #[doc(alias("async for", "__anext__"))]
    pub fn next(&self) -> Next<'_, O> {
        Next(Get::new(self, WaitSite::here(&"Queue.next")))
    }

    /// Adds an item if there is room (`Queue.put_nowait`).
    ///
    /// # Errors
    /// `ShutDown`; `Full`. Both hand the item back.
    ///
    /// ```
    /// use asyncio::Queue;
    /// let queue = Queue::new(1);
    /// queue.put_nowait("a")?;
    /// assert_eq!(queue.put_nowait("b").unwrap_err().into_inner(), "b");
    /// # Ok::<_, asyncio::Error>(())
    /// ```
    #[doc(alias = "asyncio.Queue.put_nowait")]
    pub fn put_nowait(&self, item: O::Item) -> Result<(), PutError<O::Item>> {
        let mut after = Deferred::new();
        self.state.lock().put(item, self.maxsize, &mut after)
    }

    /// Takes the next item if there is one (`Queue.get_nowait`).
    ///
    /// # Errors
    /// `QueueEmpty`; `QueueShutDown` if the queue is also shut down.
    ///
    /// ```
    /// use asyncio::Queue;
    /// let queue = Queue::<u32>::new(0);
    /// assert_eq!(queue.get_nowait().unwrap_err().kind(), "QueueEmpty");
    /// ```
    #[doc(alias = "asyncio.Queue.get_nowait")]
    pub fn get_nowait(&self) -> Result<O::Item> {
        let mut after = Deferred::new();
        self.state.lock().get(&mut after)
    }

    /// Blocks the thread until there is room, and adds an item: see [`put`](OrderedQueue::put). In a task,
    /// this would block the whole executor.
    ///
    /// # Errors
    /// `ShutDown`, which hands the item back.
    ///
    /// ```
    /// use asyncio::Queue;
    /// static LINES: Queue<&str> = Queue::new(1);
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let reader = std::thread::spawn(|| ["a", "b"].map(|line| LINES.put_blocking(line)));
    ///     assert_eq!((LINES.get().await?, LINES.get().await?), ("a", "b"));
    ///     assert!(reader.join().unwrap().iter().all(|put| put.is_ok()));
    ///     Ok(())
    /// }
    /// ```
    #[cfg(not(loom))]
    #[track_caller]
    pub fn put_blocking(&self, item: O::Item) -> Result<(), PutError<O::Item>> {
        let mut put = Put::new(self, item, WaitSite::here(&"Queue.put_blocking"));
        // Only a task can be cancelled. If this thread is running a task, the wait continues.
        while block_on(&mut put).is_err_and(|error| error.is_cancelled()) {}
        put.into_item().map_or(Ok(()), |item| Err(PutError::ShutDown(item)))
    }

    /// Blocks the thread until there is an item, and takes it: see [`get`](OrderedQueue::get). In a
    /// task, this would block the whole executor.
    ///
    /// # Errors
    /// `QueueShutDown`.
    ///
    /// ```
    /// use asyncio::Queue;
    /// static JOBS: Queue<u32> = Queue::new(1);
    /// let worker = std::thread::spawn(|| JOBS.get_blocking());
    /// asyncio::run(async { JOBS.put(7).await })?;
    /// assert_eq!(worker.join().unwrap()?, 7);
    /// # Ok::<_, asyncio::Error>(())
    /// ```
    #[cfg(not(loom))]
    #[track_caller]
    pub fn get_blocking(&self) -> Result<O::Item> {
        let site = WaitSite::here(&"Queue.get_blocking");
        block_on(Get::new(self, site))
    }

    /// Marks the work on one item as done (`Queue.task_done`).
    ///
    /// # Errors
    /// `Value` if it is called more often than items were put; nothing changes then.
    ///
    /// ```
    /// use asyncio::Queue;
    /// let error = Queue::<u32>::new(0).task_done().unwrap_err();
    /// assert_eq!(error.to_string(), "task_done() called too many times");
    /// ```
    #[doc(alias = "asyncio.Queue.task_done")]
    pub fn task_done(&self) -> Result<()> {
        let mut after = Deferred::new();
        let mut state = self.state.lock();
        if state.unfinished == 0 {
            return Err(Error::value("task_done() called too many times"));
        }
        state.finish(1, &mut after);
        Ok(())
    }

    /// Waits until every item that was put is [done](OrderedQueue::task_done) (`Queue.join`). It
    /// does not suspend if all are done.
    ///
    /// # Errors
    /// Only `Cancelled`.
    ///
    /// # Cancellation
    /// Leaves nothing behind. The same is true if the future is dropped.
    ///
    /// ```
    /// use asyncio::Queue;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     Queue::<u32>::new(0).join().await?; // Nothing was put.
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "asyncio.Queue.join")]
    #[track_caller]
    pub fn join(&self) -> Join<'_, O> {
        Join::new(self, WaitSite::here(&"Queue.join"))
    }

    /// Shuts the queue down (`Queue.shutdown`): from now on, putting is an error, and so is getting
    /// once the queue is empty. Tasks that wait in `put` or `get` are woken.
    ///
    /// With `immediate`, the items in the queue are dropped, and count as done.
    ///
    /// ```
    /// use asyncio::Queue;
    /// let queue = Queue::new(0);
    /// queue.put_nowait("last")?;
    /// queue.shutdown(false);
    /// assert_eq!(queue.get_nowait()?, "last");
    /// assert_eq!(queue.get_nowait().unwrap_err().kind(), "QueueShutDown");
    /// # Ok::<_, asyncio::Error>(())
    /// ```
    #[doc(alias = "asyncio.Queue.shutdown")]
    pub fn shutdown(&self, immediate: bool) {
        // Before the guard, so that they are dropped after it.
        let mut dropped = Vec::new();
        let mut after = Deferred::new();
        let mut state = self.state.lock();
        if immediate {
            let left = state.items.len();
            state.finish(left, &mut after);
        }
        state.getters.wake_all(&mut after);
        state.putters.wake_all(&mut after);
        state = keep("queue_shut_down_last", &self.state, state);
        state.is_shut_down = true;
        if immediate {
            // Last, because the order may panic.
            dropped.extend(std::iter::from_fn(|| state.items.pop()));
        }
    }

    /// Returns the number of items in the queue (`Queue.qsize`).
    ///
    /// ```
    /// assert_eq!(asyncio::Queue::<u32>::new(0).qsize(), 0);
    /// ```
    #[doc(alias = "asyncio.Queue.qsize")]
    pub fn qsize(&self) -> usize {
        self.state.lock().items.len()
    }

    /// Returns whether the queue is empty (`Queue.empty`).
    ///
    /// ```
    /// assert!(asyncio::Queue::<u32>::new(0).empty());
    /// ```
    #[doc(alias = "asyncio.Queue.empty")]
    pub fn empty(&self) -> bool {
        self.qsize() == 0
    }

    /// Returns whether the queue has [`maxsize`](OrderedQueue::maxsize) items (`Queue.full`). It is never
    /// full if `maxsize` is zero.
    ///
    /// ```
    /// assert!(!asyncio::Queue::<u32>::new(0).full());
    /// ```
    #[doc(alias = "asyncio.Queue.full")]
    pub fn full(&self) -> bool {
        self.state.lock().is_full(self.maxsize)
    }

    /// Returns the number of items that the queue can hold (`Queue.maxsize`); zero means no limit.
    ///
    /// ```
    /// assert_eq!(asyncio::Queue::<u32>::new(8).maxsize(), 8);
    /// ```
    #[doc(alias = "asyncio.Queue.maxsize")]
    pub fn maxsize(&self) -> usize {
        self.maxsize
    }

    /// Returns whether the queue was shut down.
    ///
    /// ```
    /// assert!(!asyncio::Queue::<u32>::new(8).is_shut_down());
    /// ```
    pub fn is_shut_down(&self) -> bool {
        self.state.lock().is_shut_down
    }
}

/// A queue without a limit.
impl<O: Order + Default> Default for OrderedQueue<O> {
    fn default() -> OrderedQueue<O> {
        OrderedQueue::with_order(0, O::default())
    }
}

/// Shows how many items there are, not the items.
impl<O: Order> fmt::Debug for OrderedQueue<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Queue")
            .field("maxsize", &self.maxsize)
            .field("items", &state.items.len())
            .field("getters", &state.getters.len())
            .field("putters", &state.putters.len())
            .field("unfinished", &state.unfinished)
            .field("shut_down", &state.is_shut_down)
            .finish()
    }
}

#[cfg(test)]
mod tests;
