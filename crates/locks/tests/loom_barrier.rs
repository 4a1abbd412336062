//! Models of `Barrier`: the last party finds all the others, and a broken barrier releases all
//! waiters.
#![cfg(loom)]

use asyncio_core::{
    Error,
    raw::model::{Loop, cancel, check, is_pending, leak},
};
use asyncio_locks::Barrier;
use loom::{future::block_on, thread};
use std::{cell::RefCell, rc::Rc};

#[test]
fn two_threads_meet() {
    check(&["barrier_joined_last"], 3, || {
        let barrier: &Barrier = leak(Barrier::new(2).unwrap());
        let other = thread::spawn(|| block_on(barrier.wait()).unwrap());
        let ours = block_on(barrier.wait()).unwrap();
        assert_eq!(ours + other.join().unwrap(), 1, "one is the first, one the last");
        assert_eq!(barrier.n_waiting(), 0, "it is ready for the next filling");
    });
}

/// A party is cancelled while the last one arrives: it is cancelled, and the barrier is not broken.
#[test]
fn arrival_against_wait_against_cancel() {
    check(&["wake_overwrites_cancel"], 3, || {
        let barrier: &Barrier = leak(Barrier::new(2).unwrap());
        let (tasks, outcome) = (Loop::new(), Rc::new(RefCell::new(None)));
        let result = outcome.clone();
        let party = tasks.spawn(async move {
            let outcome = barrier.wait().await;
            *result.borrow_mut() = Some(outcome);
        });
        tasks.turn();
        // It does not wait for another one if the first has already left.
        let other = thread::spawn(|| _ = is_pending(std::pin::pin!(barrier.wait())));
        assert!(cancel(&party));
        tasks.run();
        other.join().unwrap();
        let outcome = outcome.take();
        assert!(matches!(outcome, Some(Err(Error::Cancelled(_)))), "{outcome:?}");
        assert!(!barrier.broken() && barrier.n_waiting() == 0, "{barrier:?}");
    });
}

/// A party that waits while the barrier is aborted, or arrives afterwards, gets the error.
#[test]
fn abort_against_wait() {
    check(&["barrier_joined_last"], 3, || {
        let barrier: &Barrier = leak(Barrier::new(2).unwrap());
        let other = thread::spawn(|| block_on(barrier.abort()).unwrap());
        let outcome = block_on(barrier.wait());
        assert!(matches!(outcome, Err(Error::BrokenBarrier(_))), "{outcome:?}");
        other.join().unwrap();
        assert!(barrier.broken() && block_on(barrier.wait()).is_err(), "it stays broken");
    });
}

/// A party that waits while the barrier is reset gets the error, and the next filling is complete.
#[test]
fn reset_against_wait() {
    check(&["barrier_joined_last"], 3, || {
        let barrier: &Barrier = leak(Barrier::new(2).unwrap());
        let mut early = Box::pin(barrier.wait());
        assert!(is_pending(early.as_mut()));
        let other = thread::spawn(|| {
            block_on(barrier.reset()).unwrap();
            block_on(barrier.wait()).unwrap()
        });
        let outcome = block_on(early);
        assert!(matches!(outcome, Err(Error::BrokenBarrier(_))), "{outcome:?}");
        let ours = block_on(barrier.wait()).unwrap();
        assert_eq!(ours + other.join().unwrap(), 1, "one is the first, one the last");
    });
}

/// The only party gives up while the barrier is reset: the barrier is as new afterwards.
#[test]
fn reset_against_a_wait_that_gives_up() {
    check(&["barrier_reset_unseen"], 3, || {
        let barrier: &Barrier = leak(Barrier::new(2).unwrap());
        let mut party = Box::pin(barrier.wait());
        assert!(is_pending(party.as_mut()));
        let other = thread::spawn(|| block_on(barrier.reset()).unwrap());
        drop(party);
        other.join().unwrap();
        let mut next = Box::pin(barrier.wait());
        assert!(is_pending(next.as_mut()));
        assert_eq!(barrier.n_waiting(), 1, "it fills again");
    });
}
