//! A line by itself, under foreign wakers.

use super::*;
use crate::{Event, Lock, Semaphore, testing::poll_with_another_waker};
use std::{
    future::Future,
    pin::Pin,
    task::{Poll, Waker},
};

fn join(line: &mut Line) -> Place {
    let mut place = Place::new();
    let cx = Context::from_waker(Waker::noop());
    line.join(&mut place, &cx, WaitSite::here(&"test"));
    place
}

fn look(line: &mut Line, place: &mut Place) -> Turn {
    let cx = Context::from_waker(Waker::noop());
    line.poll(place, &cx, WaitSite::here(&"test"), &mut After::new())
}

#[test]
fn waiters_are_woken_in_the_order_in_which_they_came() {
    let mut line = Line::new();
    let mut places: Vec<_> = (0..5).map(|_| join(&mut line)).collect();
    let mut after = After::new();
    for n in 0..5 {
        assert!(line.wake_next(&mut after));
        for (i, place) in places.iter_mut().enumerate().skip(n) {
            if i == n {
                assert!(matches!(look(&mut line, place), Turn::Woken), "{i} at {n}");
            } else {
                // Two copies of the waker that does nothing need not be the same waker.
                let turn = look(&mut line, place);
                assert!(matches!(turn, Turn::Pending | Turn::Moved), "{i} at {n}");
            }
        }
    }
    assert!(!line.wake_next(&mut after));
    assert!(line.is_empty());
}

#[test]
fn the_woken_stay_in_line_until_they_run() {
    let mut line = Line::new();
    let (mut first, mut second) = (join(&mut line), join(&mut line));
    let mut after = After::new();
    assert!(line.wake_first(&mut after));
    assert!(!line.wake_first(&mut after));
    assert_eq!(line.len(), 2);
    assert!(line.has_claims());
    assert!(line.leave(&mut first, &mut after));
    assert!(line.wake_first(&mut after));
    assert!(line.leave(&mut second, &mut after));
    assert!(!line.has_claims());
}

#[test]
fn leaving_tells_whether_a_wake_up_is_left_over() {
    let mut line = Line::new();
    let (mut first, mut second) = (join(&mut line), join(&mut line));
    line.wake_next(&mut After::new());
    assert!(!line.leave(&mut second, &mut After::new()));
    assert!(line.leave(&mut first, &mut After::new()));
    assert!(!line.leave(&mut first, &mut After::new()), "it had left already");
}

#[test]
fn whoever_leaves_from_the_middle_is_not_missed() {
    let mut line = Line::new();
    let mut places: Vec<_> = (0..6).map(|_| join(&mut line)).collect();
    let mut after = After::new();
    line.wake_next(&mut after);
    for i in [1, 4, 2] {
        assert!(!line.leave(&mut places[i], &mut after));
    }
    let late = join(&mut line);
    places.push(late);
    let mut order = Vec::new();
    line.wake_all(&mut after);
    for (i, place) in places.iter_mut().enumerate() {
        if place.is_taken() && matches!(look(&mut line, place), Turn::Woken) {
            order.push(i);
        }
    }
    assert_eq!(order, [0, 3, 5, 6]);
    assert!(line.is_empty());
}

#[test]
fn slots_are_used_again() {
    let mut line = Line::new();
    let mut keeper = join(&mut line);
    for _ in 0..1000 {
        let mut place = join(&mut line);
        line.leave(&mut place, &mut After::new());
    }
    assert_eq!(line.slots.len(), 2);
    assert!(!line.leave(&mut keeper, &mut After::new()));
}

/// What a waker owned is dropped when no lock is held: here it takes that very lock.
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
