//! A queue by itself, under foreign wakers.

use super::*;
use crate::{Event, Lock, Semaphore, testing::poll_with_another_waker};
use std::{
    future::Future,
    pin::Pin,
    task::{Poll, Waker},
};

fn join(queue: &mut WaitQueue) -> QueuedWait {
    let mut place = QueuedWait::new();
    let cx = Context::from_waker(Waker::noop());
    queue.join(&mut place, &cx, WaitSite::here(&"test"));
    place
}

fn look(queue: &mut WaitQueue, place: &mut QueuedWait) -> Polled {
    let cx = Context::from_waker(Waker::noop());
    queue.poll(place, &cx, WaitSite::here(&"test"), &mut Deferred::new())
}

#[test]
fn waiters_are_woken_in_the_order_in_which_they_came() {
    let mut queue = WaitQueue::new();
    let mut places: Vec<_> = (0..5).map(|_| join(&mut queue)).collect();
    let mut after = Deferred::new();
    for n in 0..5 {
        assert!(queue.wake_next(&mut after));
        for (i, place) in places.iter_mut().enumerate().skip(n) {
            if i == n {
                assert!(matches!(look(&mut queue, place), Polled::Woken), "{i} at {n}");
            } else {
                // Two copies of the no-op waker need not be the same waker.
                let turn = look(&mut queue, place);
                assert!(matches!(turn, Polled::Pending | Polled::Moved), "{i} at {n}");
            }
        }
    }
    assert!(!queue.wake_next(&mut after));
    assert!(queue.is_empty());
}

#[test]
fn the_woken_stay_in_line_until_they_run() {
    let mut queue = WaitQueue::new();
    let (mut first, mut second) = (join(&mut queue), join(&mut queue));
    let mut after = Deferred::new();
    assert!(queue.wake_first(&mut after));
    assert!(!queue.wake_first(&mut after));
    assert_eq!(queue.len(), 2);
    assert!(queue.has_claims());
    assert!(queue.leave(&mut first, &mut after));
    assert!(queue.wake_first(&mut after));
    assert!(queue.leave(&mut second, &mut after));
    assert!(!queue.has_claims());
}

#[test]
fn leaving_tells_whether_a_wake_up_is_left_over() {
    let mut queue = WaitQueue::new();
    let (mut first, mut second) = (join(&mut queue), join(&mut queue));
    queue.wake_next(&mut Deferred::new());
    assert!(!queue.leave(&mut second, &mut Deferred::new()));
    assert!(queue.leave(&mut first, &mut Deferred::new()));
    assert!(!queue.leave(&mut first, &mut Deferred::new()), "it had left already");
}

#[test]
fn a_waiter_that_leaves_from_the_middle_is_not_missed() {
    let mut queue = WaitQueue::new();
    let mut places: Vec<_> = (0..6).map(|_| join(&mut queue)).collect();
    let mut after = Deferred::new();
    queue.wake_next(&mut after);
    for i in [1, 4, 2] {
        assert!(!queue.leave(&mut places[i], &mut after));
    }
    let late = join(&mut queue);
    places.push(late);
    let mut order = Vec::new();
    queue.wake_all(&mut after);
    for (i, place) in places.iter_mut().enumerate() {
        if place.is_taken() && matches!(look(&mut queue, place), Polled::Woken) {
            order.push(i);
        }
    }
    assert_eq!(order, [0, 3, 5, 6]);
    assert!(queue.is_empty());
}

#[test]
fn slots_are_used_again() {
    let mut queue = WaitQueue::new();
    let mut keeper = join(&mut queue);
    for _ in 0..1000 {
        let mut place = join(&mut queue);
        queue.leave(&mut place, &mut Deferred::new());
    }
    assert_eq!(queue.slots.len(), 2);
    assert!(!queue.leave(&mut keeper, &mut Deferred::new()));
}

/// The contents of a waker are dropped while no lock is held: here, the drop takes that very lock.
#[test]
fn what_a_former_waker_owned_may_use_the_primitive() {
    let lock: &Lock = Box::leak(Box::default());
    let guard = lock.try_acquire().unwrap();
    let acquired = poll_with_another_waker(lock.acquire(), guard);
    assert!(matches!(acquired, Poll::Ready(Ok(_))), "{acquired:?}");

    let semaphore: &Semaphore = Box::leak(Box::default());
    let permit = semaphore.try_acquire().unwrap();
    let acquired = poll_with_another_waker(semaphore.acquire(), permit);
    assert!(matches!(acquired, Poll::Ready(Ok(_))), "{acquired:?}");

    let event: &Event = Box::leak(Box::default());
    let mut other = event.wait();
    assert!(Pin::new(&mut other).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let waited = poll_with_another_waker(event.wait(), other);
    assert!(waited.is_pending(), "{waited:?}");
}
