//! The event under foreign executors.

use super::*;
use crate::testing::tester;
use std::{sync::Arc, thread};

#[test]
fn a_set_event_does_not_suspend() {
    let event = Event::new();
    event.set();
    tester(event.wait()).is_ready().unwrap();
}

#[test]
fn set_then_clear_still_wakes_earlier_waiters() {
    let event = Event::new();
    let (mut a, mut b) = (tester(event.wait()), tester(event.wait()));
    a.is_pending();
    b.is_pending();
    event.set();
    event.clear();
    assert!(a.was_woken() && b.was_woken());
    let mut late = tester(event.wait());
    late.is_pending();
    a.is_ready().unwrap();
    b.is_ready().unwrap();
    assert!(!late.was_woken());
    event.set();
    event.set();
    assert!(late.was_woken());
    late.is_ready().unwrap();
}

#[test]
fn a_dropped_waiter_leaves_nothing_behind() {
    let event = Event::new();
    let mut a = tester(event.wait());
    a.is_pending();
    drop(a);
    assert!(event.queue.lock().is_empty());
    event.set();
    assert_eq!(format!("{event:?}"), "Event { set: true, waiters: 0 }");
}

#[test]
fn a_waiter_moved_after_the_set_sees_it() {
    let event = Event::new();
    let mut a = tester(event.wait());
    a.is_pending();
    event.set();
    a.moved().is_ready().unwrap();
}

#[test]
fn it_wakes_other_threads() {
    let event = Arc::new(Event::new());
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let event = event.clone();
            thread::spawn(move || futures_lite::future::block_on(event.wait()))
        })
        .collect();
    event.set();
    for waiter in waiters {
        waiter.join().unwrap().unwrap();
    }
}
