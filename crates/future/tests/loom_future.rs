//! Models of `Future`: it ends once, and every awaiter gets that outcome.
#![cfg(loom)]

use asyncio_core::{
    Error,
    raw::model::{Loop, cancel, check, is_pending, leak},
};
use asyncio_future::Future;
use loom::{future::block_on, thread};
use std::{cell::RefCell, rc::Rc};

#[test]
fn an_await_meets_a_result() {
    check(&["future_awaited_late", "future_told_first"], 3, || {
        let future = Future::new();
        let setter = future.clone();
        let other = thread::spawn(move || setter.set_result(7).unwrap());
        let got = block_on(future);
        assert!(matches!(got, Ok(7)), "{got:?}");
        other.join().unwrap();
    });
}

/// One of the two calls succeeds, and returns that it did.
#[test]
fn set_against_cancel() {
    check(&["future_finished_twice"], 3, || {
        let future = Future::new();
        let setter = future.clone();
        let other = thread::spawn(move || setter.set_result(7).is_ok());
        let cancelled = future.cancel();
        let set = other.join().unwrap();
        assert!(cancelled != set, "one of the two ends it");
        assert_eq!(future.cancelled(), cancelled);
        assert_eq!(block_on(future).is_ok(), set);
    });
}

/// A task that awaits is cancelled while the result arrives: the task is cancelled, and a foreign
/// awaiter gets the outcome of the future, whichever it is.
#[test]
fn set_against_cancel_against_await() {
    check(&["future_finished_twice"], 3, || {
        let future = Future::new();
        let (tasks, outcome) = (Loop::new(), Rc::new(RefCell::new(None)));
        let (awaited, result) = (future.clone(), outcome.clone());
        let task = tasks.spawn(async move {
            let got = awaited.await;
            *result.borrow_mut() = Some(got);
        });
        let mut beside = Box::pin(future.clone());
        assert!(is_pending(beside.as_mut()));
        tasks.turn();
        let setter = future.clone();
        let other = thread::spawn(move || setter.set_result(7).is_ok());
        assert!(cancel(&task));
        tasks.run();
        let outcome = outcome.take();
        assert!(matches!(outcome, Some(Err(Error::Cancelled(_)))), "{outcome:?}");
        let set = other.join().unwrap();
        assert_eq!(block_on(beside).is_ok(), set);
    });
}

/// One of two awaiting handles is dropped while the result arrives: the other gets it.
#[test]
fn set_against_a_dropped_await() {
    check(&["future_awaited_late"], 3, || {
        let future: &Future<u32> = leak(Future::new());
        let mut dropped = Box::pin(future.clone());
        assert!(is_pending(dropped.as_mut()));
        let other = thread::spawn(|| future.set_result(7).unwrap());
        drop(dropped);
        let got = block_on(future.clone());
        assert!(matches!(got, Ok(7)), "{got:?}");
        other.join().unwrap();
    });
}
