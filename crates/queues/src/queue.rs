//! [`Queue`], [`PriorityQueue`] and [`LifoQueue`]: one queue, in three orders.

use crate::{
    error::PutError,
    order::{Fifo, Lifo, Order, Priority},
};
use asyncio_core::{
    Error, Result,
    raw::{
        NamedQueue,
        sync::{Mutex, keep},
    },
    wait_site::WaitSite,
};
#[cfg(not(loom))]
use asyncio_locks::blocking::block_on;
use asyncio_locks::waiters::Deferred;
use state::State;
use std::{fmt, sync::Arc};

mod state;
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
            OrderedQueue { maxsize, state: Mutex::new(State::new(order)) }
        }
    }

    /// Sets the name under which `asyncio top` and `asyncio ps` in another process show the queue's length and
    /// waiters. A queue without a name is not shown. Python's queues have no name.
    ///
    /// They read the memory of the queue, so a name costs nothing. Set it after the queue is in its final place, such
    /// as an `Rc`, an `Arc` or a static. A queue that is moved afterwards is shown with its old state, or not at all,
    /// until a future has waited for it. The length of a queue with a custom [`Order`] is not shown.
    ///
    /// ```
    /// use asyncio::Queue;
    /// let queue = Queue::<u32>::new(100);
    /// queue.set_name("jobs");
    /// assert_eq!(queue.name().as_deref(), Some("jobs"));
    /// ```
    pub fn set_name(&self, name: impl AsRef<str>) {
        let named = NamedQueue::new(name.as_ref().into(), self.maxsize);
        // Before the guard, so that it is dropped after it.
        let _former;
        let mut state = self.state.lock();
        _former = state.named.replace(named);
        state.tell_places();
    }

    /// Returns the [name](OrderedQueue::set_name) of the queue.
    ///
    /// ```
    /// assert_eq!(asyncio::Queue::<u32>::new(100).name(), None);
    /// ```
    pub fn name(&self) -> Option<Arc<str>> {
        self.state.lock().named.as_ref().map(|named| named.name().clone())
    }

    /// Adds an item, and waits while the queue is full (`Queue.put`). It does not suspend if there is
    /// room.
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
        let mut shown = f.debug_struct("Queue");
        if let Some(named) = &state.named {
            shown.field("name", named.name());
        }
        shown
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
