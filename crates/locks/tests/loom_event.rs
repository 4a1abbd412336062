//! Models of `Event`: every waiter sees a set.
#![cfg(loom)]

use asyncio_core::{
    Error,
    raw::model::{Loop, cancel, check, is_pending, leak},
};
use asyncio_locks::Event;
use loom::{future::block_on, thread};
use std::{cell::RefCell, rc::Rc};

#[test]
fn a_wait_meets_a_set() {
    check(&["event_not_looked_at_again"], 3, || {
        let event: &Event = leak(Event::new());
        let setter = thread::spawn(|| event.set());
        block_on(event.wait()).unwrap();
        assert!(event.is_set());
        setter.join().unwrap();
    });
}

/// A waiter that is cancelled before it runs again is cancelled, even if the event was set
/// meanwhile. The other waiter sees the set, even if the event is cleared immediately.
#[test]
fn set_against_cancel_against_await() {
    check(&["wake_overwrites_cancel"], 3, || {
        let event: &Event = leak(Event::new());
        let (tasks, outcomes) = (Loop::new(), Rc::new(RefCell::new([None, None])));
        let spawn = |place: usize| {
            let outcomes = outcomes.clone();
            tasks.spawn(async move {
                let outcome = event.wait().await;
                outcomes.borrow_mut()[place] = Some(outcome);
            })
        };
        let (first, _second) = (spawn(0), spawn(1));
        tasks.turn();
        let setter = thread::spawn(|| {
            event.set();
            event.clear();
        });
        assert!(cancel(&first));
        tasks.run();
        setter.join().unwrap();
        let outcomes = outcomes.take();
        let expected = matches!(outcomes, [Some(Err(Error::Cancelled(_))), Some(Ok(()))]);
        assert!(expected, "{outcomes:?}");
    });
}

/// A wait is dropped, woken or not: it leaves nothing behind, and takes nothing from the next
/// waiter.
#[test]
fn set_against_a_wait_that_gives_up() {
    check(&["event_not_looked_at_again"], 3, || {
        let event: &Event = leak(Event::new());
        let mut first = Box::pin(event.wait());
        assert!(is_pending(first.as_mut()));
        let setter = thread::spawn(|| event.set());
        drop(first);
        block_on(event.wait()).unwrap();
        setter.join().unwrap();
        assert_eq!(format!("{event:?}"), "Event { set: true, waiters: 0 }");
    });
}

/// A wait after a clear waits for the next set, and does not see the previous one.
#[test]
fn set_against_clear_against_wait() {
    check(&["event_wakes_late"], 3, || {
        let event: &Event = leak(Event::new());
        let setter = thread::spawn(|| event.set());
        if event.is_set() {
            event.clear();
            let mut late = Box::pin(event.wait());
            assert!(is_pending(late.as_mut()));
            setter.join().unwrap();
            assert!(is_pending(late.as_mut()), "woken by a set of before the clear");
        }
    });
}
