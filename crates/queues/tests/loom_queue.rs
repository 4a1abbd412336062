//! Models of `Queue`: no item is lost or doubled, and no task sleeps while there is something to
//! do.
#![cfg(loom)]

use asyncio_core::{
    Error, Result,
    raw::model::{Loop, cancel, check, is_pending, leak},
};
use asyncio_queues::{PutError, Queue, channel};
use loom::{future::block_on, thread};
use std::{cell::RefCell, rc::Rc};

#[test]
fn a_get_meets_a_put() {
    check(&["queue_get_joined_late"], 3, || {
        let queue: &Queue<u32> = leak(Queue::new(1));
        let producer = thread::spawn(|| queue.put_nowait(7).unwrap());
        assert_eq!(block_on(queue.get()).unwrap(), 7);
        producer.join().unwrap();
        assert!(queue.empty());
    });
}

#[test]
fn a_put_meets_a_get() {
    check(&["queue_put_joined_late"], 3, || {
        let queue: &Queue<u32> = leak(Queue::new(1));
        queue.put_nowait(1).unwrap();
        let consumer = thread::spawn(|| queue.get_nowait().unwrap());
        block_on(queue.put(2)).unwrap();
        assert_eq!((consumer.join().unwrap(), queue.get_nowait().unwrap()), (1, 2));
    });
}

#[test]
fn a_join_meets_the_last_task_done() {
    check(&["queue_join_joined_late"], 3, || {
        let queue: &Queue<u32> = leak(Queue::new(0));
        queue.put_nowait(1).unwrap();
        let worker = thread::spawn(|| {
            queue.get_nowait().unwrap();
            queue.task_done().unwrap();
        });
        block_on(queue.join()).unwrap();
        assert!(queue.empty(), "the work is done when the wait ends");
        worker.join().unwrap();
    });
}

/// Tasks that wait when a queue is shut down, or come later, get the error; the remaining items come
/// first.
#[test]
fn shutdown_during_a_get() {
    check(&["queue_shut_down_last"], 3, || {
        let queue: &Queue<u32> = leak(Queue::new(0));
        let closer = thread::spawn(|| {
            queue.put_nowait(1).unwrap();
            queue.shutdown(false);
        });
        assert_eq!(block_on(queue.get()).unwrap(), 1);
        assert!(matches!(block_on(queue.get()), Err(Error::QueueShutDown(_))));
        closer.join().unwrap();
    });
}

#[test]
fn shutdown_during_a_put() {
    check(&["queue_shut_down_last"], 3, || {
        let queue: &Queue<u32> = leak(Queue::new(1));
        queue.put_nowait(1).unwrap();
        let closer = thread::spawn(|| queue.shutdown(false));
        let mut put = queue.put(2);
        assert!(block_on(&mut put).is_err(), "it is shut down");
        assert_eq!(put.into_item(), Some(2), "the item comes back");
        closer.join().unwrap();
        assert_eq!(queue.get_nowait().unwrap(), 1);
    });
}

/// The items that an immediate shutdown drops count as done once, even while a worker is using the
/// queue.
#[test]
fn immediate_shutdown_during_a_join() {
    check(&["queue_join_joined_late"], 3, || {
        let queue: &Queue<u32> = leak(Queue::new(0));
        queue.put_nowait(1).unwrap();
        queue.put_nowait(2).unwrap();
        let worker = thread::spawn(|| {
            if queue.get_nowait().is_ok() {
                queue.task_done().expect("this item was not dropped");
            }
        });
        let closer = thread::spawn(|| queue.shutdown(true));
        block_on(queue.join()).unwrap();
        assert!(queue.empty(), "nothing is left when the wait ends");
        worker.join().unwrap();
        closer.join().unwrap();
        assert!(queue.task_done().is_err(), "all is done");
    });
}

