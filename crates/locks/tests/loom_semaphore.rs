//! Models of `Semaphore` and `BoundedSemaphore`: no permit is lost, and none is created.
#![cfg(loom)]

use asyncio_core::{
    Error,
    raw::model::{Loop, cancel, check, is_pending, leak},
};
use asyncio_locks::{BoundedSemaphore, Semaphore};
use loom::{future::block_on, thread};
use std::{cell::RefCell, rc::Rc};

#[test]
fn a_release_meets_an_acquire() {
    check(&["semaphore_joined_late"], 3, || {
        let semaphore: &Semaphore = leak(Semaphore::new(0));
        let other = thread::spawn(|| semaphore.release());
        block_on(semaphore.acquire()).unwrap().forget();
        other.join().unwrap();
        assert_eq!(semaphore.value(), 0, "permits");
    });
}

#[test]
fn a_woken_waiter_that_is_dropped_passes_its_permit_on() {
    check(&["semaphore_left_unseen"], 3, || {
        let semaphore: &Semaphore = leak(Semaphore::new(0));
        let mut first = Box::pin(semaphore.acquire());
        assert!(is_pending(first.as_mut()));
        let tasks = Loop::new();
        tasks.spawn(async { semaphore.acquire().await.unwrap().forget() });
        tasks.turn();
        let other = thread::spawn(|| semaphore.release());
        drop(first);
        tasks.run();
        other.join().unwrap();
        assert_eq!(semaphore.value(), 0, "permits");
    });
}

/// The first waiter is cancelled while a permit is released, before it is woken or after.
#[test]
fn release_against_acquire_against_cancel() {
    check(&["cancel_overwrites_wake", "wake_overwrites_cancel"], 3, || {
        let semaphore: &Semaphore = leak(Semaphore::new(0));
        let (tasks, outcomes) = (Loop::new(), Rc::new(RefCell::new(Vec::new())));
        let spawn = || {
            let outcomes = outcomes.clone();
            tasks.spawn(async move {
                let outcome = semaphore.acquire().await.map(drop);
                outcomes.borrow_mut().push(outcome);
            })
        };
        let (first, _second) = (spawn(), spawn());
        tasks.turn();
        let other = thread::spawn(|| semaphore.release());
        assert!(cancel(&first));
        tasks.run();
        other.join().unwrap();
        let outcomes = outcomes.take();
        assert!(matches!(&outcomes[..], [Err(Error::Cancelled(_)), Ok(())]), "{outcomes:?}");
        assert_eq!(semaphore.value(), 1, "permits");
    });
}

#[test]
fn a_bounded_semaphore_takes_one_permit_back_once() {
    check(&["semaphore_over_released"], 3, || {
        let semaphore: &BoundedSemaphore = leak(BoundedSemaphore::new(1));
        semaphore.try_acquire().unwrap().forget();
        let other = thread::spawn(|| semaphore.release().is_ok());
        let ours = semaphore.release().is_ok();
        assert!(ours != other.join().unwrap(), "one release is one too many");
        assert_eq!(semaphore.value(), 1, "permits");
    });
}

/// Whichever comes first, one permit less is left.
#[test]
fn a_permit_that_is_removed_meets_an_acquire() {
    check(&["semaphore_shrunk_unseen"], 3, || {
        let semaphore: &Semaphore = leak(Semaphore::new(1));
        let other = thread::spawn(|| semaphore.try_acquire().map(drop));
        semaphore.remove_permits(1);
        other.join().unwrap();
        assert_eq!(semaphore.value(), 0, "permits");
    });
}
