//! [`channel`]: a queue in two halves, which closes when one of them is dropped.

use crate::{
    PutError, Queue,
    order::Fifo,
    queue::{Get, Next, Put},
};
use asyncio_core::{
    Result,
    raw::sync::{Arc, AtomicU64, Ordering, change},
};
use std::fmt;

/// Creates a queue in two halves: a [`Receiver`] gets what a [`Sender`] puts (anyio's
/// `create_memory_object_stream`, trio's `open_memory_channel`). It holds at most `maxsize` items;
/// with zero, any number.
///
/// Both halves can be cloned; each item goes to one receiver. When the last sender is dropped, the receivers
/// get the remaining items, and then the end. When the last receiver is dropped, the remaining items are
/// dropped too, and putting is an error. A consumer therefore ends by itself, and a producer cannot fill a
/// queue that is not read.
///
/// ```
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let (sender, receiver) = asyncio::channel(10);
///     let producer = asyncio::create_task(async move {
///         for n in 1..=3 {
///             sender.put(n).await?;
///         }
///         Ok(()) // Here the sender is dropped.
///     });
///     let mut sum = 0;
///     while let Some(n) = receiver.next().await {
///         sum += n?;
///     }
///     assert_eq!(sum, 6);
///     producer.await
/// }
/// ```
#[doc(alias("create_memory_object_stream", "open_memory_channel"))]
pub fn channel<T>(maxsize: usize) -> (Sender<T>, Receiver<T>) {
    let queue = Queue::new(maxsize);
    let shared =
        Arc::new(Shared { queue, senders: AtomicU64::new(1), receivers: AtomicU64::new(1) });
    (Sender(shared.clone()), Receiver(shared))
}

struct Shared<T> {
    queue: Queue<T>,
    senders: AtomicU64,
    receivers: AtomicU64,
}

/// Counts one more half of a kind.
fn join(halves: &AtomicU64) {
    // The half that is cloned exists, so the last one does not leave meanwhile.
    halves.fetch_add(1, Ordering::Relaxed);
}

/// Counts one half less; returns true if it was the last.
fn leave(halves: &AtomicU64) -> bool {
    loop {
        let count = halves.load(Ordering::Relaxed);
        if change("channel_half_leaves_unseen", halves, count, count - 1) {
            return count == 1;
        }
    }
}

/// The sending half of a [`channel`].
pub struct Sender<T>(Arc<Shared<T>>);

/// The receiving half of a [`channel`].
pub struct Receiver<T>(Arc<Shared<T>>);

impl<T> Sender<T> {
    /// Waits for a free place, and puts an item there: see [`OrderedQueue::put`](crate::OrderedQueue::put).
    ///
    /// # Errors
    /// `QueueShutDown` if every receiver is gone; `Cancelled`. In both cases, the item was not put: see
    /// [`Put::into_item`].
    ///
    /// # Cancellation
    /// The item was not put, and is still in the future. Dropping the future drops the item.
    #[track_caller]
    pub fn put(&self, item: T) -> Put<'_, Fifo<T>> {
        self.0.queue.put(item)
    }

    /// Puts an item in, if there is a free place.
    ///
    /// # Errors
    /// `ShutDown` if every receiver is gone; `Full`. Both hand the item back.
    pub fn put_nowait(&self, item: T) -> Result<(), PutError<T>> {
        self.0.queue.put_nowait(item)
    }

    /// Returns whether every receiver is gone.
    pub fn is_closed(&self) -> bool {
        self.0.queue.is_shut_down()
    }
}

impl<T> Receiver<T> {
    /// Waits for the next item, and takes it: see [`OrderedQueue::get`](crate::OrderedQueue::get).
    ///
    /// # Errors
    /// `QueueShutDown` if every sender is gone and nothing is left; `Cancelled`.
    ///
    /// # Cancellation
    /// No item was taken. Dropping the future does the same.
    #[track_caller]
    pub fn get(&self) -> Get<'_, Fifo<T>> {
        self.0.queue.get()
    }

    /// Returns the next item; `None` when every sender is gone and nothing is left (`async for`).
    ///
    /// # Errors
    /// Only `Cancelled`, as an item.
    ///
    /// # Cancellation
    /// No item was taken. Dropping the future does the same.
    #[track_caller]
    pub fn next(&self) -> Next<'_, Fifo<T>> {
        self.0.queue.next()
    }

    /// Takes the next item out, if there is one.
    ///
    /// # Errors
    /// `QueueEmpty`; `QueueShutDown` if every sender is gone as well.
    pub fn get_nowait(&self) -> Result<T> {
        self.0.queue.get_nowait()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        join(&self.0.senders);
        Sender(self.0.clone())
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        join(&self.0.receivers);
        Receiver(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if leave(&self.0.senders) {
            self.0.queue.shutdown(false);
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if leave(&self.0.receivers) {
            self.0.queue.shutdown(true);
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&self.0.queue).finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receiver").field(&self.0.queue).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tester;
    use asyncio_core::Error;
    use futures_lite::future::block_on;
    use std::{rc::Rc, thread};

    #[test]
    fn the_end_comes_when_the_last_sender_is_gone_and_everything_was_got() {
        let (one, receiver) = channel(0);
        let two = one.clone();
        one.put_nowait(1).unwrap();
        drop(one);
        two.put_nowait(2).unwrap();
        let mut waiting = tester(receiver.next());
        assert_eq!(waiting.is_ready().unwrap().unwrap(), 1);
        assert_eq!(receiver.get_nowait().unwrap(), 2);
        assert!(matches!(receiver.get_nowait(), Err(Error::QueueEmpty(_))));
        let mut waiting = tester(receiver.next());
        waiting.is_pending();
        drop(two);
        assert!(waiting.was_woken() && waiting.is_ready().is_none());
        assert!(matches!(receiver.get_nowait(), Err(Error::QueueShutDown(_))));
    }

    #[test]
    fn putting_is_an_error_when_the_last_receiver_is_gone() {
        let (sender, receiver) = channel(1);
        let other = receiver.clone();
        let item = Rc::new(());
        sender.put_nowait(item.clone()).unwrap();
        let mut waiting = tester(sender.put(item.clone()));
        waiting.is_pending();
        drop(receiver);
        assert!(!sender.is_closed());
        drop(other);
        assert!(waiting.was_woken());
        assert!(matches!(waiting.is_ready(), Err(Error::QueueShutDown(_))));
        drop(waiting);
        assert!(sender.is_closed() && sender.put_nowait(item.clone()).is_err());
        assert_eq!(Rc::strong_count(&item), 1, "what was left is dropped");
    }

    #[test]
    fn threads_share_both_halves() {
        let (sender, receiver) = channel(2);
        let senders = [1, 2, 3].map(|n| {
            let sender = sender.clone();
            thread::spawn(move || block_on(async { sender.put(n).await.is_ok() }))
        });
        drop(sender);
        let receivers = [(); 2].map(|()| {
            let receiver = receiver.clone();
            thread::spawn(move || {
                block_on(async {
                    let mut sum = 0;
                    while let Some(n) = receiver.next().await {
                        sum += n.unwrap();
                    }
                    sum
                })
            })
        });
        assert!(senders.into_iter().all(|sender| sender.join().unwrap()));
        assert_eq!(receivers.into_iter().map(|receiver| receiver.join().unwrap()).sum::<i32>(), 6);
    }
}
