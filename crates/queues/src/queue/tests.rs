//! Queues under foreign executors. Their behaviour in tasks of a loop is tested with the loop.

use super::*;
use crate::testing::{Random, poll_with_another_waker, tester};
use futures_lite::future::{block_on, poll_once, yield_now};
use std::{
    rc::Rc,
    sync::{
        Arc, Mutex as StdMutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    thread,
};

#[test]
fn the_three_orders() {
    fn drain<O: Order<Item = i32>>(queue: OrderedQueue<O>) -> Vec<i32> {
        [2, 3, 1].into_iter().for_each(|n| queue.put_nowait(n).unwrap());
        std::iter::from_fn(|| queue.get_nowait().ok()).collect()
    }
    assert_eq!(drain(Queue::new(0)), [2, 3, 1]);
    assert_eq!(drain(LifoQueue::new(3)), [1, 3, 2]);
    assert_eq!(drain(PriorityQueue::new(3)), [1, 2, 3]);
    assert_eq!(drain(Queue::default()), [2, 3, 1]);
}

#[test]
fn put_and_get_do_not_suspend_where_there_is_room_and_an_item() {
    let queue = Queue::new(1);
    tester(queue.put(1)).is_ready().unwrap();
    assert!(queue.full());
    assert_eq!(tester(queue.get()).is_ready().unwrap(), 1);
    assert!(queue.empty());
}

#[test]
fn nowait_says_what_is_wrong_and_changes_nothing() {
    let queue = Queue::new(1);
    assert!(matches!(queue.get_nowait(), Err(Error::QueueEmpty(_))));
    queue.put_nowait(1).unwrap();
    assert!(matches!(queue.put_nowait(2), Err(PutError::Full(2))));
    assert_eq!((queue.qsize(), queue.maxsize(), queue.full()), (1, 1, true));
    assert!(!Queue::<()>::new(0).full());
}

#[test]
fn getters_are_served_in_the_order_in_which_they_came() {
    let queue = Queue::new(0);
    let (mut a, mut b) = (tester(queue.get()), tester(queue.get()));
    a.is_pending();
    b.is_pending();
    queue.put_nowait(1).unwrap();
    assert!(a.was_woken() && !b.was_woken());
    queue.put_nowait(2).unwrap();
    assert!(b.was_woken());
    assert_eq!((a.is_ready().unwrap(), b.is_ready().unwrap()), (1, 2));
}

#[test]
fn a_getter_that_was_overtaken_waits_at_the_end_of_the_line() {
    let queue = Queue::new(0);
    let (mut a, mut b) = (tester(queue.get()), tester(queue.get()));
    a.is_pending();
    b.is_pending();
    queue.put_nowait(1).unwrap();
    assert_eq!(queue.get_nowait().unwrap(), 1);
    assert!(a.was_woken());
    a.is_pending();
    queue.put_nowait(2).unwrap();
    assert!(b.was_woken() && !a.was_woken());
    assert_eq!(b.is_ready().unwrap(), 2);
}

#[test]
fn putters_wait_for_room() {
    let queue = Queue::new(1);
    queue.put_nowait(1).unwrap();
    let (mut a, mut b) = (tester(queue.put(2)), tester(queue.put(3)));
    a.is_pending();
    b.is_pending();
    assert_eq!(queue.get_nowait().unwrap(), 1);
    assert!(a.was_woken() && !b.was_woken());
    a.is_ready().unwrap();
    assert_eq!(queue.get_nowait().unwrap(), 2);
    assert!(b.was_woken());
    b.is_ready().unwrap();
    assert_eq!(queue.get_nowait().unwrap(), 3);
}

#[test]
fn draining_with_get_nowait_wakes_all_the_putters_that_are_needed() {
    let queue = Queue::new(2);
    queue.put_nowait(0).unwrap();
    queue.put_nowait(0).unwrap();
    let mut putters: Vec<_> = (1..=4).map(|n| tester(queue.put(n))).collect();
    putters.iter_mut().for_each(|putter| putter.is_pending());
    queue.get_nowait().unwrap();
    queue.get_nowait().unwrap();
    let woken: Vec<_> = putters.iter_mut().map(|putter| putter.was_woken()).collect();
    assert_eq!(woken, [true, true, false, false]);
    putters[0].is_ready().unwrap();
    putters[1].is_ready().unwrap();
}

#[test]
fn a_woken_getter_that_is_dropped_loses_no_item() {
    let queue = Queue::new(0);
    let (mut a, mut b) = (tester(queue.get()), tester(queue.get()));
    a.is_pending();
    b.is_pending();
    queue.put_nowait(1).unwrap();
    drop(a);
    assert!(b.was_woken());
    assert_eq!(b.is_ready().unwrap(), 1);
}

#[test]
fn a_woken_getter_that_is_dropped_wakes_no_other_for_an_item_that_is_gone() {
    let queue = Queue::new(0);
    let (mut a, mut b) = (tester(queue.get()), tester(queue.get()));
    a.is_pending();
    b.is_pending();
    queue.put_nowait(1).unwrap();
    queue.get_nowait().unwrap();
    drop(a);
    assert!(!b.was_woken());
}

#[test]
fn a_woken_putter_that_is_dropped_puts_nothing_and_wakes_the_next() {
    let queue = Queue::new(1);
    queue.put_nowait(1).unwrap();
    let (mut a, mut b) = (tester(queue.put(2)), tester(queue.put(3)));
    a.is_pending();
    b.is_pending();
    queue.get_nowait().unwrap();
    drop(a);
    assert!(b.was_woken());
    b.is_ready().unwrap();
    assert_eq!(queue.get_nowait().unwrap(), 3);
    assert!(queue.empty());
}

#[test]
fn waiters_that_give_up_do_not_stay_in_line() {
    let queue = Queue::<u32>::new(1);
    for _ in 0..3 {
        tester(queue.get()).is_pending();
    }
    queue.put_nowait(1).unwrap();
    for _ in 0..3 {
        tester(queue.put(2)).is_pending();
        tester(queue.join()).is_pending();
    }
    let state = queue.state.lock();
    assert!(state.getters.is_empty() && state.putters.is_empty() && state.joiners.is_empty());
}

#[test]
fn a_moved_waiter_keeps_its_wake_up() {
    let queue = Queue::new(1);
    let mut a = tester(queue.get());
    a.is_pending();
    let mut a = a.moved();
    a.is_pending();
    queue.put_nowait(1).unwrap();
    assert!(a.was_woken());
    assert_eq!(a.moved().is_ready().unwrap(), 1);
    queue.put_nowait(2).unwrap();
    let mut b = tester(queue.put(3));
    b.is_pending();
    queue.get_nowait().unwrap();
    b.moved().is_ready().unwrap();
}

#[test]
fn join_waits_until_all_is_done() {
    let queue = Queue::new(0);
    tester(queue.join()).is_ready().unwrap();
    queue.put_nowait(1).unwrap();
    queue.put_nowait(2).unwrap();
    let mut join = tester(queue.join());
    join.is_pending();
    queue.get_nowait().unwrap();
    queue.task_done().unwrap();
    assert!(!join.was_woken());
    queue.task_done().unwrap();
    assert!(join.was_woken());
    // Even if more items came in meanwhile.
    queue.put_nowait(3).unwrap();
    join.is_ready().unwrap();
    queue.task_done().unwrap();
    assert!(matches!(queue.task_done(), Err(Error::Value(_))));
    tester(queue.join()).is_ready().unwrap();
}

#[test]
fn shutdown_delivers_what_is_left() {
    let queue = Queue::new(1);
    queue.put_nowait(1).unwrap();
    let mut put = tester(queue.put(2));
    put.is_pending();
    let mut join = tester(queue.join());
    join.is_pending();
    queue.shutdown(false);
    assert!(put.was_woken() && !join.was_woken());
    assert!(matches!(put.is_ready(), Err(Error::QueueShutDown(_))));
    assert!(matches!(queue.put_nowait(3), Err(PutError::ShutDown(3))), "before it is full");
    assert_eq!(block_on(queue.get()).unwrap(), 1);
    assert!(matches!(block_on(queue.get()), Err(Error::QueueShutDown(_))));
    assert!(matches!(queue.get_nowait(), Err(Error::QueueShutDown(_))));
    let mut put = queue.put(4);
    assert!(matches!(block_on(&mut put), Err(Error::QueueShutDown(_))));
    assert_eq!(put.into_item(), Some(4));
    queue.task_done().unwrap();
    assert!(join.was_woken());
    join.is_ready().unwrap();
}

#[test]
fn shutdown_wakes_all_waiting_getters() {
    let queue = Queue::<u32>::new(0);
    let (mut a, mut b) = (tester(queue.get()), tester(queue.get()));
    a.is_pending();
    b.is_pending();
    queue.shutdown(false);
    assert!(matches!(a.is_ready(), Err(Error::QueueShutDown(_))));
    assert!(matches!(b.is_ready(), Err(Error::QueueShutDown(_))));
}

#[test]
fn immediate_shutdown_drops_what_is_left_and_counts_it_as_done() {
    let queue = Queue::new(0);
    let item = Rc::new(());
    for _ in 0..3 {
        queue.put_nowait(item.clone()).unwrap();
    }
    let mut join = tester(queue.join());
    join.is_pending();
    drop(queue.get_nowait().unwrap());
    queue.shutdown(true);
    assert_eq!(Rc::strong_count(&item), 1);
    assert!(!join.was_woken(), "one was got, and is not done");
    queue.task_done().unwrap();
    assert!(join.was_woken());
    assert!(queue.is_shut_down() && queue.empty());
    assert!(queue.task_done().is_err());
}

#[test]
fn items_dropped_by_a_shutdown_may_use_the_queue() {
    struct Item(Rc<Queue<Item>>);
    impl Drop for Item {
        fn drop(&mut self) {
            assert!(self.0.is_shut_down());
        }
    }
    let queue = Rc::new(Queue::new(0));
    queue.put_nowait(Item(queue.clone())).unwrap();
    queue.shutdown(true);
    let Err(PutError::ShutDown(_)) = queue.put_nowait(Item(queue.clone())) else { panic!() };
}

#[test]
fn a_queue_may_hold_what_is_neither_send_nor_unpin() {
    let queue = Queue::new(1);
    block_on(queue.put((Rc::new(1), std::marker::PhantomPinned))).unwrap();
    assert_eq!(*block_on(queue.get()).unwrap().0, 1);
    fn send<T: Send>(_: T) {}
    let queue = Queue::new(0);
    send(queue.put(1));
    send(queue.get());
    send(queue.join());
    fn sync<T: Sync>(_: T) {}
    sync(queue);
}

#[test]
fn debug_tells_the_state() {
    let queue = Queue::new(1);
    queue.put_nowait(1).unwrap();
    let mut put = tester(queue.put(2));
    put.is_pending();
    assert_eq!(
        format!("{queue:?}"),
        "Queue { maxsize: 1, items: 1, getters: 0, putters: 1, unfinished: 1, shut_down: false }"
    );
}

/// What the tests under other executors have in common: three producers, two consumers.
#[test]
fn a_name_is_shown_and_can_be_replaced() {
    static JOBS: Queue<u32> = Queue::new(4);
    assert_eq!(JOBS.name(), None);
    JOBS.set_name("first");
    JOBS.set_name(String::from("jobs"));
    assert_eq!(JOBS.name().as_deref(), Some("jobs"));
    JOBS.put_nowait(1).unwrap();
    let shown = "Queue { name: \"jobs\", maxsize: 4, items: 1, ";
    assert!(format!("{JOBS:?}").starts_with(shown), "{JOBS:?}");
}

async fn produce(queue: Arc<Queue<usize>>, from: usize) {
    for n in 0..100 {
        queue.put(from + n).await.unwrap();
    }
}

async fn consume(queue: Arc<Queue<usize>>) -> usize {
    let mut sum = 0;
    while let Ok(n) = queue.get().await {
        sum += n;
        queue.task_done().unwrap();
    }
    sum
}

const SUM: usize = 3 * (99 * 100 / 2) + 100 * (1000 + 2000);

#[test]
fn under_tokio() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let queue = Arc::new(Queue::new(2));
    runtime.block_on(async {
        let consumers = [0, 1].map(|_| tokio::spawn(consume(queue.clone())));
        let producers = [0, 1000, 2000].map(|from| tokio::spawn(produce(queue.clone(), from)));
        for producer in producers {
            producer.await.unwrap();
        }
        queue.join().await.unwrap();
        queue.shutdown(false);
        let [a, b] = consumers;
        assert_eq!(a.await.unwrap() + b.await.unwrap(), SUM);
    });
}

