//! Models of `Lock`: only one holder at a time, and no turn is lost.
#![cfg(loom)]

use asyncio_core::{
    Error,
    raw::{
        model::{Loop, cancel, check, is_pending, leak},
        sync::{AtomicBool, Ordering},
    },
};
use asyncio_locks::{Lock, LockGuard};
use loom::{future::block_on, thread};
use std::{cell::RefCell, rc::Rc};

#[test]
fn two_threads_are_never_inside_together() {
    check(&["lock_taken_twice", "lock_queues_unseen"], 3, || {
        let (lock, inside): &(Lock, AtomicBool) = leak(Default::default());
        let enter = || {
            let guard = block_on(lock.acquire()).unwrap();
            assert!(!inside.swap(true, Ordering::AcqRel), "another thread is inside already");
            inside.store(false, Ordering::Release);
            drop(guard);
        };
        let other = thread::spawn(enter);
        enter();
        other.join().unwrap();
        assert!(!lock.locked() && lock.try_acquire().is_some(), "the lock is free in the end");
    });
}

/// The first waiter gives up while the lock is released: the second gets it.
#[test]
fn a_woken_waiter_that_is_dropped_passes_its_turn_on() {
    check(&["lock_left_unseen"], 3, || {
        let lock: &Lock<u32> = leak(Lock::new(0));
        let guard = lock.try_acquire().unwrap();
        let mut first = Box::pin(lock.acquire());
        assert!(is_pending(first.as_mut()));
        let tasks = Loop::new();
        tasks.spawn(async { *lock.acquire().await.unwrap() += 1 });
        tasks.turn();
        let holder = thread::spawn(move || drop(guard));
        drop(first);
        tasks.run();
        holder.join().unwrap();
        assert_eq!(lock.try_acquire().map(|n| *n), Some(1));
    });
}

/// The first waiter is cancelled while the lock is released, before it is woken or after: it takes
/// nothing, and the second gets the lock.
#[test]
fn release_against_acquire_against_cancel() {
    check(&["wake_overwrites_cancel"], 3, || {
        let lock: &Lock = leak(Lock::new(()));
        let guard = lock.try_acquire().unwrap();
        let (tasks, outcomes) = (Loop::new(), Rc::new(RefCell::new(Vec::new())));
        let spawn = || {
            let outcomes = outcomes.clone();
            tasks.spawn(async move {
                let outcome = lock.acquire().await.map(drop);
                outcomes.borrow_mut().push(outcome);
            })
        };
        let (first, _second) = (spawn(), spawn());
        tasks.turn();
        let holder = thread::spawn(move || drop(guard));
        assert!(cancel(&first));
        tasks.run();
        holder.join().unwrap();
        let outcomes = outcomes.take();
        assert!(matches!(&outcomes[..], [Err(Error::Cancelled(_)), Ok(())]), "{outcomes:?}");
        assert!(lock.try_acquire().is_some(), "the lock is free in the end");
    });
}

/// A release without a guard meets one with it: the lock is released once, and the thread that takes it
/// then keeps it.
#[test]
fn release_by_hand_against_a_guard() {
    check(&["lock_released_twice"], 3, || {
        let lock: &Lock = leak(Lock::new(()));
        let guard = lock.try_acquire().unwrap();
        let other = thread::spawn(|| {
            let released = lock.release().is_ok();
            std::mem::forget(lock.try_acquire().expect("the lock is free"));
            released
        });
        let released = LockGuard::release(guard).is_ok();
        assert!(released != other.join().unwrap(), "one of the two releases it");
        assert!(lock.locked(), "a guard that lost its lock releases nothing");
    });
}
