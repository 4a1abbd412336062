//! Models of `Condition`: no notification is lost, and a wait returns with the lock.
#![cfg(loom)]

use asyncio_core::{
    Error,
    raw::model::{Loop, cancel, check, is_pending, leak},
};
use asyncio_locks::{Condition, ConditionGuard};
use loom::{future::block_on, thread};
use std::{cell::RefCell, rc::Rc};

#[test]
fn a_notification_finds_a_waiter_that_has_released_the_lock() {
    check(&["condition_released_first"], 3, || {
        let condition: &Condition<bool> = leak(Condition::new(false));
        let notifier = thread::spawn(|| {
            let mut ready = block_on(condition.acquire()).unwrap();
            *ready = true;
            ready.notify(1);
        });
        block_on(async {
            let mut ready = condition.acquire().await.unwrap();
            ready.wait_for(|ready| *ready).await.unwrap();
            assert!(*ready && condition.locked());
        });
        notifier.join().unwrap();
    });
}

/// One of two waits is dropped, as by a timeout, while one of them is notified: the other one
/// returns.
#[test]
fn notify_against_a_wait_that_gives_up() {
    check(&["condition_left_unseen"], 3, || {
        let condition: &Condition = leak(Condition::new(()));
        let wait = || async {
            let mut guard = condition.acquire().await.unwrap();
            guard.wait().await.unwrap();
            assert!(ConditionGuard::is_held(&guard), "it comes back with the lock");
        };
        let mut first = Box::pin(wait());
        assert!(is_pending(first.as_mut()));
        let tasks = Loop::new();
        tasks.spawn(wait());
        tasks.turn();
        let notifier = thread::spawn(|| block_on(condition.acquire()).unwrap().notify(1));
        drop(first);
        tasks.run();
        notifier.join().unwrap();
        assert!(condition.try_acquire().is_some(), "the lock is free in the end");
    });
}

/// One of two waits is cancelled while it is notified: it still returns with the lock, and notifies
/// the other.
#[test]
fn notify_against_wait_against_cancel() {
    check(&["wake_overwrites_cancel"], 3, || {
        let condition: &Condition = leak(Condition::new(()));
        let (tasks, outcomes) = (Loop::new(), Rc::new(RefCell::new([None, None])));
        let spawn = |place: usize| {
            let outcomes = outcomes.clone();
            tasks.spawn(async move {
                let mut guard = condition.acquire().await.unwrap();
                let outcome = guard.wait().await;
                assert!(ConditionGuard::is_held(&guard), "it comes back with the lock");
                outcomes.borrow_mut()[place] = Some(outcome);
            })
        };
        let (first, _second) = (spawn(0), spawn(1));
        tasks.turn();
        let notifier = thread::spawn(|| block_on(condition.acquire()).unwrap().notify(1));
        assert!(cancel(&first));
        tasks.run();
        notifier.join().unwrap();
        let outcomes = outcomes.take();
        let expected = matches!(outcomes, [Some(Err(Error::Cancelled(_))), Some(Ok(()))]);
        assert!(expected, "{outcomes:?}");
    });
}