#[test]
fn under_smol() {
    let queue = Arc::new(Queue::new(2));
    smol::block_on(async {
        let consumers = [0, 1].map(|_| smol::spawn(consume(queue.clone())));
        let producers = [0, 1000, 2000].map(|from| smol::spawn(produce(queue.clone(), from)));
        for producer in producers {
            producer.await;
        }
        queue.join().await.unwrap();
        queue.shutdown(false);
        let [a, b] = consumers;
        assert_eq!(a.await + b.await, SUM);
    });
}

#[test]
fn threads_put_what_another_executor_gets() {
    let queue = Arc::new(Queue::new(1));
    let threads = [0, 1000, 2000].map(|from| {
        let queue = queue.clone();
        thread::spawn(move || {
            (0..100).for_each(|n| queue.put_blocking(from + n).unwrap());
        })
    });
    let (first, second) = (queue.clone(), queue.clone());
    let getter = thread::spawn(move || {
        let mut count = 0;
        while first.get_blocking().is_ok() {
            first.task_done().unwrap();
            count += 1;
        }
        count
    });
    let consumer = thread::spawn(move || block_on(consume(second)));
    for thread in threads {
        thread.join().unwrap();
    }
    block_on(queue.join()).unwrap();
    queue.shutdown(false);
    assert!(matches!(queue.put_blocking(1), Err(PutError::ShutDown(1))));
    assert!(getter.join().unwrap() <= 300);
    assert!(consumer.join().unwrap() <= SUM);
}