/// An item comes in before an immediate shutdown, which drops it, or is refused.
#[test]
fn immediate_shutdown_against_put_against_join() {
    check(&["queue_shut_down_last"], 3, || {
        let queue: &Queue<u32> = leak(Queue::new(0));
        let producer = thread::spawn(|| match queue.put_nowait(1) {
            Ok(()) | Err(PutError::ShutDown(1)) => {}
            Err(other) => panic!("{other:?}"),
        });
        queue.shutdown(true);
        block_on(queue.join()).unwrap();
        producer.join().unwrap();
        assert!(queue.empty(), "nothing comes in after a shutdown");
    });
}

/// One of two consumers is cancelled while two threads put an item each: it takes none, and the other
/// gets both.
#[test]
fn two_producers_and_a_cancelled_consumer() {
    check(&["cancel_overwrites_wake", "wake_overwrites_cancel"], 3, || {
        let queue: &Queue<u32> = leak(Queue::new(0));
        let (tasks, cancelled) = (Loop::new(), Rc::new(RefCell::new(None)));
        let outcome = cancelled.clone();
        let first = tasks.spawn(async move {
            let got = queue.get().await;
            *outcome.borrow_mut() = Some(got);
        });
        tasks.spawn(async move {
            let got = [queue.get().await.unwrap(), queue.get().await.unwrap()];
            assert_eq!(got.iter().sum::<u32>(), 3, "each item came once");
        });
        tasks.turn();
        let producers = [1, 2].map(|n| thread::spawn(move || queue.put_nowait(n).unwrap()));
        assert!(cancel(&first));
        tasks.run();
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        let outcome: Option<Result<u32>> = cancelled.take();
        assert!(matches!(outcome, Some(Err(Error::Cancelled(_)))), "{outcome:?}");
    });
}

#[test]
fn a_woken_consumer_that_is_dropped_passes_the_item_on() {
    check(&["queue_getter_left_unseen"], 3, || {
        let queue: &Queue<u32> = leak(Queue::new(0));
        let mut first = Box::pin(queue.get());
        assert!(is_pending(first.as_mut()));
        let tasks = Loop::new();
        tasks.spawn(async { assert_eq!(queue.get().await.unwrap(), 7) });
        tasks.turn();
        let producer = thread::spawn(|| queue.put_nowait(7).unwrap());
        drop(first);
        tasks.run();
        producer.join().unwrap();
    });
}

#[test]
fn a_woken_producer_that_is_dropped_passes_the_place_on() {
    check(&["queue_putter_left_unseen"], 3, || {
        let queue: &Queue<u32> = leak(Queue::new(1));
        queue.put_nowait(1).unwrap();
        let mut first = Box::pin(queue.put(2));
        assert!(is_pending(first.as_mut()));
        let tasks = Loop::new();
        tasks.spawn(async { queue.put(3).await.unwrap() });
        tasks.turn();
        let consumer = thread::spawn(|| queue.get_nowait().unwrap());
        drop(first);
        tasks.run();
        assert_eq!((consumer.join().unwrap(), queue.get_nowait().unwrap()), (1, 3));
    });
}

/// Two halves leave at the same time, and the last of them ends the wait of the other side.
#[test]
fn the_last_sender_of_a_channel_is_seen() {
    check(&["channel_half_leaves_unseen"], 3, || {
        let (sender, receiver) = channel::<u32>(0);
        let other = sender.clone();
        let thread = thread::spawn(move || drop(other));
        drop(sender);
        assert!(block_on(receiver.next()).is_none());
        thread.join().unwrap();
    });
}

/// The last of two receivers that leave at the same time ends a put that waits for room.
#[test]
fn the_last_receiver_of_a_channel_is_seen() {
    check(&["channel_half_leaves_unseen"], 3, || {
        let (sender, receiver) = channel(1);
        sender.put_nowait(1).unwrap();
        let other = receiver.clone();
        let thread = thread::spawn(move || drop(other));
        drop(receiver);
        assert!(block_on(sender.put(2)).is_err());
        thread.join().unwrap();
    });
}
