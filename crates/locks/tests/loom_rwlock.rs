//! Models of `RwLock`: a writer is the only holder, and no turn is lost.
#![cfg(loom)]

use asyncio_core::{
    Error,
    raw::{
        model::{Loop, cancel, check, is_pending, leak},
        sync::{AtomicU64, Ordering},
    },
};
use asyncio_locks::{RwLock, WriteGuard};
use loom::{future::block_on, thread};
use std::{cell::RefCell, rc::Rc};

/// A reader and a writer never hold the lock together, and each gets it.
#[test]
fn a_reader_meets_a_writer() {
    check(&["rwlock_decided_early"], 3, || {
        let (lock, inside): &(RwLock, AtomicU64) = leak(Default::default());
        let other = thread::spawn(|| {
            let reader = block_on(lock.read()).unwrap();
            assert_eq!(inside.load(Ordering::Acquire), 0, "a writer is inside");
            drop(reader);
        });
        let writer = block_on(lock.write()).unwrap();
        inside.store(1, Ordering::Release);
        inside.store(0, Ordering::Release);
        drop(writer);
        other.join().unwrap();
        assert!(lock.try_write().is_some(), "the lock is free in the end");
    });
}

/// The first waiter gives up while the lock is released to it: the second gets it.
#[test]
fn a_woken_waiter_that_is_dropped_passes_its_turn_on() {
    check(&["rwlock_left_unseen"], 3, || {
        let lock: &RwLock<u32> = leak(RwLock::new(0));
        let guard = lock.try_read().unwrap();
        let mut first = Box::pin(lock.write());
        assert!(is_pending(first.as_mut()));
        let tasks = Loop::new();
        tasks.spawn(async { *lock.write().await.unwrap() += 1 });
        tasks.turn();
        let holder = thread::spawn(move || drop(guard));
        drop(first);
        tasks.run();
        holder.join().unwrap();
        assert_eq!(lock.try_read().map(|n| *n), Some(1));
    });
}

/// A waiting writer is cancelled while the lock is released to it: the reader behind it gets the
/// lock.
#[test]
fn release_against_write_against_cancel() {
    check(&["wake_overwrites_cancel"], 3, || {
        let lock: &RwLock = leak(RwLock::new(()));
        let guard = lock.try_read().unwrap();
        let (tasks, outcomes) = (Loop::new(), Rc::new(RefCell::new(Vec::new())));
        let noted = outcomes.clone();
        let writer = tasks.spawn(async move {
            let outcome = lock.write().await.map(drop);
            noted.borrow_mut().push(outcome);
        });
        let noted = outcomes.clone();
        tasks.spawn(async move {
            let outcome = lock.read().await.map(drop);
            noted.borrow_mut().push(outcome);
        });
        tasks.turn();
        let holder = thread::spawn(move || drop(guard));
        assert!(cancel(&writer));
        tasks.run();
        holder.join().unwrap();
        let mut outcomes = outcomes.take();
        outcomes.sort_by_key(Result::is_ok);
        assert!(matches!(&outcomes[..], [Err(Error::Cancelled(_)), Ok(())]), "{outcomes:?}");
        assert!(lock.try_write().is_some(), "the lock is free in the end");
    });
}

/// A writer that becomes a reader reads its own value, whatever another writer does.
#[test]
fn a_downgrade_meets_a_writer() {
    check(&["rwlock_free_meanwhile"], 3, || {
        let lock: &RwLock<u32> = leak(RwLock::new(0));
        let mut guard = lock.try_write().unwrap();
        let other = thread::spawn(|| drop(lock.try_write().map(|mut n| *n = 2)));
        *guard = 1;
        let guard = WriteGuard::downgrade(guard);
        assert_eq!(*guard, 1, "another task wrote");
        assert!(!lock.locked(), "a reader and a writer hold the lock");
        drop(guard);
        other.join().unwrap();
    });
}