/// Producers and consumers in threads, whose waits are dropped at random, woken or not. Every item
/// arrives once, and those of one producer arrive in order at each consumer.
#[test]
fn stress_no_item_is_lost_or_doubled() {
    let (producers, consumers, items) = (2, 2, 3000);
    for maxsize in [0, 1, 3] {
        let seed = 4_242 + maxsize as u64;
        println!("seed {seed}");
        let queue = Arc::new(Queue::new(maxsize));
        let arrived = Arc::new(StdMutex::new(Vec::new()));
        let dropped = Arc::new(AtomicUsize::new(0));
        let producing: Vec<_> = (0..producers)
            .map(|producer| {
                let (queue, dropped) = (queue.clone(), dropped.clone());
                thread::spawn(move || {
                    let mut random = Random::new(seed + producer);
                    for n in 0..items {
                        block_on(async {
                            let mut put = queue.put((producer, n));
                            // Some are dropped while they wait.
                            match poll_once(&mut put).await {
                                Some(done) => done.unwrap(),
                                None if random.below(4) == 0 => {
                                    dropped.fetch_add(1, Ordering::SeqCst);
                                }
                                None => put.await.unwrap(),
                            }
                        });
                    }
                })
            })
            .collect();
        let consuming: Vec<_> = (0..consumers)
            .map(|consumer| {
                let (queue, arrived) = (queue.clone(), arrived.clone());
                thread::spawn(move || {
                    let mut random = Random::new(seed + 100 + consumer);
                    let mut mine = Vec::new();
                    block_on(async {
                        loop {
                            let mut get = queue.get();
                            let got = match poll_once(&mut get).await {
                                Some(got) => got,
                                None if random.below(2) == 0 => {
                                    drop(get);
                                    yield_now().await;
                                    continue;
                                }
                                None => get.await,
                            };
                            let Ok(item) = got else { break };
                            mine.push(item);
                            queue.task_done().unwrap();
                        }
                    });
                    for producer in 0..producers {
                        let of: Vec<_> = mine.iter().filter(|item| item.0 == producer).collect();
                        assert!(of.is_sorted(), "items of one producer overtook each other");
                    }
                    arrived.lock().unwrap().extend(mine);
                })
            })
            .collect();
        for thread in producing {
            thread.join().unwrap();
        }
        block_on(queue.join()).unwrap();
        queue.shutdown(false);
        for thread in consuming {
            thread.join().unwrap();
        }
        let mut arrived = arrived.lock().unwrap();
        let count = arrived.len();
        assert_eq!(count + dropped.load(Ordering::SeqCst), (producers as usize) * items);
        arrived.sort_unstable();
        arrived.dedup();
        assert_eq!(arrived.len(), count, "an item arrived twice");
    }
}

/// The contents of a waker are dropped while the queue is not locked: here, the drop locks it.
#[test]
fn what_a_former_waker_owned_may_use_the_queue() {
    struct PutsOne(&'static Queue<u32>);
    impl Drop for PutsOne {
        fn drop(&mut self) {
            let _ = self.0.put_nowait(1);
        }
    }
    let queue: &Queue<u32> = Box::leak(Box::new(Queue::new(0)));
    let got = poll_with_another_waker(queue.get(), PutsOne(queue));
    assert!(matches!(got, Poll::Ready(Ok(1))), "{got:?}");
}
